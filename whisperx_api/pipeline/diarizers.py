"""Where diarization pipelines come from, and what is done to them before they are used.

`starter` is built here from two files that need no account; any other comes from the Hugging Face hub or a folder.

pyannote reports each use to its makers unless `PYANNOTE_METRICS_ENABLED=0`. It reads that variable at every use, and on
import sets it to its own default where it is absent; `load_diarizer` switches it off whatever it was.
"""

from __future__ import annotations

import contextlib
import io
import pickle  # nosec B403  # for the name of an error
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import HFValidationError

from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.options import DiarizationMode
from whisperx_api.pipeline.diarizer_faults import OR_STARTER, what_to_do

with warnings.catch_warnings():
    # Audio always comes in decoded, so the decoder that pyannote may lack is of no consequence.
    warnings.filterwarnings("ignore", message=r"\s*torchcodec is not installed correctly", category=UserWarning)
    from pyannote.audio import Model, Pipeline
    from pyannote.audio.core.plda import PLDA
    from pyannote.audio.pipelines import SpeakerDiarization
    from pyannote.audio.telemetry import set_telemetry_metrics

    from whisperx_api.pipeline import segmentation
    from whisperx_api.pipeline.building import building
    from whisperx_api.pipeline.campplus_model import CAMPPlusEmbedding
    from whisperx_api.pipeline.clustering import cluster_sample
    from whisperx_api.pipeline.damage import of_the_files, reason
    from whisperx_api.pipeline.diarize import BATCH_SIZES, EXACT_STEPS, FAST_STEPS, Diarizer, Steps
    from whisperx_api.pipeline.embeddings import embed_once
    from whisperx_api.pipeline.frames import embed_frames_once
    from whisperx_api.pipeline.reconstruct import reconstruct_in_blocks

STARTER_SEGMENTATION = Path("segmentation/pytorch_model.bin")
STARTER_EMBEDDING = Path("embedding/campplus_cn_en_common.pt")
STARTER_PARAMETERS = {
    "segmentation": {
        # Pauses are kept: words are given to turns, and a filled pause may hold another's word.
        "min_duration_off": 0.0
    },
    "clustering": {
        "method": "centroid",
        # As in pyannote/speaker-diarization-3.1, for the same windows: 10 s long, one a second.
        "min_cluster_size": 12,
        # Distance of unit vectors, 0..2. A telephone and a studio dialogue find their two speakers from 0.6 to 0.9.
        # Half-minute excerpts of far-field meetings (AMI) gain by every step up, for few speakers are best there;
        # longer recordings hold more of them, so the threshold stays in the middle. Embeddings from frames computed
        # once are a little farther apart: from 0.65 to 0.75 their turns are within half a point of the others'.
        "threshold": 0.70,
    },
}


class _NoPLDA(PLDA):
    """Stands where `SpeakerDiarization` asks for a PLDA, which agglomerative clustering never uses."""

    def __init__(self) -> None:
        pass


def load_diarizer(
    model: str | Path,
    *,
    device: torch.device,
    batch_size: int,
    workers: int = 1,
    mode: DiarizationMode | None = None,
    token: str | None = None,
    cache_dir: Path | None = None,
) -> Diarizer:
    """Load a diarization pipeline.

    model: the folder of the starter models, a folder with a `config.yaml` (or that file), or a Hugging Face id, with
        `@revision` after it where not the newest is meant.
    batch_size: windows in one pass of a network; on a CPU the fastest number is taken.
    workers: threads that compute side by side on a CPU.
    mode: exact, for the turns that pyannote finds, or fast, for nearly the same from frames that are computed once;
        where None, fast for the starter models and exact for others.
    token: Hugging Face token; the hub's own (`HF_TOKEN`, or a login) where None.
    cache_dir: folder of the hub's cache; the hub's own (`HF_HUB_CACHE`) where None.

    Raises `ModelUnavailable` where the model is not on this machine and can't be fetched.
    """
    set_telemetry_metrics(False)
    folder = Path(model)
    if not folder.exists():
        _fetch(str(model), token, cache_dir)  # before others' models have to wait for it
    with building:
        if (folder / STARTER_SEGMENTATION).is_file() and (folder / STARTER_EMBEDDING).is_file():
            pipeline, name = _starter_or_what_to_do(folder), "starter"
        else:
            pipeline, name = _pretrained(str(model), token, cache_dir), str(model)
    segmentation_batch = segmentation.BATCH * workers if device.type == "cpu" else batch_size
    for attribute, size in zip(BATCH_SIZES, (segmentation_batch, batch_size), strict=True):
        if hasattr(pipeline, attribute):
            setattr(pipeline, attribute, size)
    pipeline = pipeline.to(device)
    steps = EXACT_STEPS
    if isinstance(pipeline, SpeakerDiarization):
        cluster_sample(pipeline)
        reconstruct_in_blocks(pipeline)
        if mode is DiarizationMode.FAST or (mode is None and name == "starter"):
            steps = _make_fast(pipeline, workers)
        else:
            segmentation.window_by_window(pipeline._segmentation.model, workers)
            embed_once(pipeline, workers)
    return Diarizer(name, pipeline, steps)


def _starter_or_what_to_do(folder: Path) -> SpeakerDiarization:
    try:
        return starter_pipeline(folder)
    except Exception as error:
        if not of_the_files(error):
            raise
        raise ModelUnavailable(
            f"The starter models in {folder} are damaged ({reason(error)}): run `whisperx-api models pull starter`, "
            "or send enable_diarization=false."
        ) from error


def _make_fast(pipeline: SpeakerDiarization, workers: int) -> Steps:
    segmentation.filter_once(pipeline._segmentation.model, workers)
    if embed_frames_once(pipeline, workers):
        return FAST_STEPS
    embed_once(pipeline, workers)
    return EXACT_STEPS


def starter_pipeline(folder: Path, embedding: Model | None = None) -> SpeakerDiarization:
    """Return the starter's pipeline; `embedding` is another network than its own."""
    # pyannote unpickles the whole checkpoint, so this file must be trusted: `models pull` checks its hash.
    network = Model.from_pretrained(folder / STARTER_SEGMENTATION)
    assert network is not None
    pipeline = SpeakerDiarization(
        segmentation=network,
        embedding=embedding or CAMPPlusEmbedding.from_checkpoint(folder / STARTER_EMBEDDING),
        embedding_exclude_overlap=True,
        plda=_NoPLDA(),
        clustering="AgglomerativeClustering",
    )
    pipeline.instantiate(STARTER_PARAMETERS)
    return pipeline


def _fetch(model: str, token: str | None, cache_dir: Path | None) -> None:
    """Have what the hub's repository holds on this machine. Parts from other repositories come with the pipeline."""
    repo, _, revision = model.partition("@")
    with _explained(model, token):
        hf_hub_download(repo, "config.yaml", revision=revision or None, token=token, cache_dir=cache_dir)
        snapshot_download(repo, revision=revision or None, token=token, cache_dir=cache_dir)


def _pretrained(model: str, token: str | None, cache_dir: Path | None) -> Pipeline:
    with _explained(model, token), contextlib.redirect_stdout(io.StringIO()):  # pyannote prints its advice there
        repo, _, revision = (model, "", "") if Path(model).exists() else model.partition("@")
        pipeline = Pipeline.from_pretrained(repo, revision=revision or None, token=token, cache_dir=cache_dir)
    if pipeline is None:
        raise ModelUnavailable(f"The diarization model {model} could not be loaded{OR_STARTER}.")
    return pipeline


@contextlib.contextmanager
def _explained(model: str, token: str | None) -> Iterator[None]:
    """Have every error of the hub and of the network, which all are OSErrors, and of damaged files, say what to do."""
    try:
        yield
    except (OSError, HFValidationError) as error:
        raise ModelUnavailable(what_to_do(model, error, token)) from error
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:  # what torch says of files that are cut short
        if not of_the_files(error):
            raise
        raise ModelUnavailable(
            f"The diarization model {model} is damaged ({reason(error)}): run `whisperx-api models pull {model}`"
            f"{OR_STARTER}."
        ) from error
