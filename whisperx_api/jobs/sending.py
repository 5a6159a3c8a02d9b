"""Sends one message once, signed, and says what came of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from anyio import fail_after
from standardwebhooks import Webhook as Signer

from whisperx_api.jobs.webhooks import Answer, Message, Webhook
from whisperx_api.outgoing.calls import Calls
from whisperx_api.outgoing.guard import Refused, Unresolved

if TYPE_CHECKING:
    import httpx

SEND_SECONDS = 15.0
"""Longest time for one try, from the name's resolution to the receiver's status."""


class Sender:
    """Posts messages with a client that calls allowed addresses only."""

    def __init__(
        self, calls: Calls, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        seconds: float = SEND_SECONDS,
    ) -> None:  # fmt: skip
        self._calls = calls
        self._now = now
        self._seconds = seconds

    async def __call__(self, webhook: Webhook, message: Message) -> Answer:
        """Send a message to a webhook. Nothing is raised: what goes wrong is in the answer."""
        client = await self._calls.client()
        import httpx  # it is loaded now

        try:
            with fail_after(self._seconds):
                return await self._post(client, webhook, message)
        except (TimeoutError, httpx.TimeoutException):
            return Answer(None, f"The receiver did not answer within {self._seconds:g} s.")
        except Refused as error:
            return Answer(None, f"The webhook's url {error}.")
        except (Unresolved, httpx.HTTPError, httpx.InvalidURL) as error:
            return Answer(None, f"The receiver can't be reached: {str(error) or type(error).__name__}.")

    async def _post(self, client: httpx.AsyncClient, webhook: Webhook, message: Message) -> Answer:
        headers = signed(webhook.secret, message.id, self._now(), message.body)
        content = message.body.encode()
        async with client.stream("POST", webhook.url, content=content, headers=headers) as response:
            asked = response.headers.get("Retry-After", "")  # of what the receiver says besides, nothing is read
            return Answer(response.status_code, retry_after=seconds_until(asked, self._now()))


def seconds_until(retry_after: str, now: datetime) -> float:
    """Read a Retry-After header (RFC 9110), of seconds or a date; 0 for what is neither, or over."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - now).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return 0.0  # no date, or one without a time zone, or with one that is none


def signed(secret: str, message_id: str, now: datetime, body: str) -> dict[str, str]:
    """Return the headers of one try. The time is that of the try, so that a receiver may refuse old ones."""
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Signer(secret).sign(message_id, now, body),
    }
