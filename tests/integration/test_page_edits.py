"""Putting a transcript right on the page: what is typed is not lost, is not overtaken, and overwrites nobody else's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Locator, Page, Request, Route

from bench.page import SEGMENTS, transcript
from tests.browsing import expect, visit, word_at
from tests.conftest import KEY
from tests.receiver import eventually
from tests.server import Server

API = "/api/v1/transcribe"
RESULTS = f"**{API}/result/*"
pytestmark = pytest.mark.embedded("the page asks the API alone, which is the same on a cluster")


@pytest.fixture
def server(start_server: Callable[..., Server]) -> Server:
    return start_server(fake=True)


@contextmanager
def opened(browser: Browser, server: Server, task: str, width: int = 1200) -> Iterator[Page]:
    """Show a task that is completed."""
    server.wait(task)
    with visit(browser, f"http://127.0.0.1:{server.port}", KEY, width=width) as page:
        page.route(RESULTS, lambda route: route.fallback())  # looked at from the start: a key is fast
        page.goto(f"http://127.0.0.1:{server.port}/#/task/{task}")
        yield page


def field(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Text at 0:00")


def button(page: Page) -> Locator:
    return page.get_by_role("button", name="Edit the text at 0:00")


def text(page: Page) -> Locator:
    return page.locator("#s-0")


def edits_of(page: Page) -> list[dict[str, Any]]:
    """Return a list to which every edit is added that the page sends."""
    sent: list[dict[str, Any]] = []

    def note(request: Request) -> None:
        if request.method == "PATCH":
            sent.append(json.loads(request.post_data or ""))

    page.on("request", note)
    return sent


def answer_next_edit(page: Page, answer: Callable[[Route], None]) -> None:
    """Have the next edit answered by somebody else than the server."""
    answered: list[Route] = []

    def handle(route: Route) -> None:
        if answered or route.request.method != "PATCH":
            return route.fallback()
        answered.append(route)
        return answer(route)

    page.route(RESULTS, handle)


def refuse(page: Page, status: int, sentence: str) -> None:
    """Refuse the next edit."""
    answer_next_edit(page, lambda route: route.fulfill(status=status, body=json.dumps({"detail": sentence})))


def give_key(page: Page, key: str) -> None:
    """Give the key that is asked for."""
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_draft_outlasts_scrolling_another_page_and_a_reload(server: Server, browser: Browser, tone) -> None:
    task = server.upload(tone())
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    with opened(browser, server, task) as page:
        page.on("dialog", answer)
        body = json.dumps(transcript(task))
        page.route(f"**/result/{task}", lambda route: route.fulfill(body=body, content_type="application/json"))
        page.reload()
        button(page).press("Enter")
        field(page).fill("A draft.")
        page.get_by_label("Search the transcript").fill(f"word{(SEGMENTS - 1) * 12 % 997}")
        page.get_by_role("button", name="The one before").click()  # the last of all
        expect(page.locator("[aria-posinset='1']")).to_have_count(0)
        assert eventually(lambda: page.evaluate("scrollTo(0, 0)") or field(page).count())
        expect(field(page)).to_have_value("A draft.")
        expect(field(page)).not_to_be_focused()
        page.get_by_role("link", name="All recordings").click()
        page.get_by_role("link", name="tone.wav").click()
        expect(field(page)).to_have_value("A draft.")
        assert asked == []
        page.reload()
        expect(field(page)).to_have_value("A draft.")
        assert asked == ["beforeunload"]
        page.get_by_role("button", name="Cancel").click()
        expect(button(page)).to_be_focused()
        page.reload()
        expect(text(page)).to_contain_text("word0")
        assert asked == ["beforeunload"]


def test_what_plays_takes_no_text_away_that_is_typed(server: Server, browser: Browser, tone) -> None:
    task = server.upload(tone(20.0))
    body = transcript(task)
    for number, segment in enumerate(body["segments"]):
        segment |= {"start": number / 10, "end": (number + 1) / 10, "words": []}
    with opened(browser, server, task) as page:
        page.add_init_script("const Own = Audio; Audio = function () { return (window.heard = new Own()); };")
        answer = json.dumps(body)
        page.route(f"**/result/{task}", lambda route: route.fulfill(body=answer, content_type="application/json"))
        page.reload()
        page.get_by_role("button", name="Play from 0:00").first.click()
        page.get_by_role("button", name="Edit the text at 0:00").first.press("Enter")
        page.get_by_role("button", name="Play", exact=True).click()
        area = page.get_by_role("textbox", name="Text at 0:00")
        area.fill("")
        place = page.evaluate("scrollY")
        area.press_sequentially("It goes on. " * 5, delay=50)
        assert page.evaluate("heard.currentTime > 2")
        assert page.evaluate("scrollY") == place
        expect(area).to_have_value("It goes on. " * 5)
        page.mouse.wheel(0, 20_000)  # nor does who looks elsewhere meanwhile
        expect(page.locator("[aria-posinset='2']")).to_have_count(0)
        page.keyboard.type("And on.")
        expect(area).to_have_value("It goes on. " * 5 + "And on.")


def test_text_on_its_way_is_there_for_who_comes_back(server: Server, browser: Browser, tone) -> None:
    with opened(browser, server, server.upload(tone())) as page:
        held: list[Route] = []
        answer_next_edit(page, held.append)
        button(page).press("Enter")
        field(page).fill("Good morning.")
        page.keyboard.press("Enter")
        assert eventually(lambda: page.title() and held)
        page.get_by_role("link", name="All recordings").click()
        page.get_by_role("link", name="tone.wav").click()
        page.wait_for_timeout(500)
        held[0].continue_()
        expect(text(page)).to_have_text("Good morning.")
        assert page.locator(".editor").count() == 0 and page.evaluate("sessionStorage.length") == 0


def test_text_typed_into_a_task_that_is_gone_is_shown_until_let_go(server: Server, browser: Browser, tone) -> None:
    task = server.upload(tone())
    with opened(browser, server, task) as page:
        page.on("dialog", lambda asked: asked.accept())
        button(page).press("Enter")
        field(page).fill("Typed in vain.")
        server.client.delete(f"{API}/task/{task}")
        page.reload()
        expect(page.get_by_role("alert")).to_contain_text("There is no task")
        expect(page.get_by_text("Typed in vain.")).to_be_visible()
        page.get_by_role("button", name="Dismiss").click()
        expect(page.get_by_text("Typed in vain.")).to_have_count(0)
        assert page.evaluate("sessionStorage.length") == 0


def test_key_that_is_forgotten_takes_what_is_on_its_way(server: Server, browser: Browser, tone) -> None:
    with opened(browser, server, server.upload(tone())) as page:
        sent = edits_of(page)
        page.on("dialog", lambda asked: asked.accept())
        held: list[Route] = []
        answer_next_edit(page, held.append)
        page.get_by_role("button", name="Rename SPEAKER_00").click()
        page.get_by_role("textbox", name="Name of").fill("Katie")
        page.keyboard.press("Enter")
        assert eventually(lambda: page.title() and held)
        button(page).press("Enter")
        field(page).fill("Good morning.")
        page.keyboard.press("Enter")  # it waits for the name
        page.get_by_role("button", name="Forget key").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        held[0].fulfill(status=503, body='{"detail": "Not now."}')
        page.wait_for_timeout(500)
        assert len(sent) == 1 and page.evaluate("sessionStorage.length") == 0


def test_name_on_its_way_is_not_given_up_by_escape(server: Server, browser: Browser, tone) -> None:
    with opened(browser, server, server.upload(tone())) as page:
        held: list[Route] = []
        answer_next_edit(page, held.append)
        page.get_by_role("button", name="Rename SPEAKER_00").click()
        name = page.get_by_role("textbox", name="Name of")
        name.fill("Zoe")
        page.keyboard.press("Enter")
        assert eventually(lambda: page.title() and held)
        page.keyboard.press("Escape")
        expect(name).to_have_value("Zoe")
        held[0].continue_()
        expect(page.get_by_role("button", name="Rename Zoe")).to_be_focused()


def test_text_is_edited_as_its_language_is_written(server: Server, browser: Browser, tone) -> None:
    task = server.upload(tone())
    with opened(browser, server, task) as page:
        answer = server.client.get(f"{API}/result/{task}").json() | {"language": "he"}
        answer["segments"][0] |= {"text": "שלום עולם", "words": []}
        body = json.dumps(answer)
        page.route(f"**/result/{task}", lambda route: route.fulfill(body=body, content_type="application/json"))
        page.reload()
        expect(text(page)).to_have_attribute("lang", "he")
        button(page).press("Enter")
        assert field(page).evaluate("(one) => [getComputedStyle(one).direction, one.lang]") == ["rtl", "he"]


def test_draft_goes_with_its_task_and_with_the_key(server: Server, browser: Browser, tone) -> None:
    first, second = server.upload(tone()), server.upload(tone())
    server.wait(second)
    with opened(browser, server, first) as page:
        page.on("dialog", lambda dialog: dialog.accept())
        for task, gone in ((first, "Delete"), (second, "Forget key")):
            page.goto(f"http://127.0.0.1:{server.port}/#/task/{task}")
            button(page).press("Enter")
            field(page).fill("A draft.")
            assert page.evaluate("sessionStorage.length") == 1
            page.get_by_role("button", name=gone).click()
            expect(field(page)).to_have_count(0)
            assert page.evaluate("sessionStorage.length") == 0


def test_text_is_put_right_by_keys_alone(server: Server, browser: Browser, tone) -> None:
    with opened(browser, server, server.upload(tone())) as page:
        sent = edits_of(page)
        page.get_by_label("Search the transcript").press("Tab")  # not into the segments, of which there are many
        expect(page.get_by_role("button", name="Rename SPEAKER_00")).to_be_focused()
        button(page).press("Enter")
        expect(field(page)).to_be_focused()
        page.keyboard.type(" No.")
        page.keyboard.press("Escape")
        expect(button(page)).to_be_focused()
        expect(text(page)).to_have_text("Hello there.")
        page.keyboard.press("Enter")
        expect(field(page)).to_be_focused()
        page.keyboard.type(" Yes.")
        field(page).dispatch_event("keydown", {"key": "Enter", "isComposing": True})  # it ends a conversion
        refuse(page, 503, "The server is busy.")
        page.keyboard.press("Enter")
        expect(page.locator(".editor").get_by_role("alert")).to_have_text("The server is busy.")
        expect(field(page)).to_be_focused()
        expect(field(page)).to_have_value("Hello there. Yes.")
        page.keyboard.press("Enter")
        expect(text(page)).to_have_text("Hello there. Yes.")
        expect(button(page)).to_be_focused()
        assert len(sent) == 2

        page.mouse.dblclick(*word_at(page, 0, "Hello"))
        expect(field(page)).to_be_focused()
        page.keyboard.type("Hullo")
        page.keyboard.press("Enter")
        expect(text(page)).to_have_text("Hullo there. Yes.")
        page.keyboard.press("Space")  # who came by the mouse hears it
        expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_name_is_kept_by_enter_and_by_leaving_and_given_up_by_escape(server: Server, browser: Browser, tone) -> None:
    with opened(browser, server, server.upload(tone())) as page:
        sent = edits_of(page)
        name = page.get_by_role("textbox", name="Name of")
        page.get_by_role("button", name="Rename SPEAKER_00").click()
        name.fill("Bob")
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Rename SPEAKER_00")).to_be_focused()
        page.keyboard.press("Enter")
        name.fill("Katie")
        name.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
        refuse(page, 503, "The server is busy.")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("The server is busy.")
        expect(name).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Rename Katie")).to_be_focused()
        expect(page.locator(".who")).to_have_text("Katie")
        assert page.get_by_role("alert").count() == 0
        page.keyboard.press("Enter")
        name.fill("Ann")
        page.get_by_label("Search the transcript").click()
        expect(page.get_by_role("button", name="Rename Ann")).to_be_visible()
        expect(page.get_by_label("Search the transcript")).to_be_focused()
        assert [edit["speakers"]["SPEAKER_00"] for edit in sent] == ["Katie", "Katie", "Ann"]


def test_edits_are_sent_one_after_the_other(server: Server, browser: Browser, tone) -> None:
    with opened(browser, server, server.upload(tone())) as page:
        sent = edits_of(page)
        held: list[Route] = []
        answer_next_edit(page, held.append)
        page.get_by_role("button", name="Rename SPEAKER_00").click()
        page.get_by_role("textbox", name="Name of").fill("Katie")
        page.keyboard.press("Enter")
        assert eventually(lambda: page.title() and held)
        older = held[0].fetch()  # the server has answered
        button(page).press("Enter")
        field(page).fill("Good morning.")
        page.keyboard.press("Enter")
        expect(page.locator(".editor")).to_have_attribute("aria-busy", "true")
        page.wait_for_timeout(300)  # were it sent already, it would be answered before the older one
        assert len(sent) == 1
        held[0].fulfill(response=older)
        expect(text(page)).to_have_text("Good morning.")
        expect(page.locator(".who")).to_have_text("Katie")
        assert len(sent) == 2


def test_text_that_another_has_changed_meanwhile_is_not_overwritten_unseen(
    server: Server, browser: Browser, tone
) -> None:
    task = server.upload(tone())
    with opened(browser, server, task) as one, opened(browser, server, task) as other:
        for page, wanted in ((one, "First."), (other, "Second.")):
            button(page).press("Enter")
            field(page).fill(wanted)
        field(one).press("Enter")
        expect(text(one)).to_have_text("First.")
        field(other).press("Enter")
        expect(other.get_by_role("alert")).to_contain_text("was changed meanwhile. It is now: 'First.'. Save again")
        expect(field(other)).to_have_value("Second.")
        assert server.client.get(f"{API}/result/{task}").json()["text"] == "First."
        field(other).press("Enter")
        expect(text(other)).to_have_text("Second.")
        assert server.client.get(f"{API}/result/{task}").json()["text"] == "Second."


def test_text_of_another_is_not_overwritten_unseen_by_who_was_elsewhere(server: Server, browser: Browser, tone) -> None:
    task = server.upload(tone())
    with opened(browser, server, task) as page:
        page.on("dialog", lambda dialog: dialog.accept())
        held: list[Route] = []
        answer_next_edit(page, held.append)
        button(page).press("Enter")
        field(page).fill("Second.")
        field(page).press("Enter")
        assert eventually(lambda: page.title() and held)
        page.get_by_role("link", name="All recordings").click()
        expect(page.get_by_role("link", name="tone.wav")).to_be_visible()
        theirs = {"segments": [{"id": 0, "text": "First."}]}
        server.client.patch(f"{API}/result/{task}", json=theirs).raise_for_status()
        with page.expect_response(lambda answer: answer.request.method == "GET" and "/result/" in answer.url):
            held[0].continue_()
        page.wait_for_timeout(300)
        page.get_by_role("link", name="tone.wav").click()
        alert = page.locator(".editor").get_by_role("alert")
        expect(alert).to_contain_text("It is now: 'First.'. Save again")
        page.reload()
        expect(alert).to_contain_text("It is now: 'First.'. Save again")
        expect(field(page)).to_have_value("Second.")
        field(page).press("Enter")
        expect(text(page)).to_have_text("Second.")
        assert server.client.get(f"{API}/result/{task}").json()["text"] == "Second."


def test_draft_is_there_when_another_key_is_given(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True, auth="off")  # it takes any
    with opened(browser, server, server.upload(tone())) as page:
        button(page).press("Enter")
        field(page).fill("A draft.")
        refuse(page, 401, "The API key is wrong.")
        field(page).press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text("The API key is wrong.")
        give_key(page, "another")
        expect(field(page)).to_have_value("A draft.")
        field(page).press("Enter")
        expect(text(page)).to_have_text("A draft.")
        refuse(page, 401, "The API key is wrong.")
        page.get_by_role("button", name="Rename SPEAKER_00").click()
        page.get_by_role("textbox", name="Name of").fill("Katie")
        page.keyboard.press("Enter")
        give_key(page, "a third")
        page.route("**/result/*format=srt", lambda route: route.fulfill(status=401, body="{}"))
        page.get_by_role("button", name="Download").click()
        expect(page.get_by_role("dialog")).to_be_visible()


def test_long_text_is_seen_whole_on_a_phone_and_none_is_said_to_be_none(server: Server, browser: Browser, tone) -> None:
    said = " ".join(["Hello there, who is it?"] * 12)
    with opened(browser, server, server.upload(tone(), prompt=json.dumps({"text": said})), width=390) as page:
        button(page).press("Enter")
        expect(field(page)).to_have_value(said)
        assert field(page).evaluate("area => area.scrollHeight <= area.clientHeight")
        field(page).fill(f"{said} {said}")
        assert eventually(lambda: field(page).evaluate("area => area.scrollHeight <= area.clientHeight"))
        field(page).fill("")
        field(page).press("Enter")
        expect(text(page)).to_have_text("No text")
        button(page).press("Enter")
        expect(field(page)).to_have_value("")


def test_recording_without_speech_has_nothing_to_read(server: Server, browser: Browser, tone) -> None:
    task = server.upload(tone())
    with opened(browser, server, task) as page:
        body = json.dumps(transcript(task) | {"segments": [], "warnings": ["No speech was found in the recording."]})
        page.route(f"**/result/{task}", lambda route: route.fulfill(body=body, content_type="application/json"))
        page.reload()
        expect(page.get_by_text("There is no text to read.")).to_be_visible()
        expect(page.get_by_role("button", name="Download")).to_be_visible()
