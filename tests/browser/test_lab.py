"""Sliders where students move them: in JupyterLab, Notebook 7 and Voila, in a browser without a window."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import chromium
import nbformat
import pytest
from PIL import Image
from skimage import data

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.PATH is None, reason="no Chromium on this machine"),
]

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FACES = {"lab": "lab/tree", "notebook": "notebooks"}  # of one server, and where each opens a notebook
EACH_FACE = pytest.mark.parametrize("face", FACES)

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
def served(folder: Path, *command: str) -> Iterator[str]:
    """A program of Jupyter over `folder`, with settings of its own; gives its address as soon as it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    private = {
        name: str(folder / f".{name.lower()}")
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
                     "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    }  # fmt: skip
    program = [sys.executable, "-m", *command, "--no-browser", f"--port={port}"]
    with open(folder / "server.log", "w") as log:
        server = subprocess.Popen(program, cwd=folder, env={**os.environ, **private}, stdout=log, stderr=log)
    try:
        for _ in range(480):
            assert server.poll() is None, (folder / "server.log").read_text()[-2000:]
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2):
                break
            time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


@contextlib.contextmanager
def jupyter(folder: Path, face: str) -> Iterator[tuple[str, str]]:
    """JupyterLab or Notebook 7 over `folder`; gives its address and token."""
    token = secrets.token_hex(8)
    command = [
        "jupyter", face, "--allow-root", "--ip=127.0.0.1", f"--ServerApp.root_dir={folder}",
        f"--IdentityProvider.token={token}", "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=None",
    ]  # fmt: skip
    with served(folder, *command) as address:
        yield address, token


@contextlib.contextmanager
def page_of(address: str) -> Iterator[tuple[object, list[str]]]:
    """A page of a browser, and the requests that it makes to anywhere but `address`."""
    outside: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        page = browser.new_page(viewport={"width": 1200, "height": 1400})

        def note(request: object) -> None:
            if re.match(r"https?://", request.url) and not request.url.startswith(address):
                outside.append(request.url)

        page.on("request", note)
        yield page, outside
        browser.close()


def run_all(page: object, until: object, attempts: int = 3, seconds: float = 60) -> None:
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
            until.wait_for(timeout=1000 * seconds)
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
def opened(folder: Path, face: str, name: str, *cells: str) -> Iterator[tuple[object, list[str]]]:
    """A notebook of these cells in JupyterLab or Notebook 7: the page, and its requests to elsewhere."""
    write_notebook(folder / name, *cells)
    with jupyter(folder, face) as (address, token), page_of(address) as (page, outside):
        page.goto(f"{address}/{FACES[face]}/{name}?token={token}", wait_until="domcontentloaded")
        yield page, outside


def test_a_slider_moves_text_and_picture(tmp_path):
    expect = sync_api.expect
    with opened(tmp_path, "lab", "panel.ipynb", CELL) as (page, outside):
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


@EACH_FACE
def test_the_laboratory_trains_obeys_and_pauses(tmp_path, face):
    expect = sync_api.expect
    cells = cells_with("11_laboratory.ipynb", "lab = Laboratory(seed")  # the other panels would keep the kernel busy
    with opened(tmp_path, face, "11.ipynb", *cells) as (page, outside):
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


EXPLORER = ("plane = torch.linspace(-110", "def explore(", "explorer = Panel(")


@EACH_FACE
def test_the_gamut_is_explored(tmp_path, face):
    expect = sync_api.expect
    cells = cells_with("01_colour.ipynb", *EXPLORER)
    with opened(tmp_path, face, "01.ipynb", *cells) as (page, outside):
        text = page.locator(".widget-html-content").filter(has_text="the gamut ends at chroma").first
        run_all(page, until=text)
        expect(text).to_contain_text("asked: L* 80.0, hue 280.0, chroma 70.0", timeout=60_000)
        image = page.locator("img.widget-image").first
        before = image.get_attribute("src")
        handle = handle_of(page, "chroma")
        handle.click()
        handle.press("Home")
        expect(text).to_contain_text("chroma 0.0; shown: L* 80.0", timeout=30_000)  # a grey is in every gamut
        expect(image).not_to_have_attribute("src", before, timeout=30_000)
        assert outside == []


LOOK_THROUGH_A_PATCH = (
    "def geometry(", "SIZE = 64\n", "def train(network", "def fresh(field", "column = torch.arange(SIZE)", "VERDICT =",
    "LOOK = 9", "def in_view(", "panel = Panel(",
)  # fmt: skip


@EACH_FACE
def test_a_patch_is_moved_over_the_scene(tmp_path, face):
    expect = sync_api.expect
    cells = cells_with("06_patchgan.ipynb", *LOOK_THROUGH_A_PATCH)
    with opened(tmp_path, face, "06.ipynb", *cells) as (page, outside):
        text = page.locator(".widget-html-content").filter(has_text="of the balloon; score").first
        run_all(page, until=text, seconds=240)
        expect(text).to_contain_text("columns 2", timeout=60_000)
        image = page.locator("img.widget-image").first
        before = image.get_attribute("src")
        handle = handle_of(page, "x: pixels from the left")
        handle.click()
        handle.press("Home")
        expect(text).to_contain_text("and columns 0 to", timeout=30_000)
        expect(image).not_to_have_attribute("src", before, timeout=30_000)
        choice = handle_of(page, "patch in pixels")
        choice.click()
        choice.press("End")  # 70 pixels: more than the picture has
        expect(text).to_contain_text("100% of the balloon", timeout=30_000)
        assert outside == []


@EACH_FACE
def test_an_uploaded_photograph_is_seen_in_colour(tmp_path, face):
    Image.fromarray(data.camera()).save(tmp_path / "old.jpg")
    cells = cells_with("12_your_photographs.ipynb", "= Studio(")
    with opened(tmp_path, face, "12.ipynb", *cells) as (page, outside):
        run_all(page, until=page.locator(".widget-html-content").filter(has_text="mean chroma").first)
        colour_a_photograph(page, tmp_path / "old.jpg")
        assert outside == []


def test_voila_serves_the_studio_as_an_app(tmp_path):
    """Nothing is run by hand and no code is seen: what a visitor of an exhibition would get."""
    Image.fromarray(data.camera()).save(tmp_path / "old.jpg")
    write_notebook(tmp_path / "12.ipynb", *cells_with("12_your_photographs.ipynb", "= Studio("))
    with served(tmp_path, "voila", "12.ipynb", "--Voila.ip=127.0.0.1") as address, page_of(address) as (page, outside):
        page.goto(address, wait_until="domcontentloaded", timeout=240_000)
        page.locator(".widget-html-content").filter(has_text="mean chroma").first.wait_for(timeout=240_000)
        colour_a_photograph(page, tmp_path / "old.jpg")
        assert page.get_by_text("Colorizer.load").count() == 0
        assert [url for url in outside if "/npm/@fortawesome/" not in url] == []  # icons of Voila's own page


def colour_a_photograph(page: object, photograph: Path) -> None:
    """Upload a grey photograph to the studio, see it in colour, and take the colour away."""
    expect = sync_api.expect
    text = page.locator(".widget-html-content").filter(has_text="mean chroma").first
    image = page.locator("img.widget-image").first
    before = image.get_attribute("src")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Photograph").click()
    chooser.value.set_files(photograph)
    expect(text).to_contain_text("old.jpg: 512 x 512 pixels", timeout=30_000)
    expect(image).not_to_have_attribute("src", before, timeout=30_000)
    coloured = colourful(page, image)
    handle = handle_of(page, "strength")
    handle.click()
    handle.press("Home")
    expect(text).to_contain_text("shown 0.", timeout=30_000)
    assert colourful(page, image) < 0.05 < coloured


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
    with jupyter(tmp_path, "lab") as (address, token), page_of(address) as (page, _):
        page.goto(f"{address}/lab/tree/stored.ipynb?token={token}", wait_until="domcontentloaded")
        image = page.locator(".jp-OutputArea-output img").first
        image.wait_for(timeout=120_000)
        assert image.evaluate("i => i.naturalWidth") > 100
