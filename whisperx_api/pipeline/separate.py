"""Channels transcribed each alone: which channel of the decoded sound a segment is in, and when in the recording.

Their sounds follow one another, with silence between them, so that one pass finds and decodes the speech of all: one
vote for the language, and batches that hold chunks of several. `transcript.Audio` says how they lie in the file.
"""

from __future__ import annotations

from dataclasses import replace

from whisperx_api.transcript import CHANNEL_GAP, SAMPLE_RATE, Audio, Segment

FRAMES_PER_SECOND = 100
"""Those that `Segment.seek` counts."""


def placed(audio: Audio, segment: Segment) -> Segment:
    """Return a segment of the sound of all channels as one of its channel's, with times (seconds) in the recording."""
    middle = (segment.start + segment.end) / 2 * SAMPLE_RATE
    channel = int((middle + CHANNEL_GAP / 2) // (audio.samples + CHANNEL_GAP))
    begins = audio.begins(channel) / SAMPLE_RATE

    def moved(time: float) -> float:
        return round(min(max(time - begins, 0.0), audio.duration), 3)

    start = moved(segment.start)
    return replace(
        segment,
        start=start,
        end=moved(segment.end),
        words=tuple(replace(word, start=moved(word.start), end=moved(word.end)) for word in segment.words),
        seek=None if segment.seek is None else int(start * FRAMES_PER_SECOND),
        channel=channel,
    )
