"""Sentence ends, and cutting a decoded chunk into its sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from whisperx_api.pipeline.sentences import cut_at_words, sentence_spans, split_sentences, split_untimed
from whisperx_api.transcript import Segment, TokenLogprob, Word, joined


def sentences(text: str, language: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text, language)]


def chunk(text: str, words: Sequence[str]) -> Segment:
    """A chunk whose n-th word lasts from n to n + 0.8 seconds."""
    timed = tuple(Word(word, float(index), index + 0.8, 0.9) for index, word in enumerate(words))
    return Segment(0.0, 30.0, text, timed, avg_logprob=-0.3)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Dr. Smith went home. He was tired.", ["Dr. Smith went home.", "He was tired."]),
        ("en", "He paid 3.50 dollars. Why?", ["He paid 3.50 dollars.", "Why?"]),
        ("de", "Das ist z.B. ein Satz. Und noch einer.", ["Das ist z.B. ein Satz.", "Und noch einer."]),
        ("fr", "Bonjour. Je m'appelle Éric.", ["Bonjour.", "Je m'appelle Éric."]),
        ("el", "Τι κάνεις; Καλά.", ["Τι κάνεις;", "Καλά."]),
        ("zh", "今天天气很好。你去哪里？我回家！", ["今天天气很好。", "你去哪里？", "我回家！"]),
        ("ja", "「行きます。」と言った。本当？", ["「行きます。」", "と言った。", "本当？"]),
        ("yue", "你好。食咗飯未？", ["你好。", "食咗飯未？"]),
        ("hi", "यह एक कलम है। वह किताब है।", ["यह एक कलम है।", "वह किताब है।"]),
        ("ar", "كيف حالك؟ أنا بخير.", ["كيف حالك؟", "أنا بخير."]),
        ("my", "မင်္ဂလာပါ။ နေကောင်းလား။", ["မင်္ဂလာပါ။", "နေကောင်းလား။"]),
        ("sw", "Habari gani? Nzuri sana.", ["Habari gani?", "Nzuri sana."]),
        ("en", "", []),
        ("en", "no end at all", ["no end at all"]),
    ],
)
def test_sentences_end_where_the_language_ends_them(language: str, text: str, expected: list[str]) -> None:
    assert sentences(text, language) == expected


def test_models_are_those_of_whisperx() -> None:
    from whisperx import utils

    from whisperx_api.pipeline.sentences import PUNKT_MODELS

    assert PUNKT_MODELS == utils.PUNKT_LANGUAGES


def test_chunk_is_cut_into_sentences_with_their_own_times() -> None:
    text = "Hello there. How are you? Fine."
    first, second, third = split_sentences(chunk(text, text.split()), "en")
    assert [first.text, second.text, third.text] == ["Hello there.", "How are you?", "Fine."]
    assert (first.start, first.end) == (0.0, 1.8)
    assert (second.start, second.end) == (2.0, 4.8)
    assert (third.start, third.end) == (5.0, 5.8)
    assert [word.word for word in second.words] == ["How", "are", "you?"]
    assert third.avg_logprob == -0.3


def test_tokens_go_with_the_text_they_are_of() -> None:
    text = "Hello there. How are you?"
    #                     Hello, there, "." | How, are, you, "?"
    starts = (0, 6, 11, 13, 17, 21, 24)
    segment = replace(chunk(text, text.split()), tokens=(1, 2, 3, 4, 5, 6, 7), token_starts=starts, temperature=0.2)
    first, second = split_sentences(segment, "en")
    assert (first.tokens, first.token_starts) == ((1, 2, 3), (0, 6, 11))
    assert (second.tokens, second.token_starts) == ((4, 5, 6, 7), (0, 4, 8, 11))
    assert first.temperature == second.temperature == 0.2
    left, right = cut_at_words(second, [1], "en")  # a change of speaker inside the sentence
    assert (left.tokens, right.tokens, right.token_starts) == ((4,), (5, 6, 7), (0, 4, 7))


def test_a_single_sentence_takes_the_times_of_its_words() -> None:
    (only,) = split_sentences(chunk("Hello there", ["Hello", "there"]), "en")
    assert (only.start, only.end) == (0.0, 1.8)


def test_text_without_spaces_is_cut_without_adding_any() -> None:
    parts = split_sentences(chunk("你好。再见！", ["你", "好。", "再见！"]), "zh")
    assert [part.text for part in parts] == ["你好。", "再见！"]
    assert [len(part.words) for part in parts] == [2, 1]


def test_spaces_inside_a_language_without_them_are_kept() -> None:
    parts = cut_at_words(chunk("สวัสดี ครับ ผม", ["สวัสดี", "ครับ", "ผม"]), [2], "th")
    assert [part.text for part in parts] == ["สวัสดี ครับ", "ผม"]


def test_a_word_over_a_sentence_end_stays_whole() -> None:
    parts = split_sentences(chunk("So。Then", ["So。Then"]), "zh")
    assert [part.text for part in parts] == ["So。Then"]


def test_chunk_without_words_is_left_as_it_is() -> None:
    segment = Segment(0.0, 30.0, "One. Two.")
    assert split_sentences(segment, "en") == (segment,)


@pytest.mark.parametrize(("language", "text"), [("en", "b c"), ("ja", "bc")])
def test_words_that_are_not_in_the_text_are_joined_as_the_language_writes(language: str, text: str) -> None:
    parts = cut_at_words(replace(chunk("something else", ["a", "b", "c"]), tokens=(1, 2)), [1], language)
    assert [part.text for part in parts] == ["a", text]
    assert [part.tokens for part in parts] == [(), ()]


def test_text_without_words_is_cut_into_sentences_with_times_by_length() -> None:
    text = "Mr. Smith came. He went!"  # sentences at 0..15 and 16..24 of 24
    first, second = split_untimed(Segment(10.0, 22.0, text, avg_logprob=-0.3, seek=1000, channel=1), "en")
    assert (first.text, first.start, first.end) == ("Mr. Smith came.", 10.0, 17.5)
    assert (second.text, second.start, second.end) == ("He went!", 18.0, 22.0)
    assert {(part.avg_logprob, part.seek, part.channel) for part in (first, second)} == {(-0.3, 1000, 1)}


def test_tokens_and_logprobs_go_with_sentences_without_words() -> None:
    logprobs = tuple(TokenLogprob("00", -float(number)) for number in range(6))
    # "Yes", "." | "Go", "on", "." and the bytes of a character that broke off
    whole = Segment(
        0.0, 3.0, "Yes. Go on.", tokens=(1, 2, 3, 4, 5, 6), token_starts=(0, 3, 5, 8, 10, 11), logprobs=logprobs
    )
    first, second = split_untimed(whole, "en")
    assert (first.tokens, first.token_starts, first.logprobs) == ((1, 2), (0, 3), logprobs[:2])
    assert (second.tokens, second.token_starts, second.logprobs) == ((3, 4, 5, 6), (0, 3, 5, 6), logprobs[2:])


@pytest.mark.parametrize(
    ("language", "text", "parts"),
    [
        ("en", "Well.  Two spaces. One space.\nA line.", 2),
        ("en", 'He said (so.) And went... on! "Did he?" Yes.', 4),
        ("ja", "はい。いいえ。 そうです。", 2),
        ("en", "no end at all", 1),
        ("en", "", 1),
    ],
)
def test_sentences_without_words_joined_are_the_text(language: str, text: str, parts: int) -> None:
    found = split_untimed(Segment(0.0, 30.0, text), language)
    assert len(found) == parts
    assert joined((part.text, language) for part in found) == text


def test_segment_with_words_has_no_estimated_times() -> None:
    text = "Hello there. How are you?"
    assert split_untimed(whole := chunk(text, text.split()), "en") == (whole,)
