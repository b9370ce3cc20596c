"""Write folders that Kaggle's own tool can push: `python tools/kaggle.py NAME [--out DIR] [--internet]` (make kaggle).

dist/kaggle/NN_name holds a notebook and its kernel-metadata.json, dist/kaggle/dataset the course's wheel and the small
packages that Kaggle lacks, so that notebooks run there without internet. NAME is your user name on Kaggle. Nothing is
pushed: that is yours to do (see "On Kaggle" in the teacher's guide).
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from build_wheel import LACKING, ROOT, BuildError, build_wheel
from packaging.requirements import Requirement

T4_TWICE = "NvidiaTeslaT4"  # Kaggle's name for "GPU T4 x2"; Kaggle does not offer a single T4
PHOTOGRAPHS = "shravankumar9892/image-colorization"
DATASET = "Colorization course wheels"
PYTHON = "3.12"  # the version on Kaggle
# Indirect dependencies that Kaggle has installed.
THERE = ("numpy", "packaging", "torch", "typing-extensions", "setuptools")
TRAINS = re.compile(r"\b(train_run|Trainer|torchrun_command|Laboratory|optim\.\w+)\(")
USER = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def slug(title: str) -> str:
    """Return Kaggle's address for a title: lower case, with a hyphen for each group of other characters."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def title_of(stem: str) -> str:
    """Return a notebook's title on Kaggle: letters, digits and spaces alone, so that `slug` gives its address."""
    return f"Colorization course {stem.replace('_', ' ')}"


def kernel_metadata(stem: str, full: str, user: str, *, internet: bool) -> dict[str, object]:
    """Return the content of kernel-metadata.json. `full` is the code that the notebook runs only in full mode."""
    gpu = bool(TRAINS.search(full))
    sources = [f"{user}/{slug(DATASET)}"]
    if ".photographs(" in full:
        sources.append(PHOTOGRAPHS)
    return {
        "id": f"{user}/{slug(title_of(stem))}",
        "title": title_of(stem),
        "code_file": f"{stem}.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": gpu,
        "enable_internet": internet,
        "machine_shape": T4_TWICE if gpu else "",
        "dataset_sources": sources,
        "competition_sources": [],
        "kernel_sources": [],
    }


def write_kernels(folder: Path, user: str, *, internet: bool) -> list[dict[str, object]]:
    """Write a folder for each notebook, without outputs. Raises FileNotFoundError if no notebooks have been built."""
    paths = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise FileNotFoundError("the folder notebooks has no built notebooks; run: make notebooks")
    written = []
    for path in paths:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        full = ""
        for cell in notebook["cells"]:
            if "full" in cell["metadata"].get("tags", []):
                full += "".join(cell["source"]) + "\n"
            if cell["cell_type"] == "code":
                cell |= {"outputs": [], "execution_count": None}
        kernel = kernel_metadata(path.stem, full, user, internet=internet)
        place = folder / path.stem
        place.mkdir(parents=True)
        (place / path.name).write_text(json.dumps(notebook, indent=1) + "\n", encoding="utf-8")
        (place / "kernel-metadata.json").write_text(json.dumps(kernel, indent=2) + "\n", encoding="utf-8")
        written.append(kernel)
    return written


def write_dataset(folder: Path, user: str) -> list[Path]:
    """Write the wheels and the metadata of the data set. Raises BuildError."""
    build_wheel(folder)
    download(folder)
    about = {
        "title": DATASET,
        "id": f"{user}/{slug(DATASET)}",
        "subtitle": "The course's package, and the dependencies that Kaggle lacks",
        "description": "Attach it to a notebook of the course, and its first cell installs from here.",
        "licenses": [{"name": "other"}],
    }
    (folder / "dataset-metadata.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return sorted(folder.glob("*.whl"))


def small_packages() -> list[str]:
    """Return the packages that Kaggle lacks and their dependencies, in the versions that are installed here."""
    found, waiting = {}, list(LACKING)
    while waiting:
        name = waiting.pop()
        found[name] = metadata.version(name)
        for need in map(Requirement, metadata.requires(name) or []):
            in_use = need.marker is None or need.marker.evaluate({"extra": "", "python_version": PYTHON})
            known = re.sub(r"[-_.]+", "-", need.name.lower())
            if in_use and known not in (*found, *waiting, *THERE):
                waiting.append(known)
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def download(folder: Path) -> None:
    """Download the wheels of the small packages for Kaggle's Python version. Raises BuildError."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", PYTHON, "--dest", str(folder), *small_packages()]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        complaint = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise BuildError(f"the packages that Kaggle lacks could not be downloaded: {complaint}; check the network")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("user", help="your user name on Kaggle, as in kaggle.com/NAME")
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "kaggle", help="default: dist/kaggle")
    parser.add_argument("--internet", action="store_true", help="let the notebooks use the internet")
    asked = parser.parse_args(arguments)
    if not USER.fullmatch(asked.user):
        print(f"{asked.user!r} is not a user name on Kaggle; run: make kaggle USER=name", file=sys.stderr)
        return 2
    try:
        shutil.rmtree(asked.out, ignore_errors=True)
        kernels = write_kernels(asked.out, asked.user, internet=asked.internet)
        wheels = write_dataset(asked.out / "dataset", asked.user)
    except (BuildError, OSError, metadata.PackageNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    with_gpu = [str(kernel["code_file"])[:2] for kernel in kernels if kernel["enable_gpu"]]
    print(f"{asked.out}: {len(kernels)} notebooks, with two T4s: {' '.join(with_gpu)}; {len(wheels)} wheels")
    return 0


if __name__ == "__main__":
    sys.exit(main())
