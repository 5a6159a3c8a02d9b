"""Repeats that nobody said: a decoder that has lost the sound says its last phrase again and again.

People repeat themselves too ("no, no, no", a chorus), so a repeated text alone is never dropped. What tells the two
apart is the sound: every word that was said has a time of its own in the decoder's cross-attention, while words of a
loop fall on one frame for want of anything to attend to. With Whisper base, over 2,000 words of meetings, read speech
and telephone calls in chunks of 8 and 30 s, at most 11 % of a chunk's words were so short (0.8 % on average).
"""

from __future__ import annotations

from collections.abc import Sequence

from whisperx_api.pipeline.attention import MIN_WORD
from whisperx_api.pipeline.fallback import NO_SPEECH
from whisperx_api.transcript import Segment, Word

FEWEST_COPIES = 3
LONGEST_PHRASE = 30
"""In words."""
SHARE_WITHOUT_TIME = 0.25
"""Share of the words after a loop's first copy that are too short, from which on the loop is not what was said."""
SHORTEST_SAID = 1.5 * MIN_WORD
"""Seconds. Words of one frame are as short as words can be here: they have no time of their own."""


def first_unsaid(words: Sequence[Word]) -> int | None:
    """Return the index of the word from which on a chunk only repeats what nobody said; None if it was all said.

    `words` have their times from cross-attention. The rule: the text ends in at least `FEWEST_COPIES` of a phrase; of
    the words after the first copy, at least `SHARE_WITHOUT_TIME` have no time. Then the first copy is kept, and those
    after it up to the first in which a word has no time.
    """
    start, period = _loop([_plain(word.word) for word in words])
    repeated = words[start + period :]
    if not period or have_times(repeated):
        return None
    copies_said = [_has_time(word) for word in repeated].index(False) // period
    return start + (1 + copies_said) * period


def have_times(words: Sequence[Word]) -> bool:
    """Whether words, with their times from cross-attention, are spread over the sound as words that were said are."""
    return sum(not _has_time(word) for word in words) < max(1, SHARE_WITHOUT_TIME * len(words))


def is_echo(segment: Segment, before: Segment) -> bool:
    """Whether a chunk only has the text of the chunk before it, and Whisper hears nobody speak in either of them.

    So one "Thank you." over noise is kept, as it may have been said, and the rest of a row of them is not.
    """
    same = [_plain(word) for word in segment.text.split()] == [_plain(word) for word in before.text.split()]
    return same and min(segment.no_speech_prob or 0.0, before.no_speech_prob or 0.0) > NO_SPEECH


def _has_time(word: Word) -> bool:
    return word.end - word.start >= SHORTEST_SAID


def _loop(words: Sequence[str]) -> tuple[int, int]:
    """Return where the loop that ends a text begins, and how many words its phrase has; (0, 0) if there is none.

    The last copy may be broken off. Of several phrases that fit ("no", "no no") the shortest is taken.
    """
    for period in range(1, min(LONGEST_PHRASE, len(words) // FEWEST_COPIES) + 1):
        start = len(words) - period
        while start > 0 and words[start - 1] == words[start - 1 + period]:
            start -= 1
        if len(words) - start >= FEWEST_COPIES * period:
            return start, period
    return 0, 0


def _plain(word: str) -> str:
    return "".join(character for character in word.lower() if character.isalnum()) or word
