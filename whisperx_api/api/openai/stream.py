"""A transcription as it comes: OpenAI's streaming events, as Server-Sent Events.

Text is told as chunks become final, so that what is told is never taken back: the deltas joined are the whole text.
Speakers are known when the whole recording has been heard, so the segments of diarized_json come at its end.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

from anyio import fail_after

from whisperx_api.api.errors import ApiError, openai_body
from whisperx_api.api.openai import answers
from whisperx_api.api.openai.fields import AudioWanted, ResponseFormat
from whisperx_api.api.parts import Parts
from whisperx_api.formats import openai
from whisperx_api.jobs.events import Event
from whisperx_api.jobs.job import Job
from whisperx_api.languages import joint
from whisperx_api.transcript import Segment, Transcript

logger = logging.getLogger(__name__)

ALIVE = ": still at work\n\n"
"""A comment, which clients pass over."""


async def events(parts: Parts, job: Job, wanted: AudioWanted) -> AsyncIterator[str]:
    """Yield the events of a job from its beginning to its end.

    The job may be another request's as well, which it shares its work or its idempotency key with.
    """
    with parts.events.listen(job.id) as queue:
        view = await parts.manager.view(job.id)
        told = _Told(wanted, late=view is not None and view.begun)
        while True:
            view = await parts.manager.view(job.id)
            if view is None or view.job.status.finished:
                break
            async for sent in _next(queue, told, parts.settings.keep_alive_seconds):
                yield sent
        while not queue.empty():
            for sent in told.hear(queue.get_nowait()):
                yield sent
    try:
        transcript = await answers.completed(parts, view)
    except ApiError as error:
        yield _event("error", openai_body(error))
        return
    for sent in told.end(job, transcript):
        yield sent


async def _next(queue: asyncio.Queue[Event], told: _Told, seconds: float) -> AsyncIterator[str]:
    """Wait for the next event and yield what is to be said of it; a comment where nothing comes for so many seconds."""
    try:
        with fail_after(seconds):
            event = await queue.get()
    except TimeoutError:
        yield ALIVE
        return
    for sent in told.hear(event):
        yield sent


class _Told:
    """What a stream has said so far."""

    def __init__(self, wanted: AudioWanted, late: bool) -> None:
        """Who comes `late`, when some of the text was told to others, hears it as a whole at the end."""
        self._wanted = wanted
        self._late = late
        self._text = ""
        self._heard = 0.0
        """Up to where text was told, in seconds: a run that is begun again tells its text again."""

    def hear(self, event: Event) -> list[str]:
        """Return the events that a job's event makes."""
        segment = event.segment
        if self._late or segment is None or segment.start < self._heard or not segment.text.strip():
            return []
        self._heard = segment.end
        return [self._delta(segment)]

    def _delta(self, segment: Segment) -> str:
        more = segment.text.strip()
        if self._text:
            more = joint(segment.language or "") + more
        self._text += more
        answer: dict[str, Any] = {"delta": more}
        if self._wanted.logprobs:
            answer["logprobs"] = answers.logprobs(segment.logprobs)
        return _event("transcript.text.delta", answer)

    def end(self, job: Job, transcript: Transcript) -> list[str]:
        """Return the last events: text that was never told (a transcript that was there already), segments, the end."""
        sent: list[str] = []
        whole = transcript.text
        if not whole.startswith(self._text):  # a run that was begun again heard something else
            logger.warning("task %s: its text is not what was streamed", job.id)
        elif rest := whole[len(self._text) :]:
            sent.append(_event("transcript.text.delta", {"delta": rest}))
        if self._wanted.format is ResponseFormat.DIARIZED_JSON:
            sent.extend(_event(part["type"], part) for part in openai.diarized(transcript)["segments"])
        done: dict[str, Any] = {"text": whole}
        if self._wanted.logprobs:
            done["logprobs"] = answers.logprobs(token for part in transcript.segments for token in part.logprobs)
        return [*sent, _event("transcript.text.done", done)]


def _event(kind: str, content: dict[str, Any]) -> str:
    return f"data: {json.dumps({'type': kind} | content, ensure_ascii=False)}\n\n"
