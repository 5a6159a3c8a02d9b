"""The flags of `whisperx-api transcribe`: what each is called, and what it means."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whisperx_api.cli.transcribe import completion
from whisperx_api.formats.writing import Format

Text = str | None
Number = int | None
Switch = bool | None
Place = Path | None

FORMATS = ", ".join(one.value for one in Format)

Recordings = Annotated[
    list[Path] | None,
    typer.Argument(exists=True, dir_okay=False, readable=True, help="The recordings."),
]
Server = Annotated[
    Text, typer.Option(envvar="WHISPERX_API_URL", help="URL of the server; the one on this machine if left out.")
]
ApiKey = Annotated[
    Text,
    typer.Option(
        envvar="WHISPERX_API_KEY",
        help="Key of the server. One on this machine needs none if its settings or DATA_DIR can be read from here.",
    ),
]
Local = Annotated[
    bool,
    typer.Option("--local", help="Transcribe on this machine, without a server; models are those of the settings."),
]
Language = Annotated[
    Text, typer.Option(help="Language spoken; detected if left out.", autocompletion=completion.languages)
]
Model = Annotated[Text, typer.Option(help="Model; the server's if left out.", autocompletion=completion.models)]
Task = Annotated[Text, typer.Option(help="transcribe, or translate to English.", autocompletion=completion.tasks)]
Speakers = Annotated[Number, typer.Option(help="How many speakers there are.")]
MinSpeakers = Annotated[Number, typer.Option(help="At least so many.")]
MaxSpeakers = Annotated[Number, typer.Option(help="At most so many.")]
Diarization = Annotated[bool, typer.Option(help="Tell who speaks.")]
Channels = Annotated[
    Text,
    typer.Option(help="mix, or separate: each channel is a speaker's own.", autocompletion=completion.channels),
]
Prompt = Annotated[Text, typer.Option(help="Text that the recording might follow: sets style and spelling.")]
Hotwords = Annotated[Text, typer.Option(help="Words to expect.")]
Temperature = Annotated[
    float | None,
    typer.Option(help="0 for the likeliest text; above it, up to 1, samples at this temperature."),
]
SuppressNumerals = Annotated[Switch, typer.Option("--suppress-numerals", help="Write numbers as words.")]
WordTimestamps = Annotated[
    Switch, typer.Option("--word-timestamps/--no-word-timestamps", help="Have the words in JSON.", show_default=False)
]
SpeakerEmbeddings = Annotated[
    Switch, typer.Option("--speaker-embeddings", help="Have one voice vector a speaker in JSON.")
]
Priority = Annotated[Number, typer.Option(help="-10 to 10, higher goes first; above 0 needs the scope admin.")]
WebhookUrl = Annotated[Text, typer.Option(help="Where the server is to tell of the end of each task.")]
WebhookSecret = Annotated[Text, typer.Option(help="What it signs that with; see docs/webhooks.md.")]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print the whole transcript as JSON; of several recordings, or with --output-dir, an object a line.",
    ),
]
Words = Annotated[bool, typer.Option("--words", help="Show the time of every word.")]
Formats = Annotated[
    Text,
    typer.Option(
        "--format", "-f", metavar="FORMAT[,FORMAT]", help=f"Take the transcript as {FORMATS}.",
        autocompletion=completion.formats,
    ),
]  # fmt: skip
OutputFile = Annotated[
    Place, typer.Option("--output", "-o", dir_okay=False, help="Write it to this file; its ending names the format.")
]
OutputDir = Annotated[
    Place,
    typer.Option(
        file_okay=False, help="Write a file for each recording and format to this folder; text if none is named."
    ),
]
LineWidth = Annotated[Number, typer.Option(min=1, help="Characters on a line of subtitles.")]
LineCount = Annotated[Number, typer.Option(min=1, help="Lines in a subtitle.")]
HighlightWords = Annotated[
    bool, typer.Option("--highlight-words", help="Underline each word of subtitles as it is said.")
]
Jobs = Annotated[
    int, typer.Option("--jobs", "-j", min=1, max=64, help="Recordings in work at once; one more is sent ahead.")
]
Watch = Annotated[
    Place,
    typer.Option(exists=True, file_okay=False, help="Transcribe what appears in this folder, until Ctrl-C or SIGTERM."),
]
Again = Annotated[
    bool, typer.Option("--again", help="Send it as a new task, though the same was sent in the last 24 hours.")
]
Resume = Annotated[Text, typer.Option(metavar="TASK", help="Wait for a task that was sent before; no file is sent.")]
PollSeconds = Annotated[float, typer.Option(min=0.05, hidden=True)]
SettleSeconds = Annotated[float, typer.Option(min=0.05, hidden=True)]
CacheDir = Annotated[Place, typer.Option(envvar=["WHISPERX_API_CACHE_DIR", "XDG_CACHE_HOME"], hidden=True)]
