"""Converts Whisper models of the Transformers kind to CTranslate2, in a process of its own, which takes the memory."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
from enum import Enum
from pathlib import Path

from filelock import FileLock

from whisperx_api.lifeline import python_module
from whisperx_api.models import converted, hub
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.models.progress import Report, silent

logger = logging.getLogger(__name__)

ARCHITECTURE = "WhisperForConditionalGeneration"
PROCESS = "whisperx_api.pipeline.conversion_process"

_TEXT = (
    "config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json",
    "vocab.json", "merges.txt", "normalizer.json", "added_tokens.json", "special_tokens_map.json",
)  # fmt: skip
_SAFETENSORS = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin")


class Quantization(str, Enum):
    """The type in which the weights are kept. What is computed in, COMPUTE_TYPE, may be another."""

    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"
    INT8 = "int8"
    INT8_FLOAT16 = "int8_float16"


def is_whisper(contents: hub.Contents) -> bool:
    """Whether a repository or folder holds a Transformers Whisper model and no CTranslate2 one."""
    return "model.bin" not in contents.files and ARCHITECTURE in contents.architectures


def refusal(contents: hub.Contents) -> str | None:
    """Say what else a repository of a Transformers model holds; None for what this service may use.

    Alignment models are wav2vec2 and its kin with a CTC head.
    """
    kinds = [kind for kind in contents.architectures if kind != ARCHITECTURE and not kind.endswith("ForCTC")]
    if not kinds or "model.bin" in contents.files:
        return None
    return f"it is a {kinds[0]}, and neither a Whisper model ({ARCHITECTURE}) nor one for alignment (…ForCTC)"


def is_current(name: str, model_dir: Path, contents: hub.Contents, quantization: Quantization) -> bool:
    """Whether `name` is converted already: from this commit, to this type, and sound."""
    place = converted.find(name, model_dir)
    known = converted.record(place) if place else None
    if place is None or known is None or (known.source, known.quantization) != (contents.commit, quantization.value):
        return False
    return not converted.damaged(place)


def pull(
    name: str,
    model_dir: Path,
    contents: hub.Contents,
    token: str | None = None,
    report: Report = silent,
    quantization: Quantization = Quantization.FLOAT16,
) -> Path:
    """Fetch and convert the Whisper model `name`, a Hugging Face id or a folder, unless it is; return its folder.

    What was fetched is deleted once it is converted. Raises `ModelUnavailable`.
    """
    target = converted.folder(name, model_dir)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.parent / f".{target.name}.lock"):  # another process may be at it
            if is_current(name, model_dir, contents, quantization):
                return target
            if (local := Path(name).expanduser()).is_dir():
                return _convert(name, local, target, contents.commit, quantization)
            scratch = target.parent / f".{target.name}.source"
            patterns = (*_TEXT, *(_SAFETENSORS if contents.files.keys() & set(_SAFETENSORS) else _PICKLED))
            source = hub.pull(name, scratch, token, patterns, report)
            _convert(name, source, target, contents.commit, quantization)
            shutil.rmtree(scratch)
            return target
    except OSError as error:
        raise ModelUnavailable(
            f"{name} can't be converted into {target.parent} ({error.strerror or error}): make room and give write "
            "access there."
        ) from error


def _convert(name: str, source: Path, target: Path, commit: str, quantization: Quantization) -> Path:
    """Convert beside the target, and put the whole in its place."""
    part, old = target.with_name(f".{target.name}.part"), target.with_name(f".{target.name}.old")
    for left in (part, old):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    logger.info("%s is converted to CTranslate2", name)
    try:
        _run(name, source, part, quantization)
        converted.write_record(part, name, commit, quantization.value)
        if target.exists():
            target.rename(old)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return target


def _run(name: str, source: Path, target: Path, quantization: Quantization) -> None:
    """Run the process. Raises `ModelUnavailable` where it fails."""
    command = [*python_module(PROCESS), str(os.getpid()), str(source), str(target), quantization.value]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode < 0:
        raise ModelUnavailable(
            f"Converting {name} was ended by the system (signal {-done.returncode}), most likely for lack of memory: "
            f"run `whisperx-api models pull {name}` on a machine with more, and copy its {target.parent}."
        )
    lines = done.stdout.decode(errors="replace").splitlines()
    if done.returncode or not lines:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ModelUnavailable(f"{name} can't be converted: {said[-1] if said else 'the process said nothing'}.")
    if reason := json.loads(lines[-1]).get("error"):
        raise ModelUnavailable(f"{name} can't be converted: {reason}.")
