"""What only the run of a job knows, as others find it on record where they are not in its process."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from whisperx_api.jobs.events import NOTHING, Heard


@dataclass(frozen=True)
class Live:
    """What the stages at work do, the seconds that are left, and up to where the text was told."""

    message: str
    eta: float
    heard: tuple[tuple[int | None, float], ...] = ()
    """Pairs, as in `Heard`: JSON has no keys that are None."""

    def as_json(self) -> dict[str, Any]:
        """Return it as it is kept."""
        return asdict(self)


def live_of(kept: dict[str, Any] | None) -> Live | None:
    """Return what is kept of a run; None where nothing is."""
    if kept is None:
        return None
    return Live(kept["message"], kept["eta"], tuple((channel, end) for channel, end in kept["heard"]))


def heard_of(live: Live | None) -> Heard:
    """Return up to where the text was told."""
    return NOTHING if live is None else dict(live.heard)
