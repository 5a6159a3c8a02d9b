"""The page for people, at `/`: built from `web/` into `whisperx_api/page`, and sent from there. It asks nobody else.

Its one script may run, and of styles its own file and those that bear the answer's nonce (CSP Level 3): the library
that draws waveforms makes some as it runs.
"""

from __future__ import annotations

import html
import logging
import re
import secrets
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from whisperx_api.api.entrance import FRAMES

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parents[1] / "page"
ASSETS = "/assets"
BY_ACCEPT = {"Vary": "Accept"}
"""For every answer that would be another for another Accept: no cache is to mistake one for the other."""
WEIGHT = re.compile(r"[01](\.\d{0,3})?")
ROOT = '<meta name="api-root" content=""'
SCRIPT = '<script type="module"'
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
    f"media-src 'self' blob:; connect-src 'self'; form-action 'none'; {FRAMES}"
)
PERMISSIONS = "microphone=(self), camera=(), geolocation=()"


def wanted(accept: str) -> bool:
    """Whether a request's Accept (RFC 9110, 12.5.1) names HTML, and JSON not rather; programs take what comes."""
    weights = dict(map(_weighed, accept.lower().split(",")))
    weight = weights.get("text/html", 0.0)
    return weight > 0 and weight >= weights.get("application/json", 0.0)


def _weighed(part: str) -> tuple[str, float]:
    """Return a media type and its weight, 0 where that is no number."""
    kind, *parameters = (piece.strip() for piece in part.split(";"))
    weight = next((value for name, _, value in (one.partition("=") for one in parameters) if name == "q"), "1")
    return kind, float(weight) if WEIGHT.fullmatch(weight) else 0.0


class Page:
    """The page as it was built."""

    def __init__(self, folder: Path) -> None:
        """Raises `FileNotFoundError` where it was not built."""
        self._html = (folder / "index.html").read_text()

    def answer(self, root: str) -> HTMLResponse:
        """Return the page for a server that is reached under the path `root`."""
        nonce = secrets.token_urlsafe(16)
        text = (
            self._html.replace(f'"./{ASSETS[1:]}/', f'"{html.escape(root)}{ASSETS}/')
            .replace(ROOT, f'{ROOT[:-1]}{html.escape(root)}"')
            .replace(SCRIPT, f'<script nonce="{nonce}" type="module"')
        )
        headers = {
            "Content-Security-Policy": POLICY.format(nonce=nonce), "Permissions-Policy": PERMISSIONS,
            "Cache-Control": "no-cache", **BY_ACCEPT,
        }  # fmt: skip
        return HTMLResponse(text, headers=headers)


class Assets(StaticFiles):
    """The files that the page loads. Each has a hash in its name, so that none is ever asked for twice."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer


def install(app: FastAPI) -> None:
    """Have the app send the page, where it was built; `app.state.page` is None where it was not."""
    try:
        app.state.page = Page(FOLDER)
    except FileNotFoundError:
        app.state.page = None
        logger.warning("the page is not built, so browsers get /docs: run `make page` in the clone and install it anew")
        return
    app.mount(ASSETS, Assets(directory=FOLDER / ASSETS[1:]))
