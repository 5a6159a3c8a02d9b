"""Which storage the settings ask for."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from whisperx_api.errors import StartError
from whisperx_api.extras import how_to_install
from whisperx_api.storage.local import LocalStorage
from whisperx_api.storage.protocol import Storage
from whisperx_api.storage.scratch import Scratch
from whisperx_api.storage.shared import SharedFolder


def open_storage(url: str | None, data_dir: Path, uploads: Path) -> Storage:
    """Return the storage at `url`: s3://BUCKET/PREFIX or file:///FOLDER; in `data_dir` and `uploads` if it is None.

    Raises `StartError` where a library is missing.
    """
    if url is None:
        return LocalStorage(data_dir / "tasks", uploads)
    scratch = Scratch(data_dir / "scratch", uploads)
    if url.startswith("file:"):
        return SharedFolder(Path(unquote(urlsplit(url).path)), scratch)
    try:
        from whisperx_api.storage.bucket import BucketStorage
        from whisperx_api.storage.objects import Objects
    except ModuleNotFoundError as error:
        raise StartError(
            f"STORAGE_URL names a bucket, and what is needed for one is not installed: run {how_to_install('cluster')}."
        ) from error
    return BucketStorage(Objects(url), scratch)
