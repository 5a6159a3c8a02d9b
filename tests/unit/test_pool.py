"""Which models stay on the device, with a device whose memory is counted."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from whisperx_api.engine import pool as pool_module
from whisperx_api.engine.pool import HEADROOM, RESERVE, ModelPool

GB = 10**9


class Model:
    """Stands for a model of some size on the counted device."""

    def __init__(self, device: Device, size: int) -> None:
        device.models.append(weakref.ref(self))
        self.size = size


class Device:
    """Memory in which every live model takes its size."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.models: list[weakref.ref[Model]] = []

    def used(self) -> int:
        return sum(model.size for found in self.models if (model := found()) is not None)

    def free(self) -> int:
        return self.total - self.used()

    def release(self) -> None:
        gc.collect()


def pool_on(device: Device, residency: str) -> tuple[ModelPool, list[tuple[tuple[str, ...], int]], list[str]]:
    changes: list[tuple[tuple[str, ...], int]] = []
    loads: list[str] = []
    return ModelPool(residency, device, lambda names, used: changes.append((names, used)), loads.append), changes, loads


def take(pool: ModelPool, device: Device, name: str, size: int) -> None:
    """Be a stage: use a model and return."""
    model = pool.get(name, lambda: Model(device, size), size)
    assert model.size == size


def test_release_frees_every_stages_model_when_it_has_returned() -> None:
    device = Device(24 * GB)
    pool, changes, _ = pool_on(device, "release")
    for name in ("whisper", "aligner"):
        take(pool, device, name, 3 * GB)
        assert device.used() == 3 * GB
        pool.settle()
        assert device.used() == 0
    assert changes == [(("whisper",), 3 * GB), ((), 0), (("aligner",), 3 * GB), ((), 0)]


def test_memory_is_measured_and_not_assumed() -> None:
    device = Device(24 * GB)
    pool, changes, _ = pool_on(device, "release")
    leaked = pool.get("whisper", lambda: Model(device, 3 * GB), 3 * GB)
    pool.settle()
    assert changes[-1] == ((), 3 * GB)  # somebody still holds it, and the pool says so
    del leaked


def test_keep_loads_once() -> None:
    device = Device(24 * GB)
    pool, _, loads = pool_on(device, "keep")
    for _ in range(3):
        take(pool, device, "whisper", 3 * GB)
        pool.settle()
    assert loads == ["whisper"]


def test_auto_keeps_what_fits_and_evicts_the_least_recently_used() -> None:
    device = Device(round(2 * 3 * GB + 3 * GB * HEADROOM) + RESERVE - 1)
    pool, changes, loads = pool_on(device, "auto")
    for name in ("a", "b", "a"):
        take(pool, device, name, 3 * GB)
        pool.settle()
    assert loads == ["a", "b"]
    take(pool, device, "c", 3 * GB)
    assert changes[-1][0] == ("a", "c")
    take(pool, device, "b", 3 * GB)
    assert loads == ["a", "b", "c", "b"]


def test_auto_loads_even_where_nothing_is_left_to_evict() -> None:
    device = Device(GB)
    pool, _, loads = pool_on(device, "auto")
    take(pool, device, "whisper", 3 * GB)
    assert loads == ["whisper"]


def test_model_that_can_not_be_loaded_is_not_held() -> None:
    pool, changes, _ = pool_on(Device(GB), "keep")
    with pytest.raises(OSError, match="no such"):
        pool.get("whisper", lambda: (_ for _ in ()).throw(OSError("no such file")), 1)
    assert changes == []


class Stage:
    """A stage in a thread of its own, whose model loads when `arrives` is set, and that returns when told to."""

    def __init__(self, pool: ModelPool, device: Device, name: str, size: int, slow: bool = False) -> None:
        self.loads, self.arrives, self.began, self.returns = (threading.Event() for _ in range(4))
        if not slow:
            self.arrives.set()
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run, args=(pool, device, name, size), daemon=True)
        self.thread.start()

    def _run(self, pool: ModelPool, device: Device, name: str, size: int) -> None:
        def load() -> Model:
            self.loads.set()
            self.arrives.wait(10)
            return Model(device, size)

        def use() -> None:
            model = pool.get(name, load, size)
            assert model.size == size
            self.began.set()
            self.returns.wait(10)

        try:
            use()
        except InterruptedError as error:
            self.error = error
        pool.settle()

    def end(self) -> None:
        self.arrives.set()
        self.returns.set()
        self.thread.join(10)


def test_release_leaves_another_stage_its_model() -> None:
    device = Device(24 * GB)
    pool, changes, _ = pool_on(device, "release")
    words, speakers = Stage(pool, device, "whisper", 3 * GB), Stage(pool, device, "pyannote", 1 * GB)
    assert words.began.wait(10) and speakers.began.wait(10)
    words.end()
    assert changes[-1] == (("pyannote",), 1 * GB)
    speakers.end()
    assert changes[-1] == ((), 0)


def test_model_waits_for_room_until_another_stage_is_done() -> None:
    device = Device(round(3 * GB * HEADROOM) + RESERVE)
    pool, changes, _ = pool_on(device, "auto")
    first = Stage(pool, device, "whisper", 3 * GB)
    assert first.began.wait(10)
    second = Stage(pool, device, "pyannote", 3 * GB)
    assert not second.began.wait(0.3)
    assert changes[-1] == (("whisper",), 3 * GB)  # nobody takes a model that is in use
    first.end()
    assert second.began.wait(10)
    assert changes[-1] == (("pyannote",), 3 * GB)
    second.end()


def test_who_waits_for_room_can_give_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up() -> None:
        raise InterruptedError

    monkeypatch.setattr(pool_module, "LOOK_SECONDS", 0.05)
    device = Device(round(3 * GB * HEADROOM) + RESERVE)
    pool = ModelPool("auto", device, lambda names, used: None, lambda name: None, give_up)
    first = Stage(pool, device, "whisper", 3 * GB)
    assert first.began.wait(10)
    second = Stage(pool, device, "pyannote", 3 * GB)
    second.thread.join(10)
    assert isinstance(second.error, InterruptedError) and not second.began.is_set()
    first.end()


def test_unused_models_are_let_go_for_one_that_lacks_room() -> None:
    device = Device(24 * GB)
    pool, changes, _ = pool_on(device, "keep")
    take(pool, device, "whisper", 3 * GB)
    pool.settle()
    take(pool, device, "pyannote", 1 * GB)
    assert pool.release_unused()
    assert changes[-1] == (("pyannote",), 1 * GB)
    assert not pool.release_unused()


def test_model_that_takes_long_to_load_keeps_no_other_stage_waiting() -> None:
    device = Device(24 * GB)
    pool, changes, _ = pool_on(device, "auto")
    slow = Stage(pool, device, "pyannote", GB, slow=True)
    assert slow.loads.wait(10)
    other = Stage(pool, device, "whisper", 3 * GB)
    assert other.began.wait(10)
    other.end()
    assert changes == [(("whisper",), 3 * GB)]
    slow.end()
    assert changes[-1] == (("whisper", "pyannote"), 4 * GB)


def test_model_that_two_stages_want_is_loaded_once() -> None:
    device = Device(24 * GB)
    pool, _, loads = pool_on(device, "keep")
    slow = Stage(pool, device, "whisper", GB, slow=True)
    assert slow.loads.wait(10)
    other = Stage(pool, device, "whisper", GB)
    assert not other.began.wait(0.3)
    slow.end()
    assert other.began.wait(10)
    other.end()
    assert loads == ["whisper"]


def test_room_is_kept_for_a_model_that_is_loading() -> None:
    device = Device(round((3 + 3) * GB * HEADROOM) + RESERVE)
    pool, changes, _ = pool_on(device, "auto")
    slow = Stage(pool, device, "whisper", 3 * GB, slow=True)
    assert slow.loads.wait(10)
    other = Stage(pool, device, "pyannote", 3 * GB)
    assert not other.began.wait(0.3)  # free now, but not for long
    slow.end()
    assert other.began.wait(10)
    other.end()
    assert changes[-1] == (("whisper", "pyannote"), 6 * GB)


def test_model_that_can_not_be_loaded_leaves_its_room() -> None:
    device = Device(round(3 * GB * HEADROOM) + RESERVE)
    pool, _, _ = pool_on(device, "auto")
    with pytest.raises(OSError, match="no such"):
        pool.get("whisper", lambda: (_ for _ in ()).throw(OSError("no such file")), 3 * GB)
    take(pool, device, "pyannote", 3 * GB)


def test_what_libraries_keep_for_themselves_is_given_back_before_a_model_goes() -> None:
    device = Device(round(3 * GB * HEADROOM) + RESERVE + 3 * GB)
    cached = [4 * GB]
    free, release = device.free, device.release
    device.free = lambda: free() - cached[0]
    device.release = lambda: (cached.__setitem__(0, 0), release())[1]
    pool, changes, _ = pool_on(device, "auto")
    take(pool, device, "whisper", 3 * GB)
    pool.settle()
    cached[0] = 4 * GB
    take(pool, device, "aligner", 3 * GB)
    assert changes[-1][0] == ("whisper", "aligner")


def test_unused_model_is_let_go_and_the_others_stay() -> None:
    device = Device(24 * GB)
    pool, changes, _ = pool_on(device, "keep")
    for name in ("whisper", "pyannote"):
        take(pool, device, name, GB)
    pool.settle()
    assert pool.unload(["whisper", "nobody"]) == (("whisper",), ())
    assert changes[-1] == (("pyannote",), GB)


def test_model_in_use_is_let_go_when_the_last_stage_that_needs_it_is_done() -> None:
    device = Device(24 * GB)
    pool, changes, loads = pool_on(device, "keep")
    first, second = Stage(pool, device, "whisper", GB), Stage(pool, device, "whisper", GB)
    assert first.began.wait(10) and second.began.wait(10)
    assert pool.unload(["whisper"]) == ((), ("whisper",))
    first.end()
    assert changes[-1] == (("whisper",), GB)
    second.end()
    assert changes[-1] == ((), 0)
    take(pool, device, "whisper", GB)
    pool.settle()
    assert changes[-1] == (("whisper",), GB) and loads == ["whisper"] * 2  # the next one stays
