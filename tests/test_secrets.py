"""No network in tests, and no token in anything that is printed or written."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from notebook_fixtures import ROOT, load
from PIL import Image

from colorlib.cli import main
from colorlib.course import setup

TOKEN = "5ecre7" + "0123456789abcdef" * 2
PLANTED = ("KAGGLE_KEY", "KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "HF_TOKEN", "GITHUB_TOKEN", "WANDB_API_KEY")
# What tokens look like: GitHub's, Hugging Face's, OpenAI's, AWS's, PyPI's, Kaggle's file, keys in PEM.
LOOKS_LIKE_ONE = re.compile(
    r"gh[pousr]_\w{30}|github_pat_\w{30}|hf_[A-Za-z]{30}|sk-\w{30}|AKIA[0-9A-Z]{16}|pypi-AgE\w{20}|KGAT_\w{20}"
    r'|"key": ?"[0-9a-f]{32}"|-----BEGIN [A-Z ]*PRIVATE KEY'
)


@pytest.mark.parametrize(
    "reach",
    [
        lambda: socket.create_connection(("192.0.2.1", 80), timeout=1),
        lambda: socket.getaddrinfo("example.org", 80),
        lambda: urllib.request.urlopen("http://example.org", timeout=1),
    ],
)
def test_a_test_that_reaches_for_the_network_fails(reach) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"a test (reaches for|asks where)"):
        reach()


def test_this_machine_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass


@pytest.mark.slow
def test_no_token_is_printed_or_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What commands, the notebooks' first cell and the tools say and leave, with tokens in the environment and home."""
    for name in PLANTED:
        monkeypatch.setenv(name, TOKEN)
    (tmp_path / "home" / ".kaggle").mkdir(parents=True)
    (tmp_path / "home" / ".kaggle" / "kaggle.json").write_text(f'{{"username": "x", "key": "{TOKEN}"}}')
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        (tmp_path / "photographs" / split).mkdir(parents=True)
        for i in range(2):
            pixels = rng.integers(0, 256, (20, 20, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photographs" / split / f"{i}.png")
    data = ["--data", "folder:photographs"]
    small = ["--size", "16", "--width", "4", "--d-width", "4", "--batch-size", "2", "--device", "cpu", "--steps", "2"]
    assert main(["train", *data, *small, "--out", "out/run"]) == 0
    assert main(["resume", "out/run", "--steps", "3"]) == 0
    assert main(["evaluate", "--weights", "out/run", *data, "--csv", "out/table.csv"]) == 0
    main(["doctor"]), main(["data", "list"]), main(["train", "--no-such-flag"]), main(["data", "get", "nothing"])
    setup("01_colour")
    load(ROOT / "tools" / "kaggle.py", "kaggle").write_kernels(tmp_path / "out", "someone", internet=False)
    said = capfd.readouterr()
    assert "PSNR" in said.out and TOKEN not in said.out + said.err
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) > 8
    assert not [path.name for path in written if TOKEN.encode() in path.read_bytes()]


def test_nothing_that_looks_like_a_token_is_in_the_repository() -> None:
    assert LOOKS_LIKE_ONE.search('{"username":"x","key": "' + "0123456789abcdef" * 2 + '"}')
    assert LOOKS_LIKE_ONE.search("ghp_" + "a1B2" * 9)
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = []
    for name in names:
        path = ROOT / name
        if path.suffix in (".png", ".safetensors", ".npy") or not path.is_file():
            continue
        if match := LOOKS_LIKE_ONE.search(path.read_text(encoding="utf-8", errors="replace")):
            found.append(f"{name}: {match[0][:12]}...")
    assert not found


PROBE = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).close()
socket.create_connection(("192.0.2.1", 80), timeout=5)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the network can be cut on Linux alone")
def test_the_command_that_cuts_the_network_works(tmp_path: Path) -> None:
    """The line in SECURITY.md, with a smaller job."""
    (tmp_path / "probe.py").write_text(PROBE)
    (line,) = re.findall(r"^unshare .*$", (ROOT / "SECURITY.md").read_text(encoding="utf-8"), re.MULTILINE)
    command = line.replace(".venv/bin/python -m pytest", f"{sys.executable} {tmp_path / 'probe.py'}")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    if "Operation not permitted" in done.stderr or "not found" in done.stderr:
        pytest.skip("this machine lets nobody cut it")
    assert "Network is unreachable" in done.stderr and "create_server" not in done.stderr
