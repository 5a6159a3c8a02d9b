"""The models of one engine: which files a name means, how they are loaded, which alignment model a language gets."""

from __future__ import annotations

import functools
import logging
import time
from pathlib import Path

import torch

from whisperx_api.engine.device import cores
from whisperx_api.engine.pool import ModelPool
from whisperx_api.engine.protocol import EngineConfig
from whisperx_api.models import alignment
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.models.resolve import diarization_source, transcription_folder
from whisperx_api.pipeline.align import Aligner
from whisperx_api.pipeline.aligners import default_align_model, fetch_aligner, load_aligner
from whisperx_api.pipeline.diarize import Diarizer
from whisperx_api.pipeline.diarizers import load_diarizer
from whisperx_api.pipeline.run import AlignerChoice
from whisperx_api.pipeline.transcribe import Transcriber
from whisperx_api.pipeline.transcribers import load_transcriber

logger = logging.getLogger(__name__)

RETRY_FETCH_SECONDS = 600.0
"""How long a model that could not be fetched is not asked for again."""
TYPICAL_WEIGHTS = 400_000_000
"""Bytes reckoned for a model whose files are not one folder."""


class EngineModels:
    """Implements `pipeline.run.Models` on one device."""

    def __init__(self, config: EngineConfig, device: str, pool: ModelPool) -> None:
        """`device` is cpu or cuda:N."""
        self._config = config
        self._device = device
        self._pool = pool
        self._workers = config.threads or cores()
        self._compute_type = config.compute_type or ("int8" if device == "cpu" else "float16")
        self._unreachable: dict[str, tuple[float, str]] = {}

    def transcriber(self, name: str | None) -> Transcriber:
        """Return the transcription model `name`, the configured one for None. Raises `ModelUnavailable`."""
        name = name or self._config.whisper_model
        folder = transcription_folder(
            name, self._config.model_dir, allow_download=self._config.auto_download, token=self._config.hf_token
        )
        load = functools.partial(
            load_transcriber, folder, name=name, device=self._device, compute_type=self._compute_type,
            workers=self._workers,
        )  # fmt: skip
        return self._pool.get(f"transcribe:{name}", load, _size(folder))

    def aligner(self, name: str, language: str) -> Aligner:
        """Return the alignment model `name`. Raises `ModelUnavailable`."""
        load = functools.partial(
            load_aligner, name, language, device=self._device, model_dir=self._config.model_dir, workers=self._workers,
            allow_download=self._config.auto_download, token=self._config.hf_token,
        )  # fmt: skip
        return self._pool.get(f"align:{name}:{language}", load, TYPICAL_WEIGHTS)

    def diarizer(self) -> Diarizer:
        """Return the diarization pipeline. Raises `ModelUnavailable`."""
        name = self._config.diarization_model
        source = diarization_source(name, self._config.model_dir)
        if isinstance(source, str) and not self._config.auto_download:
            raise ModelUnavailable(
                f"The diarization model {name} is not on this machine and WHISPER_AUTO_DOWNLOAD is off: run "
                f"`whisperx-api models pull {name}`, set DIARIZATION_MODEL=starter, or send enable_diarization=false."
            )
        load = functools.partial(
            load_diarizer, source, device=torch.device(self._device), batch_size=self._config.batch_size,
            workers=self._workers, mode=self._config.diarization_mode, token=self._config.hf_token,
            cache_dir=self._config.model_dir / "hub",
        )  # fmt: skip
        return self._pool.get(f"diarize:{name}", load, TYPICAL_WEIGHTS)

    def choose_aligner(self, language: str) -> AlignerChoice:
        """Return the alignment model for `language`, fetched if need be; cross-attention where none can be had."""
        setting = self._config.align_model
        if setting == "attention":
            return AlignerChoice(None)
        name = default_align_model(language) if setting == "auto" else setting
        if name is None:
            return AlignerChoice(
                None, f"There is no alignment model for language {language}: word times are Whisper's own."
            )
        if alignment.at_hand(name, self._config.model_dir):
            return AlignerChoice(name)
        reason = self._fetch(name)
        return AlignerChoice(name) if reason is None else AlignerChoice(None, f"{reason} Word times are Whisper's own.")

    def _fetch(self, name: str) -> str | None:
        """Fetch an alignment model; return why that failed, None if it did not."""
        failed_at, reason = self._unreachable.get(name, (0.0, ""))
        if reason and time.monotonic() - failed_at < RETRY_FETCH_SECONDS:
            return reason
        try:
            fetch_aligner(
                name, self._config.model_dir, allow_download=self._config.auto_download, token=self._config.hf_token
            )
        except ModelUnavailable as error:
            logger.warning("%s", error)
            self._unreachable[name] = (time.monotonic(), str(error))
            return str(error)
        return None


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
