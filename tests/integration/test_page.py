"""The page in a real browser, against a real server: from a dropped recording to its subtitles, and what goes wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route

from bench.page import SEGMENTS, transcript
from tests.browsing import (
    ELSEWHERE,
    drop,
    expect,
    expect_marked,
    faults_of_access,
    marked,
    url_of,
    visit,
    word_at,
)
from tests.conftest import KEY
from tests.receiver import eventually
from tests.server import Server, free_port
from whisperx_api.demo import DISPLAYS

API = "/api/v1/transcribe"
pytestmark = pytest.mark.embedded("the page asks the API alone, which is the same on a cluster")


PLACE = "[...(CSS.highlights.get('current') ?? [])][0]?.startContainer.parentElement.id"
"""The segment in which the text is that was found."""


def task_in(page: Page) -> str:
    page.wait_for_url(re.compile("#/task/"))
    return page.url.rpartition("/")[2]


def test_from_a_dropped_recording_to_its_subtitles(server: Server, browser: Browser, sample_dir: Path) -> None:
    with visit(browser, url_of(server)) as page:
        page.get_by_label("Key", exact=True).fill(KEY)
        page.get_by_role("button", name="Use it").click()
        expect(page.get_by_text("None yet.")).to_be_visible()
        page.get_by_label("Language").select_option("en")
        page.get_by_label("How many").fill("2")
        drop(page, sample_dir / "sample.wav")
        task = task_in(page)
        expect(page.get_by_role("heading", name="sample.wav")).to_be_visible()
        expect(page.get_by_role("listitem").filter(has_text="Hello").first).to_be_visible(timeout=120_000)

        made = server.client.get(f"{API}/result/{task}").json()
        assert page.locator(".segment").first.locator(".text").inner_text() == made["segments"][0]["text"]
        assert page.locator(".speakers li").count() == len(made["speakers"]) == 2

        # a word that is clicked is heard, and marked
        word = made["segments"][3]["words"][2]
        page.mouse.click(*word_at(page, 3, word["word"]))
        expect(page.get_by_role("button", name="Pause")).to_be_visible()
        page.keyboard.press("Space")
        expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
        (said,) = marked(page, "said")
        assert said in {each["word"] for segment in made["segments"][3:] for each in segment["words"]}
        position = page.get_by_label("Position").input_value()
        assert word["start"] - 1 <= float(position) <= word["start"] + 5

        # a speaker gets a name, a word is put right, and both are in what is downloaded
        page.get_by_role("button", name="Rename SPEAKER_00").click()
        page.get_by_label("Name of SPEAKER_00").fill("Katie")
        page.keyboard.press("Enter")
        expect(page.locator(".who").filter(has_text="Katie").first).to_be_visible()
        page.mouse.dblclick(*word_at(page, 0, made["segments"][0]["words"][0]["word"]))
        assert page.evaluate("getSelection().toString()") == made["segments"][0]["words"][0]["word"]
        page.keyboard.type("Good morning?")
        page.keyboard.press("Enter")
        expect(page.locator(".segment").first).to_contain_text("Good morning?")

        page.get_by_label("Search the transcript").fill("good MÓRNING")
        expect(page.get_by_text("1 of 1")).to_be_visible()
        expect_marked(page, "current", "Good morning")

        for label, suffix in (("SRT subtitles", "srt"), ("WebVTT subtitles", "vtt"), ("JSON, whole", "json")):
            page.get_by_label("Format").select_option(label=label)
            with page.expect_download() as download:
                page.get_by_role("button", name="Download").click()
            assert download.value.suggested_filename == f"sample.{suffix}"
            text = Path(download.value.path()).read_text()
            assert text == server.client.get(f"{API}/result/{task}", params={"format": suffix}).text
            assert "Good morning?" in text and "Katie" in text
        page.get_by_role("link", name="All recordings").click()
        expect(page.get_by_role("link", name=re.compile("sample.wav.*Done"))).to_be_visible()


def test_wrong_key_is_said_and_another_may_be_given(start_server, browser: Browser) -> None:
    server = start_server(fake=True)
    with visit(browser, url_of(server), key="wrong") as page:
        expect(page.get_by_role("dialog")).to_contain_text("The API key is wrong.")
        page.get_by_label("Key", exact=True).fill(KEY)
        page.get_by_role("button", name="Use it").click()
        expect(page.get_by_text("None yet.")).to_be_visible()
        page.reload()
        expect(page.get_by_text("None yet.")).to_be_visible()
        page.get_by_role("button", name="Forget key").click()
        assert page.evaluate("localStorage.length") == 0


def test_page_asks_for_no_key_where_none_is_needed(start_server, browser: Browser) -> None:
    server = start_server(fake=True, auth="off")
    with visit(browser, url_of(server)) as page:
        expect(page.get_by_text("None yet.")).to_be_visible()
        assert page.get_by_role("dialog").count() == 0


def test_failed_task_says_why_and_is_tried_again(start_server, browser: Browser, tone, tmp_path: Path) -> None:
    server = start_server(fake=True)
    marker = tmp_path / "failed"
    script = {"stage": "transcribe", "what": "refuse", "marker": str(marker)}
    task = server.upload(tone(), prompt=json.dumps(script))
    with visit(browser, url_of(server), KEY) as page:
        page.get_by_role("link", name=re.compile("tone.wav")).click()
        assert task_in(page) == task
        expect(page.get_by_role("alert")).to_contain_text("The model is out of reach.")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".text").first).to_contain_text("Hello there.")


def test_what_is_no_recording_is_refused_with_the_servers_sentence(start_server, browser: Browser, tmp_path) -> None:
    server = start_server(fake=True)
    path = tmp_path / "notes.txt"
    path.write_text("no sound at all\n" * 100)
    with visit(browser, url_of(server), KEY) as page:
        page.get_by_label("Files to send").set_input_files(path)
        expect(page.get_by_label("Uploads")).to_contain_text("notes.txt")
        expect(page.get_by_role("alert")).to_contain_text("audio")
        page.get_by_role("button", name="Dismiss").click()
        assert page.get_by_label("Uploads").count() == 0


def test_reload_in_the_middle_of_a_task_goes_on_watching_it(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = server.upload(tone(), prompt='{"seconds": 4, "pieces": true}')
    with visit(browser, url_of(server), KEY) as page:
        page.goto(f"{url_of(server)}/#/task/{task}")
        expect(page.get_by_label("Heard so far")).to_contain_text("Hello")
        before = float(page.get_by_label("Done").get_attribute("value") or 0)
        page.reload()
        expect(page.get_by_label("Progress")).to_be_visible()
        assert float(page.get_by_label("Done").get_attribute("value") or 0) >= before > 0
        expect(page.locator(".text").first).to_contain_text("Hello there.", timeout=60_000)


def test_server_that_is_away_is_said_to_be_and_waited_for(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = server.upload(tone(), prompt='{"seconds": 4}')
    with visit(browser, url_of(server), KEY) as page:
        page.goto(f"{url_of(server)}/#/task/{task}")
        expect(page.get_by_label("Progress")).to_be_visible()
        server.kill()
        expect(page.get_by_text("The server does not answer.")).to_be_visible()
        server.start()
        expect(page.locator(".text").first).to_contain_text("Hello there.", timeout=60_000)


def test_cancel_stops_a_task_and_delete_removes_it(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = server.upload(tone(), prompt='{"seconds": 20}')
    with visit(browser, url_of(server), KEY) as page:
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(f"{url_of(server)}/#/task/{task}")
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("heading", name="Cancelled")).to_be_visible()
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("None yet.")).to_be_visible()
    assert server.client.get(f"{API}/status/{task}").status_code == 404


def test_microphone_is_recorded_and_sent(start_server, browser: Browser) -> None:
    server = start_server(fake=True)
    with visit(browser, url_of(server), KEY) as page:
        page.get_by_role("button", name="Record").click()
        stop = page.get_by_role("button", name=re.compile("Stop and send, 0:02"))
        expect(stop).to_be_visible()
        stop.click()
        task = task_in(page)
        expect(page.locator(".text").first).to_contain_text("Hello there.")
    status = server.client.get(f"{API}/status/{task}").json()
    assert re.fullmatch(r"recording \d{4}-\d\d-\d\d \d\d\.\d\d\.webm", status["filename"])
    assert status["result"]["duration"] > 1


def test_page_behind_a_proxy_is_under_its_path(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True, root_path="/speech")
    task = server.upload(tone())
    with visit(browser, f"{url_of(server)}/speech", KEY) as page:
        page.get_by_role("link", name=re.compile("tone.wav")).click()
        expect(page.locator(".text").first).to_contain_text("Hello there.")
        expect(page.locator(".time")).to_have_text("0:00 / 0:01")
        assert task_in(page) == task
        assert page.get_by_role("link", name="API").get_attribute("href") == "/speech/docs"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1200, 390])
def test_nobody_is_shut_out(start_server, browser: Browser, tone, dark: bool, width: int) -> None:
    """What axe can tell of: contrast, names, roles, order."""
    server = start_server(fake=True)
    done = server.upload(tone(), prompt='{"text": "Hello there."}')
    failing = server.upload(tone(name="bad.wav"), prompt='{"stage": "align", "what": "refuse"}')
    server.wait(done)
    server.wait(failing)
    going = server.upload(tone(name="slow.wav"), prompt='{"seconds": 10, "pieces": true}')
    with visit(browser, url_of(server), dark=dark, width=width, axe=True) as page:
        expect(page.get_by_role("dialog")).to_be_visible()
        assert faults_of_access(page) == []
    with visit(browser, url_of(server), KEY, dark=dark, width=width, axe=True) as page:
        expect(page.get_by_role("link", name=re.compile("slow.wav"))).to_be_visible()
        assert faults_of_access(page) == []
        for task, seen in ((done, ".text"), (failing, ".ended"), (going, ".heard")):
            page.goto(f"{url_of(server)}/#/task/{task}")
            expect(page.locator(seen).first).to_be_visible()
            assert faults_of_access(page) == [], seen
        page.goto(f"{url_of(server)}/#/task/{done}")
        page.get_by_label("Search the transcript").fill("there")
        page.mouse.dblclick(*word_at(page, 0, "Hello"))
        expect(page.get_by_role("textbox", name="Text at 0:00")).to_be_visible()
        assert faults_of_access(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_keys_control_what_is_played(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = server.upload(tone(20.0))
    server.wait(task)
    with visit(browser, url_of(server), KEY) as page:
        page.goto(f"{url_of(server)}/#/task/{task}")
        expect(page.locator(".waveform")).to_be_visible()
        expect(page.locator(".time")).to_have_text("0:00 / 0:20")
        for key, at in (("ArrowRight", 5), ("ArrowRight", 10), ("ArrowLeft", 5), ("ArrowUp", 0)):
            page.keyboard.press(key)
            expect(page.get_by_label("Position")).to_have_value(str(at))
        page.keyboard.press("Shift+ArrowRight")
        expect_marked(page, "said", "there.")
        page.keyboard.press("Shift+ArrowLeft")
        expect_marked(page, "said", "Hello")
        page.keyboard.press("Space")
        expect(page.get_by_role("button", name="Pause")).to_be_visible()
        page.keyboard.press("Space")
        expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
        paused_at = page.get_by_label("Position").input_value()
        page.keyboard.press("/")
        page.keyboard.type("there 5")
        expect(page.get_by_label("Search the transcript")).to_have_value("there 5")
        expect(page.get_by_text("not found")).to_be_visible()
        assert page.get_by_label("Position").input_value() == paused_at


def test_of_ten_hours_only_what_is_in_sight_is_in_the_document(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = server.upload(tone())
    server.wait(task)
    body = json.dumps(transcript(task))
    with visit(browser, url_of(server), KEY) as page:
        page.route(f"**/result/{task}", lambda route: route.fulfill(body=body, content_type="application/json"))
        page.goto(f"{url_of(server)}/#/task/{task}")
        expect(page.locator(".segment").first).to_contain_text("word0")
        last = page.locator(f"[aria-posinset='{SEGMENTS}']")
        page.keyboard.press("End")
        expect(last).to_be_in_viewport()
        assert page.locator(".segment").count() < 60
        page.get_by_label("Search the transcript").fill("word996 word0")
        expect(page.get_by_text(re.compile("^1 of"))).to_be_visible()
        expect_marked(page, "current", "word996 word0")
        first = page.evaluate(PLACE)
        page.keyboard.press("Enter")
        expect(page.get_by_text(re.compile("^2 of"))).to_be_visible()
        assert eventually(lambda: page.evaluate(PLACE) not in (None, first))


def test_link_on_this_machine_brings_its_key_and_one_from_elsewhere_does_not(
    start_server, browser: Browser, tone
) -> None:
    server = start_server(fake=True)
    task = server.upload(tone())
    with visit(browser, url_of(server)) as page:
        page.goto("about:blank")
        page.goto(f"{url_of(server)}/#/task/{task}&key={KEY}")
        expect(page.locator(".text").first).to_contain_text("Hello there.")
        assert page.url == f"{url_of(server)}/#/task/{task}"
    elsewhere = f"http://{ELSEWHERE}:{server.port}"
    with visit(browser, elsewhere) as page:
        page.goto("about:blank")
        page.goto(f"{elsewhere}/#/task/{task}&key={KEY}")
        expect(page.get_by_role("dialog")).to_be_visible()
        assert page.evaluate("localStorage.length") == 0
        assert page.url == f"{elsewhere}/#/task/{task}"


def test_link_to_the_recording_that_is_over_is_asked_for_anew(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = server.upload(tone())
    server.wait(task)
    with visit(browser, url_of(server), KEY) as page:
        asked: list[str] = []

        def over(route: Route) -> None:
            asked.append(route.request.url)  # first by the player, then by who wants to know why it does not play
            route.fulfill(status=403, body='{"detail": "It is over."}') if len(asked) < 3 else route.continue_()

        page.route(re.compile(f"/audio/{task}[?]expires="), over)
        page.goto(f"{url_of(server)}/#/task/{task}")
        page.mouse.click(*word_at(page, 0, "there."))
        expect_marked(page, "said", "there.")
        assert len(asked) > 2 and page.get_by_role("alert").count() == 0


@pytest.mark.parametrize("playing", [True, False])
def test_what_is_paused_stays_so_when_its_link_is_over(start_server, browser: Browser, tone, playing: bool) -> None:
    server = start_server(fake=True)
    task = server.upload(tone(20.0))
    server.wait(task)
    with visit(browser, url_of(server), KEY) as page:
        page.add_init_script("const Own = Audio; Audio = function () { return (window.heard = new Own()); };")
        page.goto(f"{url_of(server)}/#/task/{task}")
        page.reload()
        page.mouse.click(*word_at(page, 0, "there."))
        assert eventually(
            lambda: page.evaluate("heard.currentTime && heard.buffered.end(0) > 19")
        )  # nothing is fetched any more
        if not playing:
            page.keyboard.press("Space")
            expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
        link, place = page.evaluate("[heard.src, heard.currentTime]")
        page.route(lambda url: url == link, lambda route: route.fulfill(status=403, body='{"detail": "It is over."}'))
        page.wait_for_timeout(1000)  # links are signed for a whole second: the next is another
        page.evaluate("heard.dispatchEvent(new Event('error'))")
        assert eventually(lambda: page.evaluate("heard.readyState && heard.src") not in (0, link))
        page.wait_for_timeout(500)
        assert page.evaluate("heard.currentTime") > place - 0.01 > 0
        assert page.evaluate("heard.paused") is not playing


def test_recording_that_the_browser_can_t_play_is_said_to_be_so(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = server.upload(tone())
    server.wait(task)
    with visit(browser, url_of(server), KEY) as page:
        page.route(re.compile(f"/audio/{task}[?]expires="), lambda route: route.fulfill(body="no sound"))
        page.goto(f"{url_of(server)}/#/task/{task}")
        expect(page.get_by_role("alert")).to_contain_text("Your browser can't play this kind of recording.")
        page.unroute_all()
        page.route(re.compile(f"/audio/{task}[?]expires="), lambda route: route.fulfill(
            status=404, body='{"detail": "The recording is gone."}'
        ))  # fmt: skip
        page.reload()
        expect(page.get_by_role("alert")).to_contain_text("The recording is gone.")


def test_one_command_opens_the_page_at_a_first_transcript(browser: Browser, model_dir: Path, tmp_path: Path) -> None:
    port = free_port()
    settings = {
        "PORT": str(port), "DATA_DIR": str(tmp_path / "data"), "MODEL_DIR": str(model_dir), "WHISPER_MODEL": "starter",
        "DIARIZATION_MODEL": "starter", "ALIGN_MODEL": "attention",
    }  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name not in DISPLAYS} | settings
    command = [sys.executable, "-m", "whisperx_api.demo", "--page"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True) as run:
        try:
            assert run.stderr is not None
            said = next(line for line in run.stderr if line.startswith("The page is at "))
            link = said.removeprefix("The page is at ").strip()
            threading.Thread(target=run.stderr.read, daemon=True).start()  # or it would wait for a reader
            with visit(browser, f"http://127.0.0.1:{port}") as page:
                page.goto("about:blank")
                page.goto(link)
                expect(page.locator(".speakers li")).to_have_count(2, timeout=120_000)
                expect(page.locator(".text").first).to_contain_text("Hello")
        finally:
            os.killpg(run.pid, signal.SIGINT)
        assert run.wait(30) == 0
