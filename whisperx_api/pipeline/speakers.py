"""Who said what: every word gets a speaker from the diarization, and segments are cut where the speaker changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter

import numpy as np

from whisperx_api.pipeline.attribution import NEAREST_TURN_SECONDS, SpeakerTimes, attribute
from whisperx_api.pipeline.likeness import Likeness
from whisperx_api.pipeline.sentences import cut_at_words, split_untimed
from whisperx_api.transcript import (
    Alignment,
    Diarization,
    Segment,
    Speaker,
    Transcript,
    Transcription,
    Word,
)

ESTIMATED = (
    "In a translation the times of sentences within a decoded chunk, and with them their speakers, are estimated from "
    "the length of the text."
)


def assign(
    transcription: Transcription,
    alignment: Alignment | None,
    diarization: Diarization | None,
    *,
    duration: float,
    audio_warnings: Iterable[str] = (),
    embeddings: bool = False,
    by_channel: bool = False,
) -> Transcript:
    """Put the stages' results together into the finished transcript.

    Segments are those of `alignment`, or of `transcription` where there is none (a translation); those without words
    are cut into sentences with estimated times, and a warning says so where a translation's speakers depend on them.
    `diarization` is None where none was asked for: speakers are then None, or, `by_channel`, each channel is a speaker.
    `duration` is the recording's, in seconds. Speakers are numbered SPEAKER_00 … as they first appear in the segments;
    those who say no word are left out. With `embeddings` each has the voice vector that diarization found for it.
    """
    found = alignment.segments if alignment is not None else transcription.segments
    estimated: tuple[str, ...] = ()
    if not by_channel and diarization is not None and diarization.exclusive:
        pieces = _labelled(found, diarization, transcription.language)
        estimated = (ESTIMATED,) if alignment is None and pieces else ()
    else:
        sentences = [part for one in found for part in split_untimed(one, one.language or transcription.language)]
        pieces = [(part, str(part.channel) if by_channel and part.channel is not None else None) for part in sentences]
    pieces.sort(key=lambda piece: (piece[0].start, piece[0].end))
    labels = dict.fromkeys(label for _, label in pieces if label is not None)
    ids = {label: f"SPEAKER_{index:02d}" for index, label in enumerate(labels)}
    segments = [_finished(segment, None if label is None else ids[label]) for segment, label in pieces]
    vectors = diarization.embeddings if diarization is not None and embeddings else {}
    return Transcript(
        language=transcription.language,
        duration=round(duration, 3),
        segments=tuple(segments),
        speakers=_speakers(segments, ids, vectors, diarization.names if diarization is not None else {}),
        models={
            "transcribe": transcription.model or None,
            "align": (alignment.model if alignment is not None else None) or None,
            "diarize": (diarization.model if diarization is not None else None) or None,
        },
        warnings=_merged(
            audio_warnings,
            transcription.warnings,
            alignment.warnings if alignment is not None else (),
            diarization.warnings if diarization is not None else (),
            estimated,
        ),
    )


def _labelled(segments: Sequence[Segment], diarization: Diarization, language: str) -> list[tuple[Segment, str | None]]:
    """Return the segments, cut where the speaker changes, each with its speaker's label in the diarization.

    Those without words are cut into their sentences.
    """
    times = SpeakerTimes(diarization)
    labels = times.speakers
    of_words = times.of_words([word for segment in segments for word in segment.words])
    likeness = Likeness(times, diarization.subsegments) if diarization.subsegments is not None else None
    pieces: list[tuple[Segment, str | None]] = []
    first = 0
    for segment in segments:
        if not segment.words:
            pieces.extend(_by_sentence(segment, times, language))
            continue
        last = first + len(segment.words)
        found = _inherited(attribute(segment.words, of_words[first:last]))
        if likeness is not None:
            found = _by_voice(segment.words, found, likeness)
        speakers = [None if index is None else labels[index] for index in found]
        cuts = [index for index in range(1, len(speakers)) if speakers[index] != speakers[index - 1]]
        parts = cut_at_words(segment, cuts, segment.language or language)
        pieces.extend((part, speakers[cut]) for part, cut in zip(parts, [0, *cuts], strict=True))
        first = last
    return pieces


def _by_sentence(segment: Segment, times: SpeakerTimes, language: str) -> list[tuple[Segment, str | None]]:
    """Return the sentences of a segment without words, each with who has the floor for most of it.

    One that is far from every turn has the speaker of the sentence beside it: its times are estimated.
    """
    parts = split_untimed(segment, segment.language or language)
    closeness = times.exclusive(np.array([part.start for part in parts]), np.array([part.end for part in parts]))
    near = [int(row.argmax()) if row.max() > -NEAREST_TURN_SECONDS else None for row in closeness]
    return [
        (part, None if index is None else times.speakers[index])
        for part, index in zip(parts, _inherited(near), strict=True)
    ]


def _by_voice(words: Sequence[Word], found: Sequence[int | None], likeness: Likeness) -> list[int | None]:
    """Return the speakers of a sentence's words, each run of one speaker's listened to."""
    heard: list[int | None] = []
    for speaker, run in groupby(zip(found, words, strict=True), key=itemgetter(0)):
        spoken = [word for _, word in run]
        whose = None if speaker is None else likeness.corrected(speaker, spoken[0].start, spoken[-1].end)
        heard.extend([whose] * len(spoken))
    return heard


def _inherited(speakers: Sequence[int | None]) -> list[int | None]:
    """Fill in words, or sentences, that have no speaker from the one before; the first ones from the one after."""
    current = next((speaker for speaker in speakers if speaker is not None), None)
    filled: list[int | None] = []
    for speaker in speakers:
        current = speaker if speaker is not None else current
        filled.append(current)
    return filled


def _finished(segment: Segment, speaker: str | None) -> Segment:
    """Return the segment as its speaker's, with times in whole milliseconds, none of which ends before it starts."""
    words = tuple(
        Word(word.word, round(word.start, 3), round(max(word.start, word.end), 3), word.score, speaker)
        for word in segment.words
    )
    start, end = round(segment.start, 3), round(max(segment.start, segment.end), 3)
    return replace(segment, start=start, end=end, speaker=speaker, words=words)


def _speakers(
    segments: Sequence[Segment],
    ids: Mapping[str, str],
    vectors: Mapping[str, tuple[float, ...]],
    names: Mapping[str, str],
) -> tuple[Speaker, ...]:
    durations: dict[str, float] = defaultdict(float)
    for segment in segments:
        if segment.speaker is not None:
            durations[segment.speaker] += segment.end - segment.start
    return tuple(
        Speaker(id=one, duration=round(durations[one], 3), name=names.get(label), embedding=vectors.get(label))
        for label, one in ids.items()
    )


def _merged(*warnings: Iterable[str]) -> tuple[str, ...]:
    """Return all warnings in order, each once."""
    return tuple(dict.fromkeys(warning for some in warnings for warning in some))
