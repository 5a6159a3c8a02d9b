"""What a client raises, each with a sentence for people."""

from __future__ import annotations

from whisperx_api.client.answers import TaskStatus

BUSY = (429, 502, 503, 504)
"""Statuses that say no more than to come again later."""


class ClientError(Exception):
    """The server did not do what was asked. The message is a sentence."""

    passing = False
    """Whether the same request may well be answered a little later."""


class ApiError(ClientError):
    """The server answered with an error: `detail` is its own sentence.

    `retry_after` is how many seconds it asks to wait before another try, None where it says nothing of that.
    """

    def __init__(self, status_code: int, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.status_code, self.detail, self.retry_after = status_code, detail, retry_after
        self.passing = status_code in BUSY


class ServerUnreachable(ClientError):
    """There was no answer, or none of a server of this kind, which is not `passing`."""

    def __init__(self, message: str, passing: bool = True) -> None:
        super().__init__(message)
        self.passing = passing


class RecordingChanged(ClientError):
    """A recording became shorter while it was read: somebody else writes it."""


class TaskFailed(ClientError):
    """A task that was waited for has failed, or was cancelled: the message is the server's sentence."""

    def __init__(self, status: TaskStatus) -> None:
        super().__init__(status.error or f"The task was {status.status.value}.")
        self.status = status


def asked_of(error: ClientError) -> float:
    """Return the seconds that a server asks to wait before another try, 0 where it asks for none."""
    return (error.retry_after or 0.0) if isinstance(error, ApiError) else 0.0


def no_server(base_url: str) -> ServerUnreachable:
    """Return what is raised where something else answers."""
    return ServerUnreachable(
        f"What answers at {base_url} is no whisperx-api server, or one of another version.", passing=False
    )
