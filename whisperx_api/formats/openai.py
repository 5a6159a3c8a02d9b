"""A transcript in OpenAI's forms: verbose_json and diarized_json, as its clients' types read them.

The forms are those of the API reference of `POST /v1/audio/transcriptions`. What decoding did not leave is null, though
OpenAI's types name a number there: its client takes it, and a number would be made up. Only transcripts from before
these values were kept have it, and text that was corrected has no tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from whisperx_api.formats.pages import Page, counted, numbered
from whisperx_api.languages import LANGUAGES
from whisperx_api.options import Task
from whisperx_api.transcript import Segment, Transcript, Word

UNKNOWN_SPEAKER = "unknown"
"""Stands where nobody is known to speak, for OpenAI's types have no null there."""


class SpeakerLabels:
    """What speakers are called: by their names, those without one A, B … Z, AA in the order they are asked for."""

    def __init__(self, names: Mapping[str, str | None]) -> None:
        """`names` holds the names that are known, by the speaker's id; a letter that is a name is given to no other."""
        self._names = {speaker: name for speaker, name in names.items() if name}
        self._taken = set(self._names.values())
        self._letters = 0

    def __call__(self, speaker: str | None) -> str:
        """Return what to call a speaker, the same each time."""
        if speaker is None:
            return UNKNOWN_SPEAKER
        if speaker not in self._names:
            self._names[speaker] = self._next()
        return self._names[speaker]

    def _next(self) -> str:
        while True:
            self._letters += 1
            if (label := _letters(self._letters)) not in self._taken:
                return label


def verbose(
    transcript: Transcript, task: Task, *, words: bool, segments: bool = True, page: Page | None = None
) -> dict[str, Any]:
    """Return the transcript as verbose_json; `words` and `segments` are the timestamp granularities asked for.

    A translation is in English and its words have no times, so that its list of words is empty. A `page` has its
    segments and their words alone.
    """
    shown = numbered(transcript.segments, page)
    language = "en" if task is Task.TRANSLATE else transcript.language
    answer: dict[str, Any] = {
        "task": task.value,
        "language": LANGUAGES.get(language, language),
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
    }
    if segments:
        answer["segments"] = [verbose_segment(index, segment) for index, segment in shown]
    if words:
        answer["words"] = [_word(word) for _, segment in shown for word in segment.words]
    return answer | {"usage": usage(transcript.duration)} | counted(transcript.segments, page)


def verbose_segment(index: int, segment: Segment) -> dict[str, Any]:
    """Return one segment as verbose_json has it, with what decoding said of the chunk it is from."""
    return {
        "id": index,
        "seek": segment.seek,
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text.strip(),
        "tokens": list(segment.tokens),
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
    }


def diarized(transcript: Transcript, page: Page | None = None) -> dict[str, Any]:
    """Return the transcript as diarized_json: who said what, by name or letter. A `page` has its segments alone."""
    labels = SpeakerLabels({speaker.id: speaker.name for speaker in transcript.speakers})
    called = [labels(segment.speaker) for segment in transcript.segments]  # letters go by the whole, also on a page
    return {
        "task": Task.TRANSCRIBE.value,  # the only one that OpenAI's type knows
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
        "segments": [
            diarized_segment(index, segment, called[index]) for index, segment in numbered(transcript.segments, page)
        ],
        "usage": usage(transcript.duration),
    } | counted(transcript.segments, page)


def diarized_segment(index: int, segment: Segment, speaker: str) -> dict[str, Any]:
    """Return one segment as diarized_json has it, which is the event `transcript.text.segment` of a stream as well."""
    return {
        "id": f"seg_{index}",
        "type": "transcript.text.segment",
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "speaker": speaker,
        "text": segment.text.strip(),
    }


def usage(duration: float) -> dict[str, Any]:
    """Return what a recording of `duration` seconds is counted as: whole seconds, begun ones included."""
    return {"type": "duration", "seconds": math.ceil(round(duration, 3))}


def _word(word: Word) -> dict[str, Any]:
    return {"word": word.word, "start": round(word.start, 3), "end": round(word.end, 3)}


def _letters(number: int) -> str:
    """Return the number, from 1, in letters: 1 is A, 26 Z, 27 AA, as columns of a spreadsheet are named."""
    label = ""
    while number:
        number, rest = divmod(number - 1, 26)
        label = chr(ord("A") + rest) + label
    return label
