"""A real browser on the page: Chromium as the system has it, driven by Playwright."""

from __future__ import annotations

import base64
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Expect, Page, Playwright, sync_playwright

from tests.server import Server

ROOT = Path(__file__).parent.parent
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
NAMES = ("chromium", "chromium-browser", "google-chrome")
ELSEWHERE = "transcripts.test"
"""A name under which the browser finds this machine, without knowing that it is its own."""
FLAGS = (
    "--no-sandbox",  # it runs as root in containers, and sees this page alone
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1",
)
SECONDS = 20
"""Longest wait for what is to be seen."""
expect = Expect()
expect.set_options(timeout=1000 * SECONDS)  # the page itself waits for some of what is expected


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser, for all tests of a module."""
    with sync_playwright() as playwright:
        chromium = launched(playwright)
        yield chromium
        chromium.close()


def launched(playwright: Playwright) -> Browser:
    """Start the browser."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("There is no browser: install Chromium, as Debian's package `chromium` does.")
    return playwright.chromium.launch(executable_path=found, args=list(FLAGS))


@contextmanager
def visit(
    browser: Browser, url: str, key: str | None = None, dark: bool = False, width: int = 1200, axe: bool = False
) -> Iterator[Page]:
    """Open the server's page as a new visitor, who has the key already where one is given.

    Whatever goes wrong in its scripts fails the test, and so does a request to anybody else. `axe` may look at it: that
    makes styles of its own, which the page's policy lets nobody else do.
    """
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if dark else "light",
        accept_downloads=True,
        bypass_csp=axe,
    )
    if key is not None:
        context.add_init_script(f"localStorage['whisperx-api-key'] ??= '{key}'")
    page = context.new_page()
    page.set_default_timeout(1000 * SECONDS)
    faults: list[str] = []
    own = (url, "blob:", "data:")
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    page.on("request", lambda sent: None if sent.url.startswith(own) else faults.append(sent.url))
    page.goto(f"{url}/")
    try:
        yield page
        assert not faults, "\n".join(faults)
    finally:
        context.close()


def url_of(server: Server) -> str:
    """Return where a server's page is."""
    return f"http://127.0.0.1:{server.port}"


def drop(page: Page, path: Path, on: str = ".drop") -> None:
    """Drop a file on something of the page, as from a folder."""
    content = base64.b64encode(path.read_bytes()).decode()
    transfer = page.evaluate_handle(
        """([content, name]) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name));
            return transfer;
        }""",
        [content, path.name],
    )
    page.dispatch_event(on, "drop", {"dataTransfer": transfer})


def faults_of_access(page: Page) -> list[str]:
    """Return what axe finds wrong with the page as it is, by the rules of WCAG 2.2 A and AA and its own advice."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:120]} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def word_at(page: Page, segment: int, word: str) -> tuple[float, float]:
    """Return where in the window the middle of a segment's word is, in pixels: words have no elements of their own."""
    text = page.locator(f"#s-{segment}")
    text.scroll_into_view_if_needed()
    box = text.evaluate(
        """(element, word) => {
            const range = new Range(), start = element.textContent.indexOf(word);
            range.setStart(element.firstChild, start);
            range.setEnd(element.firstChild, start + word.length);
            const {x, y, width, height} = range.getBoundingClientRect();
            return [x + width / 2, y + height / 2];
        }""",
        word,
    )
    return box[0], box[1]


def expect_marked(page: Page, mark: str, *texts: str, seconds: float = SECONDS) -> None:
    """Wait until just these texts bear a mark: `said`, `hit`, `current`."""
    deadline = time.monotonic() + seconds
    while (found := marked(page, mark)) != list(texts):
        assert time.monotonic() < deadline, f"{mark}: {found} and not {texts}"
        page.wait_for_timeout(50)


def marked(page: Page, mark: str) -> list[str]:
    """Return the texts that bear a mark."""
    return page.evaluate(f"[...(CSS.highlights.get('{mark}') ?? [])].map(String)")
