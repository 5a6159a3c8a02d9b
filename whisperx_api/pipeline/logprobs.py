"""How likely each token of a text is to Whisper, and the bytes that it stands for.

Whisper's tokens are those of GPT-2: runs of bytes, each byte written as one printable character (Radford et al.,
"Language Models are Unsupervised Multitask Learners", 2019).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import ctranslate2
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer

from whisperx_api.transcript import TokenLogprob

FRAMES = 1500
"""Of the encoder, in half a minute."""
LEAST = 1e-30
"""A probability of nothing has no logarithm."""


def token_logprobs(
    model: WhisperModel,
    tokenizer: Tokenizer,
    encoder_output: ctranslate2.StorageView,
    tokens: Sequence[Sequence[int]],
) -> list[tuple[TokenLogprob, ...]]:
    """Return the natural log-probability of each token of each text, given the sound and the tokens before it.

    `encoder_output` has shape (n_texts, n_frames, n_state); `tokens` are the ids of the texts, without special ones.
    """
    if not tokens:
        return []
    found = model.model.align(
        encoder_output, tokenizer.sot_sequence, [list(ids) for ids in tokens], [FRAMES] * len(tokens)
    )
    return [
        tuple(
            TokenLogprob(token_bytes(tokenizer, token).hex(), round(math.log(max(probability, LEAST)), 4))
            for token, probability in zip(ids, result.text_token_probs, strict=False)  # the end of the text has one too
        )
        for ids, result in zip(tokens, found, strict=True)
    ]


def token_bytes(tokenizer: Tokenizer, token: int) -> bytes:
    """Return the bytes that a token stands for, which may be a part of a character."""
    written = tokenizer.tokenizer.id_to_token(token)
    return bytes(_bytes()[mark] for mark in written)


@cache
def _bytes() -> dict[str, int]:
    from transformers.models.gpt2.tokenization_gpt2 import bytes_to_unicode  # takes a second, and few ask for this

    return {mark: byte for byte, mark in bytes_to_unicode().items()}
