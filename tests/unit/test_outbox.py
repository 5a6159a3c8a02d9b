"""The outbox and its delivery, on a real database, with a clock and a receiver of the test's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, text
from standardwebhooks import Webhook as Verifier

from whisperx_api.jobs import faults
from whisperx_api.jobs.database import Database, open_database
from whisperx_api.jobs.delivery import Deliverer
from whisperx_api.jobs.job import Job, Upload
from whisperx_api.jobs.outbox import NoSuchTask, Outbox, WebhookView
from whisperx_api.jobs.sending import seconds_until, signed
from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.jobs.store import JobStore
from whisperx_api.jobs.webhooks import (
    Answer,
    Backoff,
    Message,
    MessageStatus,
    MessageType,
    Webhook,
    checked_secret,
    new_secret,
)
from whisperx_api.options import Options

UPLOAD = Upload("meeting.wav", 32044, "ab" * 32, 1.0)
OK, BROKEN, GONE = Answer(200), Answer(500), Answer(410)


@dataclass
class Receivers:
    """Answers in the test's own order, and keeps what it was sent; the host `stuck` never answers."""

    answers: list[Answer] = field(default_factory=list)
    sent: list[tuple[str, Message]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, webhook: Webhook, message: Message) -> Answer:
        self.sent.append((webhook.receiver, message))
        self.arrived.set()
        if webhook.receiver == "stuck":
            await asyncio.Event().wait()
        return self.answers.pop(0) if self.answers else OK

    async def wait(self, count: int) -> None:
        while len(self.sent) < count:
            self.arrived.clear()
            await asyncio.wait_for(self.arrived.wait(), 10)


class Clock:
    """A time that moves when the test says so."""

    def __init__(self) -> None:
        self.time = datetime.now(timezone.utc) + timedelta(minutes=1)

    def __call__(self) -> datetime:
        return self.time


@dataclass
class Office:
    """A store, its outbox and a deliverer that tries again after 10 s, 30 s, then gives up."""

    database: Database
    store: JobStore
    outbox: Outbox
    receivers: Receivers
    clock: Clock
    deliverer: Deliverer

    async def job(self, *webhooks: Webhook) -> Job:
        stored = await self.store.add(Job("ann", Options(), UPLOAD))
        for webhook in webhooks:
            await self.outbox.add(replace(webhook, task_id=stored.id))
        started = await self.store.start(stored.id)
        assert started
        return started

    async def view(self, webhook: Webhook) -> WebhookView:
        found = await self.outbox.get("ann", webhook.id)
        assert found
        return found

    async def message(self, webhook: Webhook, *states: MessageStatus, attempts: int = 0) -> Message:
        """Wait until the webhook's only message stands so."""
        for _ in range(500):
            (message,) = (await self.view(webhook)).messages
            if message.status in states and message.attempts >= attempts:
                return message
            await asyncio.sleep(0.01)
        raise AssertionError(message)

    def later(self, seconds: float) -> None:
        """Move the clock, and wake who looks at it."""
        self.clock.time += timedelta(seconds=seconds)
        self.outbox.posted.set()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Office]:
    database = await open_database(url)
    store, receivers, clock = JobStore(database), Receivers(), Clock()
    outbox = Outbox(database, store.posted)
    backoff = Backoff(first=10, factor=3, tries=3, spread=0)
    deliverer = Deliverer(outbox, receivers, backoff, now=clock, chance=lambda: 0.5)
    yield Office(database, store, outbox, receivers, clock, deliverer)
    await deliverer.stop(0)
    await database.dispose()


@pytest.fixture
def in_office(database_url: str) -> Callable[[Callable[[Office], Awaitable[None]]], None]:
    def run(test: Callable[[Office], Awaitable[None]]) -> None:
        async def go() -> None:
            async with opened(database_url) as office:
                await test(office)

        asyncio.run(go())

    return run


def webhook(receiver: str = "hooks.example") -> Webhook:
    return Webhook("", "ann", f"https://{receiver}/", receiver, new_secret())


# --- the outbox ---


def test_every_way_to_end_writes_one_message_to_each_webhook(in_office) -> None:
    async def test(office: Office) -> None:
        for end, kind in (
            (lambda job: office.store.complete(job, {}), MessageType.COMPLETED),
            (lambda job: office.store.fail(job, None, "no luck"), MessageType.FAILED),
            (lambda job: office.store.cancel(job.id), MessageType.CANCELLED),
        ):
            hooks = webhook(), webhook()
            job = await office.job(*hooks)
            office.outbox.posted.clear()
            assert [(await office.view(hook)).messages for hook in hooks] == [(), ()]
            await end(job)
            assert office.outbox.posted.is_set()
            for hook in hooks:
                (message,) = (await office.view(hook)).messages
                assert (message.type, message.status, message.attempts) == (kind, MessageStatus.PENDING, 0)
                assert json.loads(message.body)["data"]["task_id"] == job.id

    in_office(test)


def test_job_and_its_message_are_written_together_or_not_at_all(in_office) -> None:
    async def test(office: Office) -> None:
        hook = webhook()
        job = await office.job(hook)
        statements = []

        def cut(connection, cursor, statement, *rest) -> None:
            statements.append(statement)
            if statement.startswith("INSERT INTO webhook_messages"):
                raise RuntimeError("the power is cut")

        event.listen(office.database.engine.sync_engine, "before_cursor_execute", cut)
        with pytest.raises(RuntimeError, match="the power is cut"):
            await office.store.complete(job, {})
        event.remove(office.database.engine.sync_engine, "before_cursor_execute", cut)
        assert any(statement.startswith("UPDATE jobs") for statement in statements)
        assert await office.store.get(job.id) == job
        await office.store.complete(job, {})
        assert len((await office.view(hook)).messages) == 1

    in_office(test)


def test_webhook_and_end_that_meet_make_one_message(in_office) -> None:
    async def test(office: Office) -> None:
        for _ in range(20):
            job, hook = await office.job(), webhook()
            await asyncio.gather(office.store.complete(job, {}), office.outbox.add(replace(hook, task_id=job.id)))
            assert len((await office.view(hook)).messages) == 1

    in_office(test)


def test_webhook_that_meets_its_task_s_end_for_good_goes_with_it(in_office) -> None:
    async def test(office: Office) -> None:
        for _ in range(30):
            job, hook = await office.job(), webhook()
            adding = office.outbox.add(replace(hook, task_id=job.id))
            await asyncio.gather(adding, office.store.delete(job.id), return_exceptions=True)
            assert await office.outbox.get("ann", hook.id) is None

    in_office(test)


def test_webhook_of_no_task_or_another_s_is_not_kept(in_office) -> None:
    async def test(office: Office) -> None:
        job = await office.job()
        for wrong in (replace(webhook(), task_id="none"), replace(webhook(), task_id=job.id, owner="ben")):
            with pytest.raises(NoSuchTask):
                await office.outbox.add(wrong)
        assert await office.outbox.page("ann", None, 10, None) == []
        assert await office.outbox.page("ben", None, 10, None) == []

    in_office(test)


def test_deleted_job_leaves_nothing_in_the_outbox(in_office) -> None:
    async def test(office: Office) -> None:
        job = await office.job(webhook())
        await office.store.complete(job, {})
        other = await office.job(kept := webhook())
        await office.store.complete(other, {})
        await office.store.delete(job.id)
        async with office.database.engine.connect() as connection:
            for table in ("webhooks", "webhook_messages"):
                found = (await connection.execute(text(f"SELECT task_id FROM {table}"))).scalars().all()
                assert found == [other.id]
        assert len((await office.view(kept)).messages) == 1

    in_office(test)


# --- delivery ---


def test_clock_set_back_by_a_day_holds_no_message_up(in_office) -> None:
    async def test(office: Office) -> None:
        tried, new, newest = webhook("tried.example"), webhook("new.example"), webhook("newest.example")
        office.receivers.answers.append(BROKEN)
        await office.store.complete(await office.job(tried), {})
        office.deliverer.start()
        await office.message(tried, MessageStatus.PENDING, attempts=1)
        office.later(-24 * 3600)
        await office.store.complete(await office.job(new), {})
        for hook in (tried, new):
            await office.message(hook, MessageStatus.DELIVERED)
        office.later(22 * 3600)  # two hours behind
        await office.store.complete(await office.job(newest), {})
        await office.message(newest, MessageStatus.DELIVERED)

    in_office(test)


def test_message_is_tried_again_ever_later_and_then_given_up(in_office) -> None:
    async def test(office: Office) -> None:
        hook, office.receivers.answers = webhook(), [BROKEN, Answer(None, "No."), Answer(302)]
        office.deliverer.start()
        await office.store.complete(await office.job(hook), {})
        for attempt, pause in ((1, 10), (2, 30)):
            message = await office.message(hook, MessageStatus.PENDING, attempts=attempt)
            assert message.next_attempt_at == office.clock.time + timedelta(seconds=pause)
            office.later(pause - 1)
            await asyncio.sleep(0.05)
            assert len(office.receivers.sent) == attempt
            office.later(1)
        message = await office.message(hook, MessageStatus.DEAD)
        assert (message.attempts, message.next_attempt_at, message.last_status_code) == (3, None, 302)
        assert "redirect" in (message.last_error or "")
        office.later(1e6)
        await asyncio.sleep(0.05)
        assert len(office.receivers.sent) == 3
        assert len({(sent.id, sent.body) for _, sent in office.receivers.sent}) == 1

    in_office(test)


def test_delivered_message_is_not_sent_again(in_office) -> None:
    async def test(office: Office) -> None:
        hook, office.receivers.answers = webhook(), [BROKEN, OK]
        office.deliverer.start()
        await office.store.complete(await office.job(hook), {})
        await office.message(hook, MessageStatus.PENDING, attempts=1)
        office.later(10)
        message = await office.message(hook, MessageStatus.DELIVERED)
        assert (message.attempts, message.last_error, message.last_status_code) == (2, None, 200)
        office.later(1e6)
        await asyncio.sleep(0.05)
        assert len(office.receivers.sent) == 2

    in_office(test)


def test_what_one_receiver_does_not_get_at_once_it_gets_next(in_office) -> None:
    async def test(office: Office) -> None:
        for _ in range(10):
            await office.store.complete(await office.job(webhook()), {})
        office.deliverer.start()
        await office.receivers.wait(10)
        assert len({message.id for _, message in office.receivers.sent}) == 10

    in_office(test)


def test_what_was_on_its_way_when_the_server_ended_is_due_at_once(in_office) -> None:
    async def test(office: Office) -> None:
        await office.store.complete(await office.job(webhook("stuck")), {})
        office.deliverer.start()
        await office.receivers.wait(1)
        await office.deliverer.stop(0)
        assert len(await office.outbox.due(office.clock(), (), (), 10)) == 1

    in_office(test)


def test_what_waits_when_the_server_ends_is_sent_by_the_next(in_office, database_url: str) -> None:
    async def test(office: Office) -> None:
        hook = webhook("stuck")
        office.deliverer.start()
        await office.store.complete(await office.job(hook), {})
        await office.receivers.wait(1)
        await office.deliverer.stop(0.01)
        async with opened(database_url) as second:
            second.deliverer.start()
            await second.receivers.wait(1)
            assert second.receivers.sent == office.receivers.sent

    in_office(test)


def test_receiver_that_is_gone_gets_none_of_what_waits(in_office) -> None:
    async def test(office: Office) -> None:
        hook, other = webhook(), webhook()
        job = await office.job(hook, other)
        await office.store.fail(job, None, "no luck")
        await office.store.retry(job.id)
        again = await office.store.start(job.id)
        assert again
        await office.store.complete(again, {})
        first, _ = (await office.view(hook)).messages
        await office.outbox.tried(first, GONE, office.clock(), office.clock())
        view = await office.view(hook)
        assert [message.status for message in view.messages] == [MessageStatus.DEAD] * 2
        assert view.webhook.disabled_at == office.clock()
        assert {message.status for message in (await office.view(other)).messages} == {MessageStatus.PENDING}

    in_office(test)


def test_stuck_receiver_takes_no_more_than_its_share(in_office) -> None:
    async def test(office: Office) -> None:
        for _ in range(7):  # more than are sent at once
            await office.store.complete(await office.job(*[webhook("stuck") for _ in range(10)]), {})
        office.deliverer.start()
        await office.receivers.wait(4)
        other = webhook()
        await office.store.complete(await office.job(other), {})
        await office.message(other, MessageStatus.DELIVERED)
        assert [receiver for receiver, _ in office.receivers.sent].count("stuck") == 4

    in_office(test)


def test_delivery_that_can_not_be_written_down_is_not_made_twice(in_office, monkeypatch) -> None:
    async def test(office: Office) -> None:
        monkeypatch.setattr(faults, "RETRY_SECONDS", 0.01)
        tried, locked = office.outbox.tried, [StoreUnavailable("The database is locked.")] * 3

        async def sometimes(*arguments) -> MessageStatus:
            if locked:
                raise locked.pop()
            return await tried(*arguments)

        monkeypatch.setattr(office.outbox, "tried", sometimes)
        office.deliverer.start()
        await office.store.complete(await office.job(hook := webhook()), {})
        await office.message(hook, MessageStatus.DELIVERED)
        assert len(office.receivers.sent) == 1 and not locked

    in_office(test)


def test_error_of_the_service_s_own_costs_a_try_and_no_more(in_office, monkeypatch) -> None:
    async def test(office: Office) -> None:
        async def broken(webhook: Webhook, message: Message) -> Answer:
            raise ValueError("a mistake")

        monkeypatch.setattr(office.deliverer, "_send", broken)
        office.deliverer.start()
        await office.store.complete(await office.job(hook := webhook()), {})
        message = await office.message(hook, MessageStatus.PENDING, attempts=1)
        assert message.attempts == 1 and "its log" in (message.last_error or "")

    in_office(test)


def test_outbox_that_can_not_be_read_is_looked_at_again(in_office, monkeypatch) -> None:
    async def test(office: Office) -> None:
        monkeypatch.setattr("whisperx_api.jobs.delivery.FAULT_PAUSE", 0.01)
        due, faulty = office.outbox.due, [StoreUnavailable("Gone."), ValueError("a mistake")]

        async def sometimes(*arguments):
            if faulty:
                raise faulty.pop()
            return await due(*arguments)

        monkeypatch.setattr(office.outbox, "due", sometimes)
        office.deliverer.start()
        await office.store.complete(await office.job(hook := webhook()), {})
        await office.message(hook, MessageStatus.DELIVERED)

    in_office(test)


@pytest.mark.parametrize("turns", range(6))
def test_what_comes_in_while_the_service_stops_does_not_keep_it(in_office, turns: int) -> None:
    async def test(office: Office) -> None:
        office.deliverer.start()
        await asyncio.sleep(0.1)
        office.outbox.posted.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.shield(office.deliverer.stop(0)), 5)

    in_office(test)


# --- pauses, secrets, signatures ---


@given(st.floats(0, 1))
def test_pauses_grow_over_about_a_day(chance: float) -> None:
    backoff = Backoff()
    pauses = [backoff.pause(failures, chance) for failures in range(1, 13)]
    assert pauses[-1] is None and all(pauses[:-1])
    seconds = [pause.total_seconds() for pause in pauses if pause]
    assert seconds == sorted(seconds)
    assert 8 <= seconds[0] <= 12
    assert 20 * 3600 < sum(seconds) < 36 * 3600


def test_receiver_can_ask_for_a_longer_pause_up_to_the_longest() -> None:
    backoff = Backoff(first=10, longest=100, spread=0)
    seconds = [pause.total_seconds() for asked in (0, 5, 50, 10**6) if (pause := backoff.pause(1, 0.5, asked))]
    assert seconds == [10, 10, 50, 100]
    assert backoff.pause(backoff.tries, 0.5, 50) is None


@pytest.mark.parametrize(
    ("header", "seconds"), [("120", 120), ("0", 0), ("9" * 400, 999_999_999), ("", 0), ("soon", 0), ("-5", 0), ("²", 0),
    ("Thu, 01 Jan 2026 00:01:30 GMT", 90), ("Wed, 31 Dec 2025 23:59:00 GMT", 0), ("Thu, 01 Jan 2026 00:01:30", 0),
    ("Thu, 01 Jan 99999 00:00:00 GMT", 0), ("Thu, 01 Jan 2026 00:00:00 +99999999999999999", 0)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float) -> None:
    assert seconds_until(header, datetime(2026, 1, 1, tzinfo=timezone.utc)) == seconds


@pytest.mark.parametrize(
    ("status", "delivered"), [(200, True), (204, True), (299, True), (199, False), (300, False), (301, False),
    (400, False), (410, False), (500, False), (None, False)],
)  # fmt: skip
def test_only_2xx_is_a_delivery(status: int | None, delivered: bool) -> None:
    answer = Answer(status, None if status else "No.")
    assert answer.delivered is delivered
    assert (answer.fault is None) is delivered


def test_secret_is_as_standard_webhooks_has_it() -> None:
    for good in (new_secret(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"):
        assert checked_secret(good) == good
    assert new_secret() != new_secret()
    for bad in ("", "whsec_", "whsec_c2hvcnQ=", "whsec_" + "!" * 40, "whsec_" + "A" * 120, "whsec_ä" + "A" * 40):
        with pytest.raises(ValueError, match="must be whsec_"):
            checked_secret(bad)


@given(st.text(), st.sampled_from([new_secret(), "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]))
def test_signature_is_one_that_standardwebhooks_verifies(error: str, secret: str) -> None:
    body = json.dumps({"error": error}, ensure_ascii=False)
    if not error.isprintable():  # lone surrogates are no text to send
        body = json.dumps({"error": error})
    headers = signed(secret, "msg_1", datetime.now(timezone.utc), body)
    assert Verifier(secret).verify(body.encode(), headers) == {"error": error}
