"""What the engine imports only once something uses it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from whisperx_api.engine.deferral import UNUSED, deferred

HEAVY = """
from pathlib import Path
with (Path(__file__).parent / "runs").open("a") as file:
    file.write("run\\n")
VALUES = [1, 2]
class Thing:
    kind = "real"
class HeavyError(Exception): pass
"""
USER = """
from typing import Dict, Optional, Union
import heavy, heavy.part as part
from heavy import Thing, VALUES, inner
from heavy.part import double
def use(some: Optional[Thing], more: Union[Thing, Dict[str, Thing]], other: int | Thing) -> list[Thing | None]: ...
"""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `heavy`, which notes each time it is run here, and a module `user` that names much of it."""
    package = tmp_path / "heavy"
    package.mkdir()
    (package / "__init__.py").write_text(HEAVY)
    (package / "part.py").write_text("def double(some): return 2 * some\n")
    (package / "inner.py").write_text("DEEP = 'deep'\n")
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "deriving.py").write_text("import heavy\nfrom heavy import Thing, part\nclass Mine(Thing): pass\n")
    (tmp_path / "catching.py").write_text("from heavy import HeavyError\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield package / "runs"
    for name in [name for name in sys.modules if name.split(".")[0] in ("heavy", "user", "deriving", "catching")]:
        del sys.modules[name]


def imported(module: str) -> Any:
    with deferred(["heavy"]):
        return import_module(module)


def test_what_is_only_named_is_not_imported(runs: Path) -> None:
    finders = [*sys.meta_path]
    imported("user")
    assert not runs.exists()
    assert "heavy" not in sys.modules and "heavy.part" not in sys.modules
    assert sys.meta_path == finders


def test_what_is_used_is_the_thing_itself(runs: Path) -> None:
    user = imported("user")
    thing = user.Thing()
    heavy = import_module("heavy")
    assert type(thing) is heavy.Thing and user.Thing.kind == "real"
    assert isinstance(thing, user.Thing) and issubclass(heavy.Thing, user.Thing) and not isinstance(3, user.Thing)
    assert list(user.VALUES) == [1, 2] and user.VALUES[1] == 2 and len(user.VALUES) == 2 and user.VALUES
    assert user.double(4) == user.part.double(4) == 8
    assert user.heavy.Thing() and user.inner.DEEP == "deep"
    assert runs.read_text().split() == ["run"]


@pytest.mark.parametrize(("module", "name"), [("deriving", "Mine"), ("catching", "HeavyError")])
def test_class_that_is_derived_from_or_caught_is_imported_at_once(runs: Path, module: str, name: str) -> None:
    some = getattr(imported(module), name)
    heavy = import_module("heavy")
    assert issubclass(some, (heavy.Thing, heavy.HeavyError))
    assert runs.read_text().split() == ["run"]


def test_module_that_is_not_there_is_missed_at_once(runs: Path) -> None:
    for missing in ("heavy.missing", "heavier"):
        with deferred(["heavy", "heavier"]), pytest.raises(ModuleNotFoundError):
            import_module(missing)


def test_import_that_comes_later_is_an_ordinary_one(runs: Path) -> None:
    user = imported("user")
    heavy = import_module("heavy.part")
    assert heavy.double is import_module("heavy").part.double
    assert user.Thing.kind == "real"
    assert runs.read_text().split() == ["run"]


def test_threads_that_use_it_at_once_import_it_once(runs: Path) -> None:
    user, made = imported("user"), []
    start = threading.Barrier(8)

    def use() -> None:
        start.wait()
        made.append(type(user.Thing()))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [import_module("heavy").Thing] * 8
    assert runs.read_text().split() == ["run"]


ENGINE = """
import json, sys, wave
from pathlib import Path
import numpy as np
from whisperx_api.engine.protocol import Attempt, EngineConfig, Inputs, RunStage, Stage, StageDone
from whisperx_api.engine.worker import Engine, prepare_environment
from whisperx_api.options import Options
from whisperx_api.transcript import Alignment, Audio, Diarization, Transcription, from_json

class Wire:
    def send(self, message): pass

models, recording, samples = sys.argv[1:]
with wave.open(recording) as file:
    sound = np.frombuffer(file.readframes(16000 * 10), "<i2").astype(np.float32) / 32768
sound.tofile(samples)
config = EngineConfig("cpu", "starter", "attention", "starter", Path(models), False, None, None, 16, 30, 2, "auto")
prepare_environment(config)
engine = Engine(config, Wire())

def result(stage, kind, **inputs):
    given = Inputs(Audio(samples, len(sound)), **inputs)
    answer = engine._answer(RunStage(Attempt("task", 1), stage, Options(), given))
    assert isinstance(answer, StageDone), answer
    return from_json(kind, answer.result) if kind else answer.result

heard = result(Stage.TRANSCRIBE, Transcription)
aligned = result(Stage.ALIGN, Alignment, transcription=heard)
turns = result(Stage.DIARIZE, Diarization)
assert "SPEAKER_00" in result(Stage.ASSIGN, None, transcription=heard, alignment=aligned, diarization=turns)
before = sorted(sys.modules)

from pyannote.audio.pipelines import clustering
assert clustering.KMeans(n_clusters=2, n_init=1).fit_predict([[0.0], [9.0], [9.5]]).tolist() in ([0, 1, 1], [1, 0, 0])
print(json.dumps(before))
"""


def test_engine_does_its_stages_without_what_it_never_uses(model_dir: Path, sample_dir: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", ENGINE]
    command += [str(model_dir), str(sample_dir / "sample.wav"), str(tmp_path / "samples.f32")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    brought = {"torch._dynamo", "sympy", "torchvision", "transformers", "nltk"}
    assert "pyannote.audio" in loaded and not loaded & {*UNUSED, *brought}
