"""Forms as strangers send them: the same comes out however their bytes are cut, within the limits of memory."""

from __future__ import annotations

import asyncio
import itertools
import tracemalloc
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import corpus, fuzzed, kept
from whisperx_api.api.errors import ApiError
from whisperx_api.api.multipart import BUFFER, MAX_FIELD, OVERHEAD, Form, Rules, receive

LIMIT = 2000
RULES = Rules(lists=frozenset({"names"}), longest={"long": 100_000}, room=0)
KIND = "multipart/form-data; boundary=B"
MIB = 1024**2


@dataclass(frozen=True)
class Answer:
    """What came of a form: itself and the file's bytes, or the status and the sentence of an error."""

    form: Form | None = None
    content: bytes = b""
    status: int = 0
    detail: str = ""


def received(chunks: Iterable[bytes], folder: Path, limit: int = LIMIT, kind: str = KIND) -> Answer:
    """Read a form that comes in pieces."""

    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    target = folder / uuid.uuid4().hex
    try:
        form = asyncio.run(receive(body(), kind, target, limit, RULES))
        return Answer(form, target.read_bytes())
    except ApiError as error:
        return Answer(status=error.status, detail=error.detail)
    finally:
        target.unlink(missing_ok=True)


def cut(data: bytes, places: Iterable[int]) -> Iterator[bytes]:
    """Cut bytes at some places."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return (data[start:end] for start, end in itertools.pairwise(edges))


# --- forms ---

NAMES = st.sampled_from(["file", "language", "names", "names[]", "long", "prompt", "", 'a\\"b', "ü", "x" * 300])
CONTENT = st.one_of(
    st.binary(max_size=80),
    st.lists(st.sampled_from([b"\r\n", b"--B", b"\r\n--B", b"\r\n--", b"\r", b"\n", b"-", b"B", b"y"])).map(b"".join),
    st.integers(0, 2500).map(lambda length: b"y" * length),
)  # fmt: skip
HEADERS = st.lists(
    st.sampled_from([
        b"Content-Type: audio/wav", b"X: y", b"X:", b": y", b"X", b"content-disposition: form-data", b"\xff: 1",
        b"A B: c",
        b"Content-Transfer-Encoding: base64", b"X: " + b"z" * 5000, b"Y" * 5000 + b": z", b"folded: a\r\n b",
    ]),
    max_size=2,
)  # fmt: skip


@st.composite
def parts(draw: st.DrawFn) -> bytes:
    """A part of a form, right or wrong in some way."""
    name = draw(NAMES).encode()
    disposition = b'Content-Disposition: form-data; name="' + name + b'"'
    if draw(st.integers(0, 2)) == 0:
        disposition += draw(st.sampled_from([
            b'; filename="a.wav"', b"; filename*=utf-8''%C3%A4", b'; filename=""', b"; filename=a;b", b'; filename="',
            b'; filename="a\0b"', b"; filename*=none''x",
        ]))  # fmt: skip
    lines = [disposition, *draw(HEADERS)]
    return b"--B\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + draw(CONTENT) + b"\r\n"


@st.composite
def forms(draw: st.DrawFn) -> bytes:
    """A form, and what may go wrong with it on its way."""
    before = draw(st.sampled_from([b"", b"", b"", b"\r\n", b"preamble\r\n", b"\r\n\r\nx", b"\n"]))
    after = draw(st.sampled_from([b"--B--\r\n", b"--B--\r\n", b"--B--", b"--B--\r\nepilogue", b"--B", b""]))
    data = bytearray(before + b"".join(draw(st.lists(parts(), max_size=4))) + after)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        if data:
            at = draw(st.integers(0, len(data) - 1))
            data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


@fuzzed(80)
@given(data=forms(), places=st.lists(st.integers(0, 20_000), max_size=8))
def test_same_comes_out_however_a_form_is_cut(tmp_path: Path, data: bytes, places: list[int]) -> None:
    with kept("multipart", data):
        check_cuts(tmp_path, data, places)


def test_what_has_found_something_finds_nothing_more(tmp_path: Path) -> None:
    for path in corpus("multipart"):
        data = path.read_bytes()
        for place in range(len(data)):
            check_cuts(tmp_path, data, [place])


def check_cuts(folder: Path, data: bytes, places: list[int]) -> None:
    whole = received([data], folder)
    assert whole.form is not None or whole.status in (400, 413)
    assert received(cut(data, places), folder) == whole
    assert received((data[at : at + 1] for at in range(len(data))), folder) == whole


VALUES = st.text(max_size=40).filter(lambda text: "\r\n--B" not in text)


@fuzzed(60)
@given(
    fields=st.dictionaries(st.sampled_from(["language", "prompt", "task", "x"]), VALUES),
    names=st.lists(VALUES, max_size=4),
    content=st.binary(max_size=300).filter(lambda content: b"\r\n--B" not in content),
    places=st.lists(st.integers(0, 5000), max_size=5),
)
def test_right_form_is_read_as_it_was_written(tmp_path: Path, fields, names, content, places) -> None:
    def part(disposition: str, value: bytes) -> bytes:
        return f"--B\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + value + b"\r\n"

    written = [part(f'name="{name}"', value.encode()) for name, value in fields.items()]
    written.insert(len(written) // 2, part('name="file"; filename="a.wav"', content))
    written += [
        part('name="names[]"' if index % 2 else 'name="names"', name.encode()) for index, name in enumerate(names)
    ]
    data = b"".join(written) + b"--B--\r\n"
    with kept("multipart", data):
        answer = received(cut(data, places), tmp_path)
        assert answer.form is not None, answer
        assert (answer.form.fields, answer.content, answer.form.size) == (fields, content, len(content))
        assert answer.form.lists.get("names", []) == names
        assert answer.form.filename == "a.wav"


# --- limits ---

HEAD = b'--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'
FILE = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
BLOCK = b"a" * 65536


def endless(block: bytes, *before: bytes) -> Iterator[bytes]:
    return itertools.chain(before, itertools.repeat(block))


ENDLESS = {
    "name of a header": lambda: endless(BLOCK, b"--B\r\n"),
    "value of a header": lambda: endless(BLOCK, b"--B\r\nX: "),
    "headers": lambda: endless(b"X: y\r\n" * 1000, b"--B\r\n"),
    "long headers": lambda: endless(b"X: " + b"y" * 3000 + b"\r\n", b"--B\r\n"),
    "field": lambda: endless(BLOCK, HEAD % b"prompt"),
    "long field": lambda: endless(BLOCK, HEAD % b"long"),
    "fields": lambda: (HEAD % b"f%d" % index + b"x" * 60_000 + b"\r\n" for index in itertools.count()),
    "values of a list": lambda: endless(HEAD % b"names[]" + b"x" * 60_000 + b"\r\n"),
    "lines before": lambda: endless(b"\r\n" * 30_000),
    "text before": lambda: endless(BLOCK, b"preamble"),
    "text after": lambda: endless(BLOCK, FILE + b"x\r\n--B--\r\n"),
    "padding": lambda: endless(b" " * 65536, FILE + b"x\r\n--B"),
    "file": lambda: endless(BLOCK, FILE),
    "file of boundaries": lambda: endless(b"\r\n--" * 16_000, FILE),
    "name of a field": lambda: endless(BLOCK, b'--B\r\nContent-Disposition: form-data; name="'),
}
"""Forms of which something does not end."""
WELL_FORMED = ("file", "file of boundaries", "text after")
"""Those that are read up to the limit of a recording: nothing is wrong with them before."""


@pytest.mark.parametrize("what", ENDLESS)
def test_form_that_does_not_end_is_refused_within_the_limits(tmp_path: Path, what: str) -> None:
    limit, read = 32 * MIB, 0

    def counted() -> Iterator[bytes]:
        nonlocal read
        for chunk in ENDLESS[what]():
            read += len(chunk)
            yield chunk

    tracemalloc.start()
    try:
        answer = received(counted(), tmp_path, limit)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status in (400, 413), answer
    assert answer.detail.isprintable() and len(answer.detail) < 300
    assert read <= (RULES.most(limit) + len(BLOCK) if what in WELL_FORMED else 4 * MIB)
    assert peak < 3 * BUFFER + 2 * OVERHEAD, f"{peak / MIB:.1f} MiB"


def test_fields_have_so_much_room_in_all(tmp_path: Path) -> None:
    part = b'--B\r\nContent-Disposition: form-data; name="names"\r\n\r\n' + b"x" * MAX_FIELD + b"\r\n"
    some, many = (received([part] * count + [b"--B--\r\n"], tmp_path, 4 * MIB) for count in (16, 17))
    assert some.form is not None and many.status == 400 and "1 MiB in all" in many.detail


@fuzzed(60)
@given(kind=st.text(st.characters(max_codepoint=255), max_size=60).map(lambda text: "multipart/form-data; " + text))
def test_content_type_is_taken_or_refused(tmp_path: Path, kind: str) -> None:
    with kept("multipart", kind.encode("latin-1")):
        answer = received([FILE + b"x\r\n--B--\r\n"], tmp_path, kind=kind)
        assert answer.form is not None or answer.status == 400
