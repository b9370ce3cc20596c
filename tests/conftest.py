"""What several test modules share: a tiny source, and a recipe that trains in milliseconds."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

# Shapes and dtypes in signatures are checked at run time. Recipes check themselves: their errors are ValueErrors.
PACKAGE = Path(__file__).parent.parent / "colorlib"
CHECKED = [f"colorlib.{path.stem}" for path in PACKAGE.iterdir() if path.stem not in ("__init__", "recipes")]
jaxtyping.install_import_hook(CHECKED, "typecheck.check")

from colorlib.datasets.base import ArraySource  # noqa: E402
from colorlib.recipes import Recipe  # noqa: E402

pytest_plugins = ["notebook_fixtures", "site_fixtures"]

# Nothing in the tests may reach the network or leave files outside the test's own folder.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
HERE = {"127.0.0.1", "::1", "localhost", "0.0.0.0", "", None}


def _no_network(event: str, args: tuple[Any, ...]) -> None:
    """Python asks before each connection and each name. What fails here no `except Exception` catches."""
    if event == "socket.connect" and isinstance(args[1], tuple) and args[1][0] not in HERE:
        pytest.fail(f"a test reaches for {args[1][0]}")
    if event == "socket.getaddrinfo" and args[0] not in HERE:
        pytest.fail(f"a test asks where {args[0]} is")


sys.addaudithook(_no_network)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def make_source(n: int = 12, size: int = 18, split: str = "train", seed: int = 0) -> ArraySource:
    """Smooth coloured squares, each of one hue that follows from its brightness: something to learn."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0.5, 1, size)
    light = rng.uniform(60, 200, n)
    tint = np.stack([light * 1.2, light, 255 - light], 1)
    images = np.clip(tint[:, :, None, None] * ramp[None, None, :, None] * np.ones((1, 1, 1, size)), 0, 255)
    return ArraySource("fake", split, images.astype(np.uint8), np.arange(n), fingerprint=f"fake-{n}-{size}-{seed}")


@pytest.fixture
def source() -> ArraySource:
    return make_source()


@pytest.fixture
def recipe() -> Recipe:
    """pix2pix at 16 px, with everything that has a state: dropout, batch norm, both Adams."""
    return Recipe(name="tiny", size=16, batch_size=4, width=4, d_width=4, steps=6, precision="fp32")


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)
