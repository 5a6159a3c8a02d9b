"""`/metrics`: how the server does, for Prometheus."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from whisperx_api.api.auth import Reader
from whisperx_api.api.errors import PROBLEMS
from whisperx_api.api.parts import PartsOf
from whisperx_api.metrics import CONTENT_TYPE

router = APIRouter(tags=["operations"], responses=PROBLEMS)

TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


@router.get("/metrics", response_class=Response, responses=TEXT)
async def metrics(parts: PartsOf, caller: Reader) -> Response:
    """The metrics, as Prometheus reads them: it sends the key as a bearer token. No disk is read for them."""
    return Response(parts.metrics.text(), media_type=CONTENT_TYPE)
