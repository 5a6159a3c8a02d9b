"""Threads that compute side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from contextvars import ContextVar

import pytest

from whisperx_api.pipeline.crew import in_order


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    def work(item: int) -> int:
        time.sleep(0.001 * (7 * item % 5))
        return item * item

    assert list(in_order(work, range(20), workers)) == [item * item for item in range(20)]
    assert list(in_order(work, [], workers)) == []


def test_workers_compute_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=10)
    assert len(list(in_order(lambda _: together.wait(), range(6), 3))) == 6


@pytest.mark.parametrize("workers", [1, 3])
def test_what_the_caller_has_noted_is_known_to_the_workers(workers: int) -> None:
    noted: ContextVar[str] = ContextVar("noted", default="nothing")
    noted.set("task 1")
    assert set(in_order(lambda _: noted.get(), range(6), workers)) == {"task 1"}


def test_one_worker_is_the_caller() -> None:
    assert set(in_order(lambda _: threading.get_ident(), range(3), 1)) == {threading.get_ident()}


def test_no_more_is_taken_ahead_than_one_for_each_worker_and_one() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    with closing(in_order(lambda item: item, items(), 2)) as results:
        for expected in range(10):
            assert next(results) == expected
            assert len(taken) <= expected + 3


@pytest.mark.parametrize("stops", ["work raises", "the caller closes"])
def test_what_has_begun_is_waited_for_and_nothing_further_begins(stops: str) -> None:
    begun: list[int] = []
    ended: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 0:
            if stops == "work raises":
                raise ValueError(item)
            return item
        time.sleep(0.05)
        ended.append(item)
        return item

    results = in_order(work, range(100), 2)
    if stops == "work raises":
        with pytest.raises(ValueError, match="0"):
            next(results)
    else:
        assert next(results) == 0
        results.close()
    assert len(begun) <= 4 and set(ended) == set(begun) - {0}
    time.sleep(0.1)
    assert len(begun) <= 4
