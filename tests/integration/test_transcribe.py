"""Speech to text with the starter model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import whisperx
from faster_whisper.tokenizer import Tokenizer
from whisperx.asr import FasterWhisperPipeline, find_numeral_symbol_tokens
from whisperx.vads import Pyannote

from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.options import Options, Task
from whisperx_api.pipeline import fallback, transcribe
from whisperx_api.pipeline.align import from_attention
from whisperx_api.pipeline.attention import Chunk, joined, plausible
from whisperx_api.pipeline.batching import batches
from whisperx_api.pipeline.crew import Crew
from whisperx_api.pipeline.decode import decode
from whisperx_api.pipeline.run import samples
from whisperx_api.pipeline.speech import Thresholds
from whisperx_api.pipeline.transcribe import Transcriber, english_only
from whisperx_api.pipeline.transcribers import load_transcriber
from whisperx_api.pipeline.voice_activity import as_tensor, speech_chunks
from whisperx_api.pipeline.whisper import compression_ratio, token_starts
from whisperx_api.transcript import SAMPLE_RATE, Segment, Transcription, Word

DEFAULTS = Options()
ENGLISH = Options(language="en")


@pytest.fixture(scope="module")
def transcriber(starter_dir: Path) -> Transcriber:
    return load_transcriber(starter_dir / "whisper", name="starter", device="cpu", compute_type="int8", workers=2)


@pytest.fixture(scope="module")
def sample(sample_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """pyannote's sample as the read-only memory map that a stage gets."""
    return samples(decode(sample_dir / "sample.wav", tmp_path_factory.mktemp("audio") / "sample.f32"))


def run(transcriber: Transcriber, audio: np.ndarray, options: Options = DEFAULTS, **choices: Any) -> Transcription:
    given: dict[str, Any] = {"batch_size": 1, "chunk_size": 30, **choices}
    given.setdefault("word_times", lambda language: False)
    given.setdefault("report", lambda fraction: None)
    return transcriber(audio, options, **given)


@pytest.fixture(scope="module")
def pipeline(starter_dir: Path) -> FasterWhisperPipeline:
    return whisperx.load_model(str(starter_dir / "whisper"), "cpu", compute_type="int8", threads=2, language="en")


@pytest.fixture(scope="module")
def expected(pipeline: FasterWhisperPipeline, sample: np.ndarray) -> list:
    """What whisperx hears in the sample: chunks of 6 s make several, all in one batch; this stage takes 1, 2, 4 …"""
    return pipeline.transcribe(np.array(sample), batch_size=16, chunk_size=6)["segments"]


@pytest.fixture(scope="module")
def one_by_one(transcriber: Transcriber, sample: np.ndarray) -> Transcription:
    """What two threads hear in the sample, chunk by chunk."""
    return run(transcriber, sample, ENGLISH, chunk_size=6)


def assert_is_that_of_whisperx(result: Transcription, expected: list) -> None:
    assert len(expected) > 3
    assert [segment.text for segment in result.segments] == [segment["text"].strip() for segment in expected]
    assert [segment.start for segment in result.segments] == [segment["start"] for segment in expected]
    logprobs = [segment.avg_logprob or 0.0 for segment in result.segments]
    np.testing.assert_allclose(logprobs, [segment["avg_logprob"] for segment in expected], atol=1e-4)


def test_text_is_whisperx_own(transcriber: Transcriber, sample: np.ndarray, expected: list) -> None:
    assert_is_that_of_whisperx(run(transcriber, sample, ENGLISH, batch_size=16, chunk_size=6), expected)


def test_text_of_chunks_one_by_one_is_whisperx_own(one_by_one: Transcription, expected: list) -> None:
    assert_is_that_of_whisperx(one_by_one, expected)


def test_numerals_are_those_of_whisperx(transcriber: Transcriber) -> None:
    tokenizer = Tokenizer(transcriber._model.hf_tokenizer, multilingual=False)
    assert transcriber._numerals == find_numeral_symbol_tokens(tokenizer) != []


@pytest.fixture(scope="module")
def greeting(sample: np.ndarray) -> np.ndarray:
    """The part of the sample in which names are said."""
    return sample[6 * SAMPLE_RATE : 16 * SAMPLE_RATE]


@pytest.fixture(scope="module")
def unbiased(transcriber: Transcriber, greeting: np.ndarray) -> tuple[Segment, ...]:
    """What is heard there without prompt or hotwords."""
    return run(transcriber, greeting, ENGLISH).segments


@pytest.mark.parametrize("name", ["prompt", "hotwords"])
def test_prompt_and_hotwords_are_given_as_whisperx_gives_them(
    transcriber: Transcriber,
    pipeline: FasterWhisperPipeline,
    greeting: np.ndarray,
    unbiased: tuple[Segment, ...],
    name: str,
) -> None:
    bias = "Diane and Sheela, Chicagoe"
    biased = run(transcriber, greeting, replace(ENGLISH, **{name: bias})).segments
    before = pipeline.options
    pipeline.options = replace(before, **{"initial_prompt" if name == "prompt" else name: bias})
    expected: list = pipeline.transcribe(np.array(greeting), batch_size=1)["segments"]
    pipeline.options = before
    assert [segment.text for segment in biased] == [segment["text"].strip() for segment in expected]
    assert [segment.text for segment in biased] != [segment.text for segment in unbiased]


def test_words_progress_and_segments_come_as_they_are_made(transcriber: Transcriber, sample: np.ndarray) -> None:
    seen: list[float] = []
    came: list[Segment] = []
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="The given NumPy array is not writable")
        result = run(
            transcriber, sample, word_times=lambda language: language == "en", report=seen.append,
            on_segment=came.append, batch_size=2, chunk_size=10,
        )  # fmt: skip
    assert result.language == "en" and result.model == "starter" and result.warnings == ()
    assert came == [replace(segment, language="en") for segment in result.segments]
    assert seen == sorted(seen) and seen[0] < 0.1 and seen[-1] == 1.0 and len(seen) >= 4
    for segment in result.segments:
        assert " ".join(word.word for word in segment.words) == segment.text
        times = [time for word in segment.words for time in (word.start, word.end)]
        assert times == sorted(times) and segment.start <= times[0] and times[-1] <= segment.end
        assert all(word.end > word.start and word.score is not None and 0 < word.score <= 1 for word in segment.words)
    assert_kept_from_decoding(transcriber, result)


def assert_kept_from_decoding(transcriber: Transcriber, result: Transcription) -> None:
    """Every segment says how it was decoded; its tokens are those of its text, also once it is cut into sentences."""
    tokenizer = Tokenizer(transcriber._model.hf_tokenizer, True, "transcribe", "en")
    for segment in result.segments:
        assert segment.temperature == 0.0 and segment.seek == int(segment.start * 100)
        assert segment.no_speech_prob is not None and 0 < segment.no_speech_prob < 0.5
        assert segment.compression_ratio == compression_ratio(segment.text)
    sentences = from_attention(result).segments
    assert len(sentences) > len(result.segments)
    for sentence in sentences:
        assert tokenizer.decode(list(sentence.tokens)).strip() == sentence.text
    cut = [token for sentence in sentences for token in sentence.tokens]
    assert cut == [token for segment in result.segments for token in segment.tokens]


@pytest.mark.parametrize("audio_at_work", [0.0, 30.0], ids=["in voice activity", "between batches"])
def test_raise_in_report_stops_the_work(transcriber: Transcriber, sample: np.ndarray, audio_at_work: float) -> None:
    came: list[Segment] = []

    def report(fraction: float) -> None:
        if fraction > 0.0 and (came or not audio_at_work):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run(transcriber, sample, ENGLISH, report=report, on_segment=came.append, chunk_size=6)
    assert len(came) == (1 if audio_at_work else 0)


def test_first_text_comes_while_most_is_still_to_be_looked_through(
    transcriber: Transcriber, sample: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = transcriber._vad.vad_pipeline._segmentation
    infer, seen, seen_at, fractions = scores.infer, [], [], []
    monkeypatch.setattr(scores, "infer", lambda windows: seen.append(len(windows)) or infer(windows))
    audio = np.tile(sample, 6)

    def unheard(_audio: np.ndarray, _request: Any, chunks: Sequence[Chunk]) -> list[Segment]:
        return [Segment(chunk.start, chunk.end, f"from {chunk.start}") for chunk in chunks]

    # the first chunk is heard once its language is known; what is said in those after it is not the point
    monkeypatch.setattr(transcriber, "_decode", unheard)
    result = run(
        transcriber, audio, report=fractions.append, on_segment=lambda _: seen_at.append(sum(seen)), batch_size=4,
        chunk_size=10,
    )  # fmt: skip
    every = 2 * len(audio) // SAMPLE_RATE
    assert result.language == "en" and len(seen_at) == len(result.segments) > 12
    assert seen_at[0] < 0.6 * every < every - 10 < seen_at[-1]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and len(set(fractions)) > 15


@pytest.fixture(scope="module")
def call(sample: np.ndarray) -> np.ndarray:
    """Somewhat more than 80 s."""
    return np.tile(sample, 3)[: 80 * SAMPLE_RATE + 1234]


@pytest.fixture(scope="module")
def scores(transcriber: Transcriber, call: np.ndarray) -> Any:
    """How much of it is speech, as whisperx has it."""
    return transcriber._vad.vad_pipeline({"waveform": torch.from_numpy(call)[None], "sample_rate": SAMPLE_RATE})


@pytest.mark.parametrize("chunk_size", [5.0, 30.0])
def test_chunks_are_whisperx_own_and_come_early(
    transcriber: Transcriber, call: np.ndarray, scores: Any, chunk_size: float
) -> None:
    thresholds, done, came = Thresholds(DEFAULTS.vad_onset, DEFAULTS.vad_offset), [], []
    for chunks in speech_chunks(transcriber._vad, call, thresholds, Crew(2), chunk_size=chunk_size, report=done.append):
        came += [(done[-1], chunk) for chunk in chunks]
    expected: list = Pyannote.merge_chunks(scores, chunk_size, onset=thresholds.onset, offset=thresholds.offset)
    end = len(call) / SAMPLE_RATE
    assert [(chunk.start, chunk.end) for _, chunk in came] == [(one["start"], min(one["end"], end)) for one in expected]
    assert [chunk.speech for _, chunk in came][:-1] == [tuple(one["segments"]) for one in expected][:-1]
    assert done == sorted(done) and done[0] == 0.0 and done[-1] == 1.0
    for fraction, chunk in came:
        assert fraction * end < chunk.end + chunk_size + 25.0


def test_translation_has_no_word_times(transcriber: Transcriber, sample: np.ndarray) -> None:
    def never(language: str) -> bool:
        raise AssertionError("not asked for a translation")

    options = Options(language="en", task=Task.TRANSLATE)
    result = run(transcriber, sample[: 12 * SAMPLE_RATE], options, word_times=never)
    assert result.segments and all(segment.words == () for segment in result.segments)


@pytest.mark.parametrize("options", [Options(), Options(language="de")])
@pytest.mark.parametrize("length", [0, 100, 5 * SAMPLE_RATE])
def test_silence_has_no_segments(transcriber: Transcriber, options: Options, length: int) -> None:
    seen: list[float] = []
    result = run(transcriber, np.zeros(length, dtype=np.float32), options, report=seen.append)
    assert result.segments == ()
    assert result.language == (options.language or "en")
    assert seen[-1] == 1.0


def test_speech_below_the_threshold_asked_for_is_not_decoded(transcriber: Transcriber, sample: np.ndarray) -> None:
    spoken = sample[8 * SAMPLE_RATE : 12 * SAMPLE_RATE]
    assert len(run(transcriber, spoken, ENGLISH).segments) == 1
    assert run(transcriber, spoken, replace(ENGLISH, vad_onset=1.0)).segments == ()


def test_prompt_longer_than_whisper_reads_is_cut_with_a_warning(
    transcriber: Transcriber, sample: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback, "TEMPERATURES", ())  # such a prompt makes Whisper repeat itself at any of them
    options = Options(language="en", prompt="a lot of words " * 200, hotwords="more of them " * 100)
    result = run(transcriber, sample[: 12 * SAMPLE_RATE], options)
    assert len(result.warnings) == 1 and "223 tokens" in result.warnings[0]


def test_language_that_the_model_lacks_is_detected_with_a_warning(transcriber: Transcriber, sample: np.ndarray) -> None:
    result = run(transcriber, sample[: 12 * SAMPLE_RATE], Options(language="yue"))
    assert result.language == "en"
    assert result.warnings == ("The model starter does not know language yue: it was detected.",)
    known, warned = transcriber._languages(Options(languages=("en", "yue")))
    assert known == ("en",) and warned == ["The model starter does not know language yue: it was left out."]


def test_model_that_knows_only_english_says_so(transcriber: Transcriber, sample: np.ndarray) -> None:
    assert english_only("base.en", Options(language="en")) == []
    options = Options(language="de", task=Task.TRANSLATE)
    ignored, transcribed = english_only("base.en", options)
    assert "language de was ignored" in ignored and "can't translate" in transcribed
    model: Any = SimpleNamespace(model=SimpleNamespace(is_multilingual=False))
    result = run(Transcriber("base.en", model, transcriber._vad), np.zeros(0, dtype=np.float32), options)
    assert result.language == "en" and len(result.warnings) == 3


def test_incomplete_model_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"small is not complete .*models pull small"):
        load_transcriber(tmp_path, name="small", device="cpu", compute_type="int8", workers=1)


def sizes(found: Sequence[Sequence[Chunk]], batch_size: int, side_by_side: int = 1) -> list[int]:
    return [len(batch) for batch in batches(found, batch_size, side_by_side) if batch]


def test_batches_grow_to_the_size_asked_for() -> None:
    chunks = [Chunk(index, index + 1, ()) for index in range(20)]
    assert sizes([chunks], 6) == [1, 2, 4, 6, 6, 1]
    assert [chunk for batch in batches([chunks], 6) for chunk in batch or ()] == chunks
    assert sizes([chunks[:2]], 1) == [1, 1]


def test_batches_side_by_side_share_the_size_and_end_together() -> None:
    chunks = [Chunk(index, index + 1, ()) for index in range(30)]
    assert sizes([chunks], 12, side_by_side=2) == [1, 2, 4, 6, 6, 6, 3, 1, 1]
    assert [chunk for batch in batches([chunks], 12, side_by_side=2) for chunk in batch or ()] == chunks
    assert sizes([chunks], 4, side_by_side=16) == [1] * 30


@pytest.mark.parametrize("side_by_side", [1, 2, 4])
def test_batches_are_the_same_however_the_chunks_come_and_none_waits_for_more_than_it_needs(side_by_side: int) -> None:
    chunks = [Chunk(index, index + 1, ()) for index in range(30)]
    expected = [batch for batch in batches([chunks], 12, side_by_side) if batch]
    one_by_one = list(batches([[chunk] for chunk in chunks], 12, side_by_side))
    assert [batch for batch in one_by_one if batch] == expected
    assert one_by_one[0] == chunks[:1] and one_by_one.count(None) == 30
    # the two after the first one are a batch once the others beside it have their part too
    assert one_by_one.index(chunks[1:3]) == side_by_side + 2


def test_threads_hear_the_same(starter_dir: Path, one_by_one: Transcription, sample: np.ndarray) -> None:
    alone = load_transcriber(starter_dir / "whisper", name="starter", device="cpu", compute_type="int8", workers=1)
    heard_alone = run(alone, sample, ENGLISH, chunk_size=6)
    assert [(part.start, part.end, part.text) for part in one_by_one.segments] == [
        (part.start, part.end, part.text) for part in heard_alone.segments
    ]


def test_batch_that_does_not_fit_is_halved_for_good(
    transcriber: Transcriber, sample: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = Transcriber("starter", transcriber._model, transcriber._vad)
    sizes: list[int] = []

    def crowded(_audio: np.ndarray, _request: Any, chunks: Sequence[Chunk]) -> list[Segment]:
        sizes.append(len(chunks))
        if len(chunks) > room:
            raise RuntimeError("CUDA failed with error out of memory")
        return [Segment(chunk.start, chunk.end, f"from {chunk.start}") for chunk in chunks]

    monkeypatch.setattr(alone, "_decode", crowded)
    room = 16
    expected = run(alone, sample, ENGLISH, batch_size=16, chunk_size=3)
    assert max(sizes) > 2
    sizes.clear()
    room = 2
    found = run(alone, sample, ENGLISH, batch_size=16, chunk_size=3)
    assert len(found.segments) > 7 and found.segments == expected.segments
    assert sizes[:5] == [1, 2, 4, 2, 2] and max(sizes[5:], default=0) <= 2
    room = 0
    with pytest.raises(RuntimeError, match="out of memory"):
        run(alone, sample, ENGLISH, batch_size=16, chunk_size=3)


def test_tensor_shares_a_read_only_map(sample: np.ndarray) -> None:
    assert not sample.flags.writeable
    tensor = as_tensor(sample)
    assert tensor.data_ptr() == sample.ctypes.data
    assert float(tensor[5000]) == float(sample[5000])


def test_word_after_a_pause_does_not_swallow_it() -> None:
    chunk = Chunk(0.0, 10.0, ((0.0, 1.2), (8.0, 10.0)))
    words = [Word("one", 0.0, 0.3), Word("two", 0.3, 0.6), Word("three", 0.6, 8.9), Word("four", 8.9, 9.2)]
    times = {word.word: (word.start, word.end) for word in plausible(words, chunk)}
    assert times["one"] == (0.04, 0.34)
    assert times["three"][0] > 8.3 and times["three"][1] == 8.94


def test_word_over_a_silence_stays_in_the_speech_it_has_most_of() -> None:
    chunk = Chunk(0.0, 4.0, ((0.0, 1.0), (1.5, 4.0)))
    before, after = plausible([Word("some", 0.2, 1.3), Word("more", 1.3, 2.2)], chunk)
    assert before.end == 1.0 and after.start == 1.5


def test_words_without_room_keep_order_inside_the_chunk() -> None:
    chunk = Chunk(2.0, 2.06, ())
    words = plausible([Word("a", 2.06, 2.06), Word("b", 2.06, 2.06), Word("c", 2.06, 2.06)], chunk)
    assert [(word.start, word.end) for word in words] == [(2.0, 2.02), (2.02, 2.04), (2.04, 2.06)]
    assert plausible([], chunk) == ()


def pieces(*found: tuple[str, float, float]) -> list[dict]:
    """What `find_alignment` returns: each piece as one token of probability 0.5."""
    return [{"word": text, "tokens": [1], "start": start, "end": end, "probability": 0.5} for text, start, end in found]


def test_words_are_as_written_and_silent_marks_take_no_time() -> None:
    found = pieces(
        (' "', 0.0, 1.0), ("Real", 1.0, 1.2), ("-time", 1.2, 1.5), (".", 1.5, 2.0), (" l", 2.0, 2.1), ("'", 2.1, 2.2),
        ("équipe", 2.2, 2.6), (" 100", 2.6, 3.0), ("%", 3.0, 3.4), (" -", 3.4, 3.5), (" so", 3.5, 3.6), (",", 3.6, 4.0),
    )  # fmt: skip
    assert [(word.word, word.start, word.end) for word in joined(found, 10.0, spaced=True)] == [
        ('"Real-time.', 11.0, 11.5), ("l'équipe", 12.0, 12.6), ("100%", 12.6, 13.4), ("-", 13.4, 13.5),
        ("so,", 13.5, 13.6),
    ]  # fmt: skip


def test_marks_join_words_that_no_space_parts() -> None:
    found = pieces(
        ("「", 0.0, 0.1), ("今日は", 0.1, 0.5), ("、", 0.5, 0.6), ("雨", 0.6, 0.9), ("。", 0.9, 1.0), ("」", 1.0, 1.1),
        ("ก", 1.1, 1.2), ("ั", 1.2, 1.3),
    )  # fmt: skip
    assert [(word.word, word.start, word.end) for word in joined(found, 0.0, spaced=False)] == [
        ("「今日は、", 0.1, 0.5), ("雨。」", 0.6, 0.9), ("กั", 1.1, 1.3),
    ]  # fmt: skip


def test_words_of_japanese_are_whole_characters(transcriber: Transcriber) -> None:
    tokenizer = Tokenizer(transcriber._model.hf_tokenizer, True, "transcribe", "ja")
    tokens = tokenizer.encode("齟齬を来す。")
    words, _ = tokenizer.split_to_word_tokens(tokens)
    assert words == ["齟", "齬", "を", "来", "す", "。"] and len(tokens) > len(words)


@pytest.mark.parametrize("text", [" Grüße aus Köln, ok?", "齟齬を来す。", " 🙂 yes", "x"])
def test_tokens_begin_where_their_text_does(transcriber: Transcriber, text: str) -> None:
    tokenizer = Tokenizer(transcriber._model.hf_tokenizer, True, "transcribe", "de")
    tokens, written = tokenizer.encode(text), text.strip()
    starts = token_starts(tokenizer, tokens, written)
    assert len(starts) == len(tokens) and starts[0] == 0 and list(starts) == sorted(starts)
    for cut in set(starts) - {0}:
        before = [token for token, start in zip(tokens, starts, strict=True) if start < cut]
        assert tokenizer.decode(before).strip() == written[:cut].strip()
    broken = [*tokenizer.encode(" ok"), *tokenizer.encode(" 🙂")[:-1]]
    assert token_starts(tokenizer, broken, "ok \ufffd")[0] == 0 and len(token_starts(tokenizer, broken, "ok")) == 3


def decoded(
    transcriber: Transcriber, sounds: Sequence[np.ndarray], options: Options = ENGLISH, timed: bool = False
) -> list[Segment]:
    """Decode stretches of sound as one batch of chunks."""
    ends = (np.cumsum([len(sound) for sound in sounds]) / SAMPLE_RATE).tolist()
    chunks = [Chunk(start, end, ((start, end),)) for start, end in zip([0.0, *ends], ends, strict=False)]
    languages = (options.language,) if options.language else options.languages
    request = transcriber._request(options, languages[0], languages, lambda language: timed, [])
    return transcriber._decode(np.concatenate(sounds), request, chunks)


class Generator:
    """Whisper as ctranslate2 has it, with a note of how many chunks were decoded at which temperature."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.calls: list[tuple[int, float]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def generate(self, features: Any, prompts: list, **options: Any) -> Any:
        self.calls.append((len(prompts), options.get("sampling_temperature", 0.0)))
        return self.model.generate(features, prompts, **options)


@pytest.fixture
def generator(transcriber: Transcriber, monkeypatch: pytest.MonkeyPatch) -> Generator:
    spy = Generator(transcriber._model.model)
    monkeypatch.setattr(transcriber._model, "model", spy)
    return spy


def test_only_what_beam_search_fails_at_is_decoded_again_and_gets_no_worse(
    transcriber: Transcriber, sample: np.ndarray, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # speech backwards is as hard as speech gets
    sounds = [sample[8 * SAMPLE_RATE : 10 * SAMPLE_RATE], sample[16 * SAMPLE_RATE : 26 * SAMPLE_RATE][::-1]]
    clear, hard = decoded(transcriber, sounds)
    assert generator.calls[:2] == [(2, 0.0), (1, 0.2)]
    monkeypatch.setattr(fallback, "TEMPERATURES", ())
    same, beam = decoded(transcriber, sounds)
    assert clear == same
    assert (beam.avg_logprob or 0.0) < fallback.LOWEST_AVG_LOGPROB
    assert (hard.avg_logprob or -9.0) >= (beam.avg_logprob or 0.0)
    assert (hard.compression_ratio or 9.0) <= fallback.HIGHEST_COMPRESSION_RATIO


def test_temperature_asked_for_is_the_only_one(
    transcriber: Transcriber, sample: np.ndarray, generator: Generator
) -> None:
    (segment,) = decoded(transcriber, [sample[8 * SAMPLE_RATE : 10 * SAMPLE_RATE]], replace(ENGLISH, temperature=0.4))
    assert generator.calls == [(1, 0.4)] and segment.temperature == 0.4
    assert "hello" in segment.text.lower()


def test_phrase_repeated_in_the_sound_is_kept_as_it_is(
    transcriber: Transcriber, sample: np.ndarray, generator: Generator
) -> None:
    phrase = sample[8 * SAMPLE_RATE : int(9.6 * SAMPLE_RATE)]
    (segment,) = decoded(transcriber, [np.tile(phrase, 8)])
    assert segment.compression_ratio is not None and segment.compression_ratio > fallback.HIGHEST_COMPRESSION_RATIO
    assert segment.text.lower().count("i didn't know you were there") >= 4
    assert generator.calls == [(1, 0.0)]
    assert segment.words == ()  # their times were not asked for


def test_guess_at_silence_is_left_out(transcriber: Transcriber, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = (np.random.default_rng(0).standard_normal(3 * SAMPLE_RATE) * 0.05).astype(np.float32)
    assert decoded(transcriber, [noise]) == []
    monkeypatch.setattr(fallback, "is_silence", lambda hypothesis: False)
    assert len(decoded(transcriber, [noise])) == 1


def test_the_same_word_over_silence_is_kept_once(transcriber: Transcriber, monkeypatch: pytest.MonkeyPatch) -> None:
    silence = np.zeros(3 * SAMPLE_RATE, dtype=np.float32)
    assert [segment.text for segment in decoded(transcriber, [silence] * 2)] == ["you", "you"]
    chunks = [Chunk(float(start), start + 1.0, ()) for start in range(3)]
    monkeypatch.setattr(transcribe, "speech_chunks", lambda *given, **options: iter([chunks]))
    assert [segment.text for segment in run(transcriber, silence, ENGLISH, batch_size=2).segments] == ["you"]
