"""Whisper on a batch of chunks: sound to features to the encoder's output to text.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022, arXiv 2212.04356. Beam search is
that of whisperx's `generate_segment_batched`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import ctranslate2
import numpy as np
import torch
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from whisperx.audio import N_SAMPLES, log_mel_spectrogram

from whisperx_api.pipeline.attention import Chunk, word_times
from whisperx_api.pipeline.logprobs import token_logprobs
from whisperx_api.transcript import TokenLogprob, Word

BEAM_SIZE = 5
BEST_OF = 5
"""Samples drawn at a temperature above 0, of which the likeliest is taken."""


@dataclass(frozen=True)
class Hypothesis:
    """What was decoded from one chunk: `tokens` of its text, and what `transcript.Segment` keeps of decoding."""

    text: str
    tokens: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float


@dataclass(frozen=True)
class Prompt:
    """What the decoder is given before the text: in which language to write, and after what."""

    tokenizer: Tokenizer
    tokens: tuple[int, ...]

    @property
    def language(self) -> str:
        """Whisper's code."""
        return self.tokenizer.language_code


class EncodedBatch:
    """Chunks that were encoded together: any of them can be decoded again or aligned without being encoded again."""

    def __init__(
        self,
        model: WhisperModel,
        encoder_output: ctranslate2.StorageView,
        chunks: Sequence[Chunk],
        prompts: Sequence[Prompt],
        suppressed: Sequence[int] = (-1,),
    ) -> None:
        """`encoder_output` has shape (n_chunks, n_frames, n_state); there is a prompt for each chunk.

        `suppressed` are the ids of tokens that must not come, -1 for the model's own list.
        """
        self._model = model
        self._encoder_output = encoder_output
        self.chunks = chunks
        self.prompts = prompts
        self._suppressed = list(suppressed)

    def decode(self, places: Sequence[int], temperature: float) -> list[Hypothesis]:
        """Decode the chunks at `places`: by beam search at temperature 0, else the likeliest of `BEST_OF` samples."""
        search = {"beam_size": BEAM_SIZE}
        if temperature:
            search = {
                "beam_size": 1, "num_hypotheses": BEST_OF, "sampling_topk": 0, "sampling_temperature": temperature,
            }  # fmt: skip
        prompts = [self.prompts[place] for place in places]
        results = self._model.model.generate(
            self._rows(places),
            [list(prompt.tokens) for prompt in prompts],  # ctranslate2 takes prompts of several languages in a batch
            max_length=self._model.max_length,
            suppress_tokens=self._suppressed,
            return_scores=True,
            return_no_speech_prob=True,
            **search,
        )
        return [
            _hypothesis(prompt.tokenizer, result, temperature) for prompt, result in zip(prompts, results, strict=True)
        ]

    def words(self, heard: Mapping[int, Hypothesis]) -> dict[int, tuple[Word, ...]]:
        """Return the words of what was heard at each place, with their times from cross-attention (seconds)."""
        words: dict[int, tuple[Word, ...]] = {}
        for places in self._by_language(heard):
            found = word_times(
                self._model, self.prompts[places[0]].tokenizer, self._rows(places),
                [heard[place].tokens for place in places], [self.chunks[place] for place in places],
            )  # fmt: skip
            words.update(zip(places, found, strict=True))
        return words

    def logprobs(self, heard: Mapping[int, Hypothesis]) -> dict[int, tuple[TokenLogprob, ...]]:
        """Return the log-probability of each token of what was heard at each place, given the sound and those before.

        The decoder reads the text once more for it, without the prompt: beam search keeps only that of the whole.
        """
        logprobs: dict[int, tuple[TokenLogprob, ...]] = {}
        for places in self._by_language(heard):
            found = token_logprobs(
                self._model, self.prompts[places[0]].tokenizer, self._rows(places),
                [heard[place].tokens for place in places],
            )  # fmt: skip
            logprobs.update(zip(places, found, strict=True))
        return logprobs

    def _by_language(self, heard: Mapping[int, Hypothesis]) -> Iterable[list[int]]:
        """Return the places in groups of one language: alignment takes one at a time."""
        groups: dict[str, list[int]] = {}
        for place in heard:
            groups.setdefault(self.prompts[place].language, []).append(place)
        return groups.values()

    def _rows(self, places: Sequence[int]) -> ctranslate2.StorageView:
        """Return the encoder's output of some chunks. It passes through the host's memory unless it is that of all."""
        if list(places) == list(range(len(self.chunks))):
            return self._encoder_output
        output = self._encoder_output.to(ctranslate2.DataType.float32)  # exact, and numpy knows no bfloat16
        if output.device != "cpu":
            output = output.to_device(ctranslate2.Device.cpu)
        return ctranslate2.StorageView.from_array(np.asarray(output)[list(places)])


def encode(model: WhisperModel, pieces: Sequence[np.ndarray]) -> ctranslate2.StorageView:
    """Encode stretches of sound, float32 at 16 kHz, each padded or cut to 30 s; shape = (n_pieces, 1500, n_state)."""
    features = [
        log_mel_spectrogram(
            torch.from_numpy(np.array(piece[:N_SAMPLES])),  # a copy of 2 MB: the map may be read-only
            n_mels=model.model.n_mels,
            padding=N_SAMPLES - min(len(piece), N_SAMPLES),
        )
        for piece in pieces
    ]
    return model.encode(torch.stack(features).numpy())


def _hypothesis(
    tokenizer: Tokenizer, result: ctranslate2.models.WhisperGenerationResult, temperature: float
) -> Hypothesis:
    ids = result.sequences_ids[0]
    tokens = tuple(token for token in ids if token < tokenizer.eot)
    text = tokenizer.decode(list(tokens)).strip()
    return Hypothesis(
        text=text,
        tokens=tokens,
        avg_logprob=result.scores[0] * len(ids) / (len(ids) + 1),  # the mean counts the end of text
        no_speech_prob=result.no_speech_prob,
        compression_ratio=compression_ratio(text),
        temperature=temperature,
    )


def compression_ratio(text: str) -> float:
    """Return how often the text repeats itself: its bytes over the bytes that zlib makes of them."""
    written = text.encode()
    return len(written) / len(zlib.compress(written))


def token_starts(tokenizer: Tokenizer, tokens: Sequence[int], text: str) -> tuple[int, ...]:
    """Return for each token the character of `text`, which they decode to, that its first visible character is in.

    Whisper's tokens are bytes: one character may take several of them, which all begin where it does.
    """
    pieces, groups = tokenizer.split_tokens_on_unicode(list(tokens))
    starts: list[int] = []
    position = -(len(whole) - len(whole.lstrip())) if (whole := "".join(pieces)) else 0  # `text` is stripped
    for piece, group in zip(pieces, groups, strict=True):
        first = position + len(piece) - len(piece.lstrip())
        starts.extend([min(max(first, 0), len(text))] * len(group))
        position += len(piece)
    return (*starts, *[len(text)] * (len(tokens) - len(starts)))  # the bytes of a character that broke off
