"""How often a request that may be repeated is sent again, and after how long."""

from __future__ import annotations

from dataclasses import dataclass

from whisperx_api.client.errors import ApiError, ClientError


@dataclass(frozen=True)
class Retries:
    """Decides about a further try. `most` of them follow the first; pauses are in seconds.

    The pause doubles from `first` on and is never over `longest`. A server that asks for more time with Retry-After
    gets it; one that asks for more than `longest` is not asked again. `Retries(most=0)` repeats nothing.
    """

    most: int = 4
    first: float = 0.5
    longest: float = 60.0

    def pause(self, failures: int, error: ClientError, chance: float) -> float | None:
        """Return the seconds to wait after so many failures, None where trying again is of no use.

        `chance`, 0..1, spreads those who failed at once: pauses are half to wholly as long as they may be.
        """
        if failures > self.most or not error.passing:
            return None
        usual = min(self.first * 2 ** (failures - 1), self.longest) * (0.5 + chance / 2)
        asked = error.retry_after if isinstance(error, ApiError) else None
        if asked is None:
            return usual
        return None if asked > self.longest else asked + self.first * chance


USUAL = Retries()
"""What a client does unless it is told otherwise: it gives up after 4 to 8 seconds, or where it is asked to wait."""
