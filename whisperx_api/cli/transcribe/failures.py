"""Why a recording could not be transcribed, and how that ends the command."""

from __future__ import annotations

from typing import NoReturn

from whisperx_api.cli.console import FAILED, REFUSED, USAGE
from whisperx_api.cli.transcribe.asked import as_flags
from whisperx_api.client import ApiError, ClientError, RecordingChanged

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended."""

UNAUTHORIZED, FORBIDDEN, UNSUPPORTED = 401, 403, 415
WRONG = (400, 422)
LATER = (408, 507)
"""An upload that was too slow, and a disk that is full: nothing to send the same for at once, but a little later."""


class NotTranscribed(Exception):
    """A recording was not transcribed; the message is a sentence, and `code` the command's exit code for it.

    `for_all`: the same would become of every other. `passing`: it may well go otherwise a little later. `status` is the
    task's last, or what came of the recording where there is no task. `pause` is how many seconds a server asks for
    before another try.
    """

    def __init__(
        self,
        sentence: str,
        code: int,
        *,
        task_id: str | None = None,
        status: str | None = None,
        for_all: bool = False,
        passing: bool = False,
        pause: float | None = None,
    ) -> None:
        super().__init__(sentence)
        self.pause = pause
        self.code, self.task_id, self.for_all, self.passing = code, task_id, for_all, passing
        self.status = status or ("failed" if code == FAILED else "refused")


def raise_for(error: ClientError, task_id: str | None) -> NoReturn:
    """Raise what a client's error means for a recording, whose task, if it has one, goes on."""
    if isinstance(error, RecordingChanged):
        raise NotTranscribed(str(error), FAILED, task_id=task_id) from error
    if not isinstance(error, ApiError):
        going = f" The task goes on when the server is back: --resume {task_id} waits for it." if task_id else ""
        raise NotTranscribed(
            f"{error}{going}", REFUSED, task_id=task_id, status="unreachable", for_all=True, passing=error.passing
        ) from error
    status, detail = error.status_code, error.detail
    if status == UNAUTHORIZED:
        raise NotTranscribed(f"{detail} Here: --api-key, or WHISPERX_API_KEY.", REFUSED, for_all=True) from error
    if status in WRONG:
        raise NotTranscribed(as_flags(detail), USAGE, task_id=task_id, for_all=True) from error
    code, passing = FAILED if status == UNSUPPORTED else REFUSED, error.passing or status in LATER
    raise NotTranscribed(
        detail, code, task_id=task_id, for_all=status == FORBIDDEN, passing=passing, pause=error.retry_after
    ) from error
