"""How far a job is and how long it will take, from what its stages have cost before."""

from __future__ import annotations

import time
from collections.abc import Sequence

from whisperx_api.engine.protocol import Stage

STARTING_COST = {
    Stage.DECODE: 0.01,
    Stage.TRANSCRIBE: 0.30,
    Stage.ALIGN: 0.05,
    Stage.DIARIZE: 0.70,
    Stage.ASSIGN: 0.001,
}
"""Seconds of work a second of audio, until this server has measured its own (two CPU cores, starter models)."""
WEIGHT_OF_NEWEST = 0.3
"""How much a measurement counts against those before it."""
SHORTEST = 1.0
"""Recordings are reckoned at least so long, in seconds: every stage has some cost."""
TRUSTED_FRACTION = 0.5
"""Up to this fraction of a stage its own speed counts more and more against what earlier jobs cost; then it alone."""


class StageCosts:
    """Measured cost of each stage, as a running mean."""

    def __init__(self) -> None:
        self._costs = dict(STARTING_COST)

    def seconds(self, stage: Stage, duration: float) -> float:
        """Return how long `stage` is expected to take for `duration` seconds of audio."""
        return self._costs[stage] * max(duration, SHORTEST)

    def learn(self, stage: Stage, duration: float, seconds: float) -> None:
        """Take a measurement in."""
        measured = seconds / max(duration, SHORTEST)
        self._costs[stage] += WEIGHT_OF_NEWEST * (measured - self._costs[stage])


class Progress:
    """The progress of one run, which never goes back, not even over a restart."""

    def __init__(self, stages: Sequence[Stage], costs: StageCosts, duration: float, reached: float) -> None:
        """`duration` is of the audio, `reached` the fraction that an earlier run had come to."""
        self._expected = {stage: costs.seconds(stage, duration) for stage in stages}
        self._left = list(stages)
        self._fraction = 0.0
        self._began: float | None = None
        self._rest = 0.0  # seconds that the stage at work took to its end, as reckoned at `_reckoned`
        self._reckoned = 0.0
        self.reached = reached
        """Progress of the whole, 0..1."""

    def begin(self) -> None:
        """The stage that comes next is being worked on from now on."""
        self._began = self._reckoned = time.monotonic()
        self._fraction, self._rest = 0.0, self._expected[self._left[0]]

    def update(self, fraction: float) -> None:
        """The stage in work has come to `fraction`."""
        if self._began is not None and min(fraction, 1.0) > self._fraction:
            self._fraction = min(fraction, 1.0)
            self._reckon(self._began)
        total = sum(self._expected.values())
        now = self._left[0] if self._left else None
        left = sum(self._expected[stage] for stage in self._left)
        done = total - left + (self._fraction * self._expected[now] if now else 0.0)
        self.reached = max(self.reached, min(done / total, 1.0))

    def finish(self, stage: Stage) -> None:
        """A stage is done, whether now or by an earlier run."""
        self._left.remove(stage)
        self._began, self._fraction = None, 0.0
        self.update(0.0)

    def eta(self) -> float:
        """Return the seconds of work left. Between two reports of the stage at work they run down like a clock."""
        if not self._left:
            return 0.0
        now, *later = self._left
        rest = self._expected[now]
        if self._began is not None:
            rest = max(self._rest - (time.monotonic() - self._reckoned), 0.0)
        return rest + sum(self._expected[stage] for stage in later)

    def _reckon(self, began: float) -> None:
        """Estimate anew how long the stage at work still takes, from its own speed and what it cost before."""
        self._reckoned = time.monotonic()
        by_cost = self._expected[self._left[0]] * (1 - self._fraction)
        by_speed = (self._reckoned - began) * (1 - self._fraction) / self._fraction
        trust = min(self._fraction / TRUSTED_FRACTION, 1.0)
        self._rest = trust * by_speed + (1 - trust) * by_cost
