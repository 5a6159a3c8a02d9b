"""Diarization with the starter models, on the sample that pyannote ships."""

from __future__ import annotations

import http.server
import itertools
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from pyannote import audio as pyannote_audio
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from tests.server import ROOT
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.options import DiarizationMode
from whisperx_api.pipeline import diarizers
from whisperx_api.pipeline.building import building
from whisperx_api.pipeline.campplus_model import CAMPPlusEmbedding
from whisperx_api.pipeline.diarize import Diarizer, exclusive_turns
from whisperx_api.pipeline.diarizers import STARTER_EMBEDDING, load_diarizer
from whisperx_api.pipeline.out_of_memory import on_halved
from whisperx_api.transcript import SAMPLE_RATE, Diarization, Turn

SAMPLE = Path(pyannote_audio.__file__).parent / "sample" / "sample.wav"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def diarizer(starter_dir: Path) -> Diarizer:
    return load_diarizer(starter_dir, device=CPU, batch_size=8)


@pytest.fixture(scope="module")
def sample() -> np.ndarray:
    samples, rate = soundfile.read(SAMPLE, dtype="float32")
    assert rate == SAMPLE_RATE
    return samples


@pytest.fixture(scope="module")
def run(diarizer: Diarizer, sample: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> tuple[Diarization, list]:
    """The sample from a read-only memory map, and the fractions reported."""
    path = tmp_path_factory.mktemp("audio") / "sample.f32"
    sample.tofile(path)
    fractions: list[float] = []
    return diarizer(np.memmap(path, dtype=np.float32, mode="r"), report=fractions.append), fractions


def annotation(turns: tuple[Turn, ...]) -> Annotation:
    result = Annotation()
    for i, turn in enumerate(turns):
        result[Segment(turn.start, turn.end), i] = turn.speaker
    return result


def reference() -> Annotation:
    fields = [line.split() for line in SAMPLE.with_suffix(".rttm").read_text().splitlines() if line]
    return annotation(tuple(Turn(float(f[3]), float(f[3]) + float(f[4]), f[7]) for f in fields))


def test_sample_has_two_speakers_at_the_right_times(run: tuple[Diarization, list], sample: np.ndarray) -> None:
    result, _ = run
    whole = Timeline([Segment(0, len(sample) / SAMPLE_RATE)])
    error = DiarizationErrorRate()(reference(), annotation(result.turns), uem=whole)
    assert isinstance(error, float) and error < 0.08
    assert {turn.speaker for turn in result.turns} == {"SPEAKER_00", "SPEAKER_01"}
    assert result.turns[0].speaker == "SPEAKER_00"
    assert result.model == "starter" and result.warnings == ()


def test_exclusive_turns_never_overlap(run: tuple[Diarization, list]) -> None:
    exclusive = run[0].exclusive
    assert len(exclusive) > 5
    assert all(turn.start < turn.end for turn in exclusive)
    assert all(a.end <= b.start + 1e-6 for a, b in itertools.pairwise(exclusive))
    assert {turn.speaker for turn in exclusive} == {turn.speaker for turn in run[0].turns}


@pytest.mark.parametrize(("mode", "alike"), [(DiarizationMode.EXACT, 0.5), (DiarizationMode.FAST, 0.7)])
def test_each_speaker_has_a_voice_of_their_own(
    starter_dir: Path, sample: np.ndarray, mode: DiarizationMode, alike: float
) -> None:
    result = load_diarizer(starter_dir, device=CPU, batch_size=8, mode=mode)(sample)
    embeddings = result.embeddings
    assert (result.subsegments is not None) == (mode is DiarizationMode.FAST)
    assert list(embeddings) == ["SPEAKER_00", "SPEAKER_01"]
    first, second = (np.array(vector) / np.linalg.norm(vector) for vector in embeddings.values())
    assert first.shape == (192,) and first @ second < alike


@torch.inference_mode()
def test_starter_embedding_is_that_of_another_implementation(starter_dir: Path) -> None:
    """The values are a TorchScript trace's of the same network, which ends in a ReLU that the paper does not have."""
    network = CAMPPlusEmbedding.from_checkpoint(starter_dir / STARTER_EMBEDDING).network
    t = torch.arange(250 * 80, dtype=torch.float32).reshape(1, 250, 80)
    embedding = network(3 * torch.sin(0.37 * t) + 2 * torch.cos(0.011 * t))[0]
    traced = torch.tensor([0.0, 0.0, 0.8784, 0.0, 0.0, 0.6384, 0.0, 0.0, 0.0, 1.2083, 0.0, 1.1164])
    torch.testing.assert_close(embedding[:12].relu(), traced, atol=2e-3, rtol=0)
    assert (embedding < 0).any()


def test_progress_never_falls_and_ends_at_one(run: tuple[Diarization, list]) -> None:
    fractions = run[1]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.0 and fractions[-1] == 1.0
    assert len(set(fractions)) > 8
    assert all(type(fraction) is float for fraction in fractions)


@pytest.mark.parametrize("after", [0.1, 0.4])
def test_report_can_cancel(diarizer: Diarizer, sample: np.ndarray, after: float) -> None:
    class Cancelled(Exception):
        pass

    def report(fraction: float) -> None:
        if fraction > after:
            raise Cancelled

    with pytest.raises(Cancelled):
        diarizer(sample[: 12 * SAMPLE_RATE], report=report)


def test_silence_has_no_speakers(diarizer: Diarizer) -> None:
    fractions: list[float] = []
    result = diarizer(np.zeros(12 * SAMPLE_RATE, np.float32), report=fractions.append)
    assert result == Diarization(turns=(), exclusive=(), model="starter")
    assert fractions[-1] == 1.0


@pytest.mark.parametrize("seconds", [0.0, 0.0001, 0.05, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("num_speakers", [None, 3])
def test_very_short_audio(diarizer: Diarizer, sample: np.ndarray, seconds: float, num_speakers: int | None) -> None:
    start = int(6.7 * SAMPLE_RATE)
    result = diarizer(sample[start : start + int(seconds * SAMPLE_RATE)], num_speakers=num_speakers)
    assert len({turn.speaker for turn in result.turns}) <= 1 + (seconds > 1)
    assert all(np.isfinite(vector).all() for vector in result.embeddings.values())


def test_bounds_that_can_not_be_kept_are_a_warning(
    diarizer: Diarizer, sample: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    result = diarizer(sample, num_speakers=7)
    found = len({turn.speaker for turn in result.turns})
    assert 1 <= found < 7
    assert result.warnings == (f"7 speakers were asked for and {found} found.",)
    assert capsys.readouterr().out == ""  # where pyannote says so too


def test_max_speakers_is_kept(diarizer: Diarizer, sample: np.ndarray) -> None:
    result = diarizer(sample, max_speakers=1)
    assert {turn.speaker for turn in result.turns} == {"SPEAKER_00"} and result.warnings == ()


def test_other_audio_is_refused(diarizer: Diarizer) -> None:
    with pytest.raises(ValueError, match="float32"):
        diarizer(np.zeros(16_000, np.int16))
    with pytest.raises(ValueError, match="one-dimensional"):
        diarizer(np.zeros((1, 16_000), np.float32))


def test_bare_annotation_of_an_older_pipeline() -> None:
    turns = Annotation()
    turns[Segment(5.0, 9.0), "a"] = "B"
    turns[Segment(1.0, 6.0), "b"] = "C"
    turns[Segment(2.0, 3.0), "c"] = "A"

    def older(file: object, **options: object) -> Annotation:
        return turns

    pipeline: Any = older
    result = Diarizer("old", pipeline)(np.zeros(160_000, np.float32))
    assert [turn.speaker for turn in result.turns] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_02"]
    assert result.exclusive == (Turn(1.0, 6.0, "SPEAKER_00"), Turn(6.0, 9.0, "SPEAKER_02"))
    assert result.embeddings == {}


class SmallDevice:
    """Stands for a pipeline on a device whose memory has room for `fits` windows at once."""

    def __init__(self, fits: int) -> None:
        self.segmentation_batch_size, self.embedding_batch_size = 32, 8
        self.tried: list[tuple[int, int]] = []
        self._fits = fits

    def __call__(self, file: object, **options: Any) -> Annotation:
        self.tried.append((self.segmentation_batch_size, self.embedding_batch_size))
        options["hook"]("segmentation", None, total=2, completed=1)
        if self.segmentation_batch_size > self._fits:
            raise MemoryError("batch_size (32) is probably too large.")
        return Annotation()


def test_batches_that_do_not_fit_the_device_are_halved_for_good() -> None:
    pipeline: Any = SmallDevice(fits=8)
    diarizer, fractions, halvings = Diarizer("small", pipeline), list[float](), list[str]()
    on_halved.set(lambda: halvings.append("halved"))
    diarizer(np.zeros(160_000, np.float32), report=fractions.append)
    assert pipeline.tried == [(32, 8), (16, 4), (8, 2)] and len(halvings) == 2
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    diarizer(np.zeros(160_000, np.float32))
    assert pipeline.tried[3:] == [(8, 2)]


def test_one_window_that_does_not_fit_is_an_error() -> None:
    pipeline: Any = SmallDevice(fits=0)
    with pytest.raises(MemoryError):
        Diarizer("small", pipeline)(np.zeros(160_000, np.float32))
    assert pipeline.tried[-1] == (1, 1)


def test_whoever_talks_keeps_the_floor() -> None:
    turns = (Turn(0, 2, "A"), Turn(1, 3, "B"), Turn(3, 4, "A"))
    assert exclusive_turns(turns) == (Turn(0, 2, "A"), Turn(2, 3, "B"), Turn(3, 4, "A"))


def test_telemetry_is_off_and_nothing_is_printed(starter_dir: Path) -> None:
    script = (
        "import os, sys, numpy, torch; from whisperx_api.pipeline.diarizers import load_diarizer;"
        "d = load_diarizer(sys.argv[1], device=torch.device('cpu'), batch_size=8);"
        "d(0.1 * numpy.random.default_rng(0).standard_normal(40000).astype('f4'), num_speakers=4);"
        "assert os.environ['PYANNOTE_METRICS_ENABLED'] == 'false'"
    )
    environment = {**os.environ, "PYANNOTE_METRICS_ENABLED": "1"}
    done = subprocess.run([sys.executable, "-c", script, starter_dir], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


ANSWERS: dict[str, tuple[int, dict[str, str]]] = {
    "gated-no-token": (401, {"X-Error-Code": "GatedRepo"}),
    "gated-not-accepted": (403, {"X-Error-Code": "GatedRepo"}),
    "missing": (404, {"X-Error-Code": "RepoNotFound"}),
    "bad-token": (401, {"X-Error-Message": "Invalid credentials in Authorization header"}),
    "no-config": (404, {"X-Error-Code": "EntryNotFound"}),
    "broken": (500, {}),
}
SAYS = {
    "gated-no-token": "is gated: accept its terms at https://hf.co/org/gated-no-token and set HF_TOKEN",
    "gated-not-accepted": "with the account of that token",
    "missing": "is not on the Hugging Face hub, or is private",
    "bad-token": "refuses HF_TOKEN",
    "no-config": "is no pyannote pipeline",
    "broken": "answers 500",
}
LOAD = """
import json, sys
from pathlib import Path
from typing import Any
import torch
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.pipeline.diarizers import load_diarizer
for models in sys.stdin:
    said = {}
    for model in json.loads(models):
        try:
            load_diarizer(model, device=torch.device("cpu"), batch_size=1, token="hf_x", cache_dir=Path(sys.argv[1]))
        except ModelUnavailable as error:
            said[model] = str(error)
    print(json.dumps(said), flush=True)
"""


class Hub(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        status, headers = ANSWERS[self.path.split("/")[2]]
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, format: str, *args: object) -> None:
        pass


class Loader:
    """Loads models in a process of its own, for the hub's client reads its environment when it is imported."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", LOAD, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )

    def ask(self, *models: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(models) + "\n")
        self._process.stdin.flush()

    def said(self) -> dict[str, str]:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        self._process.communicate(timeout=30)
        assert self._process.returncode == 0


@dataclass(frozen=True)
class Said:
    """What is said of models that can't be had: with the hub there, with it gone, and offline."""

    folder: str
    """A folder without a model."""
    hub: dict[str, str]
    gone: dict[str, str]
    offline: dict[str, str]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Said:
    cache, folder = tmp_path_factory.mktemp("cache"), str(tmp_path_factory.mktemp("empty"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    offline = Loader(cache, HF_HUB_OFFLINE="1")
    online = Loader(cache, HF_HUB_OFFLINE="0", HF_ENDPOINT=f"http://127.0.0.1:{server.server_port}")
    offline.ask("org/model")
    online.ask(folder, "/no/such", *(f"org/{name}" for name in ANSWERS))
    hub = online.said()
    server.shutdown()
    server.server_close()
    online.ask("org/model")
    said = Said(folder, hub, online.said(), offline.said())
    online.end()
    offline.end()
    return said


def test_what_keeps_a_model_away_is_said_in_one_sentence(said: Said) -> None:
    assert "config.yaml" in said.hub[said.folder]
    assert "neither a folder here nor a Hugging Face id" in said.hub["/no/such"]
    for name, words in SAYS.items():
        assert words in said.hub[f"org/{name}"]
    for model, sentence in said.hub.items():
        assert model in sentence and "\n" not in sentence and sentence.endswith("enable_diarization=false.")


def test_offline_and_unreachable_are_told_apart(said: Said) -> None:
    assert "HF_HUB_OFFLINE forbids" in said.offline["org/model"]
    gone = said.gone["org/model"]
    assert "can't be reached" in gone and "whisperx-api models pull org/model" in gone


def test_model_that_is_fetched_keeps_no_other_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others: list[str] = []

    def build() -> None:
        with building:
            others.append("built")

    def fetch(*_: object, **__: object) -> None:
        other = threading.Thread(target=build, daemon=True)
        other.start()
        other.join(5)
        raise ConnectionError("the hub has gone")

    monkeypatch.setattr(diarizers, "snapshot_download", fetch)
    monkeypatch.setattr(diarizers, "hf_hub_download", lambda *_, **__: None)
    with pytest.raises(ModelUnavailable, match="the hub has gone"):
        load_diarizer("org/model", device=CPU, batch_size=1, cache_dir=tmp_path)
    assert others == ["built"]
