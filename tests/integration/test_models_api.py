"""`/v1/models` as OpenAI's client reads it, the models that a request may name, letting one go, `/` and `/v1`."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import openai
import pytest
from fastapi.testclient import TestClient

from tests.backend import ON_CLUSTER, device, soon
from tests.conftest import KEY
from tests.server import Server
from tests.waiting import send, wait
from whisperx_api import __version__
from whisperx_api.api import page

OPENAI_NAMES = {
    "whisper-1", "gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
}  # fmt: skip


def listed(client: TestClient) -> dict[str, dict]:
    """Return the models by id."""
    answer = client.get("/v1/models")
    assert answer.status_code == 200 and answer.json()["object"] == "list"
    models = {model["id"]: model for model in answer.json()["data"]}
    assert len(models) == len(answer.json()["data"])
    return models


def test_openai_client_lists_and_retrieves(start_server) -> None:
    server: Server = start_server(fake=True, whisper_model_alias="house", allowed_models="tiny.en,org/model")
    client = openai.OpenAI(api_key=KEY, base_url=f"http://127.0.0.1:{server.port}/v1", max_retries=0)
    models = {model.id: model for model in client.models.list()}
    assert set(models) == {"starter", "house"} | OPENAI_NAMES  # what is not here, and not fetched, can't be named
    assert models["house"].object == "model" and models["starter"].owned_by == "whisperx-api"
    assert 1.6e9 < models["starter"].created <= time.time()
    assert client.models.retrieve("gpt-4o-transcribe").id == "gpt-4o-transcribe"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("tiny.en")
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(api_key="wrong", base_url=client.base_url, max_retries=0).models.list()


def test_openai_client_retrieves_ids_with_slashes_and_folders(start_server, starter_dir: Path) -> None:
    folder = str(starter_dir / "whisper")
    server: Server = start_server(fake=True, whisper_auto_download=True, allowed_models=f"org/model, {folder}")
    client = openai.OpenAI(api_key=KEY, base_url=f"http://127.0.0.1:{server.port}/v1", max_retries=0)
    model = client.models.retrieve("org/model")
    assert (model.id, model.owned_by, model.created) == ("org/model", "org", 0)
    model = client.models.retrieve(folder)
    assert (model.id, model.owned_by) == (folder, "local") and model.created > 0


def test_every_size_is_listed_where_nothing_is_said(client: TestClient) -> None:
    models = listed(client)
    assert {"tiny", "large-v3", "turbo", "starter"} | OPENAI_NAMES <= set(models)
    assert models["large-v3"] == {
        "id": "large-v3", "object": "model", "created": 0, "owned_by": "Systran", "loaded": False,
    }  # fmt: skip


def test_allow_list_is_all_that_requests_may_name_besides_the_default(make_client, tone) -> None:
    client = make_client(allowed_models="base, org/model", whisper_model_alias="house")
    for name in ("base", "org/model", "tiny", "house", "whisper-1", "gpt-4o-mini-transcribe"):
        assert send(client, tone(), model=name).status_code == 202, name
    answer = send(client, tone(), model="small")
    assert answer.status_code == 400 and answer.json()["param"] == "model"
    assert answer.json()["detail"] == (
        "model must be one of tiny, house, whisper-1, gpt-transcribe, gpt-4o-transcribe, gpt-4o-mini-transcribe, "
        "gpt-4o-mini-transcribe-2025-12-15, gpt-4o-transcribe-diarize, base, org/model; not 'small'."
    )
    assert set(listed(client)) == {"tiny", "house", "base", "org/model"} | OPENAI_NAMES
    assert client.get("/v1/models/small").status_code == 404


def test_each_request_runs_on_the_model_that_it_means(make_client, tone) -> None:
    client = make_client(allowed_models="base", whisper_model="tiny")
    for name, loaded in (("whisper-1", {"tiny"}), ("base", {"tiny", "base"})):
        assert wait(client, send(client, tone(), model=name).json()["task_id"])["status"] == "completed"
        now = loaded | OPENAI_NAMES
        assert soon(lambda now=now: {name for name, model in listed(client).items() if model["loaded"]} == now)
    assert client.get("/v1/models/base").json()["loaded"] is True


def test_idle_model_is_let_go(make_client, tone) -> None:
    client = make_client(allowed_models="org/model")
    wait(client, send(client, tone(), model="org/model").json()["task_id"])
    answer = client.post("/v1/models/org/model/unload")
    assert answer.status_code == 200
    assert answer.json() == {"id": "org/model", "object": "model.unloaded", "unloaded": [device()], "in_use": []}
    assert client.get("/v1/models/org/model").json()["loaded"] is False
    assert client.post("/v1/models/org/model/unload").json()["unloaded"] == []
    assert client.post("/v1/models/whisper-1/unload").json()["unloaded"] == []
    assert client.post("/v1/models/nobody/unload").status_code == 404


def test_other_names_of_the_default_model_let_it_go_too(client: TestClient, tone) -> None:
    wait(client, send(client, tone()).json()["task_id"])
    assert soon(lambda: client.get("/v1/models/whisper-1").json()["loaded"])
    assert client.post("/v1/models/whisper-1/unload").json()["unloaded"] == [device()]
    assert client.get("/v1/models/tiny").json()["loaded"] is False


def test_model_in_use_goes_when_its_stage_ends(client: TestClient, tone) -> None:
    script = {"stage": "transcribe", "seconds": 3.0 if ON_CLUSTER else 1.0}  # a worker says a moment later what it has
    task = send(client, tone(), prompt=json.dumps(script)).json()["task_id"]
    deadline = time.monotonic() + 10
    while not client.get("/v1/models/tiny").json()["loaded"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    answer = client.post("/v1/models/tiny/unload").json()
    assert (answer["unloaded"], answer["in_use"]) == ([], [device()])
    assert client.get("/v1/models/tiny").json()["loaded"] is True
    assert wait(client, task)["status"] == "completed"
    assert soon(lambda: not client.get("/v1/models/tiny").json()["loaded"])


def test_letting_a_model_go_needs_the_scope_admin(make_client) -> None:
    client = make_client(api_key=None, api_keys="ann:k1:transcribe")
    client.headers["X-API-Key"] = "k1"
    assert client.get("/v1/models/tiny").status_code == 200
    answer = client.post("/v1/models/tiny/unload")
    assert answer.status_code == 403 and "scope admin" in answer.json()["error"]["message"]


def test_real_engine_lets_go_what_is_idle(start_server, tone) -> None:
    server: Server = start_server(model_residency="keep")
    server.wait(server.upload(tone(), enable_diarization="false"), seconds=240)
    loaded = "/v1/models/starter"
    assert soon(lambda: server.client.get(loaded).json()["loaded"])
    assert server.client.post(f"{loaded}/unload").json()["unloaded"] == [device()]
    assert server.client.get(loaded).json()["loaded"] is False
    assert server.client.get("/health").json()["loaded_models"] == []
    assert "released transcribe:starter" in server.log.read_text()
    status = server.wait(server.upload(tone(), enable_diarization="false"))
    assert status["status"] == "completed"
    assert server.log.read_text().count("loaded transcribe:starter") == 2


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/html", "text/html"),
        ("Text/HTML;level=1;q=0.5, */*", "text/html"),
        ("application/json;q=0.8, text/html", "text/html"),
        ("text/html;q=0, */*", "application/json"),
        ("text/html;q=0.5, application/json", "application/json"),
        ("text/html;q=x", "application/json"),
        ("text/*, application/xhtml+xml", "application/json"),
        ("*/*", "application/json"),
        ("", "application/json"),
    ],
)
def test_root_answers_as_is_asked_for_and_no_cache_mistakes_it(client: TestClient, accept: str, kind: str) -> None:
    answer = client.get("/", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith(kind) and answer.headers["vary"] == "Accept"
    head = client.head("/", headers={"Accept": accept})
    assert head.status_code == 200 and head.headers["content-type"] == answer.headers["content-type"]


@pytest.mark.parametrize("root_path", ["", "/asr"])
def test_root_tells_programs_what_it_is_and_gives_browsers_the_page(make_client, root_path) -> None:
    client = make_client(root_path=root_path)
    del client.headers["X-API-Key"]
    answer = client.get("/")
    assert answer.json() == {"name": "whisperx-api", "version": __version__, "docs": f"{root_path}/docs"}
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    answer = client.get("/", headers=browser)
    assert answer.headers["content-type"] == "text/html; charset=utf-8" and answer.headers["vary"] == "Accept"
    assert f'<meta name="api-root" content="{root_path}"' in answer.text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert len(loaded) == 3
    for path in loaded:
        assert path.startswith(f"{root_path}/assets/")
        asset = client.get(path)
        assert asset.status_code == 200 and "immutable" in asset.headers["cache-control"]
    assert client.get(f"{root_path}/assets/nosuch.js").status_code == 404


def test_every_answer_has_a_nonce_of_its_own_for_styles_and_lets_no_other_script_run(make_client) -> None:
    client = make_client()
    nonces = set()
    for _ in range(2):
        answer = client.get("/", headers={"Accept": "text/html"})
        (nonce,) = re.findall(r'<script nonce="([^"]+)"', answer.text)
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["script-src"] == "'self'" and policy["default-src"] == "'none'"
        assert policy["style-src"] == f"'self' 'nonce-{nonce}'"
        assert re.findall(r"<script(?![^>]*src=)|<style|\son\w+=|style=", answer.text) == []
        nonces.add(nonce)
    assert len(nonces) == 2


def test_browser_is_sent_to_the_documents_where_the_page_was_not_built(
    make_client, tmp_path, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    client = make_client(root_path="/asr")
    answer = client.get("/", headers={"Accept": "text/html"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/asr/docs")
    assert "run `make page`" in caplog.text


def test_v1_says_what_there_is_to_a_key(client: TestClient) -> None:
    answer = client.get("/v1").json()
    assert answer["version"] == __version__
    assert {"GET /v1", "GET /v1/models", "GET /v1/models/{id}", "POST /v1/models/{id}/unload"} <= set(
        answer["endpoints"]
    )
    assert not [endpoint for endpoint in answer["endpoints"] if "/api/" in endpoint or "/v1" not in endpoint]
    assert client.get("/v1", headers={"X-API-Key": "wrong"}).status_code == 401
