"""Models of the Hugging Face hub, kept in its ordinary cache layout under MODEL_DIR/hub.

`huggingface_hub` comes with the engine extra, so it is imported where it is used. Everything that can go wrong with
it becomes one `ModelUnavailable` whose sentence names the model and what mends it.
"""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import importlib.util
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from whisperx_api.extras import how_to_install
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.models.progress import Report, silent, watch_folder

_PULLING = ".whisperx-api-pulling"
"""Marks a repository that is being fetched: it holds the commit that was complete before, if any."""

_API_TIMEOUT = 15.0
"""Seconds in which the hub must begin to answer."""


@dataclass(frozen=True)
class Contents:
    """What a repository holds: the bytes of each file, and the architectures that its config.json names, if any."""

    commit: str
    files: Mapping[str, int]
    architectures: tuple[str, ...]


def cache_dir(model_dir: Path) -> Path:
    """Return where snapshots are kept: what huggingface_hub calls its `cache_dir`."""
    return model_dir / "hub"


def installed() -> bool:
    """Whether huggingface_hub is there."""
    return importlib.util.find_spec("huggingface_hub") is not None


def find(repo_id: str, model_dir: Path) -> Path | None:
    """Return the snapshot of `repo_id` on this machine, or None. Never asks the network.

    A snapshot whose fetching was interrupted does not count.
    """
    if not _is_repo_id(repo_id):
        return None
    folder = _repo_folder(repo_id, model_dir)
    for name in (_PULLING, "refs/main"):
        if (reference := folder / name).is_file():
            commit = reference.read_text().strip()
            return snapshot if commit and (snapshot := folder / "snapshots" / commit).is_dir() else None
    return None


def snapshots(model_dir: Path) -> list[str]:
    """Return the ids of the repositories that are complete on this machine."""
    names = (path.name.removeprefix("models--").replace("--", "/") for path in cache_dir(model_dir).glob("models--*"))
    return sorted(name for name in names if find(name, model_dir))


def damaged(repo_id: str, model_dir: Path) -> list[str]:
    """Return the files of the snapshot whose content is not what their names in the cache say.

    The cache names a blob by its SHA-256 where it is a large file, and by git's SHA-1 elsewhere.
    """
    root = find(repo_id, model_dir)
    links = sorted(path for path in root.rglob("*") if path.is_symlink()) if root else []
    return [str(link.relative_to(root)) for link in links if root and not _is_sound(link)]


def discard_damaged(repo_id: str, model_dir: Path) -> list[str]:
    """Delete the files of the snapshot that are damaged, so that the next `pull` fetches them; return their names."""
    lost = damaged(repo_id, model_dir)
    root = find(repo_id, model_dir)
    for name in lost if root else ():
        link = Path(root or "") / name
        link.resolve().unlink(missing_ok=True)
        link.unlink()
    return lost


def look(repo_id: str, token: str | None) -> Contents:
    """Ask the hub what `repo_id` holds, without fetching it. Raises `ModelUnavailable`."""
    with _explained(repo_id, token), tempfile.TemporaryDirectory() as folder:
        from huggingface_hub import HfApi, hf_hub_download

        information = HfApi(token=token).model_info(repo_id, files_metadata=True, timeout=_API_TIMEOUT)
        files = {file.rfilename: file.size or 0 for file in information.siblings or []}
        if "config.json" in files:
            with _no_progress_bars():
                hf_hub_download(repo_id, "config.json", token=token, local_dir=folder, revision=information.sha)
        return Contents(information.sha or "", files, architectures(Path(folder)))


def architectures(folder: Path) -> tuple[str, ...]:
    """Return what the config.json in `folder` calls its model's architectures; nothing where it names none."""
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return ()
    found = config.get("architectures") if isinstance(config, dict) else None
    return tuple(map(str, found)) if isinstance(found, list) else ()


def pull(
    repo_id: str,
    model_dir: Path,
    token: str | None,
    allow_patterns: Sequence[str] | None = None,
    report: Report = silent,
) -> Path:
    """Fetch the newest snapshot of `repo_id`, only the files that match `allow_patterns` if given; return its folder.

    Files that are already here are not fetched again. Raises `ModelUnavailable`.
    """
    with _explained(repo_id, token):
        from huggingface_hub import HfApi, snapshot_download

        information = HfApi(token=token).model_info(repo_id, files_metadata=True, timeout=_API_TIMEOUT)
        files = {
            file.rfilename: file.size or 0
            for file in information.siblings or []
            if allow_patterns is None or any(fnmatch.fnmatch(file.rfilename, pattern) for pattern in allow_patterns)
        }
        folder, before = _repo_folder(repo_id, model_dir), find(repo_id, model_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _PULLING).write_text(before.name if before else "")
        with _no_progress_bars(), watch_folder(folder / "blobs", repo_id, sum(files.values()), report):
            patterns = list(allow_patterns) if allow_patterns is not None else None
            path = Path(
                snapshot_download(repo_id, cache_dir=cache_dir(model_dir), token=token, allow_patterns=patterns)
            )
        if lost := [name for name in files if not (path / name).exists()]:  # a hub that goes away meanwhile is no error
            raise ModelUnavailable(f"{repo_id} came without {lost[0]}: run `whisperx-api models pull {repo_id}` again.")
        (folder / _PULLING).unlink()
        return path


def check_access(repo_id: str, token: str | None, timeout: float = 5.0) -> None:
    """Ask the hub whether `repo_id` may be fetched with `token`; raise `ModelUnavailable` if not."""
    with _explained(repo_id, token):
        from huggingface_hub import HfApi

        hub = HfApi(token=token)
        hub.model_info(repo_id, timeout=timeout)  # a gated model's page is public: it says whether the hub is there
        hub.auth_check(repo_id)


@contextmanager
def _explained(repo_id: str, token: str | None) -> Iterator[None]:
    """Turn whatever huggingface_hub raises into `ModelUnavailable`."""
    if not installed():
        raise ModelUnavailable(
            f"{repo_id} can't be fetched without huggingface_hub, which comes with the engine: run "
            f"{how_to_install('engine')}."
        )
    try:
        yield
    except ModelUnavailable:
        raise
    except Exception as error:
        raise ModelUnavailable(_sentence(repo_id, token, error)) from error


def _sentence(repo_id: str, token: str | None, error: Exception) -> str:
    """Say what `error` means for `repo_id`, and what to do."""
    from huggingface_hub import errors

    again = f"run `whisperx-api models pull {repo_id}`"
    its_token = "check that HF_TOKEN belongs to that account" if token else "set HF_TOKEN to a token of that account"
    answer = error.response if isinstance(error, errors.HfHubHTTPError) else None
    status = answer.status_code if answer is not None else None
    if isinstance(error, errors.GatedRepoError):
        return f"{repo_id} is behind terms of use: accept them on its Hugging Face page, and {its_token}."
    if isinstance(error, errors.RepositoryNotFoundError) or (status == 401 and not token):
        return f"{repo_id} is not on the Hugging Face hub, or it is private: check the name, and {its_token}."
    if status == 401:
        return f"The Hugging Face hub refuses the token it was given for {repo_id}: set HF_TOKEN to a valid one."
    if status == 403:
        return (
            f"The Hugging Face token may not read {repo_id}: accept its terms on its Hugging Face page, and let the "
            "token read gated repositories."
        )
    if status == 404:
        return f"{repo_id} does not hold the file that was asked for: check the name of the model."
    if status is not None:
        return f"The Hugging Face hub answered {status} for {repo_id}: wait a while, then {again}."
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"{repo_id} is not on this machine and HF_HUB_OFFLINE is set: unset it and {again}."
    if isinstance(error, errors.HFValidationError):
        return f"{repo_id} is no name of a Hugging Face model: write it as OWNER/NAME."
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"The disk is full, so {repo_id} can't be fetched: make room in MODEL_DIR, or set it to a larger disk."
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{repo_id} can't be written to MODEL_DIR ({error.strerror}): give write access there."
    return (
        f"The Hugging Face hub can't be reached for {repo_id} ({type(error).__name__}): check the network, or {again} "
        "on a machine that has one and copy its MODEL_DIR/hub."
    )


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Keep huggingface_hub from drawing on the terminal: progress goes to `report`."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    drawn = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if drawn:
            enable_progress_bars()


def _is_sound(link: Path) -> bool:
    blob = link.resolve()
    if not blob.is_file():
        return False
    if re.fullmatch(r"[0-9a-f]{64}", blob.name):
        digest = hashlib.sha256()
    elif re.fullmatch(r"[0-9a-f]{40}", blob.name):
        digest = hashlib.sha1(f"blob {blob.stat().st_size}\0".encode(), usedforsecurity=False)
    else:
        return True  # some other server's tag
    with blob.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest() == blob.name


def _is_repo_id(name: str) -> bool:
    owner, slash, rest = name.partition("/")
    return bool(owner and slash and rest) and "/" not in rest and not name.startswith((".", "~"))


def _repo_folder(repo_id: str, model_dir: Path) -> Path:
    return cache_dir(model_dir) / f"models--{repo_id.replace('/', '--')}"
