"""The first cell of a notebook: it prints the platform, versions and device, and what is wrong with them."""

from __future__ import annotations

import os
import platform as machine
import re
import sys
from collections.abc import Iterator
from importlib import metadata, resources
from pathlib import Path
from typing import Literal

import torch

import colorlib
from colorlib.cli.doctor import DISTRIBUTION, IMPORTED, Check, describe, doctor
from colorlib.devices import pick_device, pick_precision, works

Platform = Literal["kaggle", "colab", "local"]

NAMES: dict[Platform, str] = {"kaggle": "Kaggle", "colab": "Colab", "local": "your own machine"}
KAGGLE_WORKING = Path("/kaggle/working")
COLAB_CONTENT = Path("/content")
# Another torch would break the packages that come with these platforms. They offer newer machines instead.
NEWER_TORCH: dict[Platform, str] = {
    "kaggle": "choose the latest environment: Settings > Environment preferences",
    "colab": "choose the latest runtime version: Runtime > Change runtime type",
}
GPU: dict[Platform, str] = {
    "kaggle": "no GPU is attached; for full mode choose one: Settings > Accelerator > GPU T4 x2",
    "colab": "no GPU is attached; for full mode choose one: Runtime > Change runtime type > T4 GPU",
}


def setup(notebook: str) -> None:
    """Print platform, versions, device and problems, and show the picture with which `notebook` ends.

    `notebook` is its name without the ending, such as "01_colour". Raises ValueError for a name of another form.
    """
    if not re.fullmatch(r"\d\d_\w+", notebook):
        raise ValueError(f'expected the name of a notebook such as "01_colour", got {notebook!r}')
    print(f"{NAMES[platform()]}: {', '.join(_versions())}")
    print(f"device: {_device()}; mode: {_mode()}")
    for line in _warnings():
        print(f"! {line}")
    _show_picture(notebook)


def platform() -> Platform:
    """The platform. Kaggle is tried first, because its machines have Colab's package too."""
    if "KAGGLE_KERNEL_RUN_TYPE" in os.environ:
        return "kaggle"
    return "colab" if "google.colab" in sys.modules else "local"


def storage() -> Path:
    """The folder for runs; this function does not create it.

    Kaggle keeps /kaggle/working when a notebook is saved. Colab keeps only a mounted Drive. Elsewhere it is the folder
    `runs` of the course, or of the working folder if that is outside the course.
    """
    where = platform()
    if where == "kaggle":
        return KAGGLE_WORKING / "runs"
    if where == "colab":
        drive = COLAB_CONTENT / "drive" / "MyDrive"
        return (drive / "colorlib" if drive.is_dir() else COLAB_CONTENT) / "runs"
    here = Path.cwd()
    return next(filter(_is_course, [here, *here.parents]), here) / "runs"


def _is_course(folder: Path) -> bool:
    try:
        text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return f'name = "{DISTRIBUTION}"' in text


# --- what is printed -----------------------------------------------------------------------------------------------


def _versions() -> Iterator[str]:
    yield f"colorlib {colorlib.__version__}"
    yield f"Python {machine.python_version()}"
    yield f"torch {torch.__version__}"
    try:
        yield f"ipywidgets {metadata.version('ipywidgets')}"
    except metadata.PackageNotFoundError:
        yield "no ipywidgets"


def _device() -> str:
    device = pick_device("auto")
    if device.type != "cuda":
        return describe(device)
    free, total = (size / 1e9 for size in torch.cuda.mem_get_info(device))
    others = torch.cuda.device_count() - 1
    more = f" and {others} more" if others else ""
    return f"{torch.cuda.get_device_name(device)} with {free:.1f} of {total:.1f} GB free{more}"


def _mode() -> str:
    """The mode that `configure` chooses by default."""
    wanted = os.environ.get("COLORLIB_MODE") or "auto"
    if wanted != "auto":
        return f"{wanted} (COLORLIB_MODE)"
    return "quick" if pick_device("auto").type == "cpu" else "full"


def _warnings() -> Iterator[str]:
    where, device = platform(), pick_device("auto")
    yield from (_advice(failed, where) for failed in doctor(quick=True) if failed.ok is False)
    precision = pick_precision("auto", device)
    if complaint := works(device, precision):
        yield f"the device fails in {precision}: {complaint}; see `colorlib doctor`"
    if device.type == "cpu" and where in GPU:
        yield GPU[where]
    if where == "colab" and storage().parent == COLAB_CONTENT:
        yield (
            f"runs are kept in {storage()} and are lost with the session; to keep them on your Drive, run "
            "`from google.colab import drive; drive.mount('/content/drive')`, and then this cell again"
        )


def _advice(failed: Check, where: Platform) -> str:
    """A failed check in one line. On Kaggle and Colab another advice replaces `pip install torch`."""
    found = re.fullmatch(r'(?P<found>.*); pip install "(?P<wanted>.*)"', failed.text)
    if failed.name in IMPORTED and where in NEWER_TORCH and found:
        return f"{failed.name} {found['found']}, expected {found['wanted']}; {NEWER_TORCH[where]}"
    return f"{failed.name}: {failed.text}"


# --- the picture ---------------------------------------------------------------------------------------------------


def _show_picture(notebook: str) -> None:
    """Display the picture of a notebook's result, if this runs in a notebook and the package has the picture."""
    pictures = resources.files("colorlib.course") / "pictures"
    png, text = pictures / f"{notebook}.png", pictures / f"{notebook}.txt"
    if png.is_file():
        from colorlib.figures import show_png

        alt = text.read_text(encoding="utf-8").strip() if text.is_file() else "What this notebook ends in."
        show_png(png.read_bytes(), alt)
