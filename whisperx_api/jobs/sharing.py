"""Unfinished jobs that ask for the same work: one leads, which waits or runs, and the others follow it.

A follower takes no worker and runs nothing. When its leader is completed it gets a copy of the transcript; when its
leader ends otherwise, the first of the followers leads on from that one's checkpoints.

What changes who leads and who follows is done without a pause in between, so there is one leader at any time. All else
is done under the lock on changes to the follower concerned.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from whisperx_api.engine.protocol import Stage
from whisperx_api.jobs.cache import Found
from whisperx_api.jobs.events import NOTHING, Event, EventKind, Heard, further
from whisperx_api.jobs.faults import persist
from whisperx_api.jobs.giving import give
from whisperx_api.jobs.job import Job, JobStatus
from whisperx_api.jobs.queue.embedded import Rank
from whisperx_api.jobs.store import StaleEpoch
from whisperx_api.jobs.workshop import Workshop

logger = logging.getLogger(__name__)


@dataclass
class Group:
    """Jobs of the same work. `seq` is the place in the queue that the work has, `heard` up to where text was told."""

    leader: Job
    seq: int
    followers: dict[str, Job] = field(default_factory=dict)
    heard: Heard = field(default_factory=dict)

    @property
    def rank(self) -> Rank:
        """When the work is to be done: as early as the most urgent of the jobs may ask for."""
        priority = max(job.priority for job in (self.leader, *self.followers.values()))
        return (-priority, self.seq)


class Sharing:
    """Which jobs share a run, and what they get of it."""

    def __init__(self, workshop: Workshop, lock: Callable[[str], asyncio.Lock], enqueue: Callable[[Job], None]) -> None:
        """`lock` gives the lock on changes to a job; `enqueue` has a job run in its turn, unless it is to follow."""
        self._shop = workshop
        self._lock = lock
        self._enqueue = enqueue
        self._groups: dict[str, Group] = {}
        self._following: dict[str, Group] = {}
        self._owners: Counter[str] = Counter()

    @property
    def following(self) -> int:
        """How many jobs follow another."""
        return len(self._following)

    def following_of(self, owner: str) -> int:
        """Return how many jobs of this owner do."""
        return self._owners[owner]

    # --- who leads, who follows ---

    def named(self, job: Job) -> Job:
        """Return a job that is not submitted yet with the name of its work."""
        return self._shop.cache.named(job) if self._shop.cache else job

    async def find(self, job: Job) -> Found | None:
        """Return the transcript that is there for a job; None if nobody has made it."""
        return await self._shop.cache.find(job) if self._shop.cache else None

    def place(self, job: Job) -> Job | None:
        """Return the job that this one follows from now on; None if it is to do the work itself."""
        cache = self._shop.cache
        if cache is None or job.work is None or not cache.shareable(job):
            return None
        group = self._groups.setdefault(job.work, Group(job, job.seq))
        if group.leader.id == job.id:
            return None
        if job.id not in self._following:
            self._owners[job.owner] += 1
        group.followers[job.id] = job
        self._following[job.id] = group
        self._relay(group)
        logger.info("task %s follows task %s, which is the same work", job.id, group.leader.id)
        return group.leader

    def leader(self, job: Job) -> Job | None:
        """Return the unfinished job that does this one's work; None if nobody does."""
        group = self._following.get(job.id) or (self._groups.get(job.work) if job.work else None)
        return None if group is None else group.leader

    def follower(self, task_id: str) -> Job | None:
        """Return a job that follows another; None for any other job."""
        group = self._following.get(task_id)
        return None if group is None else group.followers[task_id]

    def rank(self, job: Job) -> Rank:
        """Return when a job is to run, by its own priority and that of the jobs that follow it."""
        group = self._led(job)
        return job.rank if group is None else group.rank

    def heard(self, job: Job) -> Heard:
        """Return up to where its text was told to those who listen to it."""
        group = self._led(job)
        return NOTHING if group is None else group.heard

    # --- what becomes of the followers ---

    async def begin(self, job: Job) -> None:
        """A leader is in work: its followers are too."""
        group = self._led(job)
        for task_id in tuple(group.followers) if group else ():
            async with self._lock(task_id):
                if group and group.leader.id == job.id and task_id in group.followers:
                    await self._in_work(group, task_id)

    async def save(self, job: Job, stage: Stage | None, progress: float) -> None:
        """Write down how far the followers of a leader are: as far as it is. Raises `StoreUnavailable`."""
        group = self._led(job)
        for task_id in tuple(group.followers) if group else ():
            await self.note(task_id, stage, progress)

    async def note(self, task_id: str, stage: Stage | None, progress: float) -> None:
        """Write down how far a follower is, if it is one and in work. Raises `StoreUnavailable`."""
        group, follower = self._following.get(task_id), self.follower(task_id)
        if group is None or follower is None or stage is None or follower.status is not JobStatus.PROCESSING:
            return
        with suppress(StaleEpoch):
            saved = await self._shop.store.at(follower, stage, progress)
            if group.followers.get(task_id) is follower:
                group.followers[task_id] = saved

    async def ended(self, job: Job, progress: float, heard: Heard = NOTHING) -> None:
        """A job has been completed, has failed or was cancelled: see to those who follow it.

        `progress` and `heard` are how far it was, and how much of its text was told.
        """
        if (group := self._led(job)) is None:
            self._leave(job.id)
        elif job.status is JobStatus.COMPLETED:
            await self._share(group, job)
        elif job.status.finished:
            group.heard = further(group.heard, heard)
            await self._lead_on(group, job, progress)

    async def _share(self, group: Group, job: Job) -> None:
        """Give every follower the transcript of its leader, who is completed."""
        self._groups.pop(job.work or "")
        for task_id in tuple(group.followers):
            async with self._lock(task_id):
                if (follower := await self._in_work(group, task_id)) is not None:
                    await self._share_with(follower, job)
        self._shop.events.relay(job.id, ())

    async def _share_with(self, follower: Job, job: Job) -> None:
        async def copy() -> Job:
            data = await self._shop.storage.read(job.id, job.checkpoints[Stage.ASSIGN.value])
            return await give(follower, data, self._shop)

        try:
            await persist(copy)
            self._leave(follower.id)
        except OSError as error:
            logger.warning("task %s can't have the transcript of task %s: %s", follower.id, job.id, error)
            again = await persist(lambda: self._shop.store.hand_back(follower, follower.progress))
            self._leave(follower.id)
            self._enqueue(again)
        self._shop.events.publish(follower.id, Event(EventKind.ENDED))

    async def _lead_on(self, group: Group, job: Job, progress: float) -> None:
        """Have the first of the followers do the work in place of its leader, whose end was no good one."""
        self._leave(job.id)
        self._shop.events.relay(job.id, ())
        if not group.followers:
            self._groups.pop(job.work or "")
            return
        for task_id, follower in group.followers.items():
            group.followers[task_id] = replace(follower, progress=max(follower.progress, progress))
        heir = group.leader = min(group.followers.values(), key=lambda follower: follower.rank)
        self._relay(group)
        logger.info("task %s goes on with the work of task %s, which is %s", heir.id, job.id, job.status.value)
        others = [task_id for task_id in group.followers if task_id != heir.id]
        for task_id in (*others, heir.id):  # the heir last: once it runs, they are in work with it
            async with self._lock(task_id):
                if group.leader.id != heir.id:
                    return  # it has ended meanwhile, and who goes on in its place has been seen to
                given = await self._copied(job, heir) if task_id == heir.id else None
                waiting = await self._put_back(group, task_id, given)
                if task_id == heir.id and waiting is not None:
                    self._leave(heir.id)
                    group.leader = waiting
                    self._enqueue(waiting)

    async def _copied(self, job: Job, heir: Job) -> dict[str, str] | None:
        """Copy the checkpoints of a job for one that goes on; None where that one has come as far itself."""
        if len(job.checkpoints) <= len(heir.checkpoints):
            return None
        copies: dict[str, str] = {}
        for stage, file in job.checkpoints.items():
            if stage != Stage.DECODE.value:  # decoded sound is not copied, but made again
                name = f"{stage}.{job.id}.json"
                try:
                    await self._shop.storage.write(heir.id, name, await self._shop.storage.read(job.id, file))
                    copies[stage] = name
                except OSError as error:
                    logger.warning("task %s: checkpoint %s can't be copied: %s", job.id, file, error)
        return copies

    async def _put_back(self, group: Group, task_id: str, checkpoints: dict[str, str] | None) -> Job | None:
        """Make a follower pending again, with how far it has come on record; None if it follows no more."""
        if (job := await self._in_work(group, task_id)) is None:
            return None
        reached = max(job.progress, group.followers[task_id].progress)
        group.followers[task_id] = await persist(lambda: self._shop.store.hand_back(job, reached, checkpoints))
        self._shop.events.publish(task_id, Event(EventKind.PROGRESS))
        return group.followers[task_id]

    async def _in_work(self, group: Group, task_id: str) -> Job | None:
        """Have a follower be in work, and return it; None if it follows no more."""
        if (follower := group.followers.get(task_id)) is None or follower.status is JobStatus.PROCESSING:
            return follower
        if (begun := await persist(lambda: self._shop.store.start(task_id))) is None:
            self._leave(task_id)
            return None
        group.followers[task_id] = replace(begun, progress=max(begun.progress, follower.progress))
        self._shop.events.publish(task_id, Event(EventKind.PROGRESS))
        return group.followers[task_id]

    def _leave(self, task_id: str) -> None:
        """Forget that a job follows another, if it does."""
        if (group := self._following.pop(task_id, None)) is not None:
            self._owners[group.followers.pop(task_id).owner] -= 1
            self._relay(group)

    def _relay(self, group: Group) -> None:
        followers = tuple(task_id for task_id in group.followers if task_id != group.leader.id)
        self._shop.events.relay(group.leader.id, followers)

    def _led(self, job: Job) -> Group | None:
        """Return the group that a job leads; None if it leads none."""
        group = self._groups.get(job.work) if job.work else None
        return group if group is not None and group.leader.id == job.id else None
