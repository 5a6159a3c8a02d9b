"""Temperature fallback: what beam search fails at is decoded again by sampling, ever more freely.

Radford et al. 2022 (arXiv 2212.04356), section 4.5, with its thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from whisperx_api.pipeline.whisper import Hypothesis

TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)
HIGHEST_COMPRESSION_RATIO = 2.4
"""Above it a text repeats itself as speech seldom does."""
LOWEST_AVG_LOGPROB = -1.0
"""Below it a text is a guess."""
NO_SPEECH = 0.6
"""Above it a guess is taken for silence."""


def is_repetitive(hypothesis: Hypothesis) -> bool:
    """Whether the text repeats itself as speech seldom does."""
    return hypothesis.compression_ratio > HIGHEST_COMPRESSION_RATIO


def is_guess(hypothesis: Hypothesis) -> bool:
    """Whether the model finds its own text unlikely."""
    return hypothesis.avg_logprob < LOWEST_AVG_LOGPROB


def is_silence(hypothesis: Hypothesis) -> bool:
    """Whether the chunk holds no speech: the text is a guess, and nobody seems to speak."""
    return is_guess(hypothesis) and hypothesis.no_speech_prob > NO_SPEECH


def fall_back(
    hypotheses: Sequence[Hypothesis],
    again: Callable[[Sequence[int], float], Sequence[Hypothesis]],
    said: Callable[[Mapping[int, Hypothesis]], Collection[int]] = lambda repetitive: (),
) -> list[Hypothesis]:
    """Return the hypotheses of a batch, with those that fail replaced by better ones.

    `again(places, temperature)` decodes the chunks at these places anew. What passes the thresholds first is taken; of
    a chunk that never passes, the likeliest of all that was tried and does not repeat itself, or of all if everything
    does. `said(repetitive)` is given the hypotheses that repeat themselves by their places, and returns where the sound
    repeats itself as well: there a text that does not would be wrong.
    """
    tried = [[hypothesis] for hypothesis in hypotheses]
    repetitive = {place: hypothesis for place, hypothesis in enumerate(hypotheses) if is_repetitive(hypothesis)}
    right = said(repetitive) if repetitive else ()

    def fails(place: int) -> bool:
        last = tried[place][-1]
        return (is_guess(last) or (is_repetitive(last) and place not in right)) and not is_silence(last)

    failed = [place for place in range(len(tried)) if fails(place)]
    for temperature in TEMPERATURES:
        if not failed:
            break
        for place, hypothesis in zip(failed, again(failed, temperature), strict=True):
            tried[place].append(hypothesis)
        failed = [place for place in failed if fails(place)]
    return [_likeliest(some) if place in failed else some[-1] for place, some in enumerate(tried)]


def _likeliest(tried: Sequence[Hypothesis]) -> Hypothesis:
    fit = [hypothesis for hypothesis in tried if not is_repetitive(hypothesis)]
    return max(fit or tried, key=lambda hypothesis: hypothesis.avg_logprob)
