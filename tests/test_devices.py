"""Devices, precision, and seeds that mean the same on every machine."""

import pytest
import torch

from colorlib import devices


def test_auto_is_a_device_that_works() -> None:
    device = devices.pick_device("auto")
    assert devices.works(device, "fp32") is None
    assert devices.pick_device(device) is device


@pytest.mark.parametrize("spec", ["gpu", "cuda:x", "xla"])
def test_unknown_devices(spec: str) -> None:
    with pytest.raises(ValueError, match="auto"):
        devices.pick_device(spec)


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), "fp16"), ((6, 0), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")]
)
def test_precision_on_cuda_cards(monkeypatch, capability: tuple[int, int], expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    assert devices.pick_precision("auto", torch.device("cuda")) == expected


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp32")])
def test_precision_on_cpus(monkeypatch, native: bool, expected: str) -> None:
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: native)
    assert devices.pick_precision("auto", torch.device("cpu")) == expected
    assert devices.pick_precision("fp32", torch.device("cpu")) == "fp32"
    assert devices.pick_precision("auto", torch.device("mps")) == "fp32"


def test_bad_precisions() -> None:
    with pytest.raises(ValueError, match="fp16 training needs a CUDA device"):
        devices.pick_precision("fp16", torch.device("cpu"))
    with pytest.raises(ValueError, match="fp32, bf16 or fp16"):
        devices.pick_precision("fp8", torch.device("cpu"))


def test_autocast_changes_what_a_convolution_computes_in() -> None:
    layer, x, cpu = torch.nn.Conv2d(1, 1, 3), torch.zeros(1, 1, 4, 4), torch.device("cpu")
    with devices.autocast(cpu, "bf16"):
        assert layer(x).dtype == torch.bfloat16
    with devices.autocast(cpu, "fp32"):
        assert layer(x).dtype == torch.float32


def test_works_reports_what_the_device_said(monkeypatch) -> None:
    def broken(*args, **kwargs):
        raise RuntimeError("no kernel image is available\nsecond line")

    monkeypatch.setattr(torch.nn.Conv2d, "forward", broken)
    assert devices.works(torch.device("cpu"), "fp32") == "no kernel image is available"


def test_seeds_are_the_same_on_every_machine() -> None:
    # Written down once: a change here would change every training run.
    assert devices.derive_seed(0, "augment", 3) == devices.derive_seed(0, "augment", 3)
    assert len({devices.derive_seed(seed, name, k) for seed in (0, 1) for name in "ab" for k in (0, 1)}) == 8
    assert devices.derive_seed(1, 23) != devices.derive_seed(12, 3)
    assert devices.derive_seed(0, "dropout", 0, 0) == EXPECTED_SEED
    draw = torch.rand(2, generator=devices.make_rng(5))
    assert torch.equal(draw, torch.rand(2, generator=devices.make_rng(5)))


EXPECTED_SEED = 202543634575076352
