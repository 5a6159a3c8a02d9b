"""What `whisperx-api transcribe` decides by itself: names of files, what is ready in a folder, what was sent before."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
import typer
from rich.console import Console

from whisperx_api.cli.console import end
from whisperx_api.cli.transcribe.asked import FLAGS, Asked, as_flags, check, formats_of
from whisperx_api.cli.transcribe.at_server import AtServer
from whisperx_api.cli.transcribe.batch import Batch
from whisperx_api.cli.transcribe.delivery import Delivery
from whisperx_api.cli.transcribe.failures import NotTranscribed, raise_for
from whisperx_api.cli.transcribe.here import Here
from whisperx_api.cli.transcribe.notes import Note, Notes, State
from whisperx_api.cli.transcribe.outputs import bases, fault, made, outputs, put
from whisperx_api.cli.transcribe.printing import json_for_stdout, shown_by_stdout
from whisperx_api.cli.transcribe.sent import DAY, SentTasks
from whisperx_api.cli.transcribe.showing import Bars, Lines, Row, Show
from whisperx_api.cli.transcribe.watching import Files, Folder, watch
from whisperx_api.cli.transcribe.ways import Transcribed
from whisperx_api.client import (
    ApiError,
    RecordingChanged,
    ServerUnreachable,
    TaskState,
    TaskStatus,
    UploadOptions,
    idempotency_key,
)
from whisperx_api.formats.writing import Format
from whisperx_api.jobs.job import Job
from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.settings import load_settings
from whisperx_api.storage.local import LocalStorage

SRT = (Format.SRT,)


# --- what is asked for ---


def test_formats_are_listed_or_told_by_the_name_of_the_file():
    assert formats_of("srt, vtt,SRT", None) == (Format.SRT, Format.VTT)
    assert formats_of(None, Path("a.TXT")) == (Format.TEXT,)
    assert formats_of("tsv", Path("a.txt")) == (Format.TSV,)
    assert formats_of(None, None) == ()
    for one in Format:
        [made] = outputs("k2", (one,), Path("out"))
        assert formats_of(None, made.path) == (one,)
    assert formats_of(None, Path("a.Verbose.JSON")) == (Format.VERBOSE_JSON,)


@pytest.mark.parametrize("wrong", ["docx", "srt,docx", "", ","])
def test_format_that_is_none_is_told(wrong: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(Exception) as caught:
        formats_of(wrong, None)
    assert getattr(caught.value, "exit_code", None) == 2
    assert "--format takes json, verbose_json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "recordings", "sentence"),
    [
        (Asked({}), 0, "Name recordings"),
        (Asked({}, (Format.SRT, Format.VTT)), 1, "--output-dir"),
        (Asked({}, SRT), 2, "--output-dir"),
        (Asked({}, SRT, output=Path("a.srt")), 2, "--output-dir"),
        (Asked({}, SRT, output=Path("a.srt"), output_dir=Path("out")), 1, "not to both"),
        (Asked({}, (Format.TSV,), {"max_line_width": 42}), 1, "for subtitles"),
        (Asked({}, SRT, as_json=True), 1, "leave one out"),
        (Asked({}, SRT, output=Path("a.srt"), as_json=True), 1, "leave one out"),
        (Asked({}, SRT, output=Path("none/a.srt")), 1, "there is no folder none"),
        (Asked({}, SRT, output=Path(f"{'a' * 252}.srt")), 1, "can't be written: File name too long"),
    ],
)
def test_what_does_not_go_together_is_told(asked, recordings, sentence, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(Exception) as caught:
        check(asked, recordings, None, None)
    assert getattr(caught.value, "exit_code", None) == 2
    assert sentence in capsys.readouterr().err


def test_recordings_and_a_folder_are_asked_for_one_at_a_time(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(Exception) as caught:
        check(Asked({}), 1, None, Path("inbox"))
    assert getattr(caught.value, "exit_code", None) == 2
    assert "with --watch: each goes without the others." in capsys.readouterr().err
    check(Asked({}, (Format.JSON,), as_json=True), 1, None, None)
    check(Asked({}, SRT, as_json=True, lines=True, output_dir=Path("out")), 1, None, None)


def test_every_field_of_an_upload_but_the_url_is_a_flag():
    assert set(FLAGS) == set(UploadOptions.__annotations__) - {"url"}


def test_sentences_about_fields_become_sentences_about_flags():
    assert as_flags("priority must be less than 10.") == "--priority must be less than 10."
    assert as_flags("num_speakers has no meaning with channels=separate: each.") == (
        "--speakers has no meaning with channels=separate: each."
    )
    assert as_flags("There is no model x.") == "There is no model x."


# --- files ---


def test_recordings_of_one_stem_never_share_a_file():
    paths = [Path(name) for name in ("a/one.wav", "a/one.mp3", "b/one.wav", "c/One.wav", "two.wav", "a/one.wav.mp3")]
    names = bases(paths, SRT)
    assert list(names.values()) == ["one", "one.mp3", "one.wav", "One.wav.2", "two", "one.wav.mp3"]
    assert len({name.casefold() for name in names.values()}) == len(paths)


JSONS = (Format.JSON, Format.VERBOSE_JSON, Format.DIARIZED_JSON)


@pytest.mark.parametrize("formats", [JSONS, JSONS[::-1], JSONS[:2], JSONS[1:]])
@pytest.mark.parametrize("names", [("meeting.wav", "meeting.verbose.wav"), ("Meeting.Diarized.wav", "meeting.wav")])
def test_recordings_called_as_formats_end_never_share_a_file(names: tuple[str, str], formats: tuple[Format, ...]):
    given = bases(map(Path, names), formats)
    files = [output.path.name.casefold() for base in given.values() for output in outputs(base, formats, Path())]
    assert len(set(files)) == 2 * len(formats)


def test_recording_has_its_stem_where_none_of_its_files_is_anothers():
    paths = [Path("meeting.wav"), Path("meeting.verbose.wav")]
    assert list(bases(paths, (Format.JSON,)).values()) == ["meeting", "meeting.verbose"]
    assert list(bases(paths, JSONS).values()) == ["meeting", "meeting.verbose.wav"]


def test_every_format_has_a_file_of_its_own(tmp_path: Path):
    paths = [output.path for output in outputs("call", Format, tmp_path)]
    assert len(set(paths)) == len(Format)
    assert {path.name for path in paths} >= {"call.txt", "call.json", "call.verbose.json", "call.srt"}


def test_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put(tmp_path / "a.txt", b"old")

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="full"):
        put(tmp_path / "a.txt", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.txt", b"old")]


def test_file_may_have_the_longest_name_that_there_is(tmp_path: Path):
    path = tmp_path / f"{'a' * 251}.txt"
    assert fault(path) is None
    put(path, b"new")
    assert path.read_bytes() == b"new"
    assert fault(tmp_path / f"{'a' * 252}.txt") and fault(tmp_path / "none" / "a.txt") and fault(tmp_path)


def test_what_cant_be_written_is_told_before_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    way = Scripted()
    work = Batch(way, Asked({}, SRT, output_dir=tmp_path), Lines(), several=True)
    planned = {Path(name): outputs(name, SRT, tmp_path) for name in ("bad", "b" * 255)}
    assert asyncio.run(work.all(planned, 2)) == 1
    assert way.tried == ["bad"] and "File name too long" in capsys.readouterr().err


def test_transcripts_are_made_when_all_are_there_and_new_enough(tmp_path: Path):
    wanted = outputs("a", (Format.SRT, Format.VTT), tmp_path)
    put(tmp_path / "a.srt", b"1")
    assert not made(wanted, 0)
    put(tmp_path / "a.vtt", b"1")
    assert made(wanted, time.time() - 60) and not made(wanted, time.time() + 60)


# --- a folder that is watched ---


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


def drop(folder: Path, name: str, content: bytes = b"sound", changed: float = 1000.0) -> Path:
    path = folder / name
    path.write_bytes(content)
    os.utime(path, (changed, changed))
    return path


def test_recording_is_taken_once_it_stays_the_same(inbox: Path):
    look = Folder(inbox, SRT, None, settle_seconds=2)
    call = drop(inbox, "call.wav", b"so")
    assert look.ready(10) == {}
    drop(inbox, "call.wav", b"sound")
    assert look.ready(12) == {} and look.ready(13.9) == {}
    assert look.ready(14) == {call: outputs("call", SRT, inbox)}
    assert look.ready(20) == {}, "it was taken"
    drop(inbox, "call.wav", b"other", changed=2000.0)
    assert look.ready(30) == look.ready(32) == {}, "it is at work"
    look.ended(call, has_transcript=False)
    assert list(look.ready(33)) == [call], "it is another now"


def test_what_is_no_recording_or_on_its_way_is_left_alone(inbox: Path):
    look = Folder(inbox, SRT, None, settle_seconds=1)
    for name in ("a.txt", "a.srt", ".b.wav", "~c.wav", "d.wav.part", "e.mp3.crdownload", "f.tmp"):
        drop(inbox, name)
    drop(inbox, "empty.wav", b"")
    (inbox / "folder.wav").mkdir()
    (inbox / "loop.wav").symlink_to("loop.wav")
    (inbox / "nowhere.wav").symlink_to("none.wav")
    wanted = [drop(inbox, "G.WAV"), drop(inbox, "h.mp4")]
    look.ready(0)
    assert sorted(look.ready(5)) == sorted(wanted)


def test_what_has_its_transcript_is_done_until_it_changes(inbox: Path, tmp_path: Path):
    drop(inbox, "call.wav")
    put(inbox / "call.srt", b"1")
    look = Folder(inbox, SRT, None, settle_seconds=0)
    assert look.ready(0) == {}
    later = time.time() + 3600
    drop(inbox, "call.wav", changed=later)
    assert len(look.ready(1)) == 1
    elsewhere = Folder(inbox, SRT, tmp_path, settle_seconds=0)
    assert list(elsewhere.ready(0).values()) == [outputs("call", SRT, tmp_path)]


def test_later_recording_of_the_same_stem_writes_over_nothing(inbox: Path):
    drop(inbox, "call.wav", changed=1000)
    look = Folder(inbox, SRT, None, settle_seconds=0)
    [[first]] = look.ready(0).values()
    put(first.path, b"1")
    drop(inbox, "call.mp3", changed=2000)
    [[second]] = look.ready(1).values()
    assert (first.path.name, second.path.name) == ("call.srt", "call.mp3.srt")
    put(second.path, b"2")
    os.utime(first.path, (1500, 1500))
    (inbox / "call.wav").unlink()
    assert Folder(inbox, SRT, None, settle_seconds=0).ready(2) == {}


def test_watched_recordings_called_as_formats_end_never_share_a_file(inbox: Path, tmp_path: Path):
    def watched() -> Folder:
        return Folder(inbox, JSONS[:2], None, 0, Notes(tmp_path / "cache", inbox, inbox))

    call, look = drop(inbox, "call.wav"), watched()
    assert sorted(transcribe(look, look.ready(0))) == ["call.json", "call.verbose.json"]
    drop(inbox, "call.verbose.wav")
    assert sorted(transcribe(look, look.ready(1))) == ["call.verbose.wav.json", "call.verbose.wav.verbose.json"]
    (inbox / "call.verbose.wav").unlink()
    call.unlink()
    drop(inbox, "call.verbose.mp3")
    look = watched()
    assert sorted(transcribe(look, look.ready(2))) == ["call.verbose.mp3.json", "call.verbose.mp3.verbose.json"]


@pytest.fixture
def watched(inbox: Path, tmp_path: Path) -> Callable[[], Folder]:
    """Begins to watch the folder, with what was remembered before."""
    return lambda: Folder(inbox, SRT, None, 0, Notes(tmp_path / "cache", inbox, inbox))


def transcribe(look: Folder, taken: Mapping[Path, Files]) -> list[str]:
    """Write the transcripts of what was taken, and return their names."""
    for path, files in taken.items():
        for output in files:
            put(output.path, f"of {path.name}".encode())
        look.ended(path, has_transcript=True)
    return [output.path.name for files in taken.values() for output in files]


@pytest.mark.parametrize("comes", ["at work", "done", "done before"])
def test_recording_keeps_its_transcripts_name_when_an_older_one_of_its_stem_comes(inbox, watched, comes: str):
    look = watched()
    first = drop(inbox, "call.mp3", changed=2000)
    if comes == "done before":
        put(inbox / "call.srt", b"of call.mp3")
    taken = look.ready(0)
    if comes == "done":
        assert transcribe(look, taken) == ["call.srt"]
    drop(inbox, "call.wav", changed=1000)
    assert transcribe(look, look.ready(1)) == ["call.wav.srt"]
    if comes == "at work":
        assert transcribe(look, taken) == ["call.srt"]
    assert look.ready(2) == watched().ready(3) == {}
    assert (inbox / "call.srt").read_bytes() == b"of call.mp3" and first.is_file()


def test_what_is_complete_while_a_part_of_it_is_transcribed_is_taken_again(inbox, watched):
    look = watched()
    call = drop(inbox, "call.wav", b"so")
    part = look.ready(0)
    drop(inbox, "call.wav", b"sound", changed=2000)
    assert look.ready(1) == {}, "one after the other"
    transcribe(look, part)  # which is newer than the recording now
    assert list(watched().ready(2)) == [call], "also by a watch that begins anew"
    whole = look.ready(3)
    assert transcribe(look, whole) == ["call.srt"]
    assert look.ready(4) == watched().ready(5) == {}


def test_transcript_is_of_its_recording_also_when_that_is_gone(inbox, watched):
    look = watched()
    first = drop(inbox, "call.mp3", changed=2000)
    transcribe(look, look.ready(0))
    first.unlink()
    other = drop(inbox, "call.wav", changed=1000)
    assert look.ready(1) == watched().ready(2) == {other: outputs("call.wav", SRT, inbox)}
    drop(inbox, "call.mp3", b"another", changed=500)
    assert watched().ready(3)[first] == outputs("call", SRT, inbox), "a new one in its place"
    first.unlink()
    (inbox / "call.srt").unlink()
    last = drop(inbox, "call.ogg", changed=2000)
    assert look.ready(4) == {last: outputs("call", SRT, inbox)}, "nothing is left of it"
    assert watched().ready(5)[other] == outputs("call", SRT, inbox)
    other.unlink()
    assert look.ready(6) == {}, "one that is at work has gone"


def test_time_that_is_given_less_finely_makes_no_other_recording(inbox, watched):
    look = watched()
    call = drop(inbox, "call.wav", changed=1000.7)
    transcribe(look, look.ready(0))
    for changed, another in ((1000.0, False), (997.0, True)):
        os.utime(call, (changed, changed))
        assert list(watched().ready(1)) == [call] * another


def test_notes_that_are_damaged_or_out_of_reach_are_no_fault(inbox: Path, tmp_path: Path):
    notes = Notes(tmp_path / "cache", inbox, inbox)
    noted = {os.fsdecode(b"caf\xe9.wav"): Note("caf", State(1, 2)), "b.wav": Note("b", State(3, 4))}
    notes.add(noted)
    [file] = (tmp_path / "cache" / "whisperx-api" / "watched").iterdir()
    assert file.parent.stat().st_mode & 0o777 == 0o700
    file.write_text(file.read_text() + '7\n{"name": "c.wav"}\n{"na')
    assert notes.read() == noted
    assert Notes(tmp_path / "cache", inbox, tmp_path).read() == {}
    (tmp_path / "file").touch()
    lost = Notes(tmp_path / "file", inbox, inbox)
    lost.add(noted)
    lost.write(noted)
    assert lost.read() == {}


def test_at_most_so_many_are_taken_at_once_and_the_rest_in_turn(inbox: Path):
    for name in "abcdef":
        drop(inbox, f"{name}.wav")
    at_work, most, tried = 0, 0, []

    async def take(path: Path, files: Files) -> NotTranscribed | None:
        nonlocal at_work, most
        tried.append(path.name)
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0.01)
        at_work -= 1
        return NotTranscribed("A key is needed.", 3, for_all=True) if len(tried) == 6 else None

    assert asyncio.run(watch(inbox, Folder(inbox, SRT, None, 0), take, at_once=2)) == 3
    assert most == 2 and sorted(tried) == [f"{name}.wav" for name in "abcdef"]


def test_what_nobody_foresaw_ends_a_watch(inbox: Path):
    drop(inbox, "a.wav")

    async def take(path: Path, files: Files) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        asyncio.run(watch(inbox, Folder(inbox, SRT, None, 0), take, at_once=1))


# --- what was sent ---


def test_sent_task_is_remembered_for_a_day_and_for_its_server(tmp_path: Path):
    sent = SentTasks(tmp_path, "http://one")
    sent.remember("key", "t1")
    assert sent.task("key") == "t1" and sent.task("other") is None
    assert SentTasks(tmp_path, "http://two").task("key") is None
    [file] = (tmp_path / "whisperx-api" / "sent").iterdir()
    assert "key" not in file.name and file.read_text() == "t1"
    assert file.parent.stat().st_mode & 0o777 == 0o700
    os.utime(file, (0, time.time() - DAY - 1))
    assert sent.task("key") is None
    sent.remember("new", "t2")
    assert not file.exists(), "what is older than a day goes"
    sent.forget("new")
    assert sent.task("new") is None


def test_what_cant_be_remembered_is_no_fault(tmp_path: Path):
    (tmp_path / "file").write_text("")
    sent = SentTasks(tmp_path / "file", "http://one")
    sent.remember("key", "t1")
    assert sent.task("key") is None
    good = SentTasks(tmp_path, "http://one")
    good.remember("key", "../../secret")
    assert good.task("key") is None


# --- what is shown ---


def status(**values) -> TaskStatus:
    return TaskStatus("t1", **{"status": TaskState.PROCESSING, **values})


def test_lines_tell_each_thing_once(capsys: pytest.CaptureFixture[str]):
    row = Lines().row("call.wav")
    row.sent(10, 100)
    row.status(status(status=TaskState.PENDING, queue_position=2))
    for progress in (1, 2, 3):
        row.status(status(message="Transcribing speech", progress=progress, eta_seconds=61.2))
    for _ in range(3):
        row.away(Exception())
    row.status(status(status=TaskState.COMPLETED, progress=100))
    assert capsys.readouterr().err.splitlines() == [
        "call.wav: waiting, 2 in line, 0 %",
        "call.wav: Transcribing speech, 1 %, 0:01:01 left",
        "call.wav: no answer, trying on",
    ]


def test_lines_tell_now_and_then_how_far_a_long_thing_is(capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setattr("whisperx_api.cli.transcribe.showing.LINE_SECONDS", 0)
    row = Lines().row("")
    row.sent(10, 100)
    row.status(status(message="Transcribing speech", progress=7))
    row.status(status(message="Transcribing speech", progress=8))
    assert capsys.readouterr().err.splitlines() == [
        "10 % sent", "Transcribing speech, 7 %", "Transcribing speech, 8 %",
    ]  # fmt: skip


ODD = "\x1b]0;mine\x07\x9b2J 10:b:20\tso\x7f\r\nnext"
SHOWN = "]0;mine2J 10:b:20\tso\nnext"
"""What would command a terminal, and what is left of it."""
LINE = SHOWN.replace("\n", " ")
"""The same in a line of progress, whose end would begin another recording's."""


def test_lines_command_no_terminal(capsys: pytest.CaptureFixture[str]):
    row = Lines().row(f"{ODD}.wav")
    row.say(ODD)
    row.status(status(message=ODD, progress=1))
    assert capsys.readouterr().err == f"{LINE}.wav: {LINE}\n{LINE}.wav: {LINE}, 1 %\n"


def test_bars_command_no_terminal(tmp_path: Path):
    with (tmp_path / "screen").open("w+", newline="") as screen:
        bars = Bars(Console(file=screen, force_terminal=True, color_system=None, width=100))
        with bars.progress:
            row = bars.row(f"{ODD}.wav")
            row.status(status(message=f"at {ODD}", progress=40))
            bars.progress.refresh()
            row.say(f"of {ODD}")
        screen.seek(0)
        drawn = screen.read()
    assert "\x1b]" not in drawn and "\x07" not in drawn and "\x9b" not in drawn and "\x7f" not in drawn
    assert "so next.wav" in drawn and "so next" in drawn.partition("of ]0;")[2].splitlines()[0]
    assert "of ]0;mine2J 10:b:20" in drawn, "and no picture is made of it"


def test_heading_of_a_transcript_is_one_line(capsys: pytest.CaptureFixture[str]):
    transcript: Any = {"language": "en", "segments": [], "speakers": [], "warnings": []}
    delivery = Delivery(Asked({}), Lines(), several=True)
    delivery.done(Path("a\n==> b.wav <==\nc.wav"), Transcribed("t1", transcript, {}), (), Lines().row(""))
    assert capsys.readouterr().out.splitlines() == ["==> a ==> b.wav <== c.wav <==", "", ""]


def test_bar_goes_with_its_recording(tmp_path: Path):
    bars = Bars(Console(file=io.StringIO(), force_terminal=True))
    with bars.progress:
        rows = [bars.row(f"{number}.wav") for number in range(3)]
        for row in rows[:2]:
            row.end()
        assert [task.fields["name"] for task in bars.progress.tasks] == ["2.wav"]


def test_database_that_fails_on_the_spot_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Desk:
        async def submit(self, job: Job) -> Job:
            raise StoreUnavailable("The database is full.")

    async def probe(*_: object) -> float:
        return 1.0

    monkeypatch.setattr("whisperx_api.engine.decoder.probe", probe)
    storage = LocalStorage(tmp_path / "tasks", tmp_path / "uploads")
    storage.prepare()
    served: Any = SimpleNamespace(desk=Desk(), devices=None)
    batch = Batch(Here(load_settings(), served, storage), Asked({}), Lines(), several=False)
    error = asyncio.run(batch.one(drop(tmp_path, "call.wav"), ()))
    assert error is not None and (str(error), error.code) == ("The database is full.", 1)


def test_sentence_at_the_end_commands_no_terminal(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(typer.Exit):
        end(ODD, 2)
    assert capsys.readouterr().err == f"{SHOWN}\n"


@pytest.mark.parametrize("asked", [Asked({}), Asked({}, (Format.TEXT,)), Asked({}, as_json=True)])
def test_transcript_commands_no_terminal_and_is_whole_in_a_pipe(asked: Asked, monkeypatch: pytest.MonkeyPatch):
    segment = {"id": 0, "start": 0, "end": 1, "text": ODD, "speaker": None, "words": []}
    transcript: Any = {"language": "en", "segments": [segment], "speakers": [], "warnings": []}
    for terminal in (True, False):
        written = io.BytesIO()
        stdout = io.TextIOWrapper(written, encoding="utf-8", newline="")
        monkeypatch.setattr(stdout, "isatty", lambda terminal=terminal: terminal)
        monkeypatch.setattr(sys, "stdout", stdout)
        row, made = Lines().row(""), Transcribed("t1", transcript, {Format.TEXT: ODD.encode()})
        Delivery(asked, Lines(), several=False).done(Path("call.wav"), made, (), row)
        stdout.flush()
        said = written.getvalue().decode()
        assert "mine" in said
        assert any(character in said for character in "\x1b\x07\x9b\x7f") is not terminal, said


def test_bars_show_bytes_then_stages(tmp_path: Path):
    with (tmp_path / "screen").open("w+") as screen:
        bars = Bars(Console(file=screen, force_terminal=True, width=100))
        with bars.progress:
            row = bars.row("call.wav")
            row.sent(5_000_000, 10_000_000)
            bars.progress.refresh()
            row.status(status(message="Transcribing [speech]", progress=40, eta_seconds=5))
            bars.progress.refresh()
            row.say("Task t1 [bold]")
            row.end()
        screen.seek(0)
        drawn = click.unstyle(screen.read())
    for shown in ("call.wav uploading", "50%", "5.0 of 10.0 MB", "Transcribing [speech]", "40%", "0:00:05 left",
                  "call.wav: Task t1 [bold]"):  # fmt: skip
        assert shown in drawn


# --- several ---


class Scripted:
    """Transcribes by script: a recording's name says what becomes of it."""

    def __init__(self) -> None:
        self.most = self.at_work = 0
        self.tried: list[str] = []

    async def transcribe(self, recording: Path, asked: Asked, row: Row) -> Transcribed:
        self.tried.append(recording.name)
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        await asyncio.sleep(0.01)
        self.at_work -= 1
        if recording.name.startswith("bad"):
            raise NotTranscribed("It is no audio.", 1, task_id="t1")
        if recording.name.startswith("short"):
            raise_for(RecordingChanged("It became shorter."), None)
        if recording.name.startswith("away"):
            raise NotTranscribed("Nobody answers.", 3, status="unreachable", for_all=True, passing=True)
        text = {"task_id": "t1", "language": "en", "segments": [], "speakers": [], "warnings": []}
        return Transcribed("t1", text)  # type: ignore[arg-type]  # as much of it as is looked at


def batch(way: Scripted, names: list[str], at_once: int = 2, **options) -> int:
    show: Show = Lines()
    work = Batch(way, Asked({}, as_json=True, lines=True), show, several=True, **options)
    return asyncio.run(work.all({Path(name): () for name in names}, at_once))


def test_others_go_on_when_one_fails_and_the_worst_code_counts(capsys: pytest.CaptureFixture[str]):
    way = Scripted()
    assert batch(way, ["a", "bad", "b", "c"]) == 1
    assert sorted(way.tried) == ["a", "b", "bad", "c"] and way.most == 2
    out, err = capsys.readouterr()
    assert out.count('"status": "completed"') == 3
    line = '{"file": "bad", "task_id": "t1", "status": "failed", "transcript": null, "error": "It is no audio."}'
    assert line in out
    assert "bad: It is no audio." in err


def test_recording_that_becomes_shorter_fails_alone(capsys: pytest.CaptureFixture[str]):
    way = Scripted()
    assert batch(way, ["short", "a", "b"], at_once=1) == 1
    assert way.tried == ["short", "a", "b"]
    assert '"status": "failed", "transcript": null, "error": "It became shorter."' in capsys.readouterr().out


def test_line_of_a_failure_has_its_files_which_are_none(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    work = Batch(Scripted(), Asked({}, SRT, output_dir=tmp_path, as_json=True, lines=True), Lines(), several=False)
    assert asyncio.run(work.all({Path("bad"): outputs("bad", SRT, tmp_path)}, 1)) == 1
    assert '"status": "failed", "outputs": [], "error": "It is no audio."' in capsys.readouterr().out


def test_recordings_of_one_name_are_told_apart(capsys: pytest.CaptureFixture[str]):
    batch(Scripted(), ["a/bad", "b/bad", "b/bad2"])
    assert [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()] == ["a/bad", "b/bad", "bad2"]


def test_what_is_so_for_all_is_not_tried_for_each(capsys: pytest.CaptureFixture[str]):
    way = Scripted()
    assert batch(way, ["away", "a", "b", "bad"], at_once=1) == 3
    assert way.tried == ["away"]
    assert "a: Not tried: Nobody answers." in capsys.readouterr().err


def test_who_is_patient_tries_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("whisperx_api.cli.transcribe.batch.PAUSE_SECONDS", 0.01)

    class Back(Scripted):
        async def transcribe(self, recording: Path, asked: Asked, row: Row) -> Transcribed:
            return await super().transcribe(Path("a") if len(self.tried) > 1 else recording, asked, row)

    way = Back()
    assert batch(way, ["away"], patient=True) == 0
    assert way.tried == ["away", "away", "a"]


def test_who_is_patient_waits_as_long_as_the_server_asks(monkeypatch: pytest.MonkeyPatch):
    waited: list[float] = []

    class Full(Scripted):
        async def transcribe(self, recording: Path, asked: Asked, row: Row) -> Transcribed:
            if not waited:
                raise_for(ApiError(429, "10 a minute.", retry_after=42), None)
            return await super().transcribe(recording, asked, row)

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("whisperx_api.cli.transcribe.batch.asyncio.sleep", wait)
    assert batch(Full(), ["a"], patient=True) == 0
    assert waited[0] == 42


@pytest.mark.parametrize("status_code", [408, 507])
def test_who_is_patient_waits_for_room_and_for_a_better_network(
    status_code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("whisperx_api.cli.transcribe.batch.PAUSE_SECONDS", 0.01)

    class Full(Scripted):
        async def transcribe(self, recording: Path, asked: Asked, row: Row) -> Transcribed:
            made = await super().transcribe(recording, asked, row)
            if len(self.tried) < 3:
                raise_for(ApiError(status_code, "Try again later."), None)
            return made

    assert batch(Full(), ["a"], patient=True) == 0
    assert capsys.readouterr().err.count("a: Try again later. Trying again in 0 s.") == 2
    assert batch(Full(), ["a"]) == 3, "who is not patient is told"


class Forgetful:
    """Makes a task for each key it has not heard, and may be away before its answer, or when the result is fetched."""

    def __init__(self, *away: str) -> None:
        self.away = list(away)
        self.tasks: dict[str, str] = {}

    def _answers(self, what: str) -> None:
        if self.away and self.away[0] == what:
            self.away.pop(0)
            raise ServerUnreachable("It hung up.")

    async def upload(self, recording: Path, *, idempotency_key: str, on_sent: Any) -> TaskStatus:
        task = self.tasks.setdefault(idempotency_key, f"t{len(self.tasks)}")
        self._answers("upload")
        return TaskStatus(task, TaskState.PENDING)

    async def wait(self, task_id: str, *_: object, **__: object) -> TaskStatus:
        return TaskStatus(task_id, TaskState.COMPLETED)

    async def result(self, task_id: str) -> Any:
        self._answers("result")
        return {"task_id": task_id, "language": "en", "segments": [], "speakers": [], "warnings": []}


@pytest.mark.parametrize("away", ["upload", "result"])
def test_recording_is_sent_anew_once_however_often_it_is_tried(
    away: str, inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("whisperx_api.cli.transcribe.batch.PAUSE_SECONDS", 0.01)
    server: Any = Forgetful(away, away)
    way = AtServer(server, SentTasks(tmp_path, "http://one"), again=True, poll_seconds=1, patience=1)
    work = Batch(way, Asked({}, as_json=True, lines=True), Lines(), several=True, patient=True)
    call = drop(inbox, "call.wav")
    assert asyncio.run(work.one(call, ())) is None
    assert server.away == [] and len(server.tasks) == 1
    assert asyncio.run(work.one(call, ())) is None
    assert len(server.tasks) == 2, "what is done and taken again is anew again"
    other = drop(tmp_path, "call.wav")
    server.away = [away]
    changed = drop(inbox, "call.wav", b"more sound")
    assert [asyncio.run(work.one(one, ())) for one in (other, changed)] == [None, None]
    assert len(server.tasks) == 4


# --- stopped ---


class Client:
    """Sends a recording in two halves, or one of them alone, and has its answer a little later."""

    def __init__(self, answer: TaskStatus | Exception, whole: bool = True, at_once: bool = False) -> None:
        self.answer, self.whole = answer, whole
        self.reached, self.out = asyncio.Event(), asyncio.Event()
        """Where it is to be stopped, and whether the answer is there."""
        if at_once:
            self.out.set()
        self.cancelled: list[str] = []

    async def upload(self, recording: Path, *, idempotency_key: str, on_sent: Any) -> TaskStatus:
        on_sent(5, 10)
        if self.whole:
            on_sent(10, 10)
        if not self.out.is_set():
            self.reached.set()
        await (self.out.wait() if self.whole else asyncio.sleep(60))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def status(self, task_id: str) -> TaskStatus:
        return TaskStatus(task_id, TaskState.FAILED)

    async def retry(self, task_id: str) -> None:
        self.reached.set()
        await asyncio.sleep(60)

    async def cancel(self, task_id: str) -> None:
        self.cancelled.append(task_id)


def stopped(client: Client, recording: Path, *, gives_up: bool = True, again: bool = False) -> str | None:
    """Stop a command that is so far with a recording; return what it says."""

    async def go() -> str | None:
        caller: Any = client
        way = AtServer(caller, SentTasks(recording.parent, "http://one"), again=again, poll_seconds=1, patience=1)
        work = asyncio.create_task(way.transcribe(recording, Asked({}), Lines().row("")))
        await client.reached.wait()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        asyncio.get_running_loop().call_later(0.05, client.out.set)
        said = await way.give_up() if gives_up else way.left()
        await way.end()
        assert len(asyncio.all_tasks()) == 1, "nothing is sent any more"
        return said

    return asyncio.run(go())


PENDING, FAILED = TaskStatus("t1", TaskState.PENDING), TaskStatus("t1", TaskState.FAILED)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return drop(tmp_path, "call.wav")


def test_task_whose_answer_is_awaited_is_cancelled_too(recording: Path):
    client = Client(PENDING)
    assert stopped(client, recording) == "Cancelled."
    assert client.cancelled == ["t1"]


@pytest.mark.parametrize("known", [True, False])
def test_task_that_is_being_taken_up_is_cancelled_too(recording: Path, known: bool):
    if known:
        SentTasks(recording.parent, "http://one").remember(idempotency_key(recording, {}), "t1")
    client = Client(FAILED, at_once=True)
    assert stopped(client, recording) == "Cancelled."
    assert client.cancelled == ["t1"]


def test_what_is_sent_in_part_makes_no_task(recording: Path):
    client = Client(PENDING, whole=False)
    assert stopped(client, recording) == "Cancelled."
    assert client.cancelled == []


def test_task_that_may_be_there_is_not_called_cancelled(recording: Path):
    lost, refused = ServerUnreachable("It hung up."), ApiError(415, "It is no audio.")
    assert stopped(Client(lost), recording) == "The task could not be cancelled: It hung up."
    assert stopped(Client(refused), recording) == "Cancelled."


def test_task_that_somebody_deleted_is_not_left(recording: Path):
    class Emptied(Client):
        async def wait(self, *_: object, **__: object) -> TaskStatus:
            raise ApiError(404, "There is no task t1.")

    async def go() -> str | None:
        caller: Any = Emptied(PENDING, at_once=True)
        way = AtServer(caller, SentTasks(recording.parent, "http://one"), again=False, poll_seconds=1, patience=1)
        with pytest.raises(NotTranscribed, match="There is no task t1"):
            await way.transcribe(recording, Asked({}), Lines().row(""))
        return way.left()

    assert asyncio.run(go()) is None


def test_what_goes_on_at_the_server_is_told(recording: Path):
    goes_on = "What was sent goes on at the server: the same command"
    assert stopped(Client(PENDING, whole=False), recording, gives_up=False) is None
    assert stopped(Client(PENDING), recording, gives_up=False) == f"{goes_on} waits for it."
    assert stopped(Client(PENDING), recording, gives_up=False, again=True) == f"{goes_on} without --again waits for it."


# --- what stdout can show ---


def test_text_is_shown_as_far_as_stdout_can(monkeypatch: pytest.MonkeyPatch):
    for encoding, shown, written in (
        ("utf-8", "[→ é]", '"→ é"'),
        ("latin-1", "[? é]", '"\\u2192 \\u00e9"'),
        ("ascii", "[→ é]", '"→ é"'),  # which is taken for a mistake
    ):
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        assert shown_by_stdout("[→ é]") == shown
        assert json_for_stdout("→ é") == written and json.loads(json_for_stdout({"a": "\ud800"})) == {"a": "\ud800"}
