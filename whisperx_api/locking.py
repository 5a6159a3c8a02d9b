"""The lock on DATA_DIR: one server at a time works with what is there, or one restore."""

from __future__ import annotations

from contextlib import suppress

from filelock import FileLock, Timeout

from whisperx_api.settings import Settings, SettingsError


def lock(settings: Settings) -> FileLock:
    """Return the lock on the data folder, taken. Raises `SettingsError` when another server has it."""
    held_file = settings.data_dir / "lock"
    held = FileLock(held_file, timeout=0, mode=0o600)
    try:
        held.acquire()
    except Timeout:
        raise SettingsError(
            f"DATA_DIR={settings.data_dir} is in use by another server: stop that one or set another folder."
        ) from None
    with suppress(PermissionError):  # another user's, who made it
        held_file.chmod(0o600)
    return held
