"""Known speakers: who of a recording's speakers has a voice of which some seconds were sent.

A reference goes through the pipeline's own segmentation and speaker embedding, as each window of the recording does,
and is compared with the recording's speakers by cosine distance, 0 (the same) to 2.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pyannote.audio.models.embedding.wespeaker import BaseWeSpeakerResNet
from pyannote.audio.pipelines import SpeakerDiarization
from pyannote.audio.utils.signal import binarize

from whisperx_api.pipeline.campplus_model import CAMPPlusEmbedding
from whisperx_api.pipeline.embeddings import embedding_network

FARTHEST = ((CAMPPlusEmbedding, 0.35), (BaseWeSpeakerResNet, 0.50))
"""Cosine distance from which on two voices are two speakers', by the embedding network.

CAM++: cuts of a speaker's own talk are 0.01 to 0.27 from them. Another's are 0.76 and more in a studio dialogue, but
only 0.43 on the telephone, where voices are more alike: the wrong name is worse than none. WeSpeaker's ResNet34 as
community-1 has it: in one dialogue a speaker's windows are up to 0.34 from their mean, and 0.82 or more from the
other's."""

MARGIN = 0.10
"""By how much a name's voice must be nearer to a speaker than any other name's."""

FEWEST_SECONDS = 1.0
"""Less speech in a reference says too little of a voice."""

SECOND_VOICE = 0.3
"""Share of the main voice's time from which on another voice in a reference is worth a warning."""


@dataclass(frozen=True)
class Found:
    """Names of speakers, by their labels in the diarization, and what could not be done."""

    names: dict[str, str]
    warnings: tuple[str, ...] = ()


def recognise(
    pipeline: Any, sounds: Mapping[str, np.ndarray], speakers: Mapping[str, Sequence[float]], rate: int
) -> Found:
    """Name the speakers of a recording whose voices are known.

    sounds: for each name (n_samples,) float32 at `rate` samples a second.
    speakers: the speakers' embeddings that `pipeline` has found, by label.
    """
    farthest = farthest_of(pipeline)
    if farthest is None:
        return Found({}, ("The diarization model has no voices that can be compared: no speaker was named.",))
    voices: dict[str, np.ndarray] = {}
    warnings: list[str] = []
    for name, sound in sounds.items():
        voice, several = reference_voice(pipeline, sound, rate)
        if voice is None:
            warnings.append(f"The reference of {name} holds too little speech: the name was given to nobody.")
            continue
        voices[name] = voice
        if several:
            warnings.append(f"The reference of {name} holds several voices: the one heard most was taken.")
    names = match(speakers, voices, farthest)
    return Found(names, (*warnings, *misses(speakers, voices, farthest, set(names.values()))))


def farthest_of(pipeline: Any) -> float | None:
    """Return the distance from which on `pipeline` hears two speakers; None where its embedding is not known here."""
    network = embedding_network(pipeline)
    return next((distance for kind, distance in FARTHEST if isinstance(network, kind)), None)


def reference_voice(pipeline: SpeakerDiarization, sound: np.ndarray, rate: int) -> tuple[np.ndarray | None, bool]:
    """Return the embedding (dimension,) of who talks most in `sound`, and whether others talk in it as well.

    The embedding is None where there is too little speech. `sound` has shape (n_samples,), float32.
    """
    file = {"waveform": torch.from_numpy(sound)[None], "sample_rate": rate}
    segmentations: Any = pipeline.get_segmentations(file)
    network: Any = pipeline._segmentation
    if not network.model.specifications.powerset:
        segmentations = binarize(segmentations, onset=pipeline.segmentation.threshold, initial_state=False)
    window = segmentations.sliding_window.duration
    talk = np.nansum(segmentations.data, axis=1) * window / segmentations.data.shape[1]  # (n_windows, n_speakers)
    if talk.max(initial=0.0) < FEWEST_SECONDS:
        return None, False
    embeddings = pipeline.get_embeddings(file, segmentations, exclude_overlap=pipeline.embedding_exclude_overlap)
    first, who = np.unravel_index(talk.argmax(), talk.shape)
    voice = embeddings[first, who]
    others = np.delete(talk[first], who)
    several = bool(others.max(initial=0.0) > SECOND_VOICE * talk[first, who])
    return (voice if np.isfinite(voice).all() else None), several


def match(
    speakers: Mapping[str, Sequence[float]], voices: Mapping[str, np.ndarray], farthest: float, margin: float = MARGIN
) -> dict[str, str]:
    """Return the names of speakers: each has one at most, and each name is one speaker's at most.

    A speaker has the name whose voice is nearest, by `margin` before the next, and nearer than `farthest`; where that
    is true of several speakers, the nearest of them has it, and the others none.
    """
    if not speakers or not voices:
        return {}
    names, labels = list(voices), list(speakers)
    distances = _distances(speakers, voices)
    nearest = distances.argmin(axis=1)
    found: dict[str, tuple[float, str]] = {}
    for speaker, name in enumerate(nearest.tolist()):
        distance = float(distances[speaker, name])
        next_best = np.delete(distances[speaker], name).min(initial=np.inf)
        if distance < farthest and next_best - distance >= margin:
            found[names[name]] = min(found.get(names[name], (np.inf, "")), (distance, labels[speaker]))
    return {label: name for name, (_, label) in found.items()}


def misses(
    speakers: Mapping[str, Sequence[float]],
    voices: Mapping[str, np.ndarray],
    farthest: float,
    given: Collection[str],
    margin: float = MARGIN,
) -> list[str]:
    """Say for each voice whose name `match` gave to nobody, those not in `given`, why that is."""
    names = list(voices)
    unknown = [index for index, name in enumerate(names) if name not in given]
    if not speakers:
        return [
            f"Nobody in the recording talks enough to be compared with the reference of {names[one]}."
            for one in unknown
        ]
    distances = _distances(speakers, voices)
    said: list[str] = []
    for one in unknown:
        speaker = distances[:, one].argmin()
        distance = distances[speaker, one]
        if distance >= farthest:
            said.append(
                f"Nobody in the recording sounds like the reference of {names[one]}: the nearest speaker is at "
                f"{distance:.2f}, and {farthest:.2f} is the farthest that counts."
            )
            continue
        other = min((index for index in range(len(names)) if index != one), key=lambda index: distances[speaker, index])
        said.append(
            f"The reference of {names[one]} named nobody: the nearest speaker is at {distance:.2f} from it and at "
            f"{distances[speaker, other]:.2f} from that of {names[other]}, and a name must be nearer than any other by "
            f"{margin:.2f}."
        )
    return said


def _distances(speakers: Mapping[str, Sequence[float]], voices: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the cosine distances of speakers and voices, (n_speakers, n_names)."""
    return 1.0 - _unit(list(speakers.values())) @ _unit(list(voices.values())).T


def _unit(vectors: Sequence[Sequence[float] | np.ndarray]) -> np.ndarray:
    """Return vectors, (n, dimension), at length one."""
    stacked = np.asarray(vectors, np.float64)
    return stacked / np.linalg.norm(stacked, axis=1, keepdims=True)
