"""Webhooks over HTTP, to a real receiver: registered, delivered once, and still there after a kill."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from standardwebhooks import Webhook

from tests.receiver import Receiver, eventually, receiving
from tests.waiting import send, wait

HOOKS = "/v1/webhooks"
REFUSE = json.dumps({"stage": "diarize", "what": "refuse"})
SLOW = json.dumps({"seconds": 30})
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    """Start receivers."""
    with ExitStack() as stack:
        yield lambda **values: stack.enter_context(receiving(Receiver(**values)))


@pytest.fixture
def hooked(make_client) -> TestClient:
    """An app that may call 127.0.0.1, and tries again at once."""
    return make_client(outgoing_allow="127.0.0.1", webhook_retry_seconds=0.01)


def register(client: TestClient, task_id: str, url: str, **values) -> dict:
    answer = client.post(HOOKS, json={"task_id": task_id, "url": url} | values)
    assert answer.status_code == 201, answer.text
    return answer.json()


def messages(client: TestClient, webhook_id: str) -> list[dict]:
    return client.get(f"{HOOKS}/{webhook_id}").json()["messages"]


def settled(client: TestClient, webhook_id: str, status: str) -> dict:
    """Wait until the webhook's one message stands so, and return it."""
    found = eventually(lambda: [each for each in messages(client, webhook_id) if each["status"] == status])
    assert len(messages(client, webhook_id)) == 1
    return found[0]


def test_receiver_that_fails_five_times_and_a_restart_get_one_delivery(start_server, tone, receive) -> None:
    receiver = receive(statuses=[500, 503, 404, 302, 429])
    server = start_server(fake=True, outgoing_allow="127.0.0.1", webhook_retry_seconds=0.05)
    path = tone()
    with path.open("rb") as file:
        answer = server.client.post(
            "/api/v1/transcribe/upload", files={"file": file}, data={"webhook_url": f"{receiver.url}/hook"}
        )
    assert answer.status_code == 202, answer.text
    accepted = answer.json()
    receiver.wait(5)
    server.kill()
    server.start()
    tries = receiver.wait(6)
    message = eventually(lambda: delivered(server.client, accepted["webhook_id"]))
    assert len(tries) == 6 and [each.status for each in tries] == [500, 503, 404, 302, 429, 200]
    assert {each.headers["webhook-id"] for each in tries} == {message["id"]}
    assert {each.body for each in tries} == {tries[0].body}
    content = Webhook(accepted["webhook_secret"]).verify(tries[-1].body, tries[-1].headers)
    assert content["type"] == "transcription.completed"
    assert content["data"]["task_id"] == accepted["task_id"] and content["data"]["status"] == "completed"
    assert message["attempts"] in (5, 6)  # the fifth answer may have come too late to be written down
    assert (message["last_status_code"], message["last_error"], message["next_attempt_at"]) == (200, None, None)
    server.kill()
    server.start()
    assert server.client.get("/health").status_code == 200
    assert len(messages(server.client, accepted["webhook_id"])) == 1 and len(receiver.requests) == 6


def delivered(client, webhook_id: str) -> dict | None:
    return next((each for each in messages(client, webhook_id) if each["status"] == "delivered"), None)


def test_message_says_how_a_task_ended_and_nothing_of_what_was_said(hooked: TestClient, tone, receive) -> None:
    receiver = receive()
    task = send(hooked, tone(2.0), webhook_url=receiver.url, webhook_secret=SECRET).json()
    assert task["webhook_secret"] == SECRET
    (request,) = receiver.wait(1)
    content = Webhook(SECRET).verify(request.body, request.headers)
    status = wait(hooked, task["task_id"])
    assert content["type"] == "transcription.completed" and content["timestamp"].endswith("Z")
    assert content["data"] == {
        "task_id": task["task_id"], "status": "completed", "filename": "tone.wav", "duration": 2.0, "error": None,
        "created_at": status["created_at"], "started_at": status["started_at"],
        "completed_at": status["completed_at"],
    }  # fmt: skip
    assert b"Hello there" not in request.body
    assert request.method == "POST" and request.headers["content-type"] == "application/json"
    assert settled(hooked, task["webhook_id"], "delivered")["attempts"] == 1


def test_failure_and_cancellation_are_told(hooked: TestClient, tone, receive) -> None:
    receiver = receive()
    failed = send(hooked, tone(), webhook_url=receiver.url, prompt=REFUSE).json()
    content = json.loads(receiver.wait(1)[0].body)
    assert content["type"] == "transcription.failed"
    assert (content["data"]["task_id"], content["data"]["error"]) == (failed["task_id"], "The model is out of reach.")
    cancelled = send(hooked, tone(), webhook_url=receiver.url, prompt=SLOW).json()
    hooked.post(f"/api/v1/transcribe/cancel/{cancelled['task_id']}")
    assert json.loads(receiver.wait(2)[1].body)["type"] == "transcription.cancelled"


def test_task_that_ends_again_is_told_of_again(hooked: TestClient, tone, receive) -> None:
    receiver = receive()
    task = send(hooked, tone(), webhook_url=receiver.url, prompt=REFUSE).json()
    receiver.wait(1)
    wait(hooked, task["task_id"])
    assert hooked.post(f"/api/v1/transcribe/retry/{task['task_id']}").status_code == 200
    tries = receiver.wait(2)
    assert tries[0].headers["webhook-id"] != tries[1].headers["webhook-id"]
    assert len(messages(hooked, task["webhook_id"])) == 2


def test_webhook_of_an_ended_task_is_told_at_once_and_alone(hooked: TestClient, tone, receive) -> None:
    first, second = receive(), receive()
    task = send(hooked, tone(), webhook_url=first.url).json()["task_id"]
    first.wait(1)
    webhook = register(hooked, task, second.url)
    assert webhook["secret"].startswith("whsec_") and webhook["enabled"]
    (request,) = second.wait(1)
    Webhook(webhook["secret"]).verify(request.body, request.headers)
    settled(hooked, webhook["id"], "delivered")
    assert len(first.requests) == 1


def test_secret_is_shown_once(hooked: TestClient, tone, receive) -> None:
    task = send(hooked, tone()).json()
    assert "webhook_secret" not in task and "webhook_id" not in task
    webhook = register(hooked, task["task_id"], receive().url)
    for answer in (hooked.get(f"{HOOKS}/{webhook['id']}"), hooked.get(HOOKS)):
        assert answer.status_code == 200 and webhook["secret"] not in answer.text and "secret" not in answer.text


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"url": "ftp://93.184.215.14/"}, "url"),
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "url"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "url"),
        ({"url": "http://localhost:9/"}, "url"),
        ({"url": "http://user:password@93.184.215.14/"}, "url"),
        ({"url": "nothing"}, "url"),
        ({"url": "http://93.184.215.14/" + "x" * 3000}, "url"),
        ({"url": 5}, "url"),
        ({"secret": "whsec_short"}, "secret"),
        ({"secret": "whsec_" + "%" * 40}, "secret"),
        ({"secret": "whsec_" + "A" * 100}, "secret"),
        ({"hmac": "x"}, "hmac"),
        ({"task_id": None}, "task_id"),
    ],
)
def test_what_can_be_no_webhook_is_a_400_that_names_the_field(client: TestClient, tone, values, param) -> None:
    task = send(client, tone()).json()["task_id"]
    answer = client.post(HOOKS, json={"task_id": task, "url": "https://93.184.215.14/"} | values)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == param, answer.text
    assert client.get(HOOKS).json()["data"] == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"url"', b"5"])
def test_body_that_is_no_object_is_400(client: TestClient, body) -> None:
    assert client.post(HOOKS, content=body).status_code == 400


def test_body_that_is_too_large_is_413(client: TestClient) -> None:
    assert client.post(HOOKS, content=b" " * 70000).status_code == 413


def test_webhooks_are_the_owners(make_client, tone, receive) -> None:
    client = make_client(api_keys="ann:a,ben:b,eye:e:read", api_key=None, outgoing_allow="127.0.0.1")
    ann, ben, eye = ({"X-API-Key": key} for key in "abe")
    receiver = receive()
    task = send(client, tone(), headers=ann).json()["task_id"]
    given = {"task_id": task, "url": receiver.url}
    assert client.post(HOOKS, json=given, headers=ben).status_code == 404
    assert client.post(HOOKS, json=given, headers=eye).status_code == 403
    assert client.post(HOOKS, json=given, headers={"X-API-Key": "x"}).status_code == 401
    webhook = client.post(HOOKS, json=given, headers=ann).json()["id"]
    receiver.wait(1)
    assert client.get(f"{HOOKS}/{webhook}", headers=ben).status_code == 404
    assert client.post(f"{HOOKS}/{webhook}/test", headers=ben).status_code == 404
    assert client.delete(f"{HOOKS}/{webhook}", headers=ben).status_code == 404
    assert client.get(HOOKS, headers=ben).json()["data"] == []
    assert client.get(f"{HOOKS}/{webhook}", headers=ann).status_code == 200
    assert client.delete(f"{HOOKS}/{webhook}", headers=ann).status_code == 204
    assert client.get(f"{HOOKS}/{webhook}", headers=ann).status_code == 404
    assert len(receiver.requests) == 1


def test_list_is_by_task_and_in_pages_newest_first(hooked: TestClient, tone, receive) -> None:
    url = receive().url
    tasks = [send(hooked, tone()).json()["task_id"] for _ in range(2)]
    made = [register(hooked, task, url)["id"] for task in (tasks[0], tasks[1], tasks[1])]
    assert [each["id"] for each in hooked.get(HOOKS).json()["data"]] == made[::-1]
    assert [each["id"] for each in hooked.get(HOOKS, params={"task_id": tasks[1]}).json()["data"]] == made[:0:-1]
    first = hooked.get(HOOKS, params={"limit": 2}).json()
    assert first["has_more"] and first["object"] == "list"
    rest = hooked.get(HOOKS, params={"limit": 2, "after": first["data"][-1]["id"]}).json()
    assert [each["id"] for each in rest["data"]] == made[:1] and not rest["has_more"]


def test_task_has_so_many_webhooks_at_most(hooked: TestClient, tone, receive) -> None:
    url = receive().url
    task = send(hooked, tone()).json()["task_id"]
    for _ in range(10):
        register(hooked, task, url)
    answer = hooked.post(HOOKS, json={"task_id": task, "url": url})
    assert answer.status_code == 400 and "10 webhooks" in answer.json()["error"]["message"]
    assert len(hooked.get(HOOKS).json()["data"]) == 10


def test_deleted_task_takes_its_webhooks_and_messages_with_it(hooked: TestClient, tone, receive) -> None:
    receiver = receive(default=500)
    task = send(hooked, tone(), webhook_url=receiver.url).json()
    receiver.wait(1)
    assert hooked.delete(f"/api/v1/transcribe/task/{task['task_id']}").status_code == 204
    assert hooked.get(f"{HOOKS}/{task['webhook_id']}").status_code == 404
    assert hooked.get(HOOKS).json()["data"] == []
    other = receive()
    ended = send(hooked, tone(), webhook_url=other.url).json()
    settled(hooked, ended["webhook_id"], "delivered")
    seen = len(receiver.requests)
    send(hooked, tone(), webhook_url=other.url)
    other.wait(2)
    assert len(receiver.requests) <= seen + 1  # one may have been on its way


def test_receiver_that_is_gone_is_told_nothing_more(hooked: TestClient, tone, receive) -> None:
    receiver = receive(default=410)
    task = send(hooked, tone(), webhook_url=receiver.url, prompt=REFUSE).json()
    message = settled(hooked, task["webhook_id"], "dead")
    assert message["attempts"] == 1 and "410" in message["last_error"]
    assert hooked.get(f"{HOOKS}/{task['webhook_id']}").json()["enabled"] is False
    wait(hooked, task["task_id"])
    hooked.post(f"/api/v1/transcribe/retry/{task['task_id']}")
    wait(hooked, task["task_id"])
    assert len(messages(hooked, task["webhook_id"])) == 1 and len(receiver.requests) == 1


def test_message_that_is_never_taken_is_given_up_and_seen(make_client, tone, receive) -> None:
    client = make_client(outgoing_allow="127.0.0.1", webhook_retry_seconds=0.00001)
    receiver = receive(default=500)
    task = send(client, tone(), webhook_url=receiver.url).json()
    message = settled(client, task["webhook_id"], "dead")
    assert message["attempts"] == 12 == len(receiver.requests)
    assert message["last_error"] == "The receiver answered 500." and message["next_attempt_at"] is None
    status = client.get(f"/api/v1/transcribe/status/{task['task_id']}").json()
    assert status["status"] == "completed" and status["result"]["segments"]
    (webhook,) = status["webhooks"]
    assert (webhook["id"], webhook["url"], webhook["messages"]) == (task["webhook_id"], receiver.url, [message])
    assert "secret" not in webhook


def test_receiver_that_asks_for_a_pause_has_it(hooked: TestClient, tone, receive) -> None:
    receiver = receive(default=503, headers={"Retry-After": "3600"})
    task = send(hooked, tone(), webhook_url=receiver.url, prompt=REFUSE).json()
    eventually(lambda: [each for each in messages(hooked, task["webhook_id"]) if each["attempts"] == 1])
    message = settled(hooked, task["webhook_id"], "pending")
    tried, again = (datetime.fromisoformat(message[name][:-1]) for name in ("last_attempt_at", "next_attempt_at"))
    assert again - tried == timedelta(hours=1)
    status = wait(hooked, task["task_id"])
    assert status["status"] == "failed" and status["webhooks"][0]["messages"] == [message]
    unhooked = send(hooked, tone(), prompt=SLOW).json()["task_id"]
    assert wait(hooked, unhooked, "processing")["webhooks"] is None


def test_waiting_message_shows_its_tries(make_client, tone, receive) -> None:
    client = make_client(outgoing_allow="127.0.0.1", webhook_retry_seconds=600)
    task = send(client, tone(), webhook_url=receive(default=301).url).json()
    eventually(lambda: [each for each in messages(client, task["webhook_id"]) if each["attempts"] == 1])
    message = settled(client, task["webhook_id"], "pending")
    assert message["last_status_code"] == 301 and "redirect" in message["last_error"]
    assert message["next_attempt_at"] > message["last_attempt_at"]


def test_redirect_is_not_followed(hooked: TestClient, tone, receive) -> None:
    other = receive()
    receiver = receive(statuses=[307], headers={"Location": other.url})
    task = send(hooked, tone(), webhook_url=receiver.url).json()
    assert settled(hooked, task["webhook_id"], "delivered")["attempts"] == 2
    assert other.requests == []


def test_test_sends_one_message_and_says_what_came_of_it(hooked: TestClient, tone, receive) -> None:
    receiver = receive()
    webhook = register(hooked, send(hooked, tone()).json()["task_id"], receiver.url)
    receiver.wait(1)
    result = hooked.post(f"{HOOKS}/{webhook['id']}/test").json()
    assert result == {"message_id": result["message_id"], "delivered": True, "status_code": 200, "error": None}
    request = receiver.wait(2)[1]
    assert request.headers["webhook-id"] == result["message_id"]
    assert Webhook(webhook["secret"]).verify(request.body, request.headers)["type"] == "webhook.test"
    receiver.default = 500
    result = hooked.post(f"{HOOKS}/{webhook['id']}/test").json()
    assert not result["delivered"] and result["status_code"] == 500 and result["error"]
    assert len(messages(hooked, webhook["id"])) == 1


def test_receiver_that_does_not_answer_holds_up_nobody(hooked: TestClient, tone, receive) -> None:
    slow, quick = receive(gate=threading.Event()), receive()
    task = send(hooked, tone()).json()["task_id"]
    wait(hooked, task)
    for _ in range(8):
        register(hooked, task, slow.url)
    slow.wait(4)
    began = time.monotonic()
    register(hooked, task, quick.url)
    quick.wait(1)
    assert time.monotonic() - began < 5  # a slow one has 15 s
    assert len(slow.requests) == 4
    assert slow.gate is not None
    slow.gate.set()
    slow.wait(8)


def test_idempotency_key_keeps_to_the_webhook_too(hooked: TestClient, tone, receive) -> None:
    receiver, key = receive(), {"Idempotency-Key": "one"}
    first = send(hooked, tone(), headers=key, webhook_url=receiver.url).json()
    again = send(hooked, tone(), headers=key, webhook_url=receiver.url).json()
    assert again["task_id"] == first["task_id"]
    assert send(hooked, tone(), headers=key, webhook_url=receiver.url + "/other").status_code == 409
    assert send(hooked, tone(), headers=key).status_code == 409
    settled(hooked, first["webhook_id"], "delivered")
    assert len(hooked.get(HOOKS).json()["data"]) == 1 and len(receiver.requests) == 1
