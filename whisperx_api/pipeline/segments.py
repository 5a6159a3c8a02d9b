"""What was heard in a batch of chunks, as segments."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from whisperx_api.pipeline import fallback, repeats
from whisperx_api.pipeline.attention import Chunk
from whisperx_api.pipeline.sentences import cut_text
from whisperx_api.pipeline.whisper import EncodedBatch, Hypothesis, Prompt, token_starts
from whisperx_api.transcript import Segment, TokenLogprob, Word
from whisperx_api.words import word_starts

ENGLISH = "en"
FRAMES_PER_SECOND = 100
"""Whisper's features: one frame every 10 ms."""


def segments_of(
    batch: EncodedBatch,
    hypotheses: Sequence[Hypothesis],
    language: str,
    timed: Collection[str],
    *,
    logprobs: bool = False,
    translates: bool = False,
) -> list[Segment]:
    """Return the segments of a batch, a hypothesis a chunk; chunks without text are left out.

    `language` is the recording's main one; words of the languages `timed` get their times from cross-attention. With
    `logprobs` tokens have their log-probabilities; what `translates` is English.
    """
    heard = {
        place: hypothesis
        for place, hypothesis in enumerate(hypotheses)
        if hypothesis.text and not fallback.is_silence(hypothesis)
    }
    times_wanted = {
        place: hypothesis
        for place, hypothesis in heard.items()
        if batch.prompts[place].language in timed or fallback.is_repetitive(hypothesis)
    }
    words = batch.words(times_wanted)
    likely = batch.logprobs(heard) if logprobs else {}
    segments: list[Segment] = []
    for place, hypothesis in heard.items():
        prompt = batch.prompts[place]
        written = ENGLISH if translates else prompt.language
        segment = _segment(batch.chunks[place], hypothesis, prompt, words.get(place, ()), likely.get(place, ()))
        segments.append(
            replace(
                segment,
                words=segment.words if prompt.language in timed else (),
                language=written if written != language else None,
            )
        )
    return segments


def _segment(
    chunk: Chunk, hypothesis: Hypothesis, prompt: Prompt, words: tuple[Word, ...], logprobs: tuple[TokenLogprob, ...]
) -> Segment:
    """Return what was heard in a chunk, without repeats that nobody said."""
    segment = Segment(
        start=round(chunk.start, 3),
        end=round(chunk.end, 3),
        text=hypothesis.text,
        words=words,
        avg_logprob=hypothesis.avg_logprob,
        no_speech_prob=hypothesis.no_speech_prob,
        compression_ratio=hypothesis.compression_ratio,
        temperature=hypothesis.temperature,
        seek=int(chunk.start * FRAMES_PER_SECOND),
        tokens=hypothesis.tokens,
        token_starts=token_starts(prompt.tokenizer, hypothesis.tokens, hypothesis.text),
        logprobs=logprobs,
    )
    unsaid = repeats.first_unsaid(words) if fallback.is_repetitive(hypothesis) else None
    starts = word_starts(segment.text, words)
    if unsaid is None or starts is None:
        return segment
    return replace(cut_text(segment, 0, starts[unsaid]), words=words[:unsaid])
