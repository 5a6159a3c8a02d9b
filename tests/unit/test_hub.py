"""Models of the hub, fetched from a small HTTP server that answers as the hub does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_hub import COMMIT, GIVEN, ask, serve
from whisperx_api.models import hub, resolve
from whisperx_api.models.errors import ModelUnavailable

FILES = {
    "config.json": b"{}",
    "model.bin": b"weights" * 3000,
    "tokenizer.json": b"{}",
    "vocabulary.json": b"[]",
    "README.md": b"# model",
}
REPOSITORIES = {
    "org/whisper": FILES,
    "org/transformers": {"config.json": b"{}", "vocab.json": b"{}", "model.safetensors": b"w" * 5000},
    "org/breaks": {"config.json": b"{}", "model.bin": b"lost"},
    "org/gated": {"config.yaml": b"x: 1"},
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with serve(REPOSITORIES) as url:
        yield url


def test_pull_fetches_only_what_matches_and_reports_bytes(endpoint: str, tmp_path: Path):
    path, last, again = ask(
        endpoint,
        tmp_path,
        "hub.pull('org/whisper', models, None, resolve.TRANSCRIPTION_FILES, seen.append)",
        "seen[-1]",
        "resolve.transcription_folder('org/whisper', models, allow_download=False)",
    )
    snapshot = Path(path)
    assert snapshot == tmp_path / "models/hub/models--org--whisper/snapshots" / COMMIT
    assert {file.name for file in snapshot.iterdir()} == {*FILES} - {"README.md"}
    size = sum(len(data) for name, data in FILES.items() if name != "README.md")
    assert last == f"Progress(name='org/whisper', done={size}, total={size})"
    assert again == path
    assert hub.snapshots(tmp_path / "models") == ["org/whisper"]
    assert hub.damaged("org/whisper", tmp_path / "models") == []
    (snapshot / "model.bin").resolve().write_bytes(b"bit rot")
    assert hub.damaged("org/whisper", tmp_path / "models") == ["model.bin"]


def test_each_refusal_is_one_sentence_that_names_model_and_mending_step(endpoint: str, tmp_path: Path):
    answers = ask(
        endpoint,
        tmp_path,
        "hub.pull('org/gated', models, None)",
        f"hub.pull('org/gated', models, '{GIVEN}')",
        "hub.check_access('org/gated', None)",
        "hub.check_access('org/whisper', None)",
        "hub.pull('org/nobody', models, None)",
        f"hub.pull('org/nobody', models, '{GIVEN}')",
        "hub.pull('org/whisper', models, 'hf_wrong')",
        "hub.pull('org/down', models, None)",
        "hub.pull('not a name/x', models, None)",
    )
    expected = [
        "org/gated is behind terms of use: accept them on its Hugging Face page, and set HF_TOKEN",
        "org/gated is behind terms of use: accept them on its Hugging Face page, and check that HF_TOKEN",
        "org/gated is behind terms of use",
        None,
        "org/nobody is not on the Hugging Face hub, or it is private",
        "org/nobody is not on the Hugging Face hub",
        "The Hugging Face hub refuses the token it was given for org/whisper: set HF_TOKEN",
        "The Hugging Face hub answered 503 for org/down",
        "not a name/x is no name of a Hugging Face model",
    ]
    for answer, sentence in zip(answers, expected, strict=True):
        assert answer == "None" if sentence is None else answer.startswith(f"ModelUnavailable: {sentence}"), answer
        assert "\n" not in answer


def test_unreachable_and_offline_hubs_are_said_plainly(tmp_path: Path):
    closed = "http://127.0.0.1:9"
    assert (
        "The Hugging Face hub can't be reached for org/whisper"
        in ask(closed, tmp_path, "hub.pull('org/whisper', models, None)")[0]
    )
    assert "HF_HUB_OFFLINE is set" in ask(closed, tmp_path, "hub.pull('org/whisper', models, None)", offline=True)[0]


def test_full_disk_is_said_plainly(endpoint: str, tmp_path: Path):
    full = "setattr(__import__('huggingface_hub'), 'snapshot_download', full_disk)"
    _, answer = ask(endpoint, tmp_path, full, "hub.pull('org/whisper', models, None)")
    assert "The disk is full, so org/whisper" in answer


def test_interrupted_pull_does_not_count_as_here_and_keeps_what_was_before(endpoint: str, tmp_path: Path):
    answer, found = ask(endpoint, tmp_path, "hub.pull('org/breaks', models, None)", "hub.find('org/breaks', models)")
    assert answer.startswith("ModelUnavailable: ") and "org/breaks" in answer
    assert found == "None"
    models = tmp_path / "models"
    folder = models / "hub/models--org--old"
    for commit in ("1" * 40, "2" * 40):
        (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text("2" * 40)
    assert hub.find("org/old", models) == folder / "snapshots" / ("2" * 40)
    (folder / hub._PULLING).write_text("1" * 40)
    assert hub.find("org/old", models) == folder / "snapshots" / ("1" * 40)


def test_repository_of_no_whisper_model_is_refused_without_fetching_its_weights(endpoint: str, tmp_path: Path):
    [answer] = ask(
        endpoint, tmp_path, "resolve.transcription_folder('org/transformers', models, allow_download=True, token=None)"
    )
    assert "org/transformers can't be used, it holds no model.bin: it must be a Whisper model." in answer
    assert not list((tmp_path / "models").rglob("*.safetensors"))


def test_model_that_may_not_be_fetched_names_the_command(tmp_path: Path):
    with pytest.raises(ModelUnavailable, match="run `whisperx-api models pull large-v2`"):
        resolve.transcription_folder("large-v2", tmp_path, allow_download=False)
    assert resolve.diarization_source("org/pipeline", tmp_path) == "org/pipeline"


@pytest.mark.parametrize("lost", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_local_folder_must_be_complete(lost: str, tmp_path: Path):
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
        (tmp_path / name).write_text("{}")
    assert resolve.transcription_folder(str(tmp_path), tmp_path, allow_download=False) == tmp_path
    (tmp_path / lost).unlink()
    with pytest.raises(ModelUnavailable, match=f"no {lost}"):
        resolve.transcription_folder(str(tmp_path), tmp_path, allow_download=False)


def test_folder_that_is_not_there_and_unknown_name_are_told_apart(tmp_path: Path):
    with pytest.raises(ModelUnavailable, match="The folder /no/such of the model does not exist"):
        resolve.transcription_folder("/no/such", tmp_path, allow_download=True)
    with pytest.raises(ModelUnavailable, match="There is no model hugo"):
        resolve.transcription_folder("hugo", tmp_path, allow_download=True)
