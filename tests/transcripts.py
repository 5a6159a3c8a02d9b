"""Random transcripts, for what must hold of every one."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from whisperx_api.transcript import Segment, Speaker, Transcript, Word

many_times = settings(
    max_examples=40, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
"""How often a property is tried; times on a busy machine say nothing, and files are written anew at each try."""

MARKS = ["", "", "", ",", ".", "?", "&", "--", '"']
SPEAKERS = ("SPEAKER_00", "SPEAKER_01", "SPEAKER_02", None)
NAMES = st.sampled_from([None, "Katie", "Dr. Bob Stone", "A & B", "<v> Eve", 'Jo "the" One', "李"])
letters = st.text("abcdefghijklmnopqrstuvwxyzäß", min_size=1, max_size=12)
kana = st.text("あいうえおかきくけこ日本語", min_size=1, max_size=3)


@st.composite
def segments(draw: st.DrawFn, timed: bool, spaceless: bool) -> list[Segment]:
    """Segments in time order that may overlap; each word is unlike all others."""
    made: list[Segment] = []
    start, number = 0, 0
    for _ in range(draw(st.integers(0, 6))):
        start += draw(st.integers(0, 4000))
        at, words = start, []
        for _ in range(draw(st.integers(1, 25))):
            number += 1
            mark = draw(st.sampled_from(MARKS))
            written = draw(kana) if spaceless else f"{draw(letters)}{number}x{mark}"
            begin = at + draw(st.integers(0, 300))
            at = begin + draw(st.integers(0, 500))
            words.append((written, begin, at))
        speaker = draw(st.sampled_from(SPEAKERS))
        text = ("" if spaceless else " ").join(word for word, _, _ in words)
        timed_words = tuple(Word(word, a / 1000, b / 1000, 0.5, speaker) for word, a, b in words) if timed else ()
        made.append(Segment(words[0][1] / 1000, at / 1000, text, timed_words, speaker))
        start = words[0][1]
    return made


@st.composite
def transcripts(draw: st.DrawFn, timed: bool = True, spaceless: bool = False) -> Transcript:
    """Transcripts with named and unnamed speakers; without times of words they are like translations."""
    parts = draw(segments(timed, spaceless))
    speakers = [Speaker(who, 1.0, draw(NAMES)) for who in dict.fromkeys(part.speaker for part in parts) if who]
    duration = max((part.end for part in parts), default=0.0)
    return Transcript("ja" if spaceless else "en", duration, tuple(parts), tuple(speakers))
