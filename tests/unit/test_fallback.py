"""Temperature fallback: which chunks are decoded again, and what is kept of them."""

from __future__ import annotations

from collections.abc import Sequence

from whisperx_api.pipeline.fallback import TEMPERATURES, fall_back, is_silence
from whisperx_api.pipeline.whisper import Hypothesis, compression_ratio


def heard(text: str = "Fine.", logprob: float = -0.3, ratio: float = 1.5, no_speech: float = 0.1, at: float = 0.0):
    return Hypothesis(text, (), logprob, no_speech, ratio, at)


class Sampler:
    """Decodes again as scripted: `found` has for each place what comes at each temperature."""

    def __init__(self, **found: list[Hypothesis]) -> None:
        self.found = {int(place[1:]): iter(hypotheses) for place, hypotheses in found.items()}
        self.asked: list[tuple[list[int], float]] = []

    def __call__(self, places: Sequence[int], temperature: float) -> list[Hypothesis]:
        self.asked.append((list(places), temperature))
        return [next(self.found[place]) for place in places]


GUESS = heard("Um.", logprob=-1.01)
LOOP = heard("So so so so.", ratio=2.41)


def test_what_passes_is_kept_and_not_decoded_again() -> None:
    fine = [heard(logprob=-1.0), heard(ratio=2.4)]
    again = Sampler()
    assert fall_back(fine, again) == fine
    assert again.asked == []


def test_only_chunks_that_fail_are_decoded_again_each_until_it_passes() -> None:
    again = Sampler(p1=[LOOP, heard("Two.")], p2=[heard("Three.")])
    assert [some.text for some in fall_back([heard("One."), GUESS, LOOP], again)] == ["One.", "Two.", "Three."]
    assert again.asked == [([1, 2], 0.2), ([1], 0.4)]


def test_likeliest_is_kept_where_nothing_passes() -> None:
    worse = [heard(str(place), logprob=-1.5) for place in TEMPERATURES]
    assert fall_back([GUESS], Sampler(p0=worse)) == [GUESS]
    better = [*worse[:2], heard("Best.", logprob=-1.005), *worse[3:]]
    assert fall_back([GUESS], Sampler(p0=better))[0].text == "Best."


def test_text_that_does_not_repeat_itself_is_preferred_where_nothing_passes() -> None:
    samples = [LOOP, heard("Unlikely.", logprob=-1.4), LOOP, LOOP, LOOP]
    assert fall_back([LOOP], Sampler(p0=samples))[0].text == "Unlikely."
    assert fall_back([LOOP], Sampler(p0=[LOOP] * 5)) == [LOOP]


def test_repetition_that_is_in_the_sound_is_kept() -> None:
    again = Sampler(p1=[heard("One.")])
    assert [some.text for some in fall_back([LOOP, LOOP], again, lambda some: {0} & set(some))] == [LOOP.text, "One."]
    assert again.asked == [([1], 0.2)]


def test_guess_at_silence_is_not_decoded_again() -> None:
    silence = heard("you", logprob=-1.2, no_speech=0.61)
    assert is_silence(silence) and not is_silence(heard(no_speech=0.9)) and not is_silence(GUESS)
    assert fall_back([silence], Sampler()) == [silence]


def test_compression_ratio_tells_repetition_from_speech() -> None:
    speech = "And so my fellow Americans, ask not what your country can do for you, ask what you can do for it."
    assert compression_ratio(speech) < 1.6
    assert compression_ratio("and so my fellow Americans, " * 8) > 2.4
    assert compression_ratio("") == 0.0
