"""Transformers models that were converted to CTranslate2: a folder each in MODEL_DIR/converted, with a record."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

RECORD = "conversion.json"


@dataclass(frozen=True)
class Record:
    """What was converted: `name` is the Hugging Face id or the folder, `source` the commit, `files` have a SHA-256."""

    name: str
    source: str
    quantization: str
    files: Mapping[str, str]


_record = TypeAdapter(Record)


def root(model_dir: Path) -> Path:
    """Return where conversions are kept."""
    return model_dir / "converted"


def folder(name: str, model_dir: Path) -> Path:
    """Return where the conversion of a Hugging Face id or of a folder is, or would be."""
    if (path := Path(name).expanduser()).is_dir():
        place = str(path.resolve())
        return root(model_dir) / f"local--{path.resolve().name}--{hashlib.sha256(place.encode()).hexdigest()[:8]}"
    return root(model_dir) / name.replace("/", "--")


def find(name: str, model_dir: Path) -> Path | None:
    """Return the folder of the conversion of `name`, None where there is none."""
    found = folder(name, model_dir)
    return found if (found / RECORD).is_file() else None


def record(place: Path) -> Record | None:
    """Return the record of a conversion, None where it can't be read."""
    try:
        return _record.validate_json((place / RECORD).read_bytes())
    except (OSError, ValidationError):
        return None


def write_record(place: Path, name: str, source: str, quantization: str) -> None:
    """Put what was converted on record, with the hashes of its files."""
    files = {file.name: _sha256(file) for file in sorted(place.iterdir()) if file.name != RECORD}
    (place / RECORD).write_bytes(_record.dump_json(Record(name, source, quantization, files), indent=2))


def listed(model_dir: Path) -> list[tuple[Record, Path]]:
    """Return the conversions on this machine and their folders."""
    places = sorted(root(model_dir).glob(f"[!.]*/{RECORD}"))
    return [(found, path.parent) for path in places if (found := record(path.parent)) is not None]


def damaged(place: Path) -> list[str]:
    """Return the files of a conversion that are lost or are not what they were."""
    known = record(place)
    if known is None:
        return [RECORD]
    return [
        name for name, digest in known.files.items() if not (place / name).is_file() or _sha256(place / name) != digest
    ]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
