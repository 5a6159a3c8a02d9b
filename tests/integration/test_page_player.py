"""A transcript heard, followed and searched in a real browser, by mouse and keys, on screens of any size."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Locator, Page, Route

from bench.page import transcript
from tests.browsing import expect, expect_marked, visit
from tests.conftest import KEY
from tests.receiver import eventually
from tests.server import Server

pytestmark = pytest.mark.embedded("the page asks the API alone, which is the same on a cluster")

HEARD = "const Own = Audio; Audio = function () { return (window.heard = new Own()); };"
"""Lets the test see what is played."""
SEEN = """
document.getElementById(`s-${Math.min(Math.floor(heard.currentTime * 10), 199)}`)?.getBoundingClientRect().top > 100
"""
"""Whether the segment is in the document that is played, of a tenth of a second as the others."""


MIDDLE = """
(() => {
    const {top, height} = [...CSS.highlights.get('current')][0].getBoundingClientRect();
    return Math.abs(top + height / 2 - (innerHeight + document.querySelector('.player').offsetHeight) / 2);
})()
"""
"""How far what was found is from the middle of what is seen of the transcript, in pixels."""


def made(server: Server, tone, seconds: float = 20.0) -> str:
    """Return a task that is done."""
    task = server.upload(tone(seconds))
    server.wait(task)
    return task


def show(page: Page, server: Server, task: str, answer: dict[str, Any] | None = None) -> None:
    """Open a task, with another transcript than its own where one is given."""
    if answer is not None:
        page.route(
            f"**/result/{task}", lambda route: route.fulfill(body=json.dumps(answer), content_type="application/json")
        )
    page.add_init_script(HEARD)
    page.reload()
    page.goto(f"http://127.0.0.1:{server.port}/#/task/{task}")
    expect(page.locator(".segment").first).to_be_visible()
    assert eventually(lambda: page.evaluate("window.heard?.readyState"))


def short_segments(task: str, name: str | None = None) -> dict[str, Any]:
    """Return 200 segments, of a tenth of a second each."""
    found: dict[str, Any] = transcript(task)
    segments = [
        segment | {"start": number / 10, "end": (number + 1) / 10, "words": []}
        for number, segment in enumerate(found["segments"][:200])
    ]
    speakers = [found["speakers"][0] | {"name": name}, *found["speakers"][1:]]
    return found | {"duration": 20.0, "segments": segments, "speakers": speakers}


def go_on(page: Page) -> bool:
    """Whether the recording plays, and its time goes on."""
    before = page.evaluate("heard.currentTime")
    return eventually(lambda: page.evaluate("heard.currentTime") > before and not page.evaluate("heard.paused"))


def cut(page: Page, segment: int) -> None:
    """Make the window end at a segment's first line."""
    box = f"(({{top, height}}) => height > 60 && top)(document.querySelector('#s-{segment}').getBoundingClientRect())"
    page.set_viewport_size({"width": 390, "height": int(eventually(lambda: page.evaluate(box))) + 30})


def play(page: Page) -> Locator:
    return page.get_by_role("button", name="Play", exact=True)


def pause(page: Page) -> Locator:
    return page.get_by_role("button", name="Pause")


def test_search_stays_in_sight_and_scrolls_only_where_one_goes(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = made(server, tone)
    answer = transcript(task)
    with visit(browser, f"http://127.0.0.1:{server.port}", KEY) as page:
        show(page, server, task, answer)
        field, count = page.get_by_label("Search the transcript"), page.locator(".search output")
        field.fill("word996 word0")
        expect_marked(page, "current", "word996 word0")
        hits = int(count.inner_text().removeprefix("1 of "))
        for seen in (field, count, page.get_by_label("The next one"), page.get_by_label("Follow what is played")):
            expect(seen).to_be_in_viewport(ratio=1)
        field.press("Enter")
        expect(count).to_have_text(f"2 of {hits}")
        field.press("Shift+Enter")
        expect(count).to_have_text(f"1 of {hits}")
        page.get_by_label("The one before").click()
        expect(count).to_have_text(f"{hits} of {hits}")
        page.get_by_label("The next one").click()
        expect(count).to_have_text(f"1 of {hits}")
        expect_marked(page, "current", "word996 word0")
        assert page.evaluate("CSS.highlights.get('current').priority > (CSS.highlights.get('hit')?.priority ?? 0)")

        # what was found is put right, and a name changed, while one reads elsewhere
        found = next(segment for segment in answer["segments"] if "word996 word0" in segment["text"])
        found["text"] = "Something else."
        page.mouse.wheel(0, -100_000)
        expect(page.locator(".home")).to_be_in_viewport()
        page.get_by_role("button", name="Rename SPEAKER_00").click()
        page.get_by_label("Name of SPEAKER_00").fill("Katie")
        page.keyboard.press("Enter")
        expect(count).to_have_text(f"{hits - 1} found")
        page.wait_for_timeout(300)
        assert page.evaluate("scrollY") == 0
        page.get_by_label("The next one").click()
        expect(count).to_have_text(f"1 of {hits - 1}")
        expect_marked(page, "current", "word996 word0")
        assert eventually(lambda: page.evaluate(MIDDLE) < 45)


def test_recording_that_was_out_of_reach_is_played_when_it_is_there(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = made(server, tone)
    away = {"status": 503, "body": '{"detail": "Not yet."}'}
    with visit(browser, f"http://127.0.0.1:{server.port}", KEY) as page:
        page.add_init_script(HEARD)
        page.route(f"**/audio/{task}/links", lambda route: route.fulfill(**away))
        page.goto(f"http://127.0.0.1:{server.port}/#/task/{task}")
        page.reload()
        expect(page.get_by_role("alert")).to_have_text("Not yet.")
        page.unroute_all()
        play(page).click()
        assert go_on(page)
        assert page.get_by_role("alert").count() == 0

        # so it is when it breaks off, and what was set is kept
        page.get_by_label("Speed").select_option("1.5×")
        assert page.evaluate("heard.playbackRate") == 1.5
        page.route(re.compile(f"/audio/{task}[?]expires="), lambda route: route.fulfill(**away))
        page.evaluate("heard.src += '&again'")
        expect(page.get_by_role("alert")).to_have_text("Not yet.")
        expect(play(page)).to_be_visible()
        page.unroute_all()
        page.get_by_label("Position").fill("12")
        assert eventually(lambda: page.evaluate("heard.currentTime") == 12)
        assert page.get_by_role("alert").count() == 0
        page.keyboard.press("Space")  # after the slider, too
        assert go_on(page)
        assert page.evaluate("heard.playbackRate") == 1.5

        # what answers when one asks why it does not is asked again, and goes on by itself
        left = [away]
        page.route(
            re.compile(f"/audio/{task}[?]expires="),
            lambda route: route.fulfill(**left.pop()) if left else route.continue_(),
        )
        page.evaluate("heard.src += '&again'")
        assert eventually(lambda: page.evaluate("heard.readyState") and not left)
        broken = page.evaluate("heard.currentTime")
        assert eventually(lambda: page.evaluate("heard.currentTime") > broken + 0.3)
        assert page.get_by_role("alert").count() == 0

        # and whoever goes elsewhere while the link is on its way is there when it has come
        page.keyboard.press("Space")
        expect(play(page)).to_be_visible()
        held: list[Route] = []
        page.route(f"**/audio/{task}/links", lambda route: held.append(route))
        page.evaluate("heard.addEventListener('loadedmetadata', () => (window.loaded = true))")
        page.evaluate("heard.dispatchEvent(new Event('error'))")
        assert eventually(lambda: page.evaluate("heard.src") and held)
        page.get_by_label("Position").fill("3")
        held.pop().continue_()
        assert eventually(lambda: page.evaluate("window.loaded && heard.currentTime === 3"))


def test_waveform_is_asked_for_until_it_is_there(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = made(server, tone)
    with visit(browser, f"http://127.0.0.1:{server.port}", KEY) as page:
        away = {"status": 503, "body": '{"detail": "Not yet."}'}
        page.route(f"**/waveform/{task}", lambda route: route.fulfill(**away), times=1)
        page.goto(f"http://127.0.0.1:{server.port}/#/task/{task}")
        expect(page.locator(".segment").first).to_be_visible()
        expect(page.locator(".waveform")).to_be_visible()
        assert page.get_by_role("alert").count() == 0


def test_download_by_keys_keeps_its_place(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = made(server, tone)
    with visit(browser, f"http://127.0.0.1:{server.port}", KEY) as page:
        show(page, server, task)
        held: list[Route] = []
        page.route("**/result/*format=*", lambda route: held.append(route))
        button = page.get_by_role("button", name="Download")
        button.press("Space")
        assert eventually(lambda: page.title() and held)
        expect(button).to_have_attribute("aria-disabled", "true")
        page.keyboard.press("Space")  # it is on its way, and nothing is played
        expect(button).to_be_focused()
        page.wait_for_timeout(300)
        assert len(held) == 1 and page.evaluate("heard.paused")
        with page.expect_download():
            held[0].continue_()
        expect(button).to_have_attribute("aria-disabled", "false")
        expect(button).to_be_focused()


def test_links_that_lead_nowhere_are_not_asked_for_for_ever(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = made(server, tone)
    with visit(browser, f"http://127.0.0.1:{server.port}", KEY) as page:
        asked: list[str] = []
        page.on("request", lambda sent: asked.append(sent.url) if sent.url.endswith("/links") else None)
        page.route(
            re.compile(f"/audio/{task}[?]expires="),
            lambda route: route.fulfill(status=403, body='{"detail": "It is over."}'),
        )
        page.goto(f"http://127.0.0.1:{server.port}/#/task/{task}")
        expect(page.get_by_role("alert")).to_have_text("It is over.")
        assert len(asked) == 2


def test_damaged_recording_is_said_to_be_so_and_not_asked_for_for_ever(
    start_server, browser: Browser, tone, tmp_path: Path
) -> None:
    server = start_server(fake=True)
    whole = tmp_path / "whole.flac"
    sound, rate = soundfile.read(tone(20.0))
    soundfile.write(whole, sound + np.random.default_rng(1).normal(0, 0.05, len(sound)), rate)
    task = server.upload(whole)
    server.wait(task)
    sent = whole.read_bytes()
    half, quarter = len(sent) // 2, len(sent) // 4
    damaged = sent[:half] + np.random.default_rng(2).bytes(quarter) + sent[half + quarter :]
    (tmp_path / "data" / "uploads" / task).write_bytes(damaged)
    with visit(browser, f"http://127.0.0.1:{server.port}", KEY) as page:
        asked: list[str] = []
        page.on("request", lambda sent: asked.append(sent.url) if sent.url.endswith("/links") else None)
        show(page, server, task)
        page.get_by_label("Position").fill("9")
        play(page).click()
        expect(page.get_by_role("alert")).to_contain_text("Your browser can't play this kind of recording.")
        count = len(asked)
        page.wait_for_timeout(1000)
        assert len(asked) == count <= 3


def test_new_key_leaves_the_player_as_it_is(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = made(server, tone)
    with visit(browser, f"http://127.0.0.1:{server.port}", KEY) as page:
        show(page, server, task)
        page.get_by_label("Speed").select_option("2×")
        page.get_by_label("Position").fill("3")
        play(page).click()
        assert go_on(page)
        page.route("**/result/*format=*", lambda route: route.fulfill(status=401, body='{"detail": "It was revoked."}'))
        page.get_by_role("button", name="Download").click()
        expect(page.get_by_role("dialog")).to_contain_text("It was revoked.")
        page.get_by_label("Key", exact=True).fill(KEY)
        page.get_by_role("button", name="Use it").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert go_on(page)
        assert page.evaluate("[heard.currentTime > 3, heard.playbackRate]") == [True, 2]
        assert page.get_by_role("alert").count() == 0


def test_key_that_the_player_is_refused_is_asked_for(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = made(server, tone)
    with visit(browser, f"http://127.0.0.1:{server.port}", KEY) as page:
        revoked = '{"detail": "It was revoked."}'
        page.route(f"**/audio/{task}/links", lambda route: route.fulfill(status=401, body=revoked), times=1)
        page.add_init_script(HEARD)
        page.goto(f"http://127.0.0.1:{server.port}/#/task/{task}")
        page.reload()
        expect(page.get_by_role("dialog")).to_contain_text("It was revoked.")
        page.get_by_label("Key", exact=True).fill(KEY)
        page.get_by_role("button", name="Use it").click()
        play(page).click()
        assert go_on(page)


def test_who_switches_following_off_is_not_taken_along_again(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = made(server, tone)
    with visit(browser, f"http://127.0.0.1:{server.port}", KEY) as page:
        show(page, server, task)
        follows = page.get_by_label("Follow")
        follows.uncheck()
        page.get_by_role("button", name="Play from 0:00").click()
        assert go_on(page)
        expect(follows).not_to_be_checked()
        follows.check()
        page.mouse.wheel(0, 10)
        expect(follows).not_to_be_checked()
        page.get_by_role("button", name="Play from 0:00").click()
        expect(follows).to_be_checked()


def test_space_plays_and_pauses_wherever_it_means_nothing_else(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = made(server, tone)
    with visit(browser, f"http://127.0.0.1:{server.port}", KEY, width=600) as page:
        show(page, server, task)
        page.get_by_role("button", name="Play from 0:00").click()
        expect(pause(page)).to_be_visible()
        page.keyboard.press("Space")
        expect(play(page)).to_be_visible()
        assert page.evaluate("heard.paused")
        page.locator(".position").click()
        at = int(page.get_by_label("Position").input_value())
        assert at > 5
        page.keyboard.press("Space")
        expect(pause(page)).to_be_visible()
        page.keyboard.press("Space")
        expect(play(page)).to_be_visible()
        assert page.evaluate("heard.currentTime") >= at

        # held, it is pressed once; with others it is the browser's, and so are arrows
        page.evaluate("document.activeElement.blur()")
        for _ in range(4):
            page.keyboard.down("Space")
        page.keyboard.up("Space")
        expect(pause(page)).to_be_visible()
        page.keyboard.press("Shift+Space")
        page.keyboard.press("Space")
        expect(play(page)).to_be_visible()
        page.get_by_label("Position").fill("0")
        page.evaluate("document.activeElement.blur()")
        for key in ("Control+ArrowRight", "Alt+ArrowRight", "Meta+ArrowRight", "ArrowRight"):
            page.keyboard.press(key)
        assert page.evaluate("heard.currentTime") == 5

        page.get_by_text("Speakers, download, details").focus()
        page.keyboard.press("Space")
        expect(page.get_by_role("heading", name="Download")).to_be_visible()
        assert page.evaluate("heard.paused")


def follow(following: Locator) -> None:
    """Switch it on by a key: a click would miss it where the page still scrolls."""
    if not following.is_checked():
        following.press("Space")
    expect(following).to_be_checked()


def test_list_follows_until_one_scrolls_elsewhere(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = made(server, tone, 120.0)  # it does not end before the test does
    with visit(browser, f"http://127.0.0.1:{server.port}", KEY) as page:
        answer = short_segments(task)
        texts = [segment["text"] for segment in answer["segments"]]
        show(page, server, task, answer)
        assert page.evaluate("scrollY") == 0
        page.set_viewport_size({"width": 390, "height": 800})
        cut(page, 2)
        for _ in range(2):
            page.keyboard.press("ArrowDown")
        expect(page.locator("#s-2")).to_be_in_viewport(ratio=1)
        page.set_viewport_size({"width": 1200, "height": 800})
        for _ in range(28):
            page.keyboard.press("ArrowDown")
        expect(page.locator("#s-30")).to_be_in_viewport(ratio=1)
        expect_marked(page, "said", texts[30])
        page.get_by_label("Position").fill("15")
        expect(page.locator("#s-150")).to_be_in_viewport(ratio=1)
        page.get_by_label("Speed").select_option("0.5×")
        following = page.get_by_label("Follow what is played")
        following.focus()
        page.keyboard.press("ArrowUp")
        page.keyboard.press("/")
        page.evaluate("document.activeElement.blur()")
        expect_marked(page, "said", texts[149])

        page.get_by_label("Position").fill("0")
        play(page).click()
        expect(pause(page)).to_be_visible()
        for key in ("PageDown", "PageUp", "Home", "End", "Shift+Space"):
            expect(following).to_be_checked()
            page.keyboard.press(key)
            expect(following).not_to_be_checked()
            follow(following)
            page.evaluate("document.activeElement.blur()")
        page.dispatch_event(".position", "touchmove")
        expect(following).to_be_checked()
        leaves = (
            lambda: page.mouse.wheel(0, 300),
            lambda: page.dispatch_event(".rows", "touchmove"),
            lambda: page.evaluate("dispatchEvent(new PointerEvent('pointerdown', {clientX: innerWidth}))"),
            lambda: page.get_by_label("Search the transcript").fill("word996"),
        )
        for leave in leaves:
            follow(following)
            leave()
            expect(following).not_to_be_checked()
        follow(following)
        assert eventually(lambda: page.evaluate(SEEN))


def test_word_that_is_clicked_twice_stays_where_it_is(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = made(server, tone)
    with visit(browser, f"http://127.0.0.1:{server.port}", KEY, width=390) as page:
        answer = short_segments(task)
        for segment in answer["segments"]:
            segment["start"] *= 50  # none of which begins between two clicks
        show(page, server, task, answer)
        cut(page, 2)
        left, top = page.evaluate("(({x, y}) => [x, y])(document.querySelector('#s-2').getBoundingClientRect())")
        page.mouse.click(left + 20, top + 12)
        expect(pause(page)).to_be_visible()
        expect_marked(page, "said", answer["segments"][2]["text"])
        page.mouse.down(click_count=2)
        page.mouse.up(click_count=2)
        expect(page.get_by_role("textbox", name="Text at 0:10")).to_be_focused()


PADDED = """
(() => {
    const {bottom} = document.querySelector('.player').getBoundingClientRect();
    return Math.abs(parseFloat(document.documentElement.style.scrollPaddingTop) - Math.max(0, bottom)) < 1;
})()
"""
"""Whether the page knows how much the player covers."""
FOCUSED = """
(() => {
    const under = [...document.querySelectorAll('.at')].findLast((one) => one.getBoundingClientRect().top < 20);
    document.activeElement.blur(); // focused again, the same would stay where it is
    under.focus();
    return under.getBoundingClientRect().top;
})()
"""
"""Focuses what is behind the player, or above it, and returns where in the window it is then, in pixels."""


SIZES = [(320, 640), (375, 700), (390, 800), (667, 320), (1024, 768), (1280, 800), (320, 256)]


def test_page_fits_any_screen(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = made(server, tone)
    with visit(browser, f"http://127.0.0.1:{server.port}") as page:
        field, enter = page.get_by_label("Key", exact=True).bounding_box(), page.get_by_text("Use it").bounding_box()
        assert field and enter and enter["y"] - field["y"] - field["height"] > 8
    with visit(browser, f"http://127.0.0.1:{server.port}", KEY) as page:
        page.set_viewport_size({"width": 320, "height": 640})
        file, state = page.locator(".tasks .file").bounding_box(), page.locator(".tasks .state").bounding_box()
        assert file and state and abs(file["y"] - state["y"]) < 5
        show(page, server, task, short_segments(task, name="K" + 79 * "a"))
        page.get_by_label("Search the transcript").fill("nothing")
        expect(page.get_by_text("not found")).to_be_visible()
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            page.evaluate("scrollTo(0, 1500)")
            assert eventually(lambda: page.evaluate("scrollY") > 1000)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
            covered = page.evaluate("document.querySelector('.player').getBoundingClientRect().bottom")
            assert covered < 0 if height < 300 else height / 8 < covered < height * 0.4, (width, height, covered)
            assert eventually(lambda: page.evaluate(PADDED))
            assert covered < 0 or page.evaluate(FOCUSED) >= covered - 1, (width, height)
            inside = "(({scrollWidth, clientWidth}) => scrollWidth <= clientWidth)(document.querySelector('.rows'))"
            assert page.evaluate(inside), width
    context = browser.new_context(viewport={"width": 1024, "height": 768}, has_touch=True, is_mobile=True)
    context.add_init_script(f"localStorage['whisperx-api-key'] = '{KEY}'")
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{server.port}/#/task/{task}")
    expect(page.get_by_role("button", name="Edit the text")).to_have_css("opacity", "1")
    context.close()
