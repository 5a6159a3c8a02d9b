"""Forced alignment, on small models with random weights: equality with whisperx needs no trained ones."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import nltk
import numpy as np
import pytest
import torch
import torchaudio
import whisperx
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Model,
    Wav2Vec2Processor,
)
from whisperx.utils import LANGUAGES

from bench.punkt_tab import write_punkt_tab
from whisperx_api.models.alignment import BUNDLES, at_hand
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.pipeline.align import Aligner, from_attention, interpolated
from whisperx_api.pipeline.aligners import default_align_model, load_aligner
from whisperx_api.transcript import SAMPLE_RATE, Alignment, Segment, Transcription, Word

LATIN = "|etaonihsrdlumwcfgypbvk'xjqz"
TEXTS = {
    "en": [
        "Good morning, Dr. Steve. Have you tried it? It costs $3.50 (or 40 % more)!",
        "Hello",
        "And then — at once — it didn't.",
    ],
    "ja": ["今日は、いい天気です。", "本当"],
}
LABELS = {
    "en": ["<pad>", "<s>", "</s>", "<unk>", *LATIN],
    "ja": ["<pad>", "<s>", "</s>", "<unk>", "|", *"今日はい天気で本当"],
}


def silent(fraction: float) -> None:
    assert 0.0 <= fraction <= 1.0


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(int(seconds * SAMPLE_RATE)) * 0.1).astype(np.float32)


def spoken(texts: list[str], seconds: float = 8.0, language: str = "en") -> Transcription:
    """One chunk of `seconds` a text, with half a second between them."""
    segments = (
        Segment(index * (seconds + 0.5) + 0.123, index * (seconds + 0.5) + seconds, text, avg_logprob=-0.5)
        for index, text in enumerate(texts)
    )
    return Transcription(language, tuple(segments), "whisper")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder with a tiny Wav2Vec2ForCTC of random weights for each language."""
    folders = {}
    for language, labels in LABELS.items():
        folder = tmp_path_factory.mktemp(language)
        (folder / "vocab.json").write_text(json.dumps({label: index for index, label in enumerate(labels)}))
        torch.manual_seed(1)
        model = Wav2Vec2ForCTC(small(len(labels)))
        torch.nn.init.normal_(model.lm_head.weight, std=1.0)  # else every frame looks the same
        model.lm_head.bias.data[labels.index("<pad>")] = 8.0  # as in a trained model, the blank is often the likeliest
        model.save_pretrained(folder)
        tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
        Wav2Vec2Processor(Wav2Vec2FeatureExtractor(), tokenizer).save_pretrained(folder)
        folders[language] = folder
    return folders


def small(classes: int) -> Wav2Vec2Config:
    return Wav2Vec2Config(
        vocab_size=classes, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        conv_dim=(32,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4,
    )  # fmt: skip


@pytest.fixture
def punkt_tab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NLTK's files of the English model, which whisperx would fetch."""
    write_punkt_tab(tmp_path)
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])


def by_whisperx(
    transcription: Transcription, model: Any, kind: str, classes: dict[str, int], audio: np.ndarray
) -> list[dict]:
    segments = [{"start": part.start, "end": part.end, "text": part.text} for part in transcription.segments]
    metadata = {"language": transcription.language, "dictionary": classes, "type": kind}
    return whisperx.align(segments, model, metadata, audio, "cpu")["segments"]


def assert_same(alignment: Alignment, expected: list[dict]) -> None:
    words = [word for segment in alignment.segments for word in segment.words]
    theirs = [word for segment in expected for word in segment["words"]]
    assert [word.word for word in words] == [word["word"] for word in theirs]
    for name in ("start", "end", "score"):
        ours = [getattr(word, name) for word in words]
        np.testing.assert_allclose(ours, [float(word[name]) for word in theirs], atol=0.0011, err_msg=name)
    assert len({word.start for word in words}) > len(words) // 2, (
        "the model must tell words apart for this to mean much"
    )


@pytest.mark.parametrize("language", ["en", "ja"])
def test_words_are_those_of_whisperx_with_a_transformers_model(
    models: dict[str, Path], tmp_path: Path, language: str, punkt_tab: None
) -> None:
    audio, transcription = noise(30), spoken(TEXTS[language], language=language)
    aligner = load_aligner(str(models[language]), language, device="cpu", model_dir=tmp_path)
    alignment = aligner(audio, transcription, report=silent)
    model, metadata = whisperx.load_align_model(language, "cpu", str(models[language]))
    expected = by_whisperx(transcription, model, "huggingface", metadata["dictionary"], audio)
    assert_same(alignment, expected)
    if language == "en":
        assert [segment.text for segment in alignment.segments] == [segment["text"] for segment in expected]
    assert alignment.model == str(models[language])


def test_words_are_those_of_whisperx_with_a_torchaudio_model(punkt_tab: None) -> None:
    torch.manual_seed(2)
    model = torchaudio.models.wav2vec2_model(
        "group_norm", [(32, 10, 5)] + [(32, 3, 2)] * 4 + [(32, 2, 2)] * 2, False, 32, 0.0, 16, 4, 2, 2, 0.0, 64, 0.0,
        0.0, False, 0.0, 1 + len(LATIN),
    )  # fmt: skip
    assert isinstance(model.aux, torch.nn.Linear)
    torch.nn.init.normal_(model.aux.weight, std=1.0)
    classes = {label: index for index, label in enumerate("-" + LATIN)}
    audio, transcription = noise(30, seed=3), spoken(TEXTS["en"])
    alignment = Aligner("small", "en", model, classes, "cpu")(audio, transcription, report=silent)
    assert_same(alignment, by_whisperx(transcription, model.eval(), "torchaudio", classes, audio))


@pytest.fixture
def aligner(models: dict[str, Path], tmp_path: Path) -> Aligner:
    return load_aligner(str(models["en"]), "en", device="cpu", model_dir=tmp_path)


def test_chunks_become_sentences_that_keep_their_logprob(aligner: Aligner) -> None:
    alignment = aligner(noise(10), spoken(["One here. Two there."]), report=silent)
    assert [segment.text for segment in alignment.segments] == ["One here.", "Two there."]
    assert [segment.avg_logprob for segment in alignment.segments] == [-0.5, -0.5]
    assert alignment.segments[0].start == alignment.segments[0].words[0].start


def test_segment_in_another_language_keeps_its_words_and_its_sentences(aligner: Aligner) -> None:
    text = "Das gilt z.B. hier. Und dort."
    words = tuple(Word(word, 2 + index * 0.3, 2.2 + index * 0.3, 0.5) for index, word in enumerate(text.split()))
    german = Segment(2.0, 5.0, text, words, language="de")
    transcription = replace(spoken(["One here."]), segments=(*spoken(["One here."]).segments, german))
    english, *others = aligner(noise(10), transcription, report=silent).segments
    assert [word.word for word in english.words] == ["One", "here."]
    assert [segment.text for segment in others] == ["Das gilt z.B. hier.", "Und dort."]
    assert tuple(word for segment in others for word in segment.words) == words
    attended = from_attention(Transcription("en", (german,), "t"))
    assert [segment.text for segment in attended.segments] == ["Das gilt z.B. hier.", "Und dort."]


@pytest.mark.parametrize("text", ["2024 – 10.000", "你好", "|", "one two three " * 200])
def test_every_word_has_times_inside_its_chunk(aligner: Aligner, text: str) -> None:
    transcription = spoken([text.strip()], seconds=4.0)
    words = [word for part in aligner(noise(3.9), transcription, report=silent).segments for word in part.words]
    assert [word.word for word in words] == text.split()
    times = [time for word in words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[0] >= 0.123 and times[-1] <= 3.9


def test_text_too_long_for_its_sound_is_spread_over_it_without_scores(aligner: Aligner) -> None:
    chunk = Segment(1.0, 1.2, "far more letters than there are frames in it")
    (sentence,) = aligner(noise(3), Transcription("en", (chunk,), "t"), report=silent).segments
    assert (sentence.words[0].start, sentence.words[-1].end) == (1.0, 1.2)
    assert all(word.score is None for word in sentence.words)
    assert len({word.start for word in sentence.words}) == len(sentence.words)


@pytest.mark.parametrize(("start", "end"), [(1.0, 1.01), (2.99, 3.5), (5.0, 6.0)])
def test_chunk_at_an_edge_keeps_its_text(aligner: Aligner, start: float, end: float) -> None:
    chunk = Segment(start, end, "Yes.")
    (sentence,) = aligner(noise(3), Transcription("en", (chunk,), "t"), report=silent).segments
    assert sentence.text == "Yes."
    assert sentence.words[0].end <= 3.0 and sentence.words[0].start <= sentence.words[0].end


def test_empty_text_stays_empty(aligner: Aligner) -> None:
    chunk = Segment(0.0, 1.0, "")
    assert aligner(noise(3), Transcription("en", (chunk,), "t"), report=silent).segments == (chunk,)


def test_words_without_a_span_share_the_gap_by_length() -> None:
    found = interpolated(["a", "bb", "cccc", "d"], [(1.0, 2.0, 0.9), None, None, (8.0, 9.0, 0.8)], 0.0, 10.0)
    assert [(word.start, word.end, word.score) for word in found] == [
        (1.0, 2.0, 0.9), (2.0, 4.0, None), (4.0, 8.0, None), (8.0, 9.0, 0.8),
    ]  # fmt: skip
    assert interpolated(["a", "b"], [None, None], 2.0, 3.0)[1] == Word("b", 2.5, 3.0)


def test_progress_never_falls_and_a_raise_stops_the_work(aligner: Aligner) -> None:
    seen: list[float] = []
    aligner._emissions.padded_frames = 1  # a segment a batch
    aligner(noise(30), spoken(TEXTS["en"]), report=seen.append)
    assert seen == sorted(seen) and seen[-1] == 1.0 and len(seen) >= 3

    def cancel(fraction: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        aligner(noise(30), spoken(TEXTS["en"]), report=cancel)


def test_words_of_attention_are_cut_into_sentences() -> None:
    words = tuple(Word(text, index, index + 0.5, 0.7) for index, text in enumerate(["Yes.", "Oh", "no."]))
    chunk = Segment(0.0, 9.0, "Yes. Oh no.", words)
    alignment = from_attention(Transcription("en", (chunk,), "t"))
    assert [segment.text for segment in alignment.segments] == ["Yes.", "Oh no."]
    assert alignment.model == "attention"
    bare = Transcription("en", (replace(chunk, words=()),), "t")
    assert from_attention(bare) == Alignment(bare.segments, "")


def test_default_models_are_whisperx_own() -> None:
    assert default_align_model("en") == "WAV2VEC2_ASR_BASE_960H"
    assert default_align_model("nl") == "jonatasgrosman/wav2vec2-large-xlsr-53-dutch"
    assert [code for code in LANGUAGES if default_align_model(code) is None].count("sw") == 1


@pytest.mark.parametrize(
    "name", ["WAV2VEC2_ASR_BASE_960H", "somebody/wav2vec2-nowhere", "/no/such/folder", "WAV2VEC2_BASE"]
)
def test_model_that_is_not_here_is_named_with_what_to_do(name: str, tmp_path: Path) -> None:
    assert not at_hand(name, tmp_path)
    with pytest.raises(ModelUnavailable, match=f"{name} is not on this machine: run .whisperx-api models pull"):
        load_aligner(name, "en", device="cpu", model_dir=tmp_path, allow_download=False)


@pytest.mark.parametrize("name", ["WAV2VEC2_ASR_BASE_960H", "somebody/wav2vec2-nowhere"])
def test_no_network_is_told_within_seconds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nobody listens there
    started = time.monotonic()
    with pytest.raises(ModelUnavailable, match=name):
        load_aligner(name, "en", device="cpu", model_dir=tmp_path)
    assert time.monotonic() - started < 20
    assert not list(tmp_path.rglob("*.part"))


def test_bundle_is_fetched_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def stream(method: str, url: str, **options: object) -> object:
        asked.append(url)
        handler = httpx.MockTransport(lambda request: httpx.Response(200, content=b"no weights"))
        return httpx.Client(transport=handler).stream(method, url)

    monkeypatch.setattr(httpx, "stream", stream)
    for _ in range(2):  # what came is no model, which is said, and is not fetched again
        with pytest.raises(ModelUnavailable, match="WAV2VEC2_ASR_BASE_960H can't be loaded"):
            load_aligner("WAV2VEC2_ASR_BASE_960H", "en", device="cpu", model_dir=tmp_path)
    assert asked == ["https://download.pytorch.org/torchaudio/models/wav2vec2_fairseq_base_ls960_asr_ls960.pth"]
    assert at_hand("WAV2VEC2_ASR_BASE_960H", tmp_path)


def test_bundles_are_torchaudio_s_own() -> None:
    paths = {
        name: bundle._path
        for name, bundle in vars(torchaudio.pipelines).items()
        if isinstance(bundle, torchaudio.pipelines.Wav2Vec2ASRBundle) and name != "MMS_FA"  # for romanised text
    }
    assert paths == dict(BUNDLES)


def test_model_without_letters_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "pretrained"
    Wav2Vec2Model(small(len(LABELS["en"]))).save_pretrained(folder)
    for file in models["en"].glob("*.json"):
        if file.name != "config.json":
            (folder / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ModelUnavailable, match="no CTC model"):
        load_aligner(str(folder), "en", device="cpu", model_dir=tmp_path)
