"""The page in a real browser: what it loads, when it can be used, how it bears ten hours: `python -m bench.page`.

Chromium runs beside the server, on the same processors. Each first visit is one of a new browser profile, whose cache
is empty. The long transcript has 5,000 segments of 12 words, ten hours; it is put in the place of what the server
answers, and then scrolled, played, followed and searched. The time that scripts take is that of every frame: their own
processor time, and by the clock, which also has what other programs kept them waiting.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from typing import Any

from playwright.sync_api import Browser, Page, Route, sync_playwright

from bench.figures import Figure, publish
from bench.job import MODELS
from bench.scripting import Scripts, scripting
from tests.browsing import launched, visit, word_at
from whisperx_api.client import Client
from whisperx_api.demo import sample, serving

VISITS = 5
SEGMENTS, WORDS, SPEAKERS = 5000, 12, 4
SEGMENT_SECONDS = 7.2
WHEEL_TURNS, TURN = 200, 700
"""How often the wheel is turned, and by how many pixels."""
USABLE = """
new MutationObserver((_, observer) => {
    if (!document.querySelector('.drop button')) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => (window.usable = performance.now())));
}).observe(document, {childList: true, subtree: true});
"""
"""Notes when the page can be used: a button is there, drawn, and nothing keeps it from answering."""


def transcript(task: str) -> dict[str, Any]:
    """Return a transcript of ten hours, as the server writes it."""
    segments = []
    for number in range(SEGMENTS):
        start, speaker = number * SEGMENT_SECONDS, f"SPEAKER_{number // 3 % SPEAKERS:02d}"
        words = [
            {"word": f"word{(number * WORDS + place) % 997}", "start": round(start + place * 0.5, 3),
             "end": round(start + place * 0.5 + 0.4, 3), "score": 0.9, "speaker": speaker}
            for place in range(WORDS)
        ]  # fmt: skip
        text = " ".join(str(word["word"]) for word in words)
        end = start + SEGMENT_SECONDS
        segments.append({"id": number, "start": start, "end": end, "text": text, "speaker": speaker, "words": words})
    duration = SEGMENTS * SEGMENT_SECONDS
    speakers = [
        {"id": f"SPEAKER_{number:02d}", "name": None, "duration": duration / SPEAKERS} for number in range(SPEAKERS)
    ]
    return {
        "task_id": task, "language": "en", "duration": duration, "text": "", "segments": segments,
        "speakers": speakers, "models": {}, "warnings": [],
    }  # fmt: skip


def first_visits(browser: Browser, url: str, key: str) -> tuple[list[int], list[float]]:
    """Return what first visits load, in bytes with headers, and after how many milliseconds the page can be used."""
    loaded, usable = [], []
    for _ in range(VISITS):
        context = browser.new_context()
        context.add_init_script(f"localStorage['whisperx-api-key'] ??= '{key}'")
        context.add_init_script(USABLE)
        page = context.new_page()
        requests: list[Any] = []
        page.on("requestfinished", lambda request, seen=requests: seen.append(request))
        page.goto(f"{url}/", wait_until="networkidle")
        usable.append(float(page.evaluate("window.usable")))
        sizes = [request.sizes() for request in requests]
        loaded.append(sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes))
        context.close()
    return loaded, usable


def long_transcript(browser: Browser, url: str, key: str, task: str) -> list[Scripts]:
    """Return what scripts take in each frame while a long transcript is used."""
    body = json.dumps(transcript(task))
    length = 12_000
    drawn = {"samples_per_pixel": 48_000, "sample_rate": 16_000, "length": length, "data": [-90, 90] * length}

    def answer(route: Route) -> None:
        made = body if "/result/" in route.request.url else json.dumps(drawn)
        route.fulfill(body=made, content_type="application/json")

    with visit(browser, url, key) as page:
        page.route(f"**/result/{task}", answer)
        page.route(f"**/waveform/{task}", answer)
        page.goto(f"{url}/#/task/{task}")
        page.locator(".segment").first.wait_for()
        page.wait_for_timeout(2000)
        browser.start_tracing(page=page, categories=["devtools.timeline", "v8.execute"])
        use(page)
        return scripting(browser.stop_tracing())


def use(page: Page) -> None:
    """Scroll, play, follow and search."""
    page.mouse.move(400, 500)
    for _ in range(WHEEL_TURNS):
        page.mouse.wheel(0, TURN)
        page.wait_for_timeout(16)
    page.keyboard.press("End")
    page.wait_for_timeout(500)
    page.keyboard.press("Home")
    page.wait_for_timeout(500)
    page.mouse.click(*word_at(page, 1, "word12"))
    page.wait_for_timeout(3000)
    page.keyboard.press("Space")
    page.get_by_label("Search the transcript").press_sequentially("word996", delay=60)
    for _ in range(10):
        page.keyboard.press("Enter")
        page.wait_for_timeout(100)


def longest(name: str, frames: Sequence[float]) -> Figure:
    """Return the figure of the longest frame, in milliseconds, with those of the others beside it."""
    p99 = sorted(frames)[round(0.99 * (len(frames) - 1))]
    share = f"median {statistics.median(frames):.1f} ms, p99 {p99:.1f} ms"
    return Figure(name, "ms", max(frames), reach="16 ms", note=f"{len(frames)} frames, {share}")


def main() -> None:
    """Measure and publish."""
    with (
        serving("--log-level", "warning", *MODELS) as (url, key, _),
        Client(url, api_key=key) as client,
        sync_playwright() as playwright,
    ):
        task = client.upload(sample()).task_id
        client.wait(task)
        browser = launched(playwright)
        loaded, usable = first_visits(browser, url, key)
        frames = long_transcript(browser, url, key, task)
        browser.close()
    publish("page", [
        Figure("first load, all answers with their headers", "KB", max(loaded) / 1000, reach="300 KB"),
        Figure(
            "until it can be used, the slowest of the visits", "ms", max(usable), reach="1,000 ms",
            note=f"{VISITS} visits, median {statistics.median(usable):.0f} ms",
        ),
        longest(f"scripts in a frame, {SEGMENTS:,} segments scrolled, played and searched; the longest, processor time",
                [frame.processor for frame in frames]),
        longest("the same by the clock, with what other programs took meanwhile", [frame.clock for frame in frames]),
    ])  # fmt: skip


if __name__ == "__main__":
    main()
