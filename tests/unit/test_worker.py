"""The engine's own small decisions; what it computes is tested on real models elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from whisperx_api.engine import device as device_module
from whisperx_api.engine.device import choose_device, describe
from whisperx_api.engine.memory import DeviceMemory
from whisperx_api.engine.nodes import device_absent
from whisperx_api.engine.worker import explain
from whisperx_api.errors import DeviceUnavailable
from whisperx_api.pipeline.out_of_memory import is_out_of_memory


@pytest.mark.parametrize(
    ("setting", "cuda", "chosen"),
    [("cpu", 2, "cpu"), ("auto", 0, "cpu"), ("auto", 2, "cuda:0"), ("cuda", 1, "cuda:0"), ("cuda:1", 2, "cuda:1")],
)
def test_device_is_chosen_by_what_is_there(monkeypatch, setting, cuda, chosen) -> None:
    monkeypatch.setattr(device_module.torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(device_module.torch.cuda, "device_count", lambda: cuda)
    assert choose_device(setting) == chosen


@pytest.mark.parametrize(("setting", "cuda"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_device_that_is_not_there_is_refused_with_a_sentence(monkeypatch, setting, cuda) -> None:
    monkeypatch.setattr(device_module.torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(device_module.torch.cuda, "device_count", lambda: cuda)
    with pytest.raises(DeviceUnavailable, match=f"DEVICE={setting} can't be used"):
        choose_device(setting)


@pytest.mark.parametrize("node", ["nvidia0", "dxg", "nvhost-gpu"])
def test_gpu_is_absent_where_dev_has_no_node_of_one(tmp_path: Path, node) -> None:
    (tmp_path / "null").touch()
    sentence = device_absent("cuda:0", tmp_path)
    assert sentence and sentence.startswith("DEVICE=cuda:0 can't be used: there is no NVIDIA GPU here")
    assert device_absent("auto", tmp_path) is None and device_absent("cpu", tmp_path) is None
    (tmp_path / node).touch()
    assert device_absent("cuda:0", tmp_path) is None


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("out of memory")]
)
def test_lack_of_memory_names_the_settings_to_change(error) -> None:
    assert "BATCH_SIZE" in explain(error) and "MODEL_RESIDENCY" in explain(error)


def test_other_errors_are_named() -> None:
    assert explain(ValueError("odd shape")) == "ValueError: odd shape"
    assert explain(ValueError()) == "ValueError: ValueError"


def test_memory_of_the_machine_is_measured() -> None:
    memory = DeviceMemory("cpu")
    before = memory.used()
    held = torch.ones(50_000_000)
    assert memory.used() - before > 150e6
    assert memory.free() > 0
    del held
    memory.release()
    assert memory.used() - before < 100e6
    assert describe("cpu").device_name.endswith("cores")


@pytest.mark.parametrize(
    ("said", "lacking"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB.", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory", True),
        ("CUDA error: an illegal memory access was encountered", False),
    ],
)
def test_lack_of_memory_is_told_from_a_lost_device(said: str, lacking: bool) -> None:
    assert is_out_of_memory(RuntimeError(said)) is lacking
