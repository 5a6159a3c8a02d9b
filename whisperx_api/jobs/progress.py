"""How far a job is and how long it will take, from what its stages have cost before."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from whisperx_api.engine.protocol import Stage

STARTING_COST = {
    Stage.DECODE: 0.005,
    Stage.TRANSCRIBE: 0.12,
    Stage.ALIGN: 0.03,
    Stage.DIARIZE: 0.15,
    Stage.ASSIGN: 0.001,
}
"""Seconds of work a second of audio, until this server has measured its own (two CPU cores, starter models)."""
BY_MODELS = (Stage.TRANSCRIBE, Stage.ALIGN, Stage.DIARIZE)
"""Stages that are fast or slow together, by the machine."""
WEIGHT_OF_NEWEST = 0.3
"""How much a measurement counts against those before it."""
SHORTEST = 1.0
"""Recordings are reckoned at least so long, in seconds: every stage has some cost."""
TRUSTED_FRACTION = 0.5
"""Up to this fraction of a stage its own speed counts more and more against what earlier jobs cost; then it alone."""


NEARLY = 0.999
"""The most that is told before a job is completed."""


class StageCosts:
    """Measured cost of each stage, as a running mean, kept in a file over restarts."""

    def __init__(self, file: Path | None = None) -> None:
        """Read what an earlier server has measured from `file`, if it has."""
        self._file = file
        self._costs = dict(STARTING_COST)
        self._measured: set[Stage] = set()
        if file is not None and file.is_file():
            with suppress(ValueError, OSError):  # it is an estimate, and made anew
                for name, cost in json.loads(file.read_text()).items():
                    self._costs[Stage(name)] = float(cost)
                    self._measured.add(Stage(name))

    def seconds(self, stage: Stage, duration: float) -> float:
        """Return how long `stage` is expected to take for `duration` seconds of audio."""
        return self._costs[stage] * max(duration, SHORTEST)

    def learn(self, stage: Stage, duration: float, seconds: float) -> None:
        """Take a measurement in. The first of its kind also tells how fast stages not yet measured will be."""
        measured = seconds / max(duration, SHORTEST)
        if stage in self._measured:
            self._costs[stage] += WEIGHT_OF_NEWEST * (measured - self._costs[stage])
            return
        if stage in BY_MODELS:
            for other in {*BY_MODELS} - self._measured - {stage}:
                self._costs[other] *= measured / self._costs[stage]
        self._costs[stage] = measured
        self._measured.add(stage)

    def save(self) -> None:
        """Write what is measured to the file. Raises `OSError`."""
        if self._file is not None:
            costs = {stage.value: self._costs[stage] for stage in Stage if stage in self._measured}
            part = self._file.with_suffix(".part")
            part.write_text(json.dumps(costs))
            part.replace(self._file)


class Progress:
    """The progress of one run, which never goes back, not even over a restart."""

    def __init__(self, stages: Sequence[Stage], costs: StageCosts, duration: float, reached: float) -> None:
        """`duration` is of the audio, `reached` the fraction that an earlier run had come to."""
        self._costs = costs
        self._duration = duration
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
        self._fraction, self._rest = 0.0, self._seconds(self._left[0])

    def update(self, fraction: float) -> None:
        """The stage in work has come to `fraction`."""
        if self._began is not None and min(fraction, 1.0) > self._fraction:
            self._fraction = min(fraction, 1.0)
            self._reckon(self._began)
        total = sum(self._expected.values())
        now = self._left[0] if self._left else None
        left = sum(self._expected[stage] for stage in self._left)
        done = total - left + (self._fraction * self._expected[now] if now else 0.0)
        self.reached = max(self.reached, min(done / total, NEARLY))

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
        rest = self._seconds(now)
        if self._began is not None:
            rest = max(self._rest - (time.monotonic() - self._reckoned), 0.0)
        return rest + sum(map(self._seconds, later))

    def _seconds(self, stage: Stage) -> float:
        """What a stage is expected to take by what is known now; `_expected` is what was known at first."""
        return self._costs.seconds(stage, self._duration)

    def _reckon(self, began: float) -> None:
        """Estimate anew how long the stage at work still takes, from its own speed and what it cost before."""
        self._reckoned = time.monotonic()
        by_cost = self._seconds(self._left[0]) * (1 - self._fraction)
        by_speed = (self._reckoned - began) * (1 - self._fraction) / self._fraction
        trust = min(self._fraction / TRUSTED_FRACTION, 1.0)
        self._rest = trust * by_speed + (1 - trust) * by_cost
