"""Who said what: every word gets a speaker from the diarization, and segments are cut where the speaker changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from whisperx_api.pipeline.attribution import NEAREST_TURN_SECONDS, SpeakerTimes, attribute
from whisperx_api.pipeline.sentences import cut_at_words
from whisperx_api.transcript import (
    Alignment,
    Diarization,
    Segment,
    Speaker,
    Transcript,
    Transcription,
)


def assign(
    transcription: Transcription,
    alignment: Alignment | None,
    diarization: Diarization | None,
    *,
    duration: float,
    audio_warnings: Iterable[str] = (),
    embeddings: bool = False,
) -> Transcript:
    """Put the stages' results together into the finished transcript.

    Segments are those of `alignment`, or of `transcription` where there is none (a translation). `diarization` is None
    where none was asked for: speakers are then None and nothing is cut. `duration` is the recording's, in seconds.
    Speakers are numbered SPEAKER_00 … as they first appear in the segments; those who say no word are left out. With
    `embeddings` each has the voice vector that diarization found for it.
    """
    found = alignment.segments if alignment is not None else transcription.segments
    segments = [_rounded(segment) for segment in found]
    names: dict[str, str] = {}
    if diarization is not None:
        segments = _labelled(segments, diarization, transcription.language)
    segments.sort(key=lambda segment: (segment.start, segment.end))
    for segment in segments:
        if segment.speaker is not None:
            names.setdefault(segment.speaker, f"SPEAKER_{len(names):02d}")
    segments = [_renamed(segment, names) for segment in segments]
    vectors = diarization.embeddings if diarization is not None and embeddings else {}
    return Transcript(
        language=transcription.language,
        duration=round(duration, 3),
        segments=tuple(segments),
        speakers=_speakers(segments, names, vectors),
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


def _labelled(segments: Sequence[Segment], diarization: Diarization, language: str) -> list[Segment]:
    """Give words and segments their speakers, and cut the segments where the speaker changes."""
    times = SpeakerTimes(diarization)
    names = times.speakers
    if not names:
        return list(segments)
    of_words = times.of_words([word for segment in segments for word in segment.words])
    of_segments = times.exclusive(
        np.array([segment.start for segment in segments]), np.array([segment.end for segment in segments])
    )
    out: list[Segment] = []
    first = 0
    for segment, of_segment in zip(segments, of_segments, strict=True):
        if not segment.words:
            speaker = names[of_segment.argmax()] if of_segment.max() > -NEAREST_TURN_SECONDS else None
            out.append(replace(segment, speaker=speaker))
            continue
        last = first + len(segment.words)
        found = attribute(segment.words, of_words[first:last])
        speakers = _inherited([None if index is None else names[index] for index in found])
        labelled = tuple(replace(word, speaker=speaker) for word, speaker in zip(segment.words, speakers, strict=True))
        cuts = [index for index in range(1, len(speakers)) if speakers[index] != speakers[index - 1]]
        parts = cut_at_words(replace(segment, words=labelled), cuts, segment.language or language)
        out.extend(replace(part, speaker=part.words[0].speaker) for part in parts)
        first = last
    return out


def _inherited(speakers: Sequence[str | None]) -> list[str | None]:
    """Fill in words that have no speaker from the word before in the segment; the first ones from the word after."""
    current = next((speaker for speaker in speakers if speaker is not None), None)
    filled: list[str | None] = []
    for speaker in speakers:
        current = speaker if speaker is not None else current
        filled.append(current)
    return filled


def _renamed(segment: Segment, names: dict[str, str]) -> Segment:
    if segment.speaker is None:
        return segment
    name = names[segment.speaker]
    return replace(segment, speaker=name, words=tuple(replace(word, speaker=name) for word in segment.words))


def _rounded(segment: Segment) -> Segment:
    """Return the segment with times in whole milliseconds, none of which ends before it starts."""
    words = tuple(
        replace(word, start=round(word.start, 3), end=round(max(word.start, word.end), 3)) for word in segment.words
    )
    start, end = round(segment.start, 3), round(max(segment.start, segment.end), 3)
    return replace(segment, start=start, end=end, words=words)


def _speakers(
    segments: Sequence[Segment], names: dict[str, str], vectors: dict[str, tuple[float, ...]]
) -> tuple[Speaker, ...]:
    durations: dict[str, float] = defaultdict(float)
    for segment in segments:
        if segment.speaker is not None:
            durations[segment.speaker] += segment.end - segment.start
    return tuple(
        Speaker(id=name, duration=round(durations[name], 3), embedding=vectors.get(label))
        for label, name in names.items()
    )


def _merged(*warnings: Iterable[str]) -> tuple[str, ...]:
    """Return all warnings in order, each once."""
    return tuple(dict.fromkeys(warning for some in warnings for warning in some))
