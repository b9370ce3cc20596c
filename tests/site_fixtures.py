"""The website, built once for all test processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def built_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the pages, built with warnings as errors; COLORLIB_SITE names one that is built already."""
    if "COLORLIB_SITE" in os.environ:
        return Path(os.environ["COLORLIB_SITE"])
    base = tmp_path_factory.getbasetemp()
    out = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "site"  # xdist: a folder for each process
    with FileLock(f"{out}.lock"):
        if not (out / "done").exists():
            command = [sys.executable, str(ROOT / "site" / "build.py"), "--out", str(out)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            (out / "done").touch()
    return out / "html"
