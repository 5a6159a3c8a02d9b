"""`/v1/models`: the models that a request may name, in OpenAI's form, and letting one go from the devices."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from whisperx_api.api.auth import Admin, AnyCaller
from whisperx_api.api.errors import OPENAI_ERRORS, ApiError
from whisperx_api.api.parts import Parts, PartsOf
from whisperx_api.engine.protocol import model_name
from whisperx_api.models import names
from whisperx_api.models.catalog import STARTER, repo_id
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.models.resolve import transcription_folder
from whisperx_api.settings import Settings

router = APIRouter(prefix="/v1/models", tags=["models"], responses=OPENAI_ERRORS)


class ModelOut(BaseModel):
    """A model that a request may name."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When it came to this server, in seconds since 1970; 0 where it is not here yet.")
    owned_by: str = Field(description="Who published it; local for a folder of this server.")
    loaded: bool = Field(description="Whether a device holds it now.")


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelOut]


class Unloaded(BaseModel):
    """What became of a model on the devices that held it; both lists are empty where none did."""

    id: str
    object: Literal["model.unloaded"] = "model.unloaded"
    unloaded: list[str] = Field(description="The devices that are free of it now.")
    in_use: list[str] = Field(description="The devices where it goes as soon as the stage that needs it has ended.")


@router.get("", response_model=ModelList)
async def list_models(parts: PartsOf, caller: AnyCaller) -> ModelList:
    """The default model, its other names, and every other model that a request may name."""
    models = _loaded(parts)
    return ModelList(data=await asyncio.to_thread(_listed, parts.settings, models))


@router.get("/{id:path}", response_model=ModelOut)
async def retrieve_model(id: str, parts: PartsOf, caller: AnyCaller) -> ModelOut:
    """One model, by any of its names. 404 for one that no request may name."""
    model = await asyncio.to_thread(_resolved, id, parts.settings)
    if model is None:
        raise _unknown(id)
    return await asyncio.to_thread(_described, id, model, parts.settings, _loaded(parts))


@router.post("/{id:path}/unload", response_model=Unloaded)
async def unload_model(id: str, parts: PartsOf, caller: Admin) -> Unloaded:
    """Let a model go from every device, until a task needs it again; needs the scope admin.

    Any name of a transcription model will do, and that of the diarization model or of a loaded alignment model."""
    model = await asyncio.to_thread(_resolved, id, parts.settings)
    if model is None and id != parts.settings.diarization_model and id not in _loaded(parts, every_kind=True):
        raise _unknown(id)
    try:
        answers = await parts.fleet.unload(model or id)
    except TimeoutError:
        raise ApiError(
            HTTPStatus.SERVICE_UNAVAILABLE, "The engine does not answer: try again later.",
            headers={"Retry-After": "10"},
        ) from None  # fmt: skip
    return Unloaded(
        id=id,
        unloaded=[device for device, answer in answers.items() if not answer.in_use],
        in_use=[device for device, answer in answers.items() if answer.in_use],
    )


def _loaded(parts: Parts, every_kind: bool = False) -> frozenset[str]:
    """Return the names of the transcription models that are loaded, or of all models."""
    loaded = parts.fleet.loaded
    return frozenset(model_name(name) for name in loaded if every_kind or name.startswith("transcribe:"))


def _resolved(name: str, settings: Settings) -> str | None:
    """Return the model that a request means by `name`, the default one by its own name; None if it may not."""
    try:
        return names.resolve_requested(name, settings) or settings.whisper_model
    except names.ModelNotAllowed:
        return None


def _listed(settings: Settings, loaded: frozenset[str]) -> list[ModelOut]:
    every = dict.fromkeys((*names.default_names(settings), *names.allowed(settings)))
    found = ((name, _resolved(name, settings)) for name in every)
    return [_described(name, model, settings, loaded) for name, model in found if model is not None]


def _described(name: str, model: str, settings: Settings, loaded: frozenset[str]) -> ModelOut:
    owner, slash, _ = repo_id(model).partition("/")
    owned_by = "whisperx-api" if model == STARTER else owner if owner and slash else "local"
    return ModelOut(id=name, created=_created(model, settings), owned_by=owned_by, loaded=model in loaded)


def _created(model: str, settings: Settings) -> int:
    try:
        folder = transcription_folder(model, settings.models, allow_download=False)
        return round(folder.stat().st_mtime)
    except (ModelUnavailable, OSError):
        return 0


def _unknown(name: str) -> ApiError:
    return ApiError(
        HTTPStatus.NOT_FOUND, f"There is no model '{name}' here: GET /v1/models lists those that a request may name.",
        param="model",
    )  # fmt: skip
