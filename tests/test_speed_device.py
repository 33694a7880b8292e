"""Timer, memory and energy of a device. CUDA is a fake here, which records the calls that it gets."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
import timm
import torch
from speed_helpers import FakeMachine
from torch import nn
from torch.profiler import ProfilerActivity, profile

import dynvit.backbones.small  # noqa: F401 - registers vit_digits with timm
from dynvit.errors import InputError
from dynvit.measurements.speed.energy import energy_of, meter_for
from dynvit.measurements.speed.memory import CUDA_ALLOCATOR, own_bytes, peak_bytes
from dynvit.measurements.speed.timed_model import TimedModel, check_compile, timed_dense
from dynvit.measurements.speed.timer import event_timer, wall_timer
from dynvit.processes import find_device

CUDA = torch.device("cuda", 0)


class FakeCuda:
    """Records the calls that it gets."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.allocated = 1000
        self.peak = 0

    def Event(self, enable_timing: bool) -> SimpleNamespace:
        assert enable_timing
        name = f"event {sum(call.startswith('event') for call in self.calls)}"
        self.calls.append(name)
        return SimpleNamespace(
            record=lambda stream: self.calls.append(f"record {name}"), elapsed_time=lambda other: 250.0
        )

    def current_stream(self, device: torch.device) -> str:
        return f"stream of {device}"

    def synchronize(self, device: torch.device) -> None:
        self.calls.append("wait")

    def reset_peak_memory_stats(self, device: torch.device) -> None:
        self.peak = self.allocated

    def memory_allocated(self, device: torch.device) -> int:
        return self.allocated

    def max_memory_allocated(self, device: torch.device) -> int:
        return self.peak

    def get_device_properties(self, device: torch.device) -> SimpleNamespace:
        return SimpleNamespace(uuid="0123")


def test_events_enclose_the_work_on_an_idle_device_in_seconds() -> None:
    cuda = FakeCuda()
    assert event_timer(CUDA, cuda)(lambda: cuda.calls.append("work")) == 0.25
    assert cuda.calls == ["event 0", "event 1", "wait", "record event 0", "work", "record event 1", "wait"]


def test_a_wall_timer_waits_for_the_device_before_and_after() -> None:
    machine = FakeMachine()
    pending = [5.0]

    def wait() -> None:
        machine.now += pending.pop() if pending else 0.0

    assert wall_timer(wait, machine.clock)(lambda: pending.append(2.0)) == 2.0


def test_memory_on_cuda_is_the_allocators_peak_above_the_start() -> None:
    cuda = FakeCuda()

    def work() -> None:
        cuda.peak = 1000 + 64

    assert peak_bytes(work, CUDA, cuda) == (64, CUDA_ALLOCATOR)


def test_memory_on_a_cpu_equals_that_of_torchs_profiler(tmp_path) -> None:
    model, images = timm.create_model("vit_digits").eval(), torch.rand(4, 3, 8, 8)
    with torch.inference_mode():
        found = peak_bytes(lambda: model(images), torch.device("cpu"))
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            model(images)
    profiled.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    now, most = 0, 0
    for event in sorted((e for e in events if e.get("name") == "[memory]"), key=lambda e: e["ts"]):
        now += event["args"]["Bytes"]
        most = max(most, now)
    assert found is not None
    assert found[0] == most > images.nbytes


def test_freed_memory_is_subtracted_and_shared_weights_count_once() -> None:
    taken = peak_bytes(lambda: [torch.zeros(1000) for _ in range(3)].clear(), torch.device("cpu"))
    again = peak_bytes(lambda: [torch.zeros(1000).sum() for _ in range(3)], torch.device("cpu"))
    assert taken is not None
    assert again is not None
    assert taken[0] == 12_000
    assert again[0] < 4_100
    tied = nn.Sequential(nn.Linear(8, 8, bias=False))
    tied.append(tied[0])
    assert own_bytes(tied) == 8 * 8 * 4


def test_energy_is_the_mean_over_as_many_runs_as_fill_the_time() -> None:
    machine = FakeMachine()
    assert energy_of(machine.work(0.3), lambda: None, lambda: 500 * machine.now, least=2.0, clock=machine.clock) == 150


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("pynvml")
    module.NVMLError = type("NVMLError", (Exception,), {})
    module.nvmlInit = lambda: None
    module.nvmlDeviceGetHandleByUUID = {"GPU-0123": "the board"}.__getitem__
    module.nvmlDeviceGetTotalEnergyConsumption = {"the board": 1234}.__getitem__
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def test_the_meter_is_of_the_board_that_torch_sees(nvml: ModuleType) -> None:
    meter = meter_for(CUDA, FakeCuda())
    assert meter is not None
    assert meter() == 1234.0


def test_there_is_no_meter_without_the_package_the_counter_or_the_device(nvml, monkeypatch) -> None:
    def refuse(handle: str) -> int:
        raise nvml.NVMLError("not supported")

    monkeypatch.setattr(nvml, "nvmlDeviceGetTotalEnergyConsumption", refuse)
    assert meter_for(CUDA, FakeCuda()) is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert meter_for(CUDA, FakeCuda()) is None
    assert meter_for(torch.device("cpu")) is None


def test_another_type_leaves_the_given_model_unchanged() -> None:
    backbone = timm.create_model("vit_digits").eval()
    made = timed_dense(backbone, "bf16", torch.device("cpu"))
    answer = made(torch.rand(2, 3, 8, 8).bfloat16())
    assert isinstance(answer, torch.Tensor)
    assert answer.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.float32}


def test_a_model_that_torch_compile_fails_on_runs_uncompiled_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(images: torch.Tensor) -> None:
        raise TypeError("a gate of Python objects")

    plain = TimedModel("demo", nn.Identity(), lambda images: images, "predict")
    monkeypatch.setattr(torch, "compile", lambda call: fail)
    with pytest.warns(UserWarning, match=r"demo runs uncompiled.*a gate of Python objects"):
        assert plain.compiled(torch.zeros(1)) is plain
    with pytest.raises(InputError, match=r"does not work on this machine .a gate"):
        check_compile(torch.device("cpu"))
    monkeypatch.setattr(torch, "compile", lambda call: call)
    assert plain.compiled(torch.zeros(1)).mode == "predict, compiled"
    check_compile(torch.device("cpu"))


def test_a_device_is_found_or_the_available_ones_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert find_device("auto") == find_device("cpu") == torch.device("cpu")
    for absent in ("cuda", "cuda:7", "gpu", "mps"):
        with pytest.raises(InputError, match=f"device must be one of 'auto', 'cpu', got '{absent}'"):
            find_device(absent)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert find_device("auto") == torch.device("cuda")
    assert find_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(InputError, match="'auto', 'cpu', 'cuda:0', 'cuda:1'"):
        find_device("cuda:2")
