"""Connections of clients that send and read badly, on real sockets: none may cost the server much, or for long."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
import tracemalloc
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from tests.listening import Raw, listening
from tests.receiver import eventually
from whisperx_api.connections import Patience

MIB = 1024**2
BIG = 8 * MIB


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers `/read` with the size of its body, `/big` with megabytes, and all else without reading anything."""
    if scope["type"] != "http":
        return
    body = b"fine"
    if scope["path"] == "/read":
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        body = str(size).encode()
    elif scope["path"] == "/big":
        body = bytes(BIG)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def test_connection_that_sends_nothing_is_closed() -> None:
    with listening(application, patience=Patience(head=0.3)) as server, Raw(server) as client:
        assert client.rest() == b""


def test_head_that_does_not_end_in_time_is_408() -> None:
    with listening(application, patience=Patience(head=0.5)) as server, Raw(server) as client:
        client.send("GET / HTTP/1.1\r\nHost: test\r\nX-Slow: ")
        with suppress(OSError):  # it is closed at some byte
            for _ in range(100):
                client.send("x")
                time.sleep(0.02)
        assert client.rest().startswith(b"HTTP/1.1 408 ")


def test_second_head_has_no_more_time_than_the_first() -> None:
    with listening(application, patience=Patience(head=0.5)) as server, Raw(server) as client:
        client.head("GET /")
        assert client.until(b"fine").startswith(b"HTTP/1.1 200 ")
        client.send("GET / HT")
        assert client.rest().startswith(b"HTTP/1.1 408 ")


def test_head_in_pieces_and_a_second_request_are_served() -> None:
    with listening(application, patience=Patience(head=5.0)) as server, Raw(server) as client:
        for piece in ("POST /read HTTP/1.1\r\n", "Host: test\r\nContent-", "Length: 5\r\n\r\nab"):
            client.send(piece)
            time.sleep(0.05)
        client.send("cde")
        assert client.until(b"\r\n\r\n5").endswith(b"5")
        client.head("GET /")
        assert client.until(b"fine").startswith(b"HTTP/1.1 200 ")


def test_slow_body_is_the_application_s_to_judge() -> None:
    with listening(application, patience=Patience(head=0.2)) as server, Raw(server) as client:
        client.head("POST /read", Content_Length=2)
        client.send("a")
        time.sleep(0.5)
        client.send("b")
        assert client.until(b"\r\n\r\n2").startswith(b"HTTP/1.1 200 ")


def test_body_that_nobody_reads_is_not_drained() -> None:
    with listening(application, patience=Patience(linger=0.5)) as server, Raw(server) as client:
        client.head("POST /", Content_Length=10**9)
        taken = client.push(200 * MIB)
        assert taken < 50 * MIB  # what fits the buffers of the system
        eventually(lambda: not server.server_state.connections)


def test_answer_to_a_body_that_nobody_reads_is_heard() -> None:
    with listening(application, patience=Patience(linger=5.0)) as server, Raw(server) as client:
        client.head("POST /", Content_Length=10**9)
        client.send(bytes(65536))
        answer = client.rest()
        assert answer.startswith(b"HTTP/1.1 200 ") and b"connection: close" in answer and answer.endswith(b"fine")
        for _ in range(5):  # no reset comes that would have taken the answer away from a slower client
            time.sleep(0.05)
            client.send(b"a little more")


def test_answer_that_nobody_takes_is_dropped_with_its_memory() -> None:
    """What Python holds is counted, not the process's size: the allocator keeps some of what was given back."""
    clients = 12

    def held() -> int:
        return tracemalloc.get_traced_memory()[0]

    with listening(application, patience=Patience(answer=1.0)) as server, ExitStack() as stack:
        stack.callback(tracemalloc.stop)
        tracemalloc.start()
        for _ in range(clients):
            stack.enter_context(Raw(server, receive_buffer=4096)).head("GET /big")
        eventually(lambda: held() > clients * 2 * MIB)
        eventually(lambda: not server.server_state.connections and not server.server_state.tasks)
        gc.collect()
        assert held() < MIB


def test_answer_that_is_taken_slowly_comes_whole() -> None:
    with listening(application, patience=Patience(answer=0.5)) as server, Raw(server, receive_buffer=65536) as client:
        client.head("GET /big", Connection="close")
        client.until(b"\r\n\r\n")
        taken = 0
        for _ in range(12):  # for longer than nothing may be taken
            taken += len(client.socket.recv(65536))
            time.sleep(0.1)
        assert taken + len(client.rest()) >= BIG


def test_connection_too_many_takes_the_place_of_the_one_that_rested_longest() -> None:
    with listening(application, most=3, patience=Patience(head=60)) as server, ExitStack() as stack:
        resting = [stack.enter_context(Raw(server)) for _ in range(3)]
        eventually(lambda: len(server.server_state.connections) == 3)
        resting[0].head("POST /read", Content_Length=3)  # is at work
        time.sleep(0.2)
        late = stack.enter_context(Raw(server))
        late.head("GET /")
        assert late.until(b"fine").startswith(b"HTTP/1.1 200 ")
        assert resting[1].rest() == b""
        resting[0].send("abc")
        assert resting[0].until(b"\r\n\r\n3").startswith(b"HTTP/1.1 200 ")


def test_connection_too_many_is_refused_where_all_are_at_work() -> None:
    with listening(application, most=2) as server, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(Raw(server)).head("POST /read", Content_Length=3)
        eventually(lambda: len(server.server_state.tasks) == 2)
        answer = stack.enter_context(Raw(server)).rest()
        assert answer.startswith(b"HTTP/1.1 503 ") and b"retry-after" in answer


@pytest.mark.parametrize(("soft", "hard", "most", "fitting"), [(64, 900, 500, 500), (64, 600, 500, 344)])
def test_files_may_be_open_for_every_connection(soft: int, hard: int, most: int, fitting: int) -> None:
    code = (
        f"import resource; from whisperx_api.connections import room_for;"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}));"
        f"print(room_for({most}), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(fitting), str(min(hard, most + 256))]
