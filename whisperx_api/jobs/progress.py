"""How far a job is and how long it will take, from what its stages have cost before."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
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
BRANCHES = ((Stage.TRANSCRIBE, Stage.ALIGN), (Stage.DIARIZE,))
"""Stages that follow one another, beside those of the other branch."""
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

    def __init__(self, file: Path | None = None, one_at_a_time: bool = False) -> None:
        """Read what an earlier server has measured from `file`, if it has.

        `one_at_a_time`: no two stages of a job run at once on this server.
        """
        self._file = file
        self._one_at_a_time = one_at_a_time
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

    def job_seconds(self, stages: Sequence[Stage], duration: float) -> float:
        """Return how long all `stages` of a job are expected to take."""
        return self.together({stage: self.seconds(stage, duration) for stage in stages})

    def together(self, seconds: Mapping[Stage, float]) -> float:
        """Return how long stages take of which each takes so many seconds: speakers are found beside the words."""
        if self._one_at_a_time:
            return sum(seconds.values())
        words, speakers = (sum(seconds.get(stage, 0.0) for stage in branch) for branch in BRANCHES)
        others = sum(value for stage, value in seconds.items() if not any(stage in branch for branch in BRANCHES))
        return others + max(words, speakers)

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
            part.touch(mode=0o600)
            part.write_text(json.dumps(costs))
            part.replace(self._file)


@dataclass
class _Left:
    """A stage that is not done: the fraction of it that is, and when it began.

    `rest` is how many seconds it took from `reckoned` to its end, as was reckoned then.
    """

    fraction: float = 0.0
    began: float | None = None
    rest: float = 0.0
    reckoned: float = 0.0


class Progress:
    """The progress of one run, which never goes back, not even over a restart. Several stages may be in work."""

    def __init__(self, stages: Sequence[Stage], costs: StageCosts, duration: float, reached: float) -> None:
        """`duration` is of the audio, `reached` the fraction that an earlier run had come to."""
        self._costs = costs
        self._duration = duration
        self._expected = {stage: costs.seconds(stage, duration) for stage in stages}
        self._left = {stage: _Left() for stage in stages}
        self.reached = reached
        """Progress of the whole, 0..1."""

    def begin(self, stage: Stage) -> None:
        """A stage is being worked on from now on."""
        now = time.monotonic()
        self._left[stage] = _Left(began=now, reckoned=now, rest=self._costs.seconds(stage, self._duration))

    def update(self, stage: Stage, fraction: float) -> None:
        """A stage in work has come to `fraction`."""
        left = self._left[stage]
        if left.began is not None and min(fraction, 1.0) > left.fraction:
            left.fraction = min(fraction, 1.0)
            self._reckon(stage, left, left.began)
        self._reach()

    def finish(self, stage: Stage) -> None:
        """A stage is done, whether now or by an earlier run."""
        del self._left[stage]
        self._reach()

    def eta(self) -> float:
        """Return the seconds of work left. Between two reports of a stage at work they run down like a clock."""
        return self._costs.together({stage: self._rest(stage, left) for stage, left in self._left.items()})

    def _reach(self) -> None:
        left = sum(self._expected[stage] * (1 - state.fraction) for stage, state in self._left.items())
        self.reached = max(self.reached, min(1 - left / sum(self._expected.values()), NEARLY))

    def _rest(self, stage: Stage, left: _Left) -> float:
        """Return how long a stage still takes, by what is known now; `_expected` is what was known at first."""
        if left.began is None:
            return self._costs.seconds(stage, self._duration)
        return max(left.rest - (time.monotonic() - left.reckoned), 0.0)

    def _reckon(self, stage: Stage, left: _Left, began: float) -> None:
        """Estimate anew how long a stage at work still takes, from its own speed and what it cost before."""
        left.reckoned = time.monotonic()
        by_cost = self._costs.seconds(stage, self._duration) * (1 - left.fraction)
        by_speed = (left.reckoned - began) * (1 - left.fraction) / left.fraction
        trust = min(left.fraction / TRUSTED_FRACTION, 1.0)
        left.rest = trust * by_speed + (1 - trust) * by_cost
