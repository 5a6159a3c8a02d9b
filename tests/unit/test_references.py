"""References of known speakers: what a request may bring, and what is answered where it brings something else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.waiting import on_server
from whisperx_api.api import references, requests
from whisperx_api.api.errors import ApiError
from whisperx_api.api.parts import Parts
from whisperx_api.api.references import MAX_BYTES, MOST, NAMES, REFERENCES, Reference
from whisperx_api.engine import decoder
from whisperx_api.options import KnownSpeaker, Options
from whisperx_api.transcript import SAMPLE_RATE


def data_url(data: bytes, kind: str = "audio/wav") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@pytest.fixture
def read(client: TestClient) -> Callable[[Sequence[str], Sequence[str]], tuple[Reference, ...]]:
    """Read references with the parts of an app, as its endpoints do."""

    def run(names: Sequence[str], sent: Sequence[str]) -> tuple[Reference, ...]:
        found: list[tuple[Reference, ...]] = []

        async def call(parts: Parts) -> None:
            found.append(await references.read(parts, names, sent))

        on_server(client, call)
        return found[0]

    return run


def refused(read: Callable, names: Sequence[str], sent: Sequence[str]) -> tuple[HTTPStatus, str | None, str]:
    with pytest.raises(ApiError) as error:
        read(names, sent)
    return error.value.status, error.value.param, error.value.detail


def test_references_are_decoded_and_named_by_their_hash(read, tone, tmp_path: Path) -> None:
    first, second = tone(2.0, "a.wav", rate=48000, channels=2).read_bytes(), tone(10.0, "b.wav").read_bytes()
    found = read([" Ann ", "Bob"], [data_url(first), data_url(second, "audio/x-wav;codecs=1")])
    assert [one.speaker for one in found] == [
        KnownSpeaker("Ann", hashlib.sha256(first).hexdigest()),
        KnownSpeaker("Bob", hashlib.sha256(second).hexdigest()),
    ]
    sounds = [np.frombuffer(one.sound, np.float32) for one in found]
    assert [len(sound) / SAMPLE_RATE for sound in sounds] == pytest.approx([2.0, 10.0], abs=0.05)
    assert [float(sound.std()) for sound in sounds] == pytest.approx([0.244, 0.173], abs=0.01)  # FFmpeg mixes so
    assert list((tmp_path / "data" / "uploads").iterdir()) == []
    assert read([], []) == ()


@pytest.mark.parametrize(
    ("names", "count", "param"),
    [
        (["Ann"], 0, REFERENCES),
        ([], 1, NAMES),
        (["Ann", "Bob"], 1, REFERENCES),
        ([" "], 1, NAMES),
        (["A\nnn"], 1, NAMES),
        (["x" * 101], 1, NAMES),
        (["Ann", "Ann "], 2, NAMES),
        ([f"n{index}" for index in range(MOST + 1)], MOST + 1, NAMES),
    ],
)
def test_wrong_names_are_a_400_that_names_the_field(read, names, count, param) -> None:
    assert refused(read, names, [data_url(bytes(index)) for index in range(count)])[:2] == (400, param)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("", "must be a data URL"),
        ("https://example.org/a.wav", "must be a data URL"),
        ("data:audio/wav,plain", "must be a data URL"),
        ("data:audio/wav;base64,$$$$", "must be base64"),
        ("data:audio/wav;base64,abc", "must be base64"),
        ("data:text/plain;base64,aGVsbG8=", "must be audio, not text/plain"),
        ("data:audio/wav;base64,", "the file is empty"),
        (data_url(b"hello " * 500), "can't be read"),
        ("data:audio/wav;base64," + "A" * (MAX_BYTES * 4 // 3 + 8), "at most 8 MiB"),
    ],
)
def test_what_is_no_recording_is_a_400_that_says_what_to_send(read, tmp_path: Path, sent, said) -> None:
    status, param, detail = refused(read, ["Ann"], [sent])
    assert (status, param) == (400, REFERENCES)
    assert detail.startswith(f"{REFERENCES} (1)") and said in detail
    assert list((tmp_path / "data" / "uploads").iterdir()) == []


@pytest.mark.parametrize("seconds", [1.2, 10.4, 30.0])
def test_reference_of_another_length_is_a_400_that_says_how_long_it_is(read, tone, seconds) -> None:
    good, bad = tone(3.0, "good.wav").read_bytes(), tone(seconds, "bad.wav").read_bytes()
    status, param, detail = refused(read, ["Ann", "Bob"], [data_url(good), data_url(bad)])
    assert (status, param) == (400, REFERENCES)
    assert detail == f"{REFERENCES} (2) must be 2 to 10 s long, and it is {seconds:.1f} s."


def test_the_same_reference_twice_is_a_400(read, tone) -> None:
    sent = data_url(tone(2.0).read_bytes())
    assert refused(read, ["Ann", "Bob"], [sent, sent])[:2] == (400, REFERENCES)


def test_killed_decoder_is_no_fault_of_the_reference(read, tone, monkeypatch: pytest.MonkeyPatch) -> None:
    async def killed(*args: object, **kwargs: object) -> None:
        raise decoder.DecoderDied("the decoder process ended with status -9 before it was done")

    monkeypatch.setattr(decoder, "decode", killed)
    assert refused(read, ["Ann"], [data_url(tone(2.0).read_bytes())])[0] == 503


def test_known_speakers_are_part_of_what_makes_two_requests_the_same() -> None:
    ann, other = KnownSpeaker("Ann", "00"), KnownSpeaker("Ann", "01")
    prints = {
        requests.fingerprint(requests.Wanted(replace(Options(), known_speakers=known)), "ff")
        for known in ((), (ann,), (other,), (replace(ann, name="Bob"),))
    }
    assert len(prints) == 4
