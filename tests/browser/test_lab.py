"""Sliders where students move them: a notebook in JupyterLab, in a browser without a window."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from PIL import Image
from skimage import data

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

CELL = """
from colorlib.course import Panel, slider, toggle

def draw(figure, power, negative):
    figure.subplots().plot([0, 1], [0, -(2**power) if negative else 2**power])
    return f"2 to the power {power} is {2**power}, drawn {'below' if negative else 'above'} zero"

panel = Panel(draw, alt="a line", power=slider(0, 10, value=3, step=1, label="power"),
              negative=toggle("negative", False))
panel
"""


@contextlib.contextmanager
def lab(folder: Path) -> Iterator[tuple[str, str]]:
    """A JupyterLab over `folder`, with settings of its own; gives its address and token."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(8)
    private = {
        name: str(folder / f".{name.lower()}")
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
                     "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    }  # fmt: skip
    command = [
        sys.executable, "-m", "jupyter", "lab", "--allow-root", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
        f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={token}", "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=None",
    ]  # fmt: skip
    with open(folder / "server.log", "w") as log:
        server = subprocess.Popen(command, cwd=folder, env={**os.environ, **private}, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(480):
            assert server.poll() is None, (folder / "server.log").read_text()[-2000:]
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/api?token={token}", timeout=2)
                break
            time.sleep(0.25)
        yield address, token
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


@contextlib.contextmanager
def page_of(address: str) -> Iterator[tuple[object, list[str]]]:
    """A page of a browser, and the requests that it makes to anywhere but `address`."""
    outside: list[str] = []
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=arguments)
        page = browser.new_page(viewport={"width": 1200, "height": 1400})

        def note(request: object) -> None:
            if re.match(r"https?://", request.url) and not request.url.startswith(address):
                outside.append(request.url)

        page.on("request", note)
        yield page, outside
        browser.close()


def run_all(page: object, until: object, attempts: int = 3) -> None:
    """Run every cell, as a reader does it: by the menu, and again if the kernel was not yet there to hear it."""
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
    for attempt in range(attempts):
        accept = page.locator(".jp-Dialog button.jp-mod-accept")  # "choose a kernel", when the first one was slow
        if accept.count():
            accept.first.click()
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']", timeout=120_000)
        page.wait_for_timeout(2000)
        page.locator(".lm-MenuBar-itemLabel").get_by_text("Run", exact=True).first.click()
        page.get_by_role("menuitem", name=re.compile("^Run All Cells")).first.click()
        try:
            until.wait_for(timeout=60_000)
        except sync_api.TimeoutError:
            if attempt == attempts - 1:
                raise
        else:
            return


def write_notebook(path: Path, *cells: str) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.write_text(nbformat.writes(notebook))


@contextlib.contextmanager
def opened(folder: Path, name: str, *cells: str) -> Iterator[tuple[object, list[str]]]:
    """A notebook of these cells in JupyterLab: the page, and its requests to elsewhere."""
    write_notebook(folder / name, *cells)
    with lab(folder) as (address, token), page_of(address) as (page, outside):
        page.goto(f"{address}/lab/tree/{name}?token={token}", wait_until="domcontentloaded")
        yield page, outside


def test_a_slider_moves_text_and_picture(tmp_path):
    expect = sync_api.expect
    with opened(tmp_path, "panel.ipynb", CELL) as (page, outside):
        text = page.locator(".widget-html-content").filter(has_text="2 to the power").first
        run_all(page, until=text)
        expect(text).to_contain_text("2 to the power 3 is 8, drawn above", timeout=60_000)
        image = page.locator("img.widget-image").first
        before = image.get_attribute("src")
        handle = page.locator(".widget-slider .noUi-handle").first
        handle.click()
        handle.press("End")
        expect(text).to_contain_text("2 to the power 10 is 1024", timeout=30_000)
        expect(image).not_to_have_attribute("src", before, timeout=30_000)
        page.locator(".widget-checkbox input").first.click()
        expect(text).to_contain_text("drawn below", timeout=30_000)
        assert outside == []


def cells_with(name: str, *parts: str) -> list[str]:
    """The code cells of a notebook of the course that hold one of `parts`, or prepare what all cells need."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    needed = {"config", "imports"}
    return [
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code"
        and (needed & set(cell.metadata.get("tags", [])) or any(part in cell.source for part in parts))
    ]


def handle_of(page: object, label: str) -> object:
    """The handle of the slider with that label."""
    return page.locator(".widget-inline-hbox", has=page.get_by_text(label, exact=True)).locator(".noUi-handle").first


def test_the_laboratory_trains_obeys_and_pauses(tmp_path):
    expect = sync_api.expect
    with opened(tmp_path, "11.ipynb", *cells_with("11_laboratory.ipynb", "= Laboratory(")) as (page, outside):
        text = page.locator(".widget-html-content").filter(has_text="RECIPES[").first
        run_all(page, until=text)
        expect(text).to_contain_text("ready: step 0", timeout=60_000)
        image = page.locator("img.widget-image").first
        before = image.get_attribute("src")
        page.locator("button.widget-button", has_text="Start").click()
        expect(text).to_contain_text("training: step", timeout=30_000)
        expect(text).to_contain_text("chroma", timeout=120_000)  # twenty steps, the first look at held-out pictures
        expect(image).not_to_have_attribute("src", before, timeout=30_000)
        handle = handle_of(page, "lambda_l1")
        handle.click()
        handle.press("Home")
        expect(text).to_contain_text("lambda_l1=0.0", timeout=30_000)
        during = image.get_attribute("src")
        expect(image).not_to_have_attribute("src", during, timeout=30_000)
        page.locator("button.widget-button", has_text="Pause").click()
        expect(text).to_contain_text("paused: step", timeout=30_000)
        stands = text.inner_text()
        page.wait_for_timeout(3000)
        assert text.inner_text() == stands
        assert outside == []


def test_an_uploaded_photograph_is_seen_in_colour(tmp_path):
    Image.fromarray(data.camera()).save(tmp_path / "old.jpg")
    expect = sync_api.expect
    with opened(tmp_path, "12.ipynb", *cells_with("12_your_photographs.ipynb", "= Studio(")) as (page, outside):
        text = page.locator(".widget-html-content").filter(has_text="mean chroma").first
        run_all(page, until=text)
        image = page.locator("img.widget-image").first
        before = image.get_attribute("src")
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Photograph").click()
        chooser.value.set_files(tmp_path / "old.jpg")
        expect(text).to_contain_text("old.jpg: 512 x 512 pixels", timeout=30_000)
        expect(image).not_to_have_attribute("src", before, timeout=30_000)
        coloured = colourful(page, image)
        handle = handle_of(page, "strength")
        handle.click()
        handle.press("Home")
        expect(text).to_contain_text("shown 0.", timeout=30_000)
        assert colourful(page, image) < 0.05 < coloured
        assert outside == []


def colourful(page: object, image: object) -> float:
    """The share of the shown picture's pixels whose channels differ by more than 10 of 255."""
    return image.evaluate(
        """async (img) => {
            await img.decode();
            const canvas = document.createElement("canvas");
            canvas.width = img.naturalWidth; canvas.height = img.naturalHeight;
            const context = canvas.getContext("2d");
            context.drawImage(img, 0, 0);
            const p = context.getImageData(0, 0, canvas.width, canvas.height).data;
            let n = 0;
            for (let i = 0; i < p.length; i += 4) {
                const high = Math.max(p[i], p[i + 1], p[i + 2]), low = Math.min(p[i], p[i + 1], p[i + 2]);
                if (high - low > 10) n += 1;
            }
            return 4 * n / p.length;
        }"""
    )


def test_the_stored_picture_stands_in_before_anything_runs(tmp_path):
    """As on GitHub and on the site: a notebook that is only opened shows the panel's picture, with its alt text."""
    from colorlib.course.widgets import Panel, slider

    panel = Panel(lambda figure, x: str(x), alt="an empty figure", x=slider(0, 1, value=0, step=1, label="x"))
    data, about = panel._repr_mimebundle_()
    data.pop("application/vnd.jupyter.widget-view+json")
    cell = nbformat.v4.new_code_cell("panel")
    cell.outputs = [nbformat.v4.new_output("display_data", data, metadata=about)]
    (tmp_path / "stored.ipynb").write_text(json.dumps(nbformat.v4.new_notebook(cells=[cell])))
    with lab(tmp_path) as (address, token), page_of(address) as (page, _):
        page.goto(f"{address}/lab/tree/stored.ipynb?token={token}", wait_until="domcontentloaded")
        image = page.locator(".jp-OutputArea-output img").first
        image.wait_for(timeout=120_000)
        assert image.evaluate("i => i.naturalWidth") > 100
