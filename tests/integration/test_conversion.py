"""Whisper models of the Transformers kind, fetched from a hub or taken from a folder, converted, found and used."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fake_hub import COMMIT, ask, environment, serve
from whisperx_api.models import conversion, converted, hub, resolve
from whisperx_api.models.conversion import Quantization
from whisperx_api.models.errors import ModelUnavailable

MEL_BINS = 128
"""Those of large-v3: a model that is taken for one of 80 fails."""
WHISPER = hub.Contents(COMMIT, {"model.safetensors": 1}, (conversion.ARCHITECTURE,))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, starter_dir: Path) -> Path:
    """A Whisper model of random weights, tiny, as Transformers saves it: in safetensors and in pickled ones."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration, WhisperTokenizerFast

    folder = tmp_path_factory.mktemp("source") / "tiny-whisper"
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=51865, num_mel_bins=MEL_BINS, d_model=16, encoder_layers=1, decoder_layers=1,
            encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        )
    )  # fmt: skip
    model.save_pretrained(folder)
    model.save_pretrained(folder, safe_serialization=False)
    WhisperTokenizerFast(tokenizer_file=str(starter_dir / "whisper" / "tokenizer.json")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def endpoint(source: Path) -> Iterator[str]:
    """A hub that holds it: org/whisper whole, org/old as models were kept once; and models of other kinds."""
    files = {path.name: path.read_bytes() for path in source.iterdir()}
    old = {name: data for name, data in files.items() if name not in ("model.safetensors", "tokenizer.json")}
    bert = {"config.json": b'{"architectures": ["BertForMaskedLM"]}', "model.safetensors": b"w" * 5000}
    aligner = {"config.json": b'{"architectures": ["Wav2Vec2ForCTC"]}', "model.safetensors": b"w" * 500}
    repositories = {
        "org/whisper": {name: data for name, data in files.items() if name != "pytorch_model.bin"},
        "org/old": old | {"optimizer.pt": b"o" * 5000},
        "org/bert": bert,
        "org/aligner": aligner,
    }
    with serve(repositories) as url:
        yield url


@pytest.fixture(scope="module")
def fetched(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where org/whisper is once an engine has needed it."""
    folder = tmp_path_factory.mktemp("fetched")
    [path] = ask(endpoint, folder, "resolve.transcription_folder('org/whisper', models, allow_download=True)")
    assert not path.startswith("ModelUnavailable"), path
    return Path(path)


def command(endpoint: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `whisperx-api models …` on the models in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "whisperx_api", "models", *arguments, "--model-dir", str(folder)],
        env=environment(endpoint, folder / "home"), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def hears(folder: Path) -> None:
    """Have the model transcribe a second of sound, with the times of its words."""
    from faster_whisper import WhisperModel

    model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)
    sound = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    segments, found = model.transcribe(
        sound, max_new_tokens=8, temperature=0.0, beam_size=1, word_timestamps=True, no_speech_threshold=None,
        log_prob_threshold=None, compression_ratio_threshold=None,
    )  # fmt: skip
    assert model.model.n_mels == model.feature_extractor.mel_filters.shape[0] == MEL_BINS
    assert len(found.all_language_probs or []) == 99
    assert isinstance(list(segments), list)


def test_engine_that_may_fetch_converts_and_finds_it_again(fetched: Path) -> None:
    models = fetched.parent.parent
    assert fetched == models / "converted" / "org--whisper"
    assert {"model.bin", "config.json", "tokenizer.json", "preprocessor_config.json", "vocabulary.json"} <= {
        path.name for path in fetched.iterdir()
    }
    assert resolve.transcription_folder("org/whisper", models, allow_download=False) == fetched
    assert resolve.available("org/whisper", models)
    assert json.loads((fetched / "preprocessor_config.json").read_text())["feature_size"] == MEL_BINS
    assert not list(models.rglob("*.safetensors"))  # what was fetched for it is gone
    known = converted.record(fetched)
    assert known and (known.name, known.source, known.quantization) == ("org/whisper", COMMIT, "float16")
    hears(fetched)


def test_pulling_again_does_nothing_unless_it_is_damaged_or_another(fetched: Path) -> None:
    models = fetched.parent.parent
    before = (fetched / "model.bin").stat()
    assert conversion.pull("org/whisper", models, WHISPER) == fetched
    assert (fetched / "model.bin").stat() == before
    assert conversion.is_current("org/whisper", models, WHISPER, Quantization.FLOAT16)
    assert not conversion.is_current("org/whisper", models, WHISPER, Quantization.INT8)
    later = hub.Contents("b" * 40, WHISPER.files, WHISPER.architectures)
    assert not conversion.is_current("org/whisper", models, later, Quantization.FLOAT16)
    tokenizer = (fetched / "tokenizer.json").read_bytes()
    (fetched / "tokenizer.json").write_bytes(b"bit rot")
    try:
        assert not conversion.is_current("org/whisper", models, WHISPER, Quantization.FLOAT16)
        assert converted.damaged(fetched) == ["tokenizer.json"]
    finally:
        (fetched / "tokenizer.json").write_bytes(tokenizer)


def test_pull_converts_a_repository_without_tokenizer_json_to_the_type_asked_for(endpoint: str, tmp_path: Path) -> None:
    done = command(endpoint, tmp_path, "pull", "org/old", "--quantization", "int8")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "converted" / "org--old"
    assert done.stdout == f"org/old is in {folder}.\n"
    hears(folder)
    assert f"org/old\t{folder}" in command(endpoint, tmp_path, "list").stdout
    assert "org/old: all files are sound." in command(endpoint, tmp_path, "verify").stdout
    again = command(endpoint, tmp_path, "pull", "org/old", "--quantization", "int8")
    assert again.stdout == f"org/old is in {folder}, complete: nothing had to be fetched.\n"
    with (folder / "model.bin").open("ab") as file:
        file.write(b"rot")
    damaged = command(endpoint, tmp_path, "verify")
    assert damaged.returncode == 1 and "org/old: model.bin is damaged." in damaged.stdout


def test_folder_of_a_transformers_model_is_converted_and_stands_for_it(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=f"`whisperx-api models pull {source}` converts it"):
        resolve.transcription_folder(str(source), tmp_path, allow_download=True)
    done = command("http://127.0.0.1:9", tmp_path, "pull", str(source))
    assert done.returncode == 0, done.stderr
    folder = resolve.transcription_folder(str(source), tmp_path, allow_download=False)
    assert folder.parent == tmp_path / "converted" and folder.name.startswith("local--tiny-whisper--")
    assert (source / "model.safetensors").is_file()


def test_repository_of_another_kind_is_refused_and_one_for_alignment_is_not(endpoint: str, tmp_path: Path) -> None:
    done = command(endpoint, tmp_path, "pull", "org/bert")
    assert done.returncode == 1
    assert done.stderr.startswith("org/bert is no model for this service: it is a BertForMaskedLM, and neither")
    [answer] = ask(endpoint, tmp_path, "resolve.transcription_folder('org/bert', models, allow_download=True)")
    assert "The model org/bert can't be used, it is a BertForMaskedLM: it must be a Whisper model." in answer
    assert not list(tmp_path.rglob("*.safetensors"))
    done = command(endpoint, tmp_path, "pull", "org/aligner")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "hub/models--org--aligner/snapshots" / COMMIT / "model.safetensors").is_file()


def left(folder: Path) -> set[str]:
    """Return what is in a folder, locks left out."""
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_model_that_can_not_be_converted_leaves_what_was_before(tmp_path: Path) -> None:
    (broken := tmp_path / "broken").mkdir()
    (broken / "config.json").write_text(json.dumps({"model_type": "whisper", "architectures": WHISPER.architectures}))
    (broken / "model.safetensors").write_bytes(b"no weights")
    target = converted.folder(str(broken), tmp_path)
    target.mkdir(parents=True)
    (target / "model.bin").write_text("earlier")
    with pytest.raises(ModelUnavailable, match=r"broken can't be converted: \w+Error: .*\.$"):
        conversion.pull(str(broken), tmp_path, WHISPER)
    assert (target / "model.bin").read_text() == "earlier"
    assert left(tmp_path / "converted") == {target.name}


def test_conversion_that_the_system_ends_is_said_to_lack_memory(source: Path, tmp_path: Path, monkeypatch) -> None:
    killed = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    monkeypatch.setattr(conversion, "python_module", lambda name: killed)
    with pytest.raises(ModelUnavailable, match=r"ended by the system .*lack of memory"):
        conversion.pull(str(source), tmp_path, WHISPER)
    assert left(tmp_path / "converted") == set()


def test_what_a_killed_conversion_left_is_in_nobodys_way(tmp_path: Path, monkeypatch, source: Path) -> None:
    def run(name: str, source: Path, target: Path, quantization: Quantization) -> None:
        target.mkdir()
        (target / "model.bin").write_text("new")

    monkeypatch.setattr(conversion, "_run", run)
    target = converted.folder(str(source), tmp_path)
    for name in (f".{target.name}.part", f".{target.name}.old"):
        (target.parent / name).mkdir(parents=True)
    target.mkdir()
    assert conversion.pull(str(source), tmp_path, WHISPER) == target
    assert (target / "model.bin").read_text() == "new"
    assert [path for _, path in converted.listed(tmp_path)] == [target]

    def run_out_of_disk(name: str, source: Path, target: Path, quantization: Quantization) -> None:
        target.mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(conversion, "_run", run_out_of_disk)
    with pytest.raises(ModelUnavailable, match="No space left on device"):
        conversion.pull(str(source), tmp_path, hub.Contents("later", WHISPER.files, WHISPER.architectures))
    assert (target / "model.bin").read_text() == "new"
    assert left(target.parent) == {target.name}
