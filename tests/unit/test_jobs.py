"""The plain parts of the job side: what is judged, queued, reckoned and told."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from whisperx_api.engine.protocol import WAITING, Stage
from whisperx_api.jobs import progress as progress_module
from whisperx_api.jobs.events import Event, EventKind, Events
from whisperx_api.jobs.job import Job, Upload, Verdict, judge
from whisperx_api.jobs.progress import Progress, StageCosts
from whisperx_api.jobs.queue.embedded import EmbeddedQueue
from whisperx_api.jobs.telling import STARTING, Telling
from whisperx_api.options import Channels, Options, Task
from whisperx_api.transcript import Segment

UPLOAD = Upload("a.wav", 1, "00", 1.0)


def job(seq: int, priority: int = 0, **options) -> Job:
    return Job("ann", Options(**options), UPLOAD, id=f"job-{seq}", seq=seq, priority=priority)


@pytest.mark.parametrize(
    ("failures", "retryable", "verdict"),
    [(1, True, Verdict.AGAIN), (2, True, Verdict.AGAIN), (3, True, Verdict.GIVE_UP), (1, False, Verdict.GIVE_UP)],
)
def test_stage_is_tried_three_times_where_that_can_help(failures, retryable, verdict) -> None:
    assert judge(failures, retryable) is verdict


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({}, set()),
        ({"enable_diarization": False}, {Stage.DIARIZE}),
        ({"task": Task.TRANSLATE}, {Stage.ALIGN}),
        ({"channels": Channels.SEPARATE}, {Stage.DIARIZE}),
        ({"task": Task.TRANSLATE, "enable_diarization": False}, {Stage.ALIGN, Stage.DIARIZE}),
    ],
)
def test_job_has_the_stages_that_its_options_ask_for(options, missing) -> None:
    assert set(Stage) - set(job(1, **options).stages) == missing
    assert list(job(1, **options).stages) == [stage for stage in Stage if stage not in missing]


def test_queue_gives_higher_priority_first_then_older_first() -> None:
    async def go() -> None:
        queue = EmbeddedQueue()
        for seq, priority in ((3, 0), (1, 0), (2, 0), (9, 5), (4, -5)):
            queue.put(job(seq, priority))
        assert [queue.position(f"job-{seq}") for seq in (9, 1, 2, 3, 4)] == [0, 1, 2, 3, 4]
        queue.remove("job-2")
        queue.remove("job-2")
        queue.put(job(1))
        assert [await queue.get() for _ in range(len(queue))] == ["job-9", "job-1", "job-3", "job-4"]
        assert queue.position("job-1") is None

    asyncio.run(go())


def test_queue_wakes_who_waits() -> None:
    async def go() -> None:
        queue = EmbeddedQueue()
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.put(job(7))
        assert await asyncio.wait_for(waiting, 1) == "job-7"

    asyncio.run(go())


def test_progress_counts_stages_by_their_cost_and_never_goes_back() -> None:
    costs = StageCosts()
    stages = (Stage.DECODE, Stage.TRANSCRIBE, Stage.DIARIZE)
    progress = Progress(stages, costs, 100.0, reached=0.0)
    total = sum(costs.seconds(stage, 100.0) for stage in stages)
    progress.finish(Stage.DECODE)
    progress.begin(Stage.TRANSCRIBE)
    half = (costs.seconds(Stage.DECODE, 100.0) + costs.seconds(Stage.TRANSCRIBE, 100.0) / 2) / total
    progress.update(Stage.TRANSCRIBE, 0.5)
    assert progress.reached == pytest.approx(half)
    progress.update(Stage.TRANSCRIBE, 0.2)
    assert progress.reached == pytest.approx(half)
    progress.finish(Stage.TRANSCRIBE)
    progress.finish(Stage.DIARIZE)
    assert progress.reached == 0.999  # the rest is told when it is on record


def test_progress_starts_where_an_earlier_run_had_come_to() -> None:
    progress = Progress((Stage.DECODE, Stage.TRANSCRIBE), StageCosts(), 10.0, reached=0.6)
    progress.update(Stage.TRANSCRIBE, 0.1)
    assert progress.reached == 0.6


def test_time_left_follows_the_stage_s_own_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    costs = StageCosts(one_at_a_time=True)
    progress = Progress((Stage.TRANSCRIBE, Stage.DIARIZE), costs, 100.0, reached=0.0)
    assert progress.eta() == pytest.approx(costs.seconds(Stage.TRANSCRIBE, 100.0) + costs.seconds(Stage.DIARIZE, 100.0))
    later = costs.seconds(Stage.DIARIZE, 100.0)
    progress.begin(Stage.TRANSCRIBE)
    now[0] += 50.0
    progress.update(Stage.TRANSCRIBE, 0.5)
    assert progress.eta() == pytest.approx(50.0 + later)
    now[0] += 20.0
    assert progress.eta() == pytest.approx(30.0 + later)
    now[0] += 80.0
    assert progress.eta() == pytest.approx(later)
    progress.finish(Stage.TRANSCRIBE)
    progress.finish(Stage.DIARIZE)
    assert progress.eta() == 0.0


def test_time_left_is_that_of_the_longer_of_two_branches(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    costs = StageCosts()
    seconds = {stage: costs.seconds(stage, 100.0) for stage in Stage}
    words = seconds[Stage.TRANSCRIBE] + seconds[Stage.ALIGN]
    ends = seconds[Stage.DECODE] + seconds[Stage.ASSIGN]
    assert costs.job_seconds(tuple(Stage), 100.0) == pytest.approx(max(words, seconds[Stage.DIARIZE]) + ends)
    assert StageCosts(one_at_a_time=True).job_seconds(tuple(Stage), 100.0) == pytest.approx(sum(seconds.values()))
    progress = Progress(tuple(Stage), costs, 100.0, reached=0.0)
    progress.finish(Stage.DECODE)
    progress.begin(Stage.TRANSCRIBE)
    progress.begin(Stage.DIARIZE)
    now[0] += 30.0
    progress.update(Stage.TRANSCRIBE, 0.9)
    progress.update(Stage.DIARIZE, 0.5)
    done = seconds[Stage.DECODE] + 0.9 * seconds[Stage.TRANSCRIBE] + 0.5 * seconds[Stage.DIARIZE]
    assert progress.reached == pytest.approx(done / sum(seconds.values()))
    assert progress.eta() == pytest.approx(30.0 + seconds[Stage.ASSIGN])


def test_time_left_only_falls_while_a_stage_runs_as_it_was_expected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    costs = StageCosts()
    progress = Progress((Stage.TRANSCRIBE,), costs, 100.0, reached=0.0)
    expected = costs.seconds(Stage.TRANSCRIBE, 100.0)
    progress.begin(Stage.TRANSCRIBE)
    told = [progress.eta()]
    for second in range(round(expected)):
        now[0] += 1.0
        if second in (0, 2, 6, 14, 28):  # reports come rarely: after batches of 1, 2, 4, 8 and 16 chunks
            progress.update(Stage.TRANSCRIBE, (second + 1) / expected)
        told.append(progress.eta())
    assert all(later <= earlier + 1e-6 for earlier, later in pairwise(told))
    assert told[0] == pytest.approx(expected)
    assert told[-1] == pytest.approx(0.0, abs=1.0)


def test_costs_are_learnt_from_measurements() -> None:
    costs = StageCosts()
    for _ in range(30):
        costs.learn(Stage.ALIGN, 100.0, 700.0)
    assert costs.seconds(Stage.ALIGN, 10.0) == pytest.approx(70.0, rel=0.01)
    before = costs.seconds(Stage.DECODE, 10.0)
    assert costs.seconds(Stage.DECODE, 10.0) == before


def test_first_measurement_tells_the_machine_s_speed_for_stages_not_yet_measured() -> None:
    costs, before = StageCosts(), StageCosts()
    costs.learn(Stage.TRANSCRIBE, 100.0, 4 * before.seconds(Stage.TRANSCRIBE, 100.0))
    assert costs.seconds(Stage.DIARIZE, 10.0) == pytest.approx(4 * before.seconds(Stage.DIARIZE, 10.0))
    assert costs.seconds(Stage.DECODE, 10.0) == before.seconds(Stage.DECODE, 10.0)


def test_costs_are_kept_over_a_restart_and_a_broken_file_is_no_matter(tmp_path: Path) -> None:
    costs = StageCosts(tmp_path / "costs.json")
    costs.learn(Stage.TRANSCRIBE, 100.0, 50.0)
    costs.save()
    assert StageCosts(tmp_path / "costs.json").seconds(Stage.TRANSCRIBE, 10.0) == pytest.approx(5.0)
    (tmp_path / "costs.json").write_text("{")
    assert StageCosts(tmp_path / "costs.json").seconds(Stage.TRANSCRIBE, 10.0) > 0


def test_events_reach_who_listens_to_the_task_only_while_they_listen() -> None:
    events = Events()
    event = Event(EventKind.SEGMENT, Segment(0.0, 1.0, "Hi."))
    with events.listen("a") as first, events.listen("a") as second, events.listen("b") as other:
        events.publish("a", event)
        assert (first.get_nowait(), second.get_nowait(), other.qsize()) == (event, event, 0)
    events.publish("a", event)
    assert first.qsize() == 0


def test_listener_that_reads_nothing_loses_no_segment_and_piles_up_nothing_else() -> None:
    events = Events()
    with events.listen("a") as queue:
        for start in range(2000):
            events.publish("a", Event(EventKind.PROGRESS))
            events.publish("a", Event(EventKind.SEGMENT, Segment(start, start + 1.0, "Hello")))
        events.publish("a", Event(EventKind.ENDED))
        kept = [queue.get_nowait() for _ in range(queue.qsize())]
        assert [event.segment.start for event in kept if event.segment] == list(range(2000))
        assert len(kept) == 2001
        events.publish("a", Event(EventKind.ENDED))
        assert queue.get_nowait().kind is EventKind.ENDED


def test_message_tells_of_all_that_is_at_work_and_first_of_what_is_in_the_way() -> None:
    changes: list[str] = []
    telling = Telling(tuple(Stage), lambda: changes.append(telling.message))
    assert (telling.stage, telling.message) == (None, WAITING)
    telling.say(Stage.DIARIZE, WAITING)
    telling.say(Stage.TRANSCRIBE, "Transcribing speech")
    assert (telling.stage, telling.message) == (Stage.TRANSCRIBE, "Transcribing speech")
    telling.say(Stage.DIARIZE, "Finding speakers")
    assert telling.message == "Transcribing speech, finding speakers"
    telling.trouble(Stage.DIARIZE, "The engine can't start.")
    telling.say(Stage.DIARIZE, STARTING)
    assert telling.message == "The engine can't start."
    telling.begins(Stage.DIARIZE)
    telling.ends(Stage.TRANSCRIBE)
    assert (telling.stage, telling.message) == (Stage.DIARIZE, STARTING)
    told = len(changes)
    telling.say(Stage.DIARIZE, STARTING)
    telling.ends(Stage.DIARIZE)
    assert (telling.stage, telling.message) == (Stage.DIARIZE, WAITING) and len(changes) == told
