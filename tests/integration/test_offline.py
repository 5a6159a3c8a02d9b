"""Nothing is told to anybody: a whole job calls nobody but this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from pathlib import Path

from tests import offline
from tests.private import check_private
from tests.server import ROOT
from whisperx_api import telemetry

SECONDS = 10


def cut(sample: Path, target: Path) -> Path:
    """Write the first seconds of a recording."""
    with wave.open(str(sample)) as source, wave.open(str(target), "wb") as short:
        short.setparams(source.getparams())
        short.writeframes(source.readframes(SECONDS * source.getframerate()))
    return target


def test_whole_job_calls_nobody(model_dir: Path, sample_dir: Path, tmp_path: Path) -> None:
    recording = cut(sample_dir / "sample.wav", tmp_path / "call.wav")
    alone = offline.prefix()
    command = [*alone, sys.executable, "-m", "tests.offline", str(model_dir.absolute()), str(recording)]
    command += ["alone" if alone else "watched"]
    environment = {name: value for name, value in os.environ.items() if name not in telemetry.OFF}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, umask=0o022, check=False
    )
    assert done.returncode == 0, done.stderr + (tmp_path / "server.log").read_text()
    outcome = offline.Outcome(**json.loads(done.stdout))
    assert outcome.status["status"] == "completed", outcome.status
    result = outcome.status["result"]
    assert result["segments"] and all(segment["speaker"] for segment in result["segments"])
    assert all(result["models"].values()), result["models"]
    assert outcome.calls == []
    for module in ("serve", "whisperx_api.engine.worker", "whisperx_api.pipeline.decoder_process"):
        assert any(module in process for process in outcome.processes), f"{module} was not watched"
    if alone:
        assert (outcome.alone, outcome.wanted_out) == (True, 0)
        assert outcome.counted > 0, "the kernel does not count calls that lead nowhere"
    check_private(tmp_path / "data")


def test_call_to_elsewhere_is_seen_and_stopped(tmp_path: Path) -> None:
    record = tmp_path / "calls"
    environment = os.environ | {"PYTHONCALLS": str(record), "PYTHONPATH": f"{offline.GUARD}{os.pathsep}{ROOT}"}
    lookup = "import socket; socket.getaddrinfo('telemetry.example', 443)"
    for code in (offline.CALL, lookup):
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert "nobody outside is called here" in done.stderr
    calls = [line for line in record.read_text().splitlines() if line.startswith("call ")]
    assert calls == ["call socket.connect '192.0.2.1'", "call socket.getaddrinfo 'telemetry.example'"]
