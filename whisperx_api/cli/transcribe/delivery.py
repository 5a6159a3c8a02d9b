"""What becomes of a transcript: files, a JSON line, or text on stdout. What it says beside goes to stderr."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from whisperx_api.cli.console import FAILED, one_line
from whisperx_api.cli.transcribe.asked import Asked
from whisperx_api.cli.transcribe.failures import NotTranscribed
from whisperx_api.cli.transcribe.outputs import Output, put, put_named
from whisperx_api.cli.transcribe.printing import for_stdout, forget_stdout, json_for_stdout, labelled, shown_by_stdout
from whisperx_api.cli.transcribe.showing import Row, Show
from whisperx_api.cli.transcribe.ways import Transcribed
from whisperx_api.client import TranscriptAnswer
from whisperx_api.client.recordings import readable
from whisperx_api.languages import LANGUAGES


class Delivery:
    """Delivers what became of each recording, as it is known."""

    def __init__(self, asked: Asked, show: Show, several: bool) -> None:
        self._asked = asked
        self._show = show
        self._several = several
        self._unprintable: str | None = None
        """Why nothing can be printed any more."""

    def done(self, recording: Path | None, made: Transcribed, files: Sequence[Output], row: Row) -> None:
        """Deliver a transcript. Raises `NotTranscribed` where a file or stdout can't be written."""
        _remarks(made.transcript, row)
        for output in files:
            _put(output.path, made.written[output.format], made.task_id)
        if files:
            row.say(f"written to {', '.join(str(output.path) for output in files)}")
        if self._asked.lines:
            told: Mapping[str, Any] = (
                {"outputs": [readable(str(output.path)) for output in files]}
                if files
                else {"transcript": made.transcript}
            )
            self._line(recording, made.task_id, "completed", None, told)
        elif self._asked.output is not None:
            _put(self._asked.output, made.written[self._asked.formats[0]], made.task_id, named=True)
        elif not files:
            self._print(self._text(recording, made), made.task_id)

    def failed(self, recording: Path | None, error: NotTranscribed, files: Sequence[Output], row: Row) -> None:
        """Say why there is no transcript, or why it is not in the files that it was for."""
        row.say(str(error))
        if self._asked.lines:
            told: Mapping[str, Any] = {"outputs": []} if files else {"transcript": None}
            with suppress(NotTranscribed):  # it is said
                self._line(recording, error.task_id, error.status, str(error), told)

    def _text(self, recording: Path | None, made: Transcribed) -> str | bytes:
        if self._asked.formats:
            return made.written[self._asked.formats[0]]  # a file's own bytes, whatever stdout takes text for
        if self._asked.as_json:
            return json_for_stdout(made.transcript, indent=2)
        text = labelled(made.transcript, self._asked.words)
        text = f"==> {one_line(readable(str(recording)))} <==\n{text.rstrip()}\n\n" if self._several else text
        return shown_by_stdout(text)

    def _line(
        self, recording: Path | None, task_id: str | None, status: str, error: str | None, told: Mapping[str, Any]
    ) -> None:
        file = None if recording is None else readable(str(recording))
        line = {"file": file, "task_id": task_id, "status": status, **told, "error": error}
        self._print(json_for_stdout(line), task_id)

    def _print(self, text: str | bytes, task_id: str | None) -> None:
        """Print a transcript, or a line about it. Raises `BrokenPipeError` where nobody reads any more."""
        try:
            if self._unprintable is None:
                with self._show.paused():
                    typer.echo(for_stdout(text), nl=text[-1:] not in ("\n", b"\n"))
        except BrokenPipeError:
            raise
        except OSError as error:
            self._unprintable = f"stdout can't be written to: {error.strerror}."
            forget_stdout()
        if self._unprintable is not None:
            raise NotTranscribed(self._unprintable, FAILED, task_id=task_id, status="completed")


def _remarks(transcript: TranscriptAnswer, row: Row) -> None:
    if transcript["segments"]:
        row.say(f"Language: {LANGUAGES.get(transcript['language'], transcript['language'])}")
    for warning in transcript["warnings"]:
        row.say(f"Note: {warning}")


def _put(path: Path, data: bytes, task_id: str, named: bool = False) -> None:
    try:
        if named:
            put_named(path, data)
        else:
            put(path, data)
    except OSError as error:
        sentence = f"{path} can't be written: {error.strerror}."
        raise NotTranscribed(sentence, FAILED, task_id=task_id, status="completed") from error
