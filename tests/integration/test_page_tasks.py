"""The page's key, list and tasks: where servers are away, tabs are hidden and others change things meanwhile."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, Route

from tests.backend import Folder
from tests.browsing import expect, url_of, visit
from tests.conftest import KEY
from tests.receiver import eventually
from tests.waiting import transcript_of

API = "/api/v1/transcribe"
PLACE = "whisperx-api-key"
UNSEEN = "\u200b"
"""A space without width, as chats put into what is copied from them."""
SLOW = json.dumps({"seconds": 60, "pieces": True})
pytestmark = pytest.mark.embedded("the page asks the API alone, which is the same on a cluster")

HIDE = """(hidden) => {
    Object.defineProperty(document, "visibilityState", {configurable: true, get: () => hidden ? "hidden" : "visible"});
    document.dispatchEvent(new Event("visibilitychange"));
}"""
"""Have the page believe that its tab is hidden, or seen: without a screen it is always seen."""


def stored(page: Page) -> str | None:
    return page.evaluate(f"localStorage['{PLACE}'] ?? null")


def keep(page: Page, key: str) -> None:
    """Have the browser hold a key from an earlier visit."""
    page.evaluate(f"localStorage['{PLACE}'] = '{key}'")


def follow_link(page: Page, url: str) -> None:
    """Open a link as in a new tab."""
    page.goto("about:blank")
    page.goto(url)


class ManyTasks:
    """What the server lists, of as many tasks as wanted. They are numbered, the newest last."""

    def __init__(self, page: Page, count: int, state: str = "completed") -> None:
        self.states = dict.fromkeys(range(count), state)
        self.asked = 0
        page.route(re.compile(f"{API}/tasks[?]"), self.answer)

    def answer(self, route: Route) -> None:
        self.asked += 1
        limit = int(re.findall(r"limit=(\d+)", route.request.url)[0])
        before = int((re.findall(r"cursor=(\d+)", route.request.url) or [1_000_000])[0])
        known = sorted((number for number in self.states if number < before), reverse=True)
        tasks = [
            {
                "task_id": f"{number:036}", "filename": f"f{number}", "duration": 1, "status": self.states[number],
                "progress": 1, "created_at": "2026-01-01T00:00:00Z",
            }
            for number in known[:limit]
        ]  # fmt: skip
        cursor = str(known[limit - 1]) if len(known) > limit else None
        route.fulfill(json={"tasks": tasks, "next_cursor": cursor})


def names(page: Page) -> list[str]:
    return page.locator(".tasks .file").all_inner_texts()


def numbered(newest: int, count: int) -> list[str]:
    return [f"f{number}" for number in range(newest, newest - count, -1)]


def test_tabs_that_are_hidden_leave_the_server_to_the_others(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = server.upload(tone(), prompt=SLOW)
    with visit(browser, url_of(server), KEY) as page:
        tabs = [page.context.new_page() for _ in range(6)]  # as many connections as a browser opens to a server
        for tab in tabs:
            tab.goto(f"{url_of(server)}/#/task/{task}")
            expect(tab.get_by_label("Progress")).to_be_visible()
            tab.evaluate(HIDE, True)
        page.reload()
        expect(page.get_by_role("link", name=re.compile("tone.wav"))).to_be_visible()
        server.client.post(f"{API}/cancel/{task}")
        tabs[0].evaluate(HIDE, False)
        expect(tabs[0].get_by_role("heading", name="Cancelled")).to_be_visible()


def test_key_is_taken_without_what_nobody_sees_and_asked_for_until_there_is_one(
    start_server, browser: Browser, tone
) -> None:
    server = start_server(fake=True)
    server.upload(tone())
    with visit(browser, url_of(server)) as page:
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        for _ in range(3):
            page.keyboard.press("Escape")
            expect(dialog).to_be_visible()
        assert page.locator(".note").count() == 0  # that one is needed is said by the dialog
        page.get_by_label("Key", exact=True).fill("ключ")
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("alert")).to_contain_text("Copy it again")
        assert stored(page) is None
        page.get_by_label("Key", exact=True).fill(f"{KEY[:3]}{UNSEEN}{KEY[3:]}\ufeff ")
        page.keyboard.press("Enter")
        expect(page.get_by_text("tone.wav")).to_be_visible()
        assert stored(page) == KEY
        page.route("**/upload", lambda route: None)  # it is under way
        page.get_by_label("Files to send").set_input_files(tone(name="new.wav"))
        expect(page.get_by_text("new.wav")).to_be_visible()
        page.get_by_role("button", name="Forget key").click()  # who says no to what is lost by it keeps the key
        expect(page.get_by_text("new.wav")).to_be_visible()
        assert stored(page) == KEY
        page.on("dialog", lambda asked: asked.accept())
        page.get_by_role("button", name="Forget key").click()
        expect(dialog).to_be_visible()
        expect(page.get_by_text(".wav")).to_have_count(0)
    with visit(browser, url_of(server), KEY + UNSEEN) as page:  # kept by a page that took it as it was
        page.get_by_text("tone.wav").click()
        expect(page.locator(".text").first).to_contain_text("Hello there.")
        page.get_by_role("button", name="Forget key").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        expect(page.get_by_text(re.compile("tone.wav|Hello"))).to_have_count(0)
    with visit(browser, url_of(server), "ключ") as page:
        expect(page.get_by_role("dialog")).to_contain_text("The API key has signs in it that can't be sent.")


def test_link_takes_no_key_away_that_works(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True, api_keys="other:strangers")
    task = server.upload(tone())
    place = f"{url_of(server)}/#/task/{task}"
    text = "Hello there."
    with visit(browser, url_of(server)) as page:
        keep(page, KEY)
        for brought in ("strangers", "%E0%A4%A"):  # the second is torn
            follow_link(page, f"{place}&key={brought}")
            expect(page.locator(".text").first).to_contain_text(text)
            assert stored(page) == KEY and page.url == place
        keep(page, "old")
        follow_link(page, f"{place}&key=wrong")
        expect(page.get_by_role("dialog")).to_contain_text("The API key is wrong.")
        assert stored(page) == "old"
        page.evaluate("(hash) => { location.hash = hash; }", f"#/task/{task}&key={KEY}")  # pasted into the open tab
        expect(page.locator(".text").first).to_contain_text(text)
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert stored(page) == KEY and page.url == place
        keep(page, "old")
        follow_link(page, f"{place}&key={KEY}")
        expect(page.locator(".text").first).to_contain_text(text)
        assert stored(page) == KEY


def test_page_that_was_opened_while_the_server_is_away_goes_on_when_it_is_back(
    start_server, browser: Browser, tone
) -> None:
    server = start_server(fake=True)
    task = server.upload(tone())
    server.wait(task)

    def answers(status: int, detail: str) -> Callable[[Route], None]:
        return lambda route: route.fulfill(status=status, json={"detail": detail})

    with visit(browser, url_of(server), KEY) as page:
        page.route(f"**/status/{task}?*", lambda route: route.abort())
        page.route(f"**/result/{task}", answers(429, "Too many."))
        page.goto(f"{url_of(server)}/#/task/{task}")
        alert = page.get_by_role("alert")
        expect(alert).to_have_text("The server does not answer. Trying again …")
        page.unroute(f"**/status/{task}?*")
        page.route(f"**/status/{task}?*", answers(503, "Starting."))
        expect(alert).to_have_text("Starting. Trying again …")
        page.unroute(f"**/status/{task}?*")
        expect(alert).to_have_text("Too many. Trying again …")
        page.unroute(f"**/result/{task}")
        expect(page.locator(".text").first).to_contain_text("Hello there.")
        expect(alert).to_have_count(0)


def test_what_is_asked_of_a_server_that_is_away_is_not_said_to_be_taken(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = server.upload(tone(), prompt=SLOW)
    with visit(browser, url_of(server), KEY) as page:
        page.goto(f"{url_of(server)}/#/task/{task}")
        expect(page.get_by_label("Progress")).to_be_visible()
        server.kill()
        expect(page.get_by_text("The server does not answer. Trying again …")).to_be_visible()
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("alert")).to_have_text("The server does not answer. Try again when it is back.")
        server.start()
        expect(page.get_by_role("alert")).to_have_count(0)
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("heading", name="Cancelled")).to_be_visible()


def test_list_shows_what_is_sent_and_changed_elsewhere(start_server, browser: Browser) -> None:
    server = start_server(fake=True)
    with visit(browser, url_of(server), KEY) as page:
        page.clock.install()
        many = ManyTasks(page, 300)
        page.reload()
        expect(page.locator(".tasks li")).to_have_count(50)
        for shown in (100, 150, 200, 250):  # the server gives 200 at once
            page.get_by_role("button", name="Show more").click()
            expect(page.locator(".tasks li")).to_have_count(shown)
        assert names(page) == numbered(299, 250)
        many.states |= dict.fromkeys(range(300, 360), "completed")
        many.states[170] = "failed"
        del many.states[180]
        page.clock.fast_forward(20_000)  # nothing is on its way: seldom
        expect(page.get_by_text("f359", exact=True)).to_be_visible()
        assert names(page) == [name for name in numbered(359, 251) if name != "f180"]
        expect(page.get_by_role("link", name=re.compile("f170.*Failed"))).to_be_visible()

        page.evaluate(HIDE, True)
        asked = many.asked
        many.states[200] = "processing"
        page.clock.fast_forward(60_000)
        assert many.asked == asked
        page.evaluate(HIDE, False)
        expect(page.get_by_role("link", name=re.compile("f200.*1 %"))).to_be_visible()
        many.states[200] = "completed"
        page.clock.fast_forward(3000)
        expect(page.get_by_role("link", name=re.compile("f200.*Done"))).to_be_visible()
        many.states[199] = "failed"
        page.evaluate("dispatchEvent(new Event('focus'))")
        expect(page.get_by_role("link", name=re.compile("f199.*Failed"))).to_be_visible()


def test_who_comes_back_from_a_task_finds_the_list_as_it_was(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = server.upload(tone())
    server.wait(task)
    with visit(browser, url_of(server), KEY) as page:
        ManyTasks(page, 200)
        page.route(  # each of them is this one
            re.compile(f"/(status|result|waveform|audio)/{120:036}"),
            lambda route: route.continue_(url=route.request.url.replace(f"{120:036}", task)),
        )
        page.reload()
        for shown in (100, 150):
            page.get_by_role("button", name="Show more").press("Enter")
            expect(page.locator(".tasks li")).to_have_count(shown)
            expect(page.locator(".tasks a").nth(shown - 50)).to_be_focused()  # who goes by keys reads on there
        link = page.get_by_role("link", name=re.compile("^f120"))
        link.scroll_into_view_if_needed()
        place = eventually(lambda: page.evaluate("scrollY"))
        for back in (page.go_back, page.get_by_role("link", name="All recordings").click):
            link.click()
            expect(page.get_by_role("heading", name="tone.wav")).to_be_visible()
            assert page.evaluate("scrollY") == 0
            back()
            expect(link).to_be_in_viewport()
            assert page.locator(".tasks li").count() == 150
            assert eventually(lambda: page.evaluate("scrollY") == place)


def test_task_that_changed_elsewhere_is_looked_at_anew(start_server, browser: Browser, tone, tmp_path: Path) -> None:
    server = start_server(fake=True)
    marker = tmp_path / "failed"
    task = server.upload(tone(), prompt=json.dumps({"stage": "align", "what": "refuse", "marker": str(marker)}))
    server.wait(task)
    with visit(browser, url_of(server), KEY) as page:
        page.on("dialog", lambda dialog: dialog.accept())
        link = page.get_by_role("link", name=re.compile("tone.wav"))
        link.click()
        again = page.get_by_role("button", name="Try again")
        expect(again).to_be_visible()
        server.client.post(f"{API}/retry/{task}")
        server.wait(task)
        again.click()
        expect(page.locator(".text").first).to_contain_text("Hello there.")
        expect(page.get_by_role("alert")).to_have_count(0)
        server.client.delete(f"{API}/task/{task}")
        page.route("**/tasks?*", lambda route: route.abort())
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_role("alert")).to_have_text("The server does not answer. Trying again …")
        expect(link).to_have_count(0)
        page.unroute_all()
        expect(page.get_by_text("None yet.")).to_be_visible()
        expect(page.get_by_role("alert")).to_have_count(0)


def test_address_that_changes_as_the_page_begins_is_gone_to_and_a_wrong_one_is_said_to_be(
    start_server, browser: Browser, tone
) -> None:
    server = start_server(fake=True)
    task = server.upload(tone())
    with visit(browser, url_of(server), KEY) as page:
        page.add_init_script(
            """new MutationObserver((changes, observer) => {
                if (!document.querySelector(".top")) return;
                observer.disconnect();
                location.hash = "#/task/ID";
            }).observe(document, {childList: true, subtree: true});""".replace("ID", task)
        )
        page.reload()
        expect(page.get_by_role("heading", name="tone.wav")).to_be_visible()
        page.evaluate("location.hash = '#/task/nonsense'")
        expect(page.get_by_role("alert")).to_contain_text("No recording has this address.")
        page.get_by_role("link", name="Transcripts").click()
        expect(page.get_by_role("alert")).to_have_count(0)


def test_upload_that_somebody_else_answers_fails_alone_and_is_sent_again_under_its_name(
    start_server, browser: Browser, tone
) -> None:
    server = start_server(fake=True)
    with visit(browser, url_of(server), KEY) as page:
        sent: list[Request] = []

        def sign_in(route: Route) -> None:
            sent.append(route.request)
            route.fulfill(body="<html>Sign in to the network") if len(sent) == 1 else route.continue_()

        page.route("**/upload", sign_in)
        page.get_by_label("Files to send").set_input_files([tone(name="one.wav"), tone(name="two.wav")])
        expect(page.get_by_label("Uploads").get_by_role("alert")).to_contain_text("Something other than the server")
        expect(page.get_by_role("link", name=re.compile("two.wav"))).to_be_visible()
        page.get_by_role("button", name="Send again").click()
        expect(page.get_by_role("link", name=re.compile("one.wav"))).to_be_visible()
        one, two, again = (request.headers["idempotency-key"] for request in sent)
        assert one == again != two


def test_transcript_that_can_t_be_read_is_said_to_be_so_and_asked_for_once(
    start_server, browser: Browser, tone, tmp_path: Path
) -> None:
    server = start_server(fake=True)
    task = server.upload(tone())
    server.wait(task)
    name = transcript_of(Folder(tmp_path / "data"), task)
    (tmp_path / "data" / "tasks" / task / name).write_text("{")
    with visit(browser, url_of(server), KEY) as page:
        asked: list[str] = []
        page.on("request", lambda sent: asked.append(sent.url) if f"/result/{task}" in sent.url else None)
        page.goto(f"{url_of(server)}/#/task/{task}")
        expect(page.get_by_role("alert")).to_contain_text("can't be read")
        page.wait_for_timeout(1500)
        assert len(asked) == 1 and "Trying again" not in page.get_by_role("alert").inner_text()
        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("None yet.")).to_be_visible()
    assert server.client.get(f"{API}/status/{task}").status_code == 404


def test_end_of_a_task_is_said_and_leaves_nobody_without_a_place(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = server.upload(tone(), prompt='{"seconds": 3}')
    with visit(browser, url_of(server), KEY) as page:
        page.goto(f"{url_of(server)}/#/task/{task}")
        page.get_by_role("button", name="Cancel").focus()
        told = page.locator("main > [role=status]")
        expect(told).to_have_text("")
        told.evaluate("(element) => { element.dataset.lasts = 'yes'; }")
        expect(page.locator(".text").first).to_contain_text("Hello there.", timeout=60_000)
        expect(told).to_have_text("The transcript is there.")
        expect(told).to_have_attribute("data-lasts", "yes")  # one that comes with its text is not read out
        expect(page.get_by_role("heading", name="tone.wav")).to_be_focused()


def test_end_of_a_task_takes_the_focus_from_nobody(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = server.upload(tone(), prompt='{"seconds": 3}')
    with visit(browser, url_of(server), KEY) as page:
        page.goto(f"{url_of(server)}/#/task/{task}")
        expect(page.get_by_label("Progress")).to_be_visible()
        page.get_by_role("link", name="All recordings").focus()
        expect(page.locator(".text").first).to_contain_text("Hello there.", timeout=60_000)
        expect(page.get_by_role("link", name="All recordings")).to_be_focused()


def test_deleting_takes_nobody_out_of_another_transcript(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    first, second = server.upload(tone()), server.upload(tone(name="second.wav"))
    server.wait(second)
    with visit(browser, url_of(server), KEY) as page:
        page.on("dialog", lambda asked: asked.accept())
        held: list[Route] = []
        page.route(f"**/task/{first}", lambda route: held.append(route))
        page.goto(f"{url_of(server)}/#/task/{first}")
        page.get_by_role("button", name="Delete").click()
        eventually(lambda: page.wait_for_timeout(20) or held)
        page.evaluate(f"location.hash = '#/task/{second}'")
        expect(page.get_by_role("heading", name="second.wav")).to_be_visible()
        held[0].continue_()
        eventually(lambda: server.client.get(f"{API}/status/{first}").status_code == 404)
        page.wait_for_timeout(500)
        assert page.url.endswith(second)
        page.get_by_role("link", name="All recordings").click()
        expect(page.get_by_role("link", name=re.compile("second.wav"))).to_be_visible()
        assert page.get_by_role("link", name=re.compile("tone.wav")).count() == 0


def test_what_is_heard_anew_is_shown_once(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = server.upload(tone(), prompt='{"seconds": 30}')
    server.wait(task, until="transcribe")
    status = json.dumps(server.status(task))
    hello, there = (
        json.dumps({"id": number, "start": number, "end": number + 1, "text": text, "speaker": None})
        for number, text in enumerate(("Hello", "there."))
    )
    streams = [[hello], [hello, there]]  # the second after the server was started again
    with visit(browser, url_of(server), KEY) as page:

        def tell(route: Route) -> None:
            if not streams:
                return  # it is quiet
            said = "".join(f"event: segment\ndata: {segment}\n\n" for segment in streams.pop(0))
            body = f"event: progress\ndata: {status}\n\n{said}"
            route.fulfill(body=body, content_type="text/event-stream")

        page.route(f"**/events/{task}", tell)
        page.goto(f"{url_of(server)}/#/task/{task}")
        expect(page.get_by_label("Heard so far").locator("p")).to_have_text(["0:00 Hello", "0:01 there."])
