"""`whisperx-api transcribe FILE`: the main path from a terminal. Progress goes to stderr, the transcript to stdout."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from whisperx_api.cli.console import FAILED, REFUSED, USAGE, end, settings_or_end
from whisperx_api.client import ApiError, Client, ClientError, TaskState, TaskStatus, TranscriptAnswer
from whisperx_api.formats.writing import Format
from whisperx_api.keys import Scope, parse_key
from whisperx_api.languages import LANGUAGES
from whisperx_api.settings import Auth

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def transcribe(
    file: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, readable=True, help="The recording.")
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(envvar="WHISPERX_API_URL", help="URL of the server; the one on this machine if left out."),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="WHISPERX_API_KEY",
            help="Key of the server. One on this machine needs none if its settings or DATA_DIR can be read from here.",
        ),
    ] = None,
    language: Annotated[str | None, typer.Option(help="Language spoken; detected if left out.")] = None,
    model: Annotated[str | None, typer.Option(help="Model; the server's if left out.")] = None,
    task: Annotated[str | None, typer.Option(help="transcribe, or translate to English.")] = None,
    speakers: Annotated[int | None, typer.Option(help="How many speakers there are.")] = None,
    min_speakers: Annotated[int | None, typer.Option(help="At least so many.")] = None,
    max_speakers: Annotated[int | None, typer.Option(help="At most so many.")] = None,
    diarization: Annotated[bool, typer.Option(help="Tell who speaks.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole transcript as JSON.")] = False,
    words: Annotated[bool, typer.Option("--words", help="Show the time of every word.")] = False,
    format: Annotated[Format | None, typer.Option(help="Take the transcript in this format.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", dir_okay=False, help="Write it to this file; its ending names the format."),
    ] = None,
    max_line_width: Annotated[int | None, typer.Option(min=1, help="Characters on a line of subtitles.")] = None,
    max_line_count: Annotated[int | None, typer.Option(min=1, help="Lines in a subtitle.")] = None,
    highlight_words: Annotated[
        bool, typer.Option("--highlight-words", help="Underline each word of subtitles as it is said.")
    ] = False,
    resume: Annotated[
        str | None, typer.Option(metavar="TASK", help="Wait for a task that was sent before; no file is sent.")
    ] = None,
    poll_seconds: Annotated[float, typer.Option(min=0.05, hidden=True)] = 0.5,
) -> None:
    """Send a recording to a server, show how far it is, and print who said what.

    Exits with 0 when done, 1 if the job failed, 2 for a wrong option, 3 if the server can't be reached or refuses.
    """
    if (file is None) == (resume is None):
        end("Name the recording, or a task with --resume.", USAGE)
    wanted = _format_of(output) if format is None and output is not None else format
    layout = {"max_line_width": max_line_width, "max_line_count": max_line_count}
    layout["highlight_words"] = highlight_words or None
    if any(layout.values()) and (wanted is None or not wanted.is_subtitle):
        end("Lines and highlighted words are for subtitles: --format srt or vtt.", USAGE)
    server = server or f"http://127.0.0.1:{settings_or_end().port}"
    server = server if "://" in server else f"http://{server}"
    task_id = resume
    try:
        with Client(server, api_key or _local_key(server)) as client:
            if file is not None:
                task_id = client.upload(
                    file,
                    language=language,
                    model=model,
                    task=task,
                    num_speakers=speakers,
                    min_speakers=min_speakers,
                    max_speakers=max_speakers,
                    enable_diarization=diarization,
                ).task_id
                typer.echo(f"Task {task_id}", err=True)
            assert task_id is not None
            status = _watch(client, task_id, poll_seconds)
            if status.status is not TaskState.COMPLETED:
                end(status.error or f"The task was {status.status.value}.", FAILED)
            result = client.result(task_id)
            written = client.written(task_id, wanted.value, **layout) if wanted is not None else None
    except ApiError as error:
        if error.status_code == 401:
            end(f"{error.detail} Here: --api-key, or WHISPERX_API_KEY.", REFUSED)
        wrong = error.status_code in (400, 422)
        end(_as_flags(error.detail) if wrong else error.detail, USAGE if wrong else REFUSED)
    except ClientError as error:
        going = f" The task goes on when the server is back: --resume {task_id} waits for it." if task_id else ""
        end(f"{error}{going}", REFUSED)
    if result["segments"]:
        typer.echo(f"Language: {LANGUAGES.get(result['language'], result['language'])}", err=True)
    for warning in result["warnings"]:
        typer.echo(f"Note: {warning}", err=True)
    if written is not None:
        _put(written, output)
        return
    typer.echo(json.dumps(result, ensure_ascii=False, indent=2) if as_json else labelled(result, words))


def _format_of(output: Path) -> Format:
    """Return the format that a file's name asks for."""
    suffix = output.suffix.lower()
    found = next((one for one in Format if one.suffix == suffix), None)  # of those that end in .json the first, json
    if found is None:
        end(f"No format is known by {output.name}: name one with --format.", USAGE)
    return found


def _put(written: bytes, output: Path | None) -> None:
    """Write to a file, or to stdout."""
    if output is None:
        typer.echo(written.decode(), nl=not written.endswith(b"\n"))
        return
    try:
        output.write_bytes(written)
    except OSError as error:
        end(f"{output} can't be written: {error.strerror}.", FAILED)


def labelled(transcript: TranscriptAnswer, words: bool = False) -> str:
    """Return a line a segment: `[00:06.7 → 00:07.2] SPEAKER_00: Hello?`; with `words`, their starts below it."""
    names = {speaker["id"]: speaker["name"] or speaker["id"] for speaker in transcript["speakers"]}
    lines = []
    for segment in transcript["segments"]:
        speaker = segment["speaker"]
        label = f" {names.get(speaker, speaker)}:" if speaker else ""
        lines.append(f"[{clock(segment['start'])} → {clock(segment['end'])}]{label} {segment['text'].strip()}")
        if words and segment.get("words"):
            lines.append("    " + "  ".join(f"{word['start']:.2f} {word['word']}" for word in segment["words"]))
    return "\n".join(lines)


def clock(seconds: float) -> str:
    """Return seconds as minutes and seconds, with hours where there are any: 00:06.7, 1:02:03.4."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest / 10:04.1f}" if hours else f"{minutes:02d}:{rest / 10:04.1f}"


def _as_flags(detail: str) -> str:
    """Return a sentence about fields of the upload as one about the flags of this command."""
    for field, flag in (("num_speakers", "--speakers"), ("min_speakers", "--min-speakers"),
                        ("max_speakers", "--max-speakers")):  # fmt: skip
        detail = detail.replace(field, flag)
    return detail


def _watch(client: Client, task_id: str, poll_seconds: float) -> TaskStatus:
    """Show a bar until the task is over. Ctrl-C cancels the task."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[left]}"))
    try:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            bar = progress.add_task("waiting", total=100, left="")

            def show(status: TaskStatus) -> None:
                waiting = f"waiting, {status.queue_position} in line" if status.queue_position else "waiting"
                left = f"{timedelta(seconds=round(status.eta_seconds))} left" if status.eta_seconds is not None else ""
                stage = status.stage or (waiting if status.status is TaskState.PENDING else status.status.value)
                progress.update(bar, description=stage, completed=status.progress, left=left)

            def away(_: ClientError) -> None:
                progress.update(bar, description="no answer, trying on", left="")

            return client.wait(task_id, show, poll_seconds, on_away=away)
    except KeyboardInterrupt:
        try:
            client.cancel(task_id)
        except ClientError as error:
            end(f"The task could not be cancelled: {error}", INTERRUPTED)
        end("Cancelled.", INTERRUPTED)


def _local_key(server: str) -> str | None:
    """Return a key of the server on this machine, from the settings it shares with us or the file it wrote."""
    if urlsplit(server).hostname not in LOCAL_HOSTS:
        return None
    settings = settings_or_end()
    if settings.auth is Auth.OFF:
        return None
    if settings.api_key:
        return settings.api_key
    for caller, key in map(parse_key, settings.api_keys):
        if Scope.TRANSCRIBE in caller.scopes:
            return key
    try:
        return (settings.data_dir / "api_key").read_text().strip() or None
    except OSError:  # the server's answer says that a key is needed
        return None
