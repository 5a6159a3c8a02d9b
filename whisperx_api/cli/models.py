"""`whisperx-api models`: fetch, list, check and pack models."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from whisperx_api import telemetry
from whisperx_api.cli.console import FAILED, USAGE, download_bars, end, settings_or_end
from whisperx_api.models import alignment, conversion, converted, hub, resolve, starter, starter_set
from whisperx_api.models.catalog import STARTER, TRANSCRIPTION_MODELS, is_size, repo_id
from whisperx_api.models.conversion import Quantization
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.models.progress import Report
from whisperx_api.settings import Settings

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Fetch, list, check and pack models.",
)

ModelDir = Annotated[
    Path | None, typer.Option(help="Where models are kept; the setting MODEL_DIR if left out.", show_default=False)
]


@app.command()
def pull(
    name: Annotated[
        str,
        typer.Argument(
            help="starter, a size like large-v2, a Hugging Face id, a bundle of torchaudio, or the folder of a "
            "Transformers Whisper model; such models are converted."
        ),
    ],
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FOLDER_OR_URL",
            show_default=False,
            help="Take the starter models from a folder, an archive made by pack, or the URL of either.",
        ),
    ] = None,
    quantization: Annotated[
        Quantization, typer.Option(help="Type in which the weights of a model that is converted are kept.")
    ] = Quantization.FLOAT16,
    model_dir: ModelDir = None,
) -> None:
    """Fetch a model; what is already here and sound is not fetched again."""
    telemetry.switch_off()
    settings = settings_or_end(model_dir=model_dir)
    if source and name != STARTER:
        end("--from is for the starter models only: `whisperx-api models pull starter --from …`.", USAGE)
    if settings.model_dir is None:  # in the data folder, which is for its owner alone, whoever makes it
        with suppress(OSError):  # who writes there says what is wrong
            settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with download_bars() as report:
            if name == STARTER:
                fetched = starter.pull(settings.models, source, report)
                folder = starter_set.folder(settings.models)
            elif is_size(name):
                hub.discard_damaged(repo_id(name), settings.models)
                fetched, folder = (
                    [name],
                    resolve.transcription_folder(
                        name, settings.models, allow_download=True, token=settings.hf_token, report=report
                    ),
                )
            elif name in alignment.BUNDLES:
                fetched = [] if alignment.at_hand(name, settings.models) else [name]
                folder = alignment.pull(name, settings.models, report=report).parent
            elif (local := Path(name).expanduser()).is_dir():
                fetched, folder = _pull(name, _local_contents(local), settings, quantization, report)
            elif "/" not in name:
                sizes = ", ".join(TRANSCRIPTION_MODELS)
                end(f"There is no model {name}: it must be starter, one of {sizes}, or OWNER/NAME of the hub.", USAGE)
            else:
                contents = hub.look(name, settings.hf_token)
                fetched, folder = _pull(name, contents, settings, quantization, report)
    except ModelUnavailable as error:
        end(str(error), FAILED)
    typer.echo(f"{name} is in {folder}" + ("." if fetched else ", complete: nothing had to be fetched."))


def _pull(
    name: str, contents: hub.Contents, settings: Settings, quantization: Quantization, report: Report
) -> tuple[list[str], Path]:
    """Fetch a Hugging Face id, or convert it or a folder; return what was not here before, and where it is."""
    if conversion.is_whisper(contents):
        if conversion.is_current(name, settings.models, contents, quantization):
            return [], converted.folder(name, settings.models)
        return [name], conversion.pull(name, settings.models, contents, settings.hf_token, report, quantization)
    if what := conversion.refusal(contents):
        raise ModelUnavailable(f"{name} is no model for this service: {what}.")
    if Path(name).expanduser().is_dir():
        raise ModelUnavailable(f"{name} is a folder of no Transformers Whisper model: there is nothing to convert.")
    hub.discard_damaged(name, settings.models)
    return [name], hub.pull(name, settings.models, settings.hf_token, report=report)


def _local_contents(folder: Path) -> hub.Contents:
    """Return what a folder holds; in place of a commit stands when it changed last."""
    files = {path.name: path.stat() for path in folder.iterdir() if path.is_file()}
    changed = max((file.st_mtime_ns for file in files.values()), default=0)
    return hub.Contents(str(changed), {name: file.st_size for name, file in files.items()}, hub.architectures(folder))


@app.command("list")
def list_models(model_dir: ModelDir = None) -> None:
    """List the models that are on this machine, one a line: name, a tab, folder."""
    settings = settings_or_end(model_dir=model_dir)
    if not starter_set.missing(settings.models):
        _row(STARTER, starter_set.folder(settings.models))
    sizes = [name for name in TRANSCRIPTION_MODELS if resolve.available(name, settings.models)]
    for name in sizes:
        _row(name, hub.find(repo_id(name), settings.models))
    for name in hub.snapshots(settings.models):
        if name not in {repo_id(size) for size in sizes}:
            _row(name, hub.find(name, settings.models))
    for known, folder in converted.listed(settings.models):
        _row(known.name, folder)
    for name in alignment.BUNDLES:
        if alignment.at_hand(name, settings.models):
            _row(name, alignment.bundle_file(name, settings.models))


@app.command()
def verify(model_dir: ModelDir = None) -> None:
    """Compare every file of every model here with its hash; exit with 1 if one differs."""
    settings = settings_or_end(model_dir=model_dir)
    wrong = 0
    if starter_set.folder(settings.models).is_dir():
        problems = starter.verify(settings.models)
        wrong += _verdict(STARTER, [f"{problem.path} is {problem.what}" for problem in problems])
    for name in hub.snapshots(settings.models):
        wrong += _verdict(name, [f"{path} is damaged" for path in hub.damaged(name, settings.models)])
    for known, folder in converted.listed(settings.models):
        wrong += _verdict(known.name, [f"{file} is damaged" for file in converted.damaged(folder)])
    raise typer.Exit(FAILED if wrong else 0)


@app.command()
def pack(
    name: Annotated[str, typer.Argument(help="starter")],
    archive: Annotated[Path, typer.Argument(help="The zip file to write.")] = Path("starter-models.zip"),
    model_dir: ModelDir = None,
) -> None:
    """Write the starter models as one archive, for machines without a package index."""
    settings = settings_or_end(model_dir=model_dir)
    if name != STARTER:
        end("Only the starter models can be packed: `whisperx-api models pack starter`.", USAGE)
    try:
        starter.pack(settings.models, archive)
    except ModelUnavailable as error:
        end(str(error), FAILED)
    except OSError as error:
        end(f"{archive} can't be written: {error.strerror or error}.", FAILED)
    typer.echo(f"{archive} holds the starter models: `whisperx-api models pull starter --from {archive}`.")


def _row(name: str, folder: Any) -> None:
    typer.echo(f"{name}\t{folder}")


def _verdict(name: str, problems: list[str]) -> int:
    typer.echo(f"{name}: all files are sound." if not problems else f"{name}: {'; '.join(problems)}.")
    if problems:
        typer.echo(f"Mend it with `whisperx-api models pull {name}`.", err=True)
    return len(problems)
