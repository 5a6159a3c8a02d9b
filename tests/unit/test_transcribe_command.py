"""What `whisperx-api transcribe` decides by itself: names of files, what is ready in a folder, what was sent before."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import click
import pytest
from rich.console import Console

from whisperx_api.cli.transcribe.asked import FLAGS, Asked, as_flags, check, formats_of
from whisperx_api.cli.transcribe.batch import Batch
from whisperx_api.cli.transcribe.failures import NotTranscribed, raise_for
from whisperx_api.cli.transcribe.outputs import bases, made, outputs, put
from whisperx_api.cli.transcribe.sent import DAY, SentTasks
from whisperx_api.cli.transcribe.showing import Bars, Lines, Row, Show
from whisperx_api.cli.transcribe.watching import Folder
from whisperx_api.cli.transcribe.ways import Transcribed
from whisperx_api.client import ApiError, TaskState, TaskStatus, UploadOptions
from whisperx_api.formats.writing import Format

SRT = (Format.SRT,)


# --- what is asked for ---


def test_formats_are_listed_or_told_by_the_name_of_the_file():
    assert formats_of("srt, vtt,SRT", None) == (Format.SRT, Format.VTT)
    assert formats_of(None, Path("a.TXT")) == (Format.TEXT,)
    assert formats_of("tsv", Path("a.txt")) == (Format.TSV,)
    assert formats_of(None, None) == ()


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
    ],
)
def test_what_does_not_go_together_is_told(asked, recordings, sentence, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(Exception) as caught:
        check(asked, recordings, None, None)
    assert getattr(caught.value, "exit_code", None) == 2
    assert sentence in capsys.readouterr().err


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
    names = bases(paths)
    assert list(names.values()) == ["one", "one.mp3", "one.wav", "One.wav.2", "two", "one.wav.mp3"]
    assert len({name.casefold() for name in names.values()}) == len(paths)


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
    assert look.ready(30) == {} and list(look.ready(32)) == [call], "it is another now"


def test_what_is_no_recording_or_on_its_way_is_left_alone(inbox: Path):
    look = Folder(inbox, SRT, None, settle_seconds=1)
    for name in ("a.txt", "a.srt", ".b.wav", "~c.wav", "d.wav.part", "e.mp3.crdownload", "f.tmp"):
        drop(inbox, name)
    drop(inbox, "empty.wav", b"")
    (inbox / "folder.wav").mkdir()
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


# --- what was sent ---


def test_sent_task_is_remembered_for_a_day_and_for_its_server(tmp_path: Path):
    sent = SentTasks(tmp_path, "http://one")
    sent.remember("key", "t1")
    assert sent.task("key") == "t1" and sent.task("other") is None
    assert SentTasks(tmp_path, "http://two").task("key") is None
    [file] = (tmp_path / "whisperx-api" / "sent").iterdir()
    assert "key" not in file.name and file.read_text() == "t1"
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
    assert '{"file": "bad", "task_id": "t1", "status": "failed", "error": "It is no audio."}' in out
    assert "bad: It is no audio." in err


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
