"""What is kept on a disk, in a shared folder or in a bucket: whole or not there, gone when it should be."""

from __future__ import annotations

import asyncio
import importlib
import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.s3 import ALL_FAULTS, S3
from whisperx_api.errors import StartError
from whisperx_api.storage import bucket, local, objects, shared, watching
from whisperx_api.storage.local import LocalStorage
from whisperx_api.storage.opening import open_storage
from whisperx_api.storage.protocol import Storage, StorageUnavailable, StoredObject

T = "0b1e5a52-9d2c-4f0e-8a3e-0f6d1c2b3a49"
"""A task's id."""
KINDS = ("local", "shared", "s3")
REMOTE = KINDS[1:]


@dataclass(frozen=True)
class Kept:
    """A storage, and a look at what it keeps: the names of recordings, and those of what was made of them."""

    storage: Storage
    recordings: Callable[[], list[str]]
    made: Callable[[], list[str]]
    scratch: Path
    """Where decoded audio goes."""


def opened(kind: str, tmp_path: Path, request: pytest.FixtureRequest, host: str = "data") -> Kept:
    """Open a storage on the machine called `host`."""
    data = tmp_path / host
    if kind == "s3":
        s3: S3 = request.getfixturevalue("s3")
        url, prefix = f"s3://{s3.bucket}/some/prefix", "some/prefix"

        def names(folder: str) -> list[str]:
            return [name.removeprefix(f"{prefix}/{folder}/") for name in s3.objects(f"{prefix}/{folder}/")]
    else:
        url = None if kind == "local" else (tmp_path / "shared folder").as_uri()
        root = data if url is None else tmp_path / "shared folder"

        def names(folder: str) -> list[str]:
            return sorted(str(one.relative_to(root / folder)) for one in (root / folder).rglob("*") if one.is_file())

    storage = open_storage(url, data, data / "uploads")
    storage.prepare()
    return Kept(storage, lambda: names("uploads"), lambda: names("tasks"), data / "scratch")


@pytest.fixture(params=KINDS)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    return opened(request.param, tmp_path, request)


@pytest.fixture(params=REMOTE)
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    return opened(request.param, tmp_path, request)


@pytest.fixture
def in_bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    return opened("s3", tmp_path, request)


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    made = LocalStorage(tmp_path / "tasks", tmp_path / "uploads")
    made.prepare()
    return made


async def upload(storage: Storage, task_id: str, sound: bytes) -> None:
    """Receive a recording."""
    incoming = storage.incoming()
    await asyncio.to_thread(incoming.write_bytes, sound)
    await storage.keep_upload(incoming, task_id)
    await asyncio.to_thread(incoming.unlink, missing_ok=True)


async def recording(storage: Storage, task_id: str) -> bytes:
    """Read a recording as the decoder does."""
    async with storage.recording(task_id) as path:
        return await asyncio.to_thread(path.read_bytes)


# --- what every storage does ---


def test_what_is_written_is_read_and_replaced_as_a_whole(kept: Kept) -> None:
    async def go() -> None:
        await kept.storage.write(T, "align.1.json", b"first")
        await kept.storage.write(T, "align.1.json", b"second")
        assert await kept.storage.read(T, "align.1.json") == b"second"
        with pytest.raises(FileNotFoundError):
            await kept.storage.read(T, "other")

    asyncio.run(go())


def test_recording_is_kept_whole_and_had_as_a_file(kept: Kept) -> None:
    sound = os.urandom(3 * objects.PART_BYTES + 1)

    async def go() -> None:
        await upload(kept.storage, T, sound)
        assert kept.recordings() == [T]
        assert await recording(kept.storage, T) == sound
        await kept.storage.write(T, "voice.1", b"voice")
        async with kept.storage.local(T, "voice.1") as path:
            assert path.read_bytes() == b"voice"

    asyncio.run(go())
    assert kept.recordings() == [T]


def test_recording_that_is_not_there_is_said_so(kept: Kept) -> None:
    async def go() -> None:
        with pytest.raises(FileNotFoundError):
            await kept.storage.stored(T)
        with pytest.raises(FileNotFoundError):
            await recording(kept.storage, T)

    asyncio.run(go())


def test_clear_keeps_only_what_is_named(kept: Kept) -> None:
    async def go() -> None:
        for name in ("decode.1.json", "edits.json", "assign.1.json"):
            await kept.storage.write(T, name, b"x")
        kept.storage.audio(T, 1).write_bytes(b"sound")
        await kept.storage.clear(T, keep=("assign.1.json",))
        assert kept.made() == [f"{T}/assign.1.json"] and not kept.storage.audio(T, 1).exists()
        await kept.storage.clear("nobody", keep=())

    asyncio.run(go())


def test_clear_after_an_attempt_leaves_what_later_ones_have_made(kept: Kept) -> None:
    async def go() -> None:
        for name in ("align.1.json", "align.2.json", "align.3.json", "voice.1"):
            await kept.storage.write(T, name, b"x")
        for epoch in (2, 3):
            kept.storage.audio(T, epoch).write_bytes(b"sound")
        await kept.storage.clear(T, keep=("align.1.json",), epoch=2)
        assert [name for name in kept.made() if name.endswith("json")] == [f"{T}/align.1.json", f"{T}/align.3.json"]
        assert [kept.storage.audio(T, epoch).exists() for epoch in (2, 3)] == [False, True]

    asyncio.run(go())


def test_delete_takes_recording_and_results(kept: Kept) -> None:
    async def go() -> None:
        await upload(kept.storage, T, b"sound")
        await kept.storage.write(T, "result", b"x")
        kept.storage.audio(T, 1).write_bytes(b"sound")
        await kept.storage.delete(T)
        assert kept.recordings() == kept.made() == [] and not kept.storage.audio(T, 1).exists()
        await kept.storage.delete(T)

    asyncio.run(go())


def test_storage_that_can_be_reached_has_no_fault(kept: Kept) -> None:
    assert asyncio.run(kept.storage.fault()) is None
    assert kept.storage.free() > 0


# --- what one does that others share ---


def test_sweep_takes_what_is_old_and_no_task_owns(remote: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, stray, storage = str(uuid.uuid4()), str(uuid.uuid4()), remote.storage

    async def go() -> None:
        for task in (mine, stray):
            await upload(storage, task, b"sound")
            await storage.write(task, "result", b"x")
        assert await storage.sweep({mine}) == 0, "another server may just have received it"
        assert len(remote.recordings()) == len(remote.made()) == 2
        monkeypatch.setattr(storage, "_stray_seconds", 0)
        assert await storage.sweep({mine}) == 2

    asyncio.run(go())
    assert remote.recordings() == [mine] and remote.made() == [f"{mine}/result"]


def test_what_was_left_on_this_machine_is_cleaned_up_and_nothing_of_a_storage_here(
    remote: Kept, tmp_path: Path
) -> None:
    old = LocalStorage(tmp_path / "data" / "tasks", tmp_path / "data" / "uploads")
    old.prepare()
    old.upload(T).write_bytes(b"from before STORAGE_URL was set")
    asyncio.run(old.write(T, "assign.1.json", b"transcript"))
    remote.storage.audio(T, 1).write_bytes(b"sound")
    (tmp_path / "data" / "uploads" / f"{uuid.uuid4().hex}.part").write_bytes(b"half")
    assert asyncio.run(remote.storage.clean_up()) == 2
    assert list(remote.scratch.iterdir()) == []
    assert old.upload(T).exists() and asyncio.run(old.read(T, "assign.1.json"))


def test_two_machines_have_the_same(request: pytest.FixtureRequest, remote: Kept, tmp_path: Path) -> None:
    kind = request.node.callspec.params["remote"]
    other = opened(kind, tmp_path, request, host="other") if kind == "shared" else None
    storage = other.storage if other else open_storage("s3://recordings/some/prefix", tmp_path / "o", tmp_path / "o")
    storage.prepare()

    async def go() -> None:
        await upload(remote.storage, T, b"sound")
        await remote.storage.write(T, "align.1.json", b"x")
        assert await recording(storage, T) == b"sound" and await storage.read(T, "align.1.json") == b"x"
        assert storage.audio(T, 1) != remote.storage.audio(T, 1)
        await storage.delete(T)
        assert remote.recordings() == remote.made() == []

    asyncio.run(go())


# --- a bucket ---


@pytest.mark.parametrize("fault", ALL_FAULTS)
def test_every_other_request_of_a_bucket_may_fail(in_bucket: Kept, s3: S3, fault: str) -> None:
    storage, sound = in_bucket.storage, os.urandom(2 * objects.PART_BYTES + 1)

    async def go() -> None:
        s3.fail(2, fault)
        await upload(storage, T, sound)
        assert await recording(storage, T) == sound
        for name in ("align.1.json", "assign.1.json"):
            await storage.write(T, name, b"x")
        await storage.clear(T, keep=("assign.1.json",))
        assert in_bucket.made() == [f"{T}/assign.1.json"]
        assert await storage.read(T, "assign.1.json") == b"x"
        with pytest.raises(FileNotFoundError):
            await storage.read(T, "align.1.json")
        await storage.delete(T)

    asyncio.run(go())
    assert s3.failed > 5 and s3.objects() == []


def test_bucket_that_is_out_of_order_is_an_error_of_the_system(in_bucket: Kept, s3: S3, hasty: None) -> None:
    storage = in_bucket.storage

    async def go() -> None:
        await upload(storage, T, b"sound")
        s3.fail(1, "503")
        for call in (
            lambda: storage.write(T, "a", b"x"), lambda: storage.read(T, "a"), lambda: storage.stored(T),
            lambda: recording(storage, T), lambda: storage.delete(T), lambda: upload(storage, T, b"other"),
        ):  # fmt: skip
            with pytest.raises(StorageUnavailable):
                await call()
        await storage.clear(T, keep=())
        assert await storage.sweep(()) >= 0
        assert "can't be used" in (await storage.fault() or "")
        s3.every = 0
        assert await recording(storage, T) == b"sound"
        assert await storage.clean_up() == 1, "the upload that was not kept: nothing else is left"

    asyncio.run(go())
    assert not list((in_bucket.scratch.parent / "uploads").iterdir())


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch, in_bucket: Kept, s3: S3) -> None:
    """Repeat no single request: a bucket that is out of order is told at once."""
    hasty = objects.REPEATED | {"max_retries": 0}
    store = objects.S3Store.from_url("s3://recordings/p", client_options=objects.CLIENT, retry_config=hasty)
    monkeypatch.setattr(in_bucket.storage._objects, "_store", store)  # type: ignore[attr-defined]  # of a bucket


def test_upload_that_breaks_off_leaves_no_part_in_the_bucket(in_bucket: Kept, s3: S3, hasty: None) -> None:
    def no_second_part(request: str) -> None:
        s3.every = 1 if "partNumber=2" in request else 0

    async def go() -> None:
        with pytest.raises(StorageUnavailable):
            await upload(in_bucket.storage, T, bytes(2 * objects.PART_BYTES + 1))

    s3.fail(0, "500")
    s3.on_request = no_second_part
    asyncio.run(go())
    assert any("partNumber=2" in request for request in s3.requests)
    assert s3.objects() == [] and s3.unfinished() == 0


def test_bucket_that_is_not_there_is_no_missing_file(s3: S3, tmp_path: Path) -> None:
    storage = open_storage("s3://nobodys-bucket/p", tmp_path, tmp_path)

    async def go() -> None:
        for call in (lambda: storage.read(T, "a"), lambda: storage.write(T, "a", b"x")):
            with pytest.raises(StorageUnavailable):
                await call()
        assert "NoSuchBucket" in (await storage.fault() or "")

    asyncio.run(go())


def test_look_at_a_bucket_is_not_made_anew_for_everybody_who_asks(in_bucket: Kept, s3: S3) -> None:
    async def go() -> None:
        assert {await storage.fault() for storage in [in_bucket.storage] * 5} == {None}

    asyncio.run(go())
    assert len(s3.requests) == 1


def test_sweep_looks_at_more_objects_than_a_page_has_and_leaves_what_others_put_there(
    in_bucket: Kept, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, tasks = in_bucket.storage, sorted(str(uuid.uuid4()) for _ in range(7))
    monkeypatch.setattr(objects, "PAGE", 2)
    monkeypatch.setattr(storage, "_stray_seconds", 0)

    async def go() -> None:
        for task in tasks:
            await upload(storage, task, b"sound")
        await storage.write("notes", "mine.txt", b"precious")
        s3.fail(3)
        assert await storage.sweep(tasks[:1]) == 6

    asyncio.run(go())
    assert in_bucket.recordings() == tasks[:1] and in_bucket.made() == ["notes/mine.txt"]


def test_part_of_an_object_is_read_alone(in_bucket: Kept, s3: S3) -> None:
    sound = os.urandom(1000)

    async def go() -> None:
        await upload(in_bucket.storage, T, sound)
        stored = await in_bucket.storage.stored(T)
        assert isinstance(stored, StoredObject) and stored.size == 1000 and stored.etag
        assert await stored.read(10, 20) == sound[10:20]
        with pytest.raises(StorageUnavailable):
            await stored.read(990, 1010)

    asyncio.run(go())


TO_AND_FRO = """
import asyncio, resource, sys
from pathlib import Path
from whisperx_api.storage.opening import open_storage

async def go():
    storage = open_storage("s3://recordings", Path(sys.argv[1]), Path(sys.argv[1]))
    storage.prepare()
    await storage.fault()
    before, incoming = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, storage.incoming()
    with incoming.open("wb") as file:
        file.truncate(int(sys.argv[2]))
    await storage.keep_upload(incoming, "task")
    async with storage.recording("task") as path:
        assert path.stat().st_size == int(sys.argv[2])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

asyncio.run(go())
"""


def test_recording_goes_to_and_fro_in_bounded_memory(s3: S3, tmp_path: Path) -> None:
    size = 256 * 1024**2
    command = [sys.executable, "-c", TO_AND_FRO, str(tmp_path), str(size)]
    taken = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) * 1024
    assert taken < 10 * objects.PART_BYTES < size / 3


def test_storage_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    for module in (bucket, objects):
        monkeypatch.delitem(sys.modules, module.__name__)
    with pytest.raises(StartError, match=r"pip install '\.\[cluster\]'"):
        open_storage("s3://recordings", tmp_path, tmp_path)
    monkeypatch.undo()
    importlib.import_module("whisperx_api.storage.bucket")


# --- a shared folder ---


def test_shared_folder_that_is_gone_is_said_so(tmp_path: Path) -> None:
    storage = open_storage((tmp_path / "mnt").as_uri(), tmp_path / "data", tmp_path / "data" / "uploads")
    storage.prepare()
    (tmp_path / "mnt" / "uploads").rmdir()
    assert "can't be used: No such file or directory" in (asyncio.run(storage.fault()) or "")


def test_shared_folder_that_hangs_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage((tmp_path / "mnt").as_uri(), tmp_path / "data", tmp_path / "data" / "uploads")
    storage.prepare()
    mend, looks = threading.Event(), []

    def hang(path: Path) -> None:
        looks.append(path)
        mend.wait(20)
        raise OSError(116, "Stale file handle")

    async def go() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "disk_usage", hang)
            faults = [await storage.fault(), await storage.fault()]
        assert faults == ["The folder of STORAGE_URL does not answer within 0 s."] * 2 and len(looks) == 1
        assert storage.free() > 0, "this asks the shared folder nothing"
        mend.set()

    monkeypatch.setattr(shared, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(watching, "AGAIN_SECONDS", 0)
    asyncio.run(go())


# --- a disk ---


def test_write_that_fails_leaves_the_old_file_and_no_part(storage: LocalStorage, tmp_path: Path, monkeypatch) -> None:
    asyncio.run(storage.write("t", "result", b"old"))

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local.os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        asyncio.run(storage.write("t", "result", b"new"))
    assert [path.name for path in (tmp_path / "tasks" / "t").iterdir()] == ["result"]
    assert asyncio.run(storage.read("t", "result")) == b"old"


def test_file_and_folder_are_synced_before_a_write_returns(storage: LocalStorage, tmp_path: Path, monkeypatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def watch(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(local.os, "fsync", watch)
    asyncio.run(storage.write("t", "result", b"data"))
    incoming = storage.incoming()
    incoming.write_bytes(b"sound")
    asyncio.run(storage.keep_upload(incoming, "t"))
    folder = tmp_path / "tasks" / "t"
    assert synced == [str(folder / "result.part"), str(folder), str(tmp_path / "uploads")]


def test_clear_keeps_what_is_being_written_under_a_name_that_stays(storage: LocalStorage, tmp_path: Path) -> None:
    asyncio.run(storage.write("t", "result", b"x"))
    (tmp_path / "tasks" / "t" / "edits.json.part").write_bytes(b"on its way")
    asyncio.run(storage.clear("t", keep=("edits.json",)))
    assert [path.name for path in (tmp_path / "tasks" / "t").iterdir()] == ["edits.json.part"]


def test_what_can_not_be_cleared_stays_and_is_logged(storage: LocalStorage, tmp_path: Path, caplog) -> None:
    asyncio.run(storage.write("t", "decode.1.json", b"x"))
    (tmp_path / "tasks" / "t" / "audio.1.f32").mkdir()
    asyncio.run(storage.clear("t", keep=()))
    assert [path.name for path in (tmp_path / "tasks" / "t").iterdir()] == ["audio.1.f32"]
    assert "audio.1.f32 can't be deleted" in caplog.text


def test_sweep_takes_what_no_task_owns(storage: LocalStorage, tmp_path: Path) -> None:
    mine, stray = str(uuid.uuid4()), str(uuid.uuid4())
    for task in (mine, stray):
        asyncio.run(upload(storage, task, b"sound"))
        asyncio.run(storage.write(task, "result", b"x"))
    storage.incoming().write_bytes(b"half")
    assert asyncio.run(storage.sweep({mine})) == 3
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == [mine]
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == [mine]


def test_sweep_leaves_other_peoples_files_alone(storage: LocalStorage, tmp_path: Path) -> None:
    (tmp_path / "uploads" / "interview.mp3").write_bytes(b"precious")
    (tmp_path / "tasks" / "notes").mkdir()
    assert asyncio.run(storage.sweep(set())) == 0
    assert (tmp_path / "uploads" / "interview.mp3").exists()
    assert (tmp_path / "tasks" / "notes").exists()


def test_files_and_folders_are_for_the_service_alone(storage: LocalStorage, tmp_path: Path) -> None:
    asyncio.run(storage.write("t", "result", b"x"))
    assert (tmp_path / "tasks" / "t" / "result").stat().st_mode & 0o077 == 0
    assert (tmp_path / "tasks" / "t").stat().st_mode & 0o077 == 0
    assert storage.free() > 0
