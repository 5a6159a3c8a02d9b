"""`whisperx-api transcribe FILES...`: the main path from a terminal. Progress goes to stderr, transcripts to stdout."""

from __future__ import annotations

import typer

from whisperx_api.cli.console import USAGE, end
from whisperx_api.cli.transcribe import flags
from whisperx_api.cli.transcribe.asked import Asked, check, formats_of

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def transcribe(
    files: flags.Recordings = None,
    server: flags.Server = None,
    api_key: flags.ApiKey = None,
    local: flags.Local = False,
    language: flags.Language = None,
    model: flags.Model = None,
    task: flags.Task = None,
    speakers: flags.Speakers = None,
    min_speakers: flags.MinSpeakers = None,
    max_speakers: flags.MaxSpeakers = None,
    diarization: flags.Diarization = True,
    channels: flags.Channels = None,
    prompt: flags.Prompt = None,
    hotwords: flags.Hotwords = None,
    temperature: flags.Temperature = None,
    suppress_numerals: flags.SuppressNumerals = None,
    word_timestamps: flags.WordTimestamps = None,
    speaker_embeddings: flags.SpeakerEmbeddings = None,
    priority: flags.Priority = None,
    webhook_url: flags.WebhookUrl = None,
    webhook_secret: flags.WebhookSecret = None,
    as_json: flags.Json = False,
    words: flags.Words = False,
    format: flags.Formats = None,
    output: flags.OutputFile = None,
    output_dir: flags.OutputDir = None,
    max_line_width: flags.LineWidth = None,
    max_line_count: flags.LineCount = None,
    highlight_words: flags.HighlightWords = False,
    jobs: flags.Jobs = 3,
    watch: flags.Watch = None,
    again: flags.Again = False,
    resume: flags.Resume = None,
    poll_seconds: flags.PollSeconds = 0.5,
    settle_seconds: flags.SettleSeconds = 2.0,
    cache_dir: flags.CacheDir = None,
) -> None:
    """Transcribe recordings, at a server or on this machine, and print who said what.

    Run again after it was broken off, the same command goes on with the same tasks: nothing is sent or computed twice.

    Exits with 0 when all is done, 1 if a recording could not be transcribed, 2 for a wrong option, 3 if the server
    can't be reached or refuses, 130 after Ctrl-C, which cancels what is not done. Of several recordings the others go
    on when one fails; the highest code counts.
    """
    several = watch is not None or len(files or ()) > 1
    layout = {"max_line_width": max_line_width, "max_line_count": max_line_count}
    asked = Asked(
        {
            "language": language, "model": model, "task": task, "num_speakers": speakers,
            "min_speakers": min_speakers, "max_speakers": max_speakers, "enable_diarization": diarization,
            "channels": channels, "prompt": prompt, "hotwords": hotwords, "temperature": temperature,
            "suppress_numerals": suppress_numerals, "word_timestamps": word_timestamps,
            "speaker_embeddings": speaker_embeddings, "priority": priority, "webhook_url": webhook_url,
            "webhook_secret": webhook_secret,
        },
        formats_of(format, output),
        {**layout, "highlight_words": highlight_words or None},
        output, output_dir, as_json, as_json and (several or output_dir is not None), words,
    )  # fmt: skip
    check(asked, len(files or ()), resume, watch)
    if again and resume is not None:
        end("--again makes a new task, and --resume waits for one that is there: leave one out.", USAGE)
    if local and (resume is not None or webhook_url is not None):
        end("There is no server with --local: neither tasks of one to --resume, nor anybody to call a webhook.", USAGE)

    from whisperx_api.cli.transcribe.running import At, run  # what is imported here is not for help or completion

    at = None if local else At(server, api_key, again, poll_seconds)
    raise typer.Exit(run(asked, at, files or [], resume, watch, jobs, settle_seconds, cache_dir))
