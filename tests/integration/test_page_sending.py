"""What is recorded and sent from the page, while one looks at something else, and what is left undone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Dialog, Page, Route

from tests.browsing import drop, expect, url_of, visit
from tests.conftest import KEY
from tests.receiver import eventually
from tests.server import Server

LABELS = ("On the server", "Fetched when first asked for")
UPLOADED = "**/transcribe/upload"
pytestmark = pytest.mark.embedded("the page asks the API alone, which is the same on a cluster")


def names(server: Server) -> list[str]:
    """What the server has taken, the newest first."""
    return [task["filename"] for task in server.client.get("/api/v1/transcribe/tasks").json()["tasks"]]


def hold(page: Page, most: int = 99) -> list[Route]:
    """Keep uploads on their way until they are let go on, those after so many let alone."""
    held: list[Route] = []
    page.route(UPLOADED, lambda route: held.append(route) if len(held) < most else route.continue_())
    return held


def test_upload_goes_on_elsewhere_and_takes_nobody_away(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    other = server.upload(tone())
    server.wait(other)
    with visit(browser, url_of(server), KEY) as page:
        held = hold(page)
        drop(page, tone(name="new.wav"))
        uploads = page.get_by_label("Uploads")
        expect(uploads).to_contain_text("new.wav")
        page.get_by_role("link", name=re.compile("tone.wav")).click()
        expect(page.locator(".text").first).to_contain_text("Hello there.")
        expect(uploads).to_contain_text("new.wav")
        eventually(lambda: page.wait_for_timeout(20) or held)[0].continue_()
        expect(uploads).to_have_count(0)
        assert page.url.endswith(f"#/task/{other}")
        # one that is refused says so there, too, and is not offered once more where that would be of no use
        page.unroute(UPLOADED)
        notes = tone().with_name("notes.txt")
        notes.write_text("no sound at all\n" * 100)
        drop(page, notes, on=".columns")
        expect(uploads.get_by_role("alert")).to_contain_text("audio")
        assert uploads.get_by_role("button").all_inner_texts() == ["Dismiss"]
        page.get_by_role("link", name="All recordings").click()
        expect(page.get_by_role("link", name=re.compile("new.wav"))).to_be_visible()
        expect(uploads.get_by_role("alert")).to_be_visible()


def test_options_stay_and_those_of_the_end_of_a_recording_count(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    other = server.upload(tone())
    server.wait(other)
    with visit(browser, url_of(server), KEY) as page:
        page.add_init_script(
            """const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            window.streams = [];
            navigator.mediaDevices.getUserMedia = async (wanted) => {
                await new Promise((go) => setTimeout(go, 300));
                streams.push(await own(wanted));
                return streams.at(-1);
            };
            const send = XMLHttpRequest.prototype.send;
            XMLHttpRequest.prototype.send = function (form) {
                window.language = form.get("language");
                return send.call(this, form);
            };"""
        )
        page.reload()
        page.get_by_role("button", name="Record").dblclick()
        stop = page.get_by_role("button", name="Stop and send")
        expect(stop).to_be_visible()
        page.get_by_label("Language").select_option("de")
        page.get_by_role("link", name=re.compile("tone.wav")).click()
        expect(page.locator(".text").first).to_contain_text("Hello there.")
        expect(stop).to_be_visible()
        stop.click()
        expect(stop).to_have_count(0)
        assert eventually(lambda: page.evaluate("window.language")) == "de"
        assert page.evaluate("streams.flatMap((one) => one.getTracks()).map((one) => one.readyState)") == ["ended"]
        page.get_by_role("link", name="All recordings").click()
        expect(page.get_by_label("Language")).to_have_value("de")
        page.get_by_label("How many").fill("99")
        page.get_by_label("Language").focus()
        expect(page.get_by_label("How many")).to_have_value("50")


def test_wrong_key_holds_uploads_until_there_is_a_right_one(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    paths = [tone(name=f"{number}.wav") for number in range(3)]
    with visit(browser, url_of(server), KEY) as page:
        expect(page.get_by_text("None yet.")).to_be_visible()
        asked: list[str] = []

        def refuse(route: Route) -> None:
            asked.append(route.request.headers["idempotency-key"])
            if len(asked) > 1:
                return route.continue_()
            return route.fulfill(status=401, body='{"detail": "The API key is wrong."}')

        page.route(UPLOADED, refuse)
        page.get_by_label("Files to send").set_input_files(paths)
        expect(page.get_by_role("dialog")).to_contain_text("The API key is wrong.")
        assert len(asked) == 1
        page.get_by_label("Key", exact=True).fill(KEY)
        page.get_by_role("button", name="Use it").click()
        expect(page.get_by_label("Uploads")).to_have_count(0)
        expect(page.get_by_role("link", name=re.compile("2.wav"))).to_be_visible()
        assert len(asked) == 4 and asked[0] == asked[1] and len(set(asked)) == 3
    assert names(server) == ["2.wav", "1.wav", "0.wav"]


def test_what_waits_is_left_out_and_what_failed_is_sent_again_as_the_same_task(
    start_server, browser: Browser, tone
) -> None:
    server = start_server(fake=True)
    with visit(browser, url_of(server), KEY) as page:
        expect(page.get_by_text("None yet.")).to_be_visible()
        held = hold(page)
        page.get_by_label("Files to send").set_input_files([tone(name="first.wav"), tone(name="second.wav")])
        row = page.get_by_label("Uploads").get_by_role("listitem")
        row.filter(has_text="second.wav").get_by_role("button", name="Leave out").click()
        expect(row).to_have_count(1)
        closing: list[str] = []

        def stay(asked: Dialog) -> None:
            closing.append(asked.type)
            asked.dismiss()

        page.once("dialog", stay)
        page.mouse.click(5, 5)  # who never touched the page is not asked by browsers
        page.close(run_before_unload=True)
        eventually(lambda: page.wait_for_timeout(20) or closing)
        assert closing == ["beforeunload"]
        row.get_by_role("button", name="Stop").click()
        expect(row).to_contain_text("The upload was stopped.")
        keys = [held[0].request.headers["idempotency-key"]]
        page.get_by_label("Language").select_option("de")  # for another: it may be at the server as it was given
        row.get_by_role("button", name="Send again").click()
        eventually(lambda: page.wait_for_timeout(20) or len(held) > 1)
        keys.append(held[-1].request.headers["idempotency-key"])
        row.get_by_role("button", name="Stop").press("Enter")
        expect(row).to_contain_text("The upload was stopped.")
        expect(row.get_by_role("button", name="Dismiss")).to_be_focused()
        assert keys[0] == keys[1]
    assert names(server) == []


def test_what_the_server_refused_is_sent_again_as_it_is_wanted_by_now(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    with visit(browser, url_of(server), KEY) as page:
        expect(page.get_by_text("None yet.")).to_be_visible()
        page.get_by_label("Model").evaluate("(field) => field.add(new Option('no-such-model'))")
        page.get_by_label("Model").select_option("no-such-model")
        page.get_by_label("Files to send").set_input_files(tone())
        row = page.get_by_label("Uploads").get_by_role("listitem")
        expect(row.get_by_role("alert")).to_contain_text("no-such-model")
        page.get_by_label("Model").select_option("")
        row.get_by_role("button", name="Send again").click()
        expect(page.locator(".text").first).to_contain_text("Hello there.")


def test_file_that_can_t_be_read_any_more_is_said_to_be_so(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    with visit(browser, url_of(server), KEY) as page:
        expect(page.get_by_text("None yet.")).to_be_visible()
        path = tone()
        held = hold(page, most=1)
        page.get_by_label("Files to send").set_input_files([tone(name="first.wav"), path])
        path.rename(path.with_name("moved.wav"))
        eventually(lambda: page.wait_for_timeout(20) or held)[0].continue_()
        row = page.get_by_label("Uploads").get_by_role("listitem")
        expect(row.get_by_role("alert")).to_have_text("The browser can't read this file any more. Choose it again.")


class Answers:
    """Answers what the page asks, with no until `yes`, and keeps of which kind it was."""

    def __init__(self, page: Page) -> None:
        self.yes = False
        self.kinds: list[str] = []
        page.on("dialog", self.answer)

    def answer(self, dialog: Dialog) -> None:
        self.kinds.append(dialog.type)
        dialog.accept() if self.yes else dialog.dismiss()


WATCHED = """() => {
    const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    window.streams = [];
    navigator.mediaDevices.getUserMedia = async (wanted) => {
        streams.push(await own(wanted));
        return streams.at(-1);
    };
}"""
"""Keeps what the microphone gives."""


def test_what_was_spoken_is_not_lost_unasked_and_can_be_saved(start_server, browser: Browser) -> None:
    server = start_server(fake=True)
    with visit(browser, url_of(server), KEY) as page:
        page.evaluate(WATCHED)
        page.route(UPLOADED, lambda route: route.abort())
        page.get_by_role("button", name="Record").press("Enter")
        stop = page.get_by_role("button", name="Stop and send")
        expect(stop).to_be_focused()
        page.wait_for_timeout(1200)
        stop.press("Enter")
        expect(page.get_by_role("button", name="Record")).to_be_focused()
        row = page.get_by_label("Uploads").get_by_role("listitem")
        expect(row).to_contain_text("The server does not answer.")
        closing: list[str] = []

        def stay(asked: Dialog) -> None:
            closing.append(asked.type)
            asked.dismiss()

        page.once("dialog", stay)
        page.close(run_before_unload=True)
        eventually(lambda: page.wait_for_timeout(20) or closing)
        assert closing == ["beforeunload"]
        with page.expect_download() as download:
            row.get_by_role("button", name="Save").click()
        assert download.value.suggested_filename.startswith("recording ")
        assert download.value.path().stat().st_size > 100
        asked = Answers(page)
        row.get_by_role("button", name="Dismiss").press("Enter")
        expect(row).to_have_count(1)
        asked.yes = True
        row.get_by_role("button", name="Dismiss").press("Enter")
        expect(page.get_by_role("main")).to_be_focused()
        assert asked.kinds == ["confirm", "confirm"]


def test_what_was_spoken_and_waits_can_be_saved_and_is_not_left_out_unasked(
    start_server, browser: Browser, tone
) -> None:
    server = start_server(fake=True)
    with visit(browser, url_of(server), KEY) as page:
        held = hold(page)
        page.get_by_label("Files to send").set_input_files(tone())
        eventually(lambda: page.wait_for_timeout(20) or held)
        page.get_by_role("button", name="Record").click()
        page.wait_for_timeout(1200)
        page.get_by_role("button", name="Stop and send").click()
        row = page.get_by_label("Uploads").get_by_role("listitem").filter(has_text="recording")
        expect(row).to_contain_text("Waiting")
        with page.expect_download() as download:
            row.get_by_role("button", name="Save").click()
        assert download.value.path().stat().st_size > 100
        asked = Answers(page)
        row.get_by_role("button", name="Leave out").click()
        expect(row).to_have_count(1)
        asked.yes = True
        row.get_by_role("button", name="Leave out").click()
        expect(row).to_have_count(0)
        assert asked.kinds == ["confirm", "confirm"]


def test_microphone_that_another_program_has_is_said_to_be_so(start_server, browser: Browser) -> None:
    server = start_server(fake=True)
    with visit(browser, url_of(server), KEY) as page:
        for name, sentence in (
            ("NotReadableError", "another program may have it"), ("AbortError", "another program may have it"),
            ("NotFoundError", "No microphone was found"), ("NotAllowedError", "allow it in the address bar"),
        ):  # fmt: skip
            page.evaluate(
                """(name) => {
                    const fail = () => Promise.reject(new DOMException("", name));
                    navigator.mediaDevices.getUserMedia = fail;
                }""",
                name,
            )
            page.get_by_role("button", name="Record").click()
            expect(page.get_by_role("alert")).to_contain_text(sentence)


def test_recording_ends_with_the_key_and_is_nobody_else_s(start_server, browser: Browser) -> None:
    server = start_server(fake=True)
    with visit(browser, url_of(server), KEY) as page:
        page.evaluate(WATCHED)
        page.get_by_role("button", name="Record").click()
        expect(page.get_by_role("button", name="Stop and send")).to_be_visible()
        page.on("dialog", lambda asked: asked.accept())
        page.get_by_role("button", name="Forget key").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        states = "streams.flatMap((one) => one.getTracks()).map((one) => one.readyState)"
        assert eventually(lambda: page.evaluate(states) == ["ended"])
        page.get_by_label("Key", exact=True).fill(KEY)
        page.get_by_role("button", name="Use it").click()
        expect(page.get_by_role("button", name="Record")).to_be_visible()
        page.wait_for_timeout(500)
    assert names(server) == []


def test_key_forgotten_in_one_tab_is_so_in_the_others(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = server.upload(tone())
    server.wait(task)
    with visit(browser, url_of(server), KEY) as page:
        other = page.context.new_page()
        other.goto(f"{url_of(server)}/#/task/{task}")
        expect(other.locator(".text").first).to_contain_text("Hello there.")
        page.get_by_role("button", name="Forget key").click()
        expect(other.get_by_role("dialog")).to_be_visible()
        assert other.get_by_text("Hello there.").count() == 0


def test_key_is_not_forgotten_unasked_while_another_tab_has_something(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = server.upload(tone())
    server.wait(task)
    with visit(browser, url_of(server), KEY) as page:
        Answers(page).yes = True
        page.get_by_role("button", name="Record").click()
        stop = page.get_by_role("button", name="Stop and send")
        expect(stop).to_be_visible()
        other = page.context.new_page()
        other.goto(url_of(server))
        asked = Answers(other)
        forget = other.get_by_role("button", name="Forget key")
        forget.click()
        assert eventually(lambda: other.title() and asked.kinds) == ["confirm"]
        expect(stop).to_be_visible()

        # so it is with a text, until that is not there any more
        page.goto(f"{url_of(server)}/#/task/{task}")
        page.reload()
        expect(stop).to_have_count(0)
        page.get_by_role("button", name="Edit the text at 0:00").press("Enter")
        page.get_by_role("textbox", name="Text at 0:00").fill("A draft.")
        forget.click()
        assert eventually(lambda: other.title() and len(asked.kinds) == 2)
        expect(page.get_by_role("textbox", name="Text at 0:00")).to_have_value("A draft.")
        page.reload()
        expect(page.get_by_role("textbox", name="Text at 0:00")).to_have_value("A draft.")
        asked.yes = True
        forget.click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert len(asked.kinds) == 3 and page.evaluate("sessionStorage.length + localStorage.length") == 0


def test_other_tab_that_is_left_or_has_nothing_is_not_asked_about(start_server, browser: Browser) -> None:
    server = start_server(fake=True)
    with visit(browser, url_of(server), KEY) as page:
        Answers(page).yes = True
        page.get_by_role("button", name="Record").click()
        expect(page.get_by_role("button", name="Stop and send")).to_be_visible()
        other = page.context.new_page()
        other.goto(url_of(server))
        asked = Answers(other)
        page.goto(f"{url_of(server)}/openapi.json")
        other.get_by_role("button", name="Forget key").click()
        expect(other.get_by_role("dialog")).to_be_visible()
        assert asked.kinds == []


def test_server_that_takes_nothing_for_a_while_is_left_alone_so_long(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    paths = [tone(name=f"{number}.wav") for number in range(3)]
    with visit(browser, url_of(server), KEY) as page:
        expect(page.get_by_text("None yet.")).to_be_visible()
        asked: list[str] = []
        pauses = ["600", "3"]

        def refuse(route: Route) -> None:
            asked.append(route.request.headers["idempotency-key"])
            if not pauses:
                return route.continue_()
            headers = {"Retry-After": pauses.pop(0)}
            return route.fulfill(status=429, headers=headers, body='{"detail": "Too many."}')

        page.route(UPLOADED, refuse)
        page.get_by_label("Files to send").set_input_files(paths)
        alert = page.get_by_label("Uploads").get_by_role("alert")
        expect(alert).to_have_text("Too many. It is sent again in 10 min.")
        page.wait_for_timeout(300)
        assert len(asked) == 1
        page.get_by_role("button", name="Leave out").first.click()  # the next says why it waits
        expect(alert).to_have_text("Too many. It is sent again in 3 s.")
        page.wait_for_timeout(300)
        assert len(asked) == 2
        expect(page.get_by_label("Uploads")).to_have_count(0)
        assert len(asked) == 4 and asked[1] == asked[2] and len(set(asked)) == 3
    assert names(server) == ["2.wav", "1.wav"]


def test_models_are_asked_for_until_they_are_there(start_server, browser: Browser) -> None:
    server = start_server(fake=True)
    with visit(browser, url_of(server), KEY) as page:
        page.route("**/v1/models", lambda route: route.fulfill(status=503, body='{"detail": "Not yet."}'), times=1)
        page.reload()
        expect(page.get_by_text("None yet.")).to_be_visible()
        expect(page.get_by_label("Model").locator("optgroup option").first).to_be_attached()


def test_wrong_key_before_is_not_laid_to_the_one_after(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    with visit(browser, url_of(server), KEY) as page:
        expect(page.get_by_text("None yet.")).to_be_visible()
        held = hold(page, most=1)
        page.get_by_label("Files to send").set_input_files(tone())
        eventually(lambda: page.wait_for_timeout(20) or held)
        page.route("**/tasks?*", lambda route: route.fulfill(status=401, body='{"detail": "It was revoked."}'), times=1)
        page.evaluate("dispatchEvent(new Event('focus'))")  # so it looks anew
        expect(page.get_by_role("dialog")).to_contain_text("It was revoked.")
        page.get_by_label("Key", exact=True).fill(KEY)
        page.get_by_role("button", name="Use it").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        held[0].fulfill(status=401, body='{"detail": "It was revoked."}')
        expect(page.get_by_label("Uploads")).to_have_count(0)
        assert page.get_by_role("dialog").count() == 0
    assert names(server) == ["tone.wav"]


def test_models_of_the_server_come_before_those_it_would_fetch(start_server, browser: Browser) -> None:
    server = start_server(fake=True, whisper_auto_download=True)
    with visit(browser, url_of(server), KEY) as page:
        field = page.get_by_label("Model")
        here, elsewhere = (field.locator(f"optgroup[label='{label}'] option") for label in LABELS)
        expect(here.first).to_be_attached()
        listed = server.client.get("/v1/models").json()["data"]
        for found, created in ((here, True), (elsewhere, False)):
            names = [one["id"] for one in listed if bool(one["created"]) is created and "gpt" not in one["id"]]
            assert found.all_inner_texts() == [name for name in names if name != "whisper-1"]
            assert names


def test_file_dropped_beside_the_box_is_sent_and_not_opened(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    with visit(browser, url_of(server), KEY) as page:
        expect(page.get_by_text("None yet.")).to_be_visible()
        prevented = page.evaluate(
            """() => {
                const transfer = new DataTransfer();
                transfer.items.add(new File(["x"], "x.wav"));
                const made = {dataTransfer: transfer, bubbles: true, cancelable: true};
                return !document.body.dispatchEvent(new DragEvent("dragover", made));
            }"""
        )
        assert prevented
        expect(page.locator(".drop.over")).to_be_visible()
        drop(page, tone(), on="body")
        page.wait_for_url(re.compile("#/task/"))
        expect(page.locator(".text").first).to_contain_text("Hello there.")
