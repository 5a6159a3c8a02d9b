"""The pictures of the page in the documents, taken of a real task: `python -m bench.screenshots`."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from bench.job import MODELS
from tests.browsing import expect_marked, launched, visit, word_at
from whisperx_api.client import Client
from whisperx_api.demo import sample, serving

FOLDER = Path("docs/images")


def progress(page: Page) -> str:
    """Send the sample from the page, take its picture while it is in work, and return the task."""
    page.get_by_label("Language").select_option("en")
    page.screenshot(path=FOLDER / "new.png")
    page.get_by_label("Files to send").set_input_files(sample())
    page.locator(".heard").wait_for(timeout=120_000)
    page.screenshot(path=FOLDER / "progress.png")
    page.locator(".player").wait_for(timeout=120_000)
    return page.url.rpartition("/")[2]


def transcript(browser: Browser, url: str, key: str, task: str, name: str, dark: bool, width: int) -> None:
    """Take a picture of a transcript in which a word is being said."""
    with visit(browser, url, key, dark=dark, width=width) as page:
        page.goto(f"{url}/#/task/{task}")
        page.mouse.click(*word_at(page, 3, "know"))
        expect_marked(page, "said", "know")
        page.keyboard.press("Space")
        page.mouse.move(0, 0)
        page.screenshot(path=FOLDER / name)


def main() -> None:
    """Take them all."""
    FOLDER.mkdir(exist_ok=True)
    with (
        serving("--log-level", "warning", *MODELS) as (url, key, _),
        Client(url, api_key=key) as client,
        sync_playwright() as playwright,
    ):
        browser = launched(playwright)
        with visit(browser, url, key) as page:
            task = progress(page)
        client.edit(task, speakers={"SPEAKER_00": "Sheila", "SPEAKER_01": "Diane"})
        transcript(browser, url, key, task, "transcript.png", dark=False, width=1200)
        transcript(browser, url, key, task, "phone.png", dark=True, width=390)
        browser.close()


if __name__ == "__main__":
    main()
