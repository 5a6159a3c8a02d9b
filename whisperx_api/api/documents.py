"""`/docs` and `/redoc`: the API, described to be read and tried out; all that these pages load is served from here.

The few lines of script that FastAPI writes into a page are named by their hash (CSP Level 3), so that no others run.
"""

from __future__ import annotations

import base64
import hashlib
import re

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse

from whisperx_api.api.entrance import FRAMES

router = APIRouter(include_in_schema=False)

ASSETS = "/static-offline-docs"
"""Where fastapi-offline serves the files of both pages."""
SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


@router.get("/docs", response_class=HTMLResponse)
async def swagger(request: Request) -> HTMLResponse:
    """Swagger UI."""
    root = request.scope.get("root_path", "")
    return _strict(
        get_swagger_ui_html(
            openapi_url=f"{root}{request.app.openapi_url}",
            title=f"{request.app.title} - Swagger UI",
            swagger_js_url=f"{root}{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{root}{ASSETS}/favicon.png",
        )
    )


@router.get("/redoc", response_class=HTMLResponse)
async def redoc(request: Request) -> HTMLResponse:
    """ReDoc."""
    root = request.scope.get("root_path", "")
    return _strict(
        get_redoc_html(
            openapi_url=f"{root}{request.app.openapi_url}",
            title=f"{request.app.title} - ReDoc",
            redoc_js_url=f"{root}{ASSETS}/redoc.standalone.js",
            redoc_favicon_url=f"{root}{ASSETS}/favicon.png",
            with_google_fonts=False,
        )
    )


def _strict(page: HTMLResponse) -> HTMLResponse:
    """Let a page run its own scripts alone. Both pages make their styles as they run, and ReDoc its search a worker."""
    hashes = "".join(f" 'sha256-{_hash(script)}'" for script in SCRIPT.findall(bytes(page.body)))
    page.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self'{hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        f"font-src 'self' data:; connect-src 'self'; media-src blob:; worker-src blob:; form-action 'self'; {FRAMES}"
    )
    return page


def _hash(script: bytes) -> str:
    return base64.b64encode(hashlib.sha256(script).digest()).decode()
