"""The doctor's verdicts: each ill machine gets its sentence, each sound one is left alone."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from whisperx_api.doctor import Check, Level, machine, models, service
from whisperx_api.doctor.machine import Torch, device_checks
from whisperx_api.listening import port_fault
from whisperx_api.memory import memory_free, memory_total
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.settings import Settings

CPU = Torch("2.8.0", "12.8", rocm=False, cuda=False, devices=(), missing=())
CUDA = Torch("2.8.0", "12.8", rocm=False, cuda=True, devices=("H200",), missing=())


def settings(tmp_path: Path, **values: Any) -> Settings:
    return Settings(**{"_env_file": None, "data_dir": tmp_path, **values})


def levels(checks: Iterable[Check]) -> list[tuple[str, str]]:
    return [(check.name, check.level.value) for check in checks]


@pytest.mark.parametrize(
    ("devices", "torch", "driver", "expected", "says"),
    [
        (("cpu",), CPU, None, [("device", "ok")], "DEVICE=cpu"),
        (("auto",), CPU, None, [("device", "warn")], "no NVIDIA driver"),
        (("cuda",), CPU, None, [("device", "fail")], "no NVIDIA driver"),
        (("cuda",), CPU, "470.1", [("device", "fail")], "update the driver"),
        (("auto",), Torch("2.8.0+cpu", "", False, False, (), ()), "570", [("device", "warn")], "built without CUDA"),
        (("auto",), CUDA, "570", [("device", "ok"), ("cuda", "ok")], "H200"),
        (("cuda:0", "cuda:1"), CUDA, "570", [("device", "fail"), ("device", "ok"), ("cuda", "ok")], "names cuda:1"),
        (("auto",), Torch("2.8", "", True, True, ("MI300",), ()), None, [("device", "warn")], "ROCm"),
        (
            ("auto",),
            Torch("2.8", "12.8", False, True, ("A10",), ("libcudnn.so.9",)),
            "570",
            [("device", "ok"), ("cuda", "fail")],
            "needs libcudnn.so.9",
        ),
    ],
)
def test_device_is_compared_with_what_torch_sees(devices, torch, driver, expected, says, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    checks = list(device_checks(devices, torch, driver))
    assert levels(checks) == expected
    assert says in " ".join(check.sentence for check in checks)


def test_torch_is_asked_in_a_process_of_its_own():
    code = "import sys; from whisperx_api.doctor import machine; print(machine.probe_torch(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180)
    assert done.stdout.startswith("Torch(version='2."), done.stderr
    assert done.stdout.strip().endswith("False")


def test_machine_without_the_engine_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "engine_installed", lambda: False)
    [engine] = [check for check in machine.machine_checks(settings(tmp_path)) if check.name == "engine"]
    assert engine.level is Level.FAIL and "pip install '.[engine]'" in engine.sentence


def test_torch_that_breaks_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "_PROBE", "raise ImportError('libc10.so: broken')")
    monkeypatch.setattr(machine, "engine_installed", lambda: True)
    [engine] = [check for check in machine.machine_checks(settings(tmp_path)) if check.name == "engine"]
    assert engine.level is Level.FAIL and "libc10.so: broken" in engine.sentence


def test_memory_is_the_containers_where_that_is_less(tmp_path: Path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   4000000 kB\n")
    assert memory_free(tmp_path) == 4000000 * 1024
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("5\n")
    assert memory_free(tmp_path) == 4000000 * 1024
    (group / "memory.max").write_text("1000\n")
    (group / "memory.stat").write_text("anon 2\ninactive_file 3\n")
    assert memory_free(tmp_path) == 998
    assert memory_free(tmp_path / "other system") is None


def test_memory_of_a_container_is_no_more_than_it_may_use(tmp_path: Path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 4000000 kB\n")
    assert memory_total(tmp_path) == 4000000 * 1024
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    for limit, total in (("max", 4000000 * 1024), ("1000", 1000), ("9999999999999", 4000000 * 1024)):
        (group / "memory.max").write_text(f"{limit}\n")
        assert memory_total(tmp_path) == total
    assert memory_total(tmp_path / "other system") is None


def test_folder_that_cant_be_written_or_is_nearly_full_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert machine._disk("data", tmp_path / "not/made/yet").level in (Level.OK, Level.WARN)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda place: Usage())
    assert machine._disk("models", tmp_path).level is Level.WARN
    monkeypatch.setattr(machine.os, "access", lambda *_: False)
    check = machine._disk("data", tmp_path)
    assert check.level is Level.FAIL and f"DATA_DIR={tmp_path} can't be written" in check.sentence


class Usage:
    free = 1000


def model_checks(**values: Any) -> dict[str, Check]:
    return {check.name: check for check in models.model_checks(settings(**values))}


def test_models_that_are_here_are_found_without_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(models.hub, "check_access", lambda *_: pytest.fail("the hub was asked"))
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
        (folder / name).write_text("{}")
    checks = model_checks(tmp_path=tmp_path, whisper_model=str(folder), diarization_model=str(folder))
    assert {check.level for check in checks.values()} == {Level.OK}


def test_missing_starter_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = {"whisper_model": "starter", "diarization_model": "starter"}
    for client, level in ((None, Level.FAIL), ("pip", Level.WARN)):
        monkeypatch.setattr(models, "find_client", lambda client=client: client)
        checks = model_checks(tmp_path=tmp_path, **names)
        assert checks["whisper"].level is checks["diarization"].level is level
        assert "run `whisperx-api models pull starter`" in checks["whisper"].sentence


def test_model_of_the_hub_is_asked_for_only_where_it_may_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def gated(repository, token, timeout):
        if repository.startswith("pyannote/") and token is None:
            raise ModelUnavailable(f"{repository} is behind terms of use: accept them, and set HF_TOKEN.")

    monkeypatch.setattr(models.hub, "check_access", gated)
    checks = model_checks(tmp_path=tmp_path)
    assert checks["whisper"].level is Level.WARN and "models pull large-v2" in checks["whisper"].sentence
    assert checks["diarization"].level is Level.FAIL and "behind terms of use" in checks["diarization"].sentence
    assert model_checks(tmp_path=tmp_path, hf_token="hf_x")["diarization"].level is Level.WARN
    offline = model_checks(tmp_path=tmp_path, hf_token="hf_x", whisper_auto_download="false")
    assert offline["whisper"].level is Level.FAIL and "WHISPER_AUTO_DOWNLOAD is off" in offline["whisper"].sentence


def test_unreachable_hub_and_missing_token_are_both_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def unreachable(repository, token, timeout):
        raise ModelUnavailable(f"The Hugging Face hub can't be reached for {repository}: check the network.")

    monkeypatch.setattr(models.hub, "check_access", unreachable)
    check = model_checks(tmp_path=tmp_path)["diarization"]
    assert check.level is Level.FAIL
    assert "can't be reached" in check.sentence and "HF_TOKEN is not set" in check.sentence


def test_port_in_use_is_told_from_the_service_itself(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert f"Port {port} on 127.0.0.1 is taken" in (port_fault("127.0.0.1", port) or "")
    assert port_fault("127.0.0.1", port) is None
    assert "HOST=192.0.2.1 is no address of this machine" in (port_fault("192.0.2.1", 8000) or "")


def database(path: Path) -> Check:
    return service._database(f"sqlite+aiosqlite:///{path}")


def test_database_is_opened_and_its_migration_named(tmp_path: Path):
    path = tmp_path / "whisperx-api.db"
    assert database(path).level is Level.OK and not path.exists()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('0042')")
    connection.close()
    assert "is at migration 0042" in database(path).sentence
    path.write_bytes(b"not a database, but long enough to be read as one" * 50)
    assert database(path).level is Level.FAIL


def test_database_server_that_is_away_is_named_without_its_password():
    check = service._database("postgresql+psycopg://user:hunter2@127.0.0.1:9/x")
    assert check.level is Level.FAIL and "127.0.0.1:9" in check.sentence and "hunter2" not in check.sentence


def test_keys_are_never_shown(tmp_path: Path):
    assert service._key(settings(tmp_path, auth="off")).level is Level.WARN
    given = service._key(settings(tmp_path, api_key="s3cret"))
    assert given.level is Level.OK and "s3cret" not in given.sentence
    assert "first start makes one" in service._key(settings(tmp_path)).sentence
    (tmp_path / "api_key").write_text("s3cret")
    assert f"{tmp_path / 'api_key'}" in service._key(settings(tmp_path)).sentence


def test_keys_on_record_are_known(tmp_path: Path):
    with sqlite3.connect(tmp_path / "whisperx-api.db") as connection:
        connection.execute("CREATE TABLE keys (id TEXT, revoked_at TEXT, expires_at TEXT)")
        assert "first start makes one" in service._key(settings(tmp_path)).sentence
        connection.execute("INSERT INTO keys VALUES ('revoked', '2026-01-01 00:00:00', NULL)")
        connection.execute("INSERT INTO keys VALUES ('expired', NULL, '2026-01-01 00:00:00.123456')")
        connection.commit()
        assert "keys create" in service._key(settings(tmp_path)).sentence
        connection.execute("INSERT INTO keys VALUES ('in force', NULL, '2100-01-01 00:00:00')")
        connection.commit()
        assert "whisperx-api keys list" in service._key(settings(tmp_path)).sentence
