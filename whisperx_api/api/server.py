"""`/` and `/v1`: what this server is and where its parts are."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field

from whisperx_api import __version__
from whisperx_api.api.auth import AnyCaller
from whisperx_api.api.errors import OPENAI_ERRORS, PROBLEMS
from whisperx_api.api.page import BY_ACCEPT, Page, wanted

router = APIRouter(tags=["operations"], responses=PROBLEMS)

NAME = "whisperx-api"


class ServerInformation(BaseModel):
    name: str = NAME
    version: str = __version__
    docs: str = Field(description="Where the API is described, to be tried out.")


class ApiInformation(BaseModel):
    name: str = NAME
    version: str = __version__
    endpoints: list[str] = Field(description="Method and path of everything under /v1.")


@router.head("/", include_in_schema=False, response_model=ServerInformation)
@router.get(
    "/", response_model=ServerInformation,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
)  # fmt: skip
async def root(request: Request, response: Response) -> ServerInformation | Response:
    """What this server is; needs no key. A browser gets the page."""
    root = request.scope.get("root_path", "")
    if wanted(",".join(request.headers.getlist("accept"))):
        page: Page | None = request.app.state.page
        return page.answer(root) if page else RedirectResponse(f"{root}/docs", headers=BY_ACCEPT)
    response.headers.update(BY_ACCEPT)
    return ServerInformation(docs=f"{root}/docs")


@router.get("/v1", response_model=ApiInformation, responses=OPENAI_ERRORS)
async def api(request: Request, caller: AnyCaller) -> ApiInformation:
    """What there is under `/v1`."""
    paths: dict[str, dict[str, object]] = request.app.openapi()["paths"]
    return ApiInformation(
        endpoints=[
            f"{method.upper()} {path}"
            for path, operations in paths.items()
            if path == "/v1" or path.startswith("/v1/")
            for method in operations
        ]
    )
