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
from whisperx_api.pipeline.sentences import cut_at_words
from whisperx_api.transcript import (
    Alignment,
    Diarization,
    Segment,
    Speaker,
    Transcript,
    Transcription,
    Word,
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

    Segments are those of `alignment`, or of `transcription` where there is none (a translation). `diarization` is None
    where none was asked for: speakers are then None and nothing is cut, or, `by_channel`, each channel is a speaker.
    `duration` is the recording's, in seconds. Speakers are numbered SPEAKER_00 … as they first appear in the segments;
    those who say no word are left out. With `embeddings` each has the voice vector that diarization found for it.
    """
    found = alignment.segments if alignment is not None else transcription.segments
    if by_channel:
        pieces = [(segment, None if segment.channel is None else str(segment.channel)) for segment in found]
    elif diarization is not None:
        pieces = _labelled(found, diarization, transcription.language)
    else:
        pieces = [(segment, None) for segment in found]
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
        ),
    )


def _labelled(segments: Sequence[Segment], diarization: Diarization, language: str) -> list[tuple[Segment, str | None]]:
    """Return the segments, cut where the speaker changes, each with its speaker's label in the diarization."""
    times = SpeakerTimes(diarization)
    labels = times.speakers
    if not labels:
        return [(segment, None) for segment in segments]
    of_words = times.of_words([word for segment in segments for word in segment.words])
    of_segments = times.exclusive(
        np.array([segment.start for segment in segments]), np.array([segment.end for segment in segments])
    )
    likeness = Likeness(times, diarization.subsegments) if diarization.subsegments is not None else None
    pieces: list[tuple[Segment, str | None]] = []
    first = 0
    for segment, of_segment in zip(segments, of_segments, strict=True):
        if not segment.words:
            speaker = labels[of_segment.argmax()] if of_segment.max() > -NEAREST_TURN_SECONDS else None
            pieces.append((segment, speaker))
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


def _by_voice(words: Sequence[Word], found: Sequence[int | None], likeness: Likeness) -> list[int | None]:
    """Return the speakers of a sentence's words, each run of one speaker's listened to."""
    heard: list[int | None] = []
    for speaker, run in groupby(zip(found, words, strict=True), key=itemgetter(0)):
        spoken = [word for _, word in run]
        whose = None if speaker is None else likeness.corrected(speaker, spoken[0].start, spoken[-1].end)
        heard.extend([whose] * len(spoken))
    return heard


def _inherited(speakers: Sequence[int | None]) -> list[int | None]:
    """Fill in words that have no speaker from the word before in the segment; the first ones from the word after."""
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
