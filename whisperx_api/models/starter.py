"""Fetches, checks and packs the starter models: what runs on a fresh machine with no account and no hub."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from whisperx_api.models import starter_set
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.models.progress import Progress, Report, silent
from whisperx_api.models.starter_set import MANIFEST, StarterFile, Wheel
from whisperx_api.models.starter_sources import ARCHIVE_ROOT, Source, open_source, read, sha256

_SCRATCH = ".starter-"
"""Prefix of the folder in MODEL_DIR where a pull works."""

_ARCHIVE_DATE = (1980, 1, 1, 0, 0, 0)
"""The same date in every archive, so that the same files make the same archive."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file of the set."""

    path: str
    what: str


def verify(model_dir: Path) -> list[Problem]:
    """Compare every file of the set with its SHA-256; an empty list means that all is well."""
    root = starter_set.folder(model_dir)
    problems = [Problem(file.path, what) for file in starter_set.FILES if (what := _fault(root / file.path, file))]
    if not problems and _manifest(root) != _manifest_of_set():
        problems.append(Problem(MANIFEST, "missing or out of date"))
    return problems


def pull(model_dir: Path, source: str | None = None, report: Report = silent) -> list[str]:
    """Bring the starter set to `model_dir` and return the paths that were fetched: those missing or broken before.

    `source` is a folder or URL with the files, the wheels or an archive made by `pack`; None asks the package index.
    Each file is checked before it takes its place by a rename, so an interrupted pull leaves none half-made and the
    next one fetches the rest. Raises `ModelUnavailable` with a sentence that says what to do.
    """
    root = starter_set.folder(model_dir)
    try:
        model_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(model_dir / ".starter.lock"):
            for left in model_dir.glob(f"{_SCRATCH}*/"):
                shutil.rmtree(left)
            wanted = [file for file in starter_set.FILES if _fault(root / file.path, file)]
            with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=model_dir) as name:
                scratch = Path(name)
                if wanted:
                    _fetch(wanted, open_source(source, scratch, report), scratch, root, report)
                if _manifest(root) != (manifest := _manifest_of_set()):
                    draft = scratch / MANIFEST
                    draft.write_text(json.dumps(manifest, indent=2) + "\n")
                    os.replace(draft, root / MANIFEST)
    except OSError as error:
        raise ModelUnavailable(
            f"The starter models can't be written to {model_dir} ({error.strerror or error}): make room or give write "
            "access there, or set MODEL_DIR."
        ) from error
    return [file.path for file in wanted]


def pack(model_dir: Path, archive: Path) -> None:
    """Write the set as one archive, which `pull` takes as its source, also over HTTP.

    Raises `ModelUnavailable` if the set is not complete.
    """
    if problems := verify(model_dir):
        raise ModelUnavailable(
            f"The starter models can't be packed, {problems[0].path} is {problems[0].what}: run "
            "`whisperx-api models pull starter` first."
        )
    if archive.suffix != ".zip":
        raise ModelUnavailable(f"The archive is a zip file: call it {archive.name}.zip, so that it is known as one.")
    root, draft = starter_set.folder(model_dir), archive.with_name(f".{archive.name}.part")
    archive.parent.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as target:  # weights hardly compress
            for path in [file.path for file in starter_set.FILES] + [MANIFEST]:
                entry = zipfile.ZipInfo(f"{ARCHIVE_ROOT}/{path}", _ARCHIVE_DATE)
                entry.external_attr = 0o644 << 16
                with (root / path).open("rb") as stream, target.open(entry, "w") as member:
                    shutil.copyfileobj(stream, member, 1 << 20)
        os.replace(draft, archive)
    finally:
        draft.unlink(missing_ok=True)


def _fetch(wanted: list[StarterFile], source: Source, scratch: Path, root: Path, report: Report) -> None:
    checked: dict[Wheel, Path] = {}
    for file in wanted:
        draft, digest, size = scratch / "draft", hashlib.sha256(), 0
        with draft.open("wb") as target:
            for chunk in read(source, file, checked):
                target.write(chunk)
                digest.update(chunk)
                size += len(chunk)
                report(Progress(file.path, min(size, file.size), file.size))
            target.flush()
            os.fsync(target.fileno())
        if digest.hexdigest() != file.sha256:
            raise ModelUnavailable(f"{file.path} is not the file expected (its SHA-256 differs): fetch it again.")
        (root / file.path).parent.mkdir(parents=True, exist_ok=True)
        os.replace(draft, root / file.path)


def _fault(path: Path, file: StarterFile) -> str | None:
    if not path.is_file():
        return "missing"
    if path.stat().st_size != file.size:
        return f"{path.stat().st_size} bytes long instead of {file.size}"
    return None if sha256(path) == file.sha256 else "damaged (its SHA-256 differs)"


def _manifest(root: Path) -> object:
    try:
        return json.loads((root / MANIFEST).read_text())
    except (OSError, ValueError):
        return None


def _manifest_of_set() -> dict[str, object]:
    """Where every file came from, its licence and hashes."""
    return {
        "files": [
            {
                "path": file.path,
                "size": file.size,
                "sha256": file.sha256,
                "licence": file.licence,
                "sources": [
                    {
                        "package": part.wheel.package,
                        "version": part.wheel.version,
                        "wheel": part.wheel.filename,
                        "wheel_sha256": part.wheel.sha256,
                        "member": part.member,
                    }
                    for part in file.parts
                ],
            }
            for file in starter_set.FILES
        ]
    }
