"""The website: built without a warning, complete, without foreign hosts; and its numbers come from the files."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import nbformat
import numpy as np
import pandas as pd
import pytest

import colorlib
from colorlib.cli import commands, entry

pytest.importorskip("myst_nb", reason='the site is not installed: pip install -e ".[site]"')
from notebook_fixtures import load

ROOT = Path(__file__).parents[1]
SITE = ROOT / "site"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = sorted(SITE.glob("*.md"))


@pytest.fixture(scope="module")
def staging() -> ModuleType:
    return load(SITE / "staging.py", "staging")


@pytest.fixture(scope="module")
def measured() -> ModuleType:
    return load(SITE / "measured.py", "measured")


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    return load(SITE / "hooks.py", "hooks")


# --- measured pages -------------------------------------------------------------------------------------------------


def write_table(folder: Path, psnr: float) -> Path:
    """A table as the command line writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {"default": {"n": 300, "psnr": psnr, "chroma_ratio": 0.912, "lpips": np.nan, "fid": 31.25}}
    rows["grey"] = {"n": 300, "psnr": 16.5, "chroma_ratio": 0.0, "lpips": np.nan, "fid": np.nan}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index.name = "model"
    table.to_csv(folder / "my_fruit-test.csv")
    return folder / "my_fruit-test.csv"


def test_results_come_from_the_tables(measured, tmp_path):
    assert measured.results(tmp_path) == measured.NOT_MEASURED
    write_table(tmp_path / measured.WEIGHTS, 23.456)
    page = measured.results(tmp_path)
    assert "## my fruit, test split" in page and "| PSNR (dB, higher is better) | 23.46 | 16.50 |" in page
    assert "300 images" in page and "| FID (lower is better) | 31.2 | not measured |" in page and "LPIPS" not in page
    write_table(tmp_path / measured.WEIGHTS, 24.0)
    assert "| 24.00 | 16.50 |" in measured.results(tmp_path) and "23.46" not in measured.results(tmp_path)


def test_another_table_is_refused_in_one_line(measured, tmp_path):
    write_table(tmp_path / measured.WEIGHTS, 1.0).write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"expected a table as `colorlib evaluate --csv` writes it, got .*my_fruit"):
        measured.results(tmp_path)


def test_pictures_need_alt_and_caption(measured, tmp_path):
    folder = tmp_path / measured.WEIGHTS
    folder.mkdir(parents=True)
    (folder / "cat.png").touch()
    index = folder / "pictures.json"
    index.write_text(json.dumps({"cat.png": {"alt": "A cat, in grey and in colour.", "caption": "Held out."}}))
    page = measured.results(tmp_path)
    assert f":::{{figure}} {measured.WEIGHTS}/cat.png\n:alt: A cat, in grey" in page and "Held out." in page
    for wrong in ({"cat.png": {"caption": "x"}}, {"cat.png": {"alt": "x"}}, {"dog.png": {"alt": "x", "caption": "x"}}):
        index.write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match="with alt and caption"):
            measured.results(tmp_path)


def test_the_runs_that_led_to_the_weights_are_listed_below_their_history(measured, tmp_path):
    folder = tmp_path / measured.WEIGHTS
    folder.mkdir(parents=True)
    assert measured.candidates(folder / "candidates.csv") == []
    (folder / "candidates.csv").write_text(
        "set,run,n,psnr,start,steps\nfruit,first,96,20.09,,1234\nfruit,grey,96,19,,\n"
    )
    (folder / "history.md").write_text("## How\n\nBy trying.\n")
    page = "\n\n".join(measured.candidates(folder / "candidates.csv"))
    assert page.startswith("## How\n\nBy trying.") and "### fruit, 96 validation images" in page
    assert "| run | PSNR, dB | started from | steps |" in page and "| first | 20.09 |  | 1,234 |" in page


SPREAD = {"lowest and highest": "1.2 to 1.3", "rounds": 5}
PICTURE = {"file": "a.png", "alt": "A line.", "caption": "Cost."}


def test_speed_comes_from_the_benchmarks(measured, tmp_path):
    assert measured.speed(tmp_path) == measured.NOT_MEASURED
    folder = tmp_path / "benchmarks" / "results"
    folder.mkdir(parents=True)
    rows = [{"what": "batch 4", "ours, images/s": 7.512, "ratio": 1.25, **SPREAD}, {"what": "batch 16", "share": 0.125}]
    step = {"about": "Steps.", "measured": "2026-01-02", "rows": rows, "picture": PICTURE}
    machine = {"processor": "a laptop", "instructions": "AVX2"}
    content = {"machine": machine, "parts": {"Training step, pix2pix": step, "Data": None}}
    (folder / "a-laptop.json").write_text(json.dumps(content))
    page = measured.speed(tmp_path)
    assert "## a laptop, AVX2\n" in page and "### Training step, pix2pix\n\nSteps." in page and "2026-01-02" in page
    assert (
        "| what | ours, images/s | ratio | share |" in page
        and "| batch 4 | 7.51 | 1.25 (1.2 to 1.3 in 5 rounds) |  |" in page
    )
    assert "| batch 16 |  |  | 12.50% |" in page and f"### Data\n\n{measured.NOT_MEASURED}" in page
    assert ":::{figure} benchmarks/a.png\n:alt: A line." in page and f"## A GPU\n\n{measured.NOT_MEASURED}" in page
    # 1,281,167 pictures at 7.512 a second
    assert "| a laptop, AVX2 | batch 4 | 7.51 | 47.4 | 39.5 |" in measured.imagenet(tmp_path)
    content["machine"]["GPU"] = "a card"
    (folder / "a-laptop.json").write_text(json.dumps(content))
    assert "## a card" in measured.speed(tmp_path) and "## A GPU" not in measured.speed(tmp_path)


def test_another_benchmark_file_is_refused_in_one_line(measured, tmp_path):
    assert measured.imagenet(tmp_path) == measured.NOT_MEASURED
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    (tmp_path / "benchmarks" / "results" / "x.json").write_text("[]")
    with pytest.raises(ValueError, match=r"expected a file as `python -m benchmarks` writes it, got .*x\.json"):
        measured.speed(tmp_path)


# --- what pages are filled with --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_path_is_in_the_notebooks_own_words(staging, tmp_path):
    path = staging.course(ROOT)
    for notebook in NOTEBOOKS:
        title = nbformat.read(notebook, as_version=4).cells[0].source.splitlines()[0].removeprefix("# ")
        assert f"[{title}](notebooks/{notebook.name})\n: " in path
    (tmp_path / "notebooks").mkdir()
    toy = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# 0. Toy\n\nNo promise.")])
    nbformat.write(toy, tmp_path / "notebooks" / "00_toy.ipynb")
    with pytest.raises(ValueError, match=r"expected a title and one paragraph .* of 00_toy\.ipynb"):
        staging.course(tmp_path)


def test_an_unknown_part_is_named(staging):
    with pytest.raises(ValueError, match=r"expected one of app, .* got 'weather'"):
        staging.fill("It is {{weather}}.", ROOT)


def test_a_recap_is_read(staging):
    source = (
        "1. One.\n\n**Glossary.** **Study**, **trial**: a search, and one\ntraining. **Logit**: $x$.\n\n**Next**: a."
    )
    assert staging.glossary.recap(source) == {("Study", "trial"): "a search, and one training.", ("Logit",): "$x$."}


def test_the_glossary_has_every_term_of_every_recap(staging):
    page = staging.fill((SITE / "glossary.md").read_text(), ROOT)
    terms = staging.glossary.written(page)
    explained = set()
    for notebook in NOTEBOOKS:
        for cell in nbformat.read(notebook, as_version=4).cells:
            bold = re.findall(r"\*\*([^*]+)\*\*[:,]", cell.source.partition("**Glossary.**")[2].partition("\n\n")[0])
            explained |= {" ".join(term.split()).lower() for term in bold}
    assert len(explained) > 50 and explained - terms <= {"patch discriminator (patchgan)"}
    assert len(re.findall(r"^\S", page.partition("```{glossary}")[2], re.MULTILINE)) < 200


def test_links_of_included_files_lead_to_pages(staging):
    text = (
        "[a](../../CHANGELOG.md) [b](../../data/README.md) ![c](p.png) [d](https://x.org) [e](../../notebooks/01.ipynb)"
    )
    led = staging.relink(text, Path("colorlib/weights"), ROOT)
    assert led.startswith("[a](changelog.md) ") and "../" not in led and "[d](https://x.org)" in led
    assert "![c](p.png)" in led and "[e](notebooks/01.ipynb)" in led


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_solution_is_folded_below_its_check(staging, path):
    """The page has the cells of the stored notebook and, after each check, a folded cell with its solution."""
    stored = nbformat.read(path, as_version=4)
    page = staging.for_the_site(nbformat.read(path, as_version=4), path.stem, ROOT)
    added = [i for i, cell in enumerate(page.cells) if cell.get("outputs") == [] and "mystnb" in cell.metadata]
    solutions = json.loads((ROOT / "colorlib/course/solutions" / f"{path.stem[:2]}.json").read_text(encoding="utf-8"))
    assert sorted(page.cells[i].source for i in added) == sorted(solutions.values())
    for i in added:
        assert page.cells[i].metadata.tags == ["hide-input"]
        name = next(name for name, code in solutions.items() if code == page.cells[i].source)
        assert f"exercises.{name}.check(" in page.cells[i - 1].source
    kept = [cell.id for i, cell in enumerate(page.cells) if i not in added]
    assert kept == [cell.id for cell in stored.cells]


# --- commands and code on the pages ---------------------------------------------------------------------------------


def command_lines() -> list[str]:
    """Every command line of colorlib that stands in a fenced block of a page, however it is launched."""
    blocks = [block for page in PAGES for block in re.findall(r"```\w*\n(.*?)```", page.read_text(), re.DOTALL)]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    found = [re.search(r"(?:^|-m )colorlib (?P<flags>.+)", line.strip()) for line in lines]
    return [match["flags"] for match in found if match]


def parse(line: str) -> object:
    """The flags of a command line, checked as far as that goes without data."""
    name, *words = shlex.split(line)
    flags = entry._parse(name, commands.COMMANDS[name].flags, words)
    return flags.settings() if name == "train" else flags


@pytest.mark.slow
def test_commands_on_the_pages_are_understood():
    lines = command_lines()
    assert len(lines) > 20 and any("torchrun" not in line and line.startswith("resume") for line in lines)
    for line in lines:
        assert line == "doctor" or parse(line) is not None, line
    for wrong in ("train --recipe pix2pixx", "train --sise 128 --epochs 1", "resume", "train --lambda-l1 -1"):
        with pytest.raises(ValueError, match=r"expected|nrecognized|required|has no|rguments"):
            parse(wrong)


def test_python_on_the_cluster_page_starts_torchrun(monkeypatch, tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", (SITE / "cluster.md").read_text(), re.DOTALL)
    started: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: started.append(command))
    monkeypatch.chdir(tmp_path)
    exec(block, {})
    (command,) = started
    assert command[:3] == [sys.executable, "-m", "torch.distributed.run"] and "--nproc-per-node=2" in command
    assert parse(shlex.join(command[command.index("colorlib") + 1 :])).epochs == 50


def test_the_slurm_script_is_bash():
    (script,) = re.findall(r"```bash\n(.*?)```", (SITE / "cluster.md").read_text(), re.DOTALL)
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


# --- the pages as they are built ------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a page links to, what it loads, its pictures and anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.loads, self.links, self.pictures = path, [], [], []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        got = {name: value or "" for name, value in attrs}
        self.anchors |= {got[name] for name in ("id", "name") if name in got}
        if tag == "a" and "href" in got:
            self.links.append(got["href"])
        elif tag == "link" and not {"index", "search", "next", "prev", "canonical"} & set(got.get("rel", "").split()):
            self.loads.append(got.get("href", ""))
        elif tag in ("script", "img", "iframe", "source", "video", "audio", "embed", "track"):
            self.loads += [got[name] for name in ("src", "srcset", "poster") if name in got]
        if tag == "img":
            self.pictures.append(got)


@pytest.fixture(scope="module")
def pages(built_site: Path) -> dict[Path, Page]:
    """Every page that this project writes; the in-browser colorizer has its own tests."""
    return {path: Page(path) for path in built_site.rglob("*.html") if "app" not in path.relative_to(built_site).parts}


@pytest.mark.slow
def test_every_notebook_is_a_page_with_its_pictures(built_site, pages):
    for notebook in NOTEBOOKS:
        page = pages[built_site / "notebooks" / f"{notebook.stem}.html"]
        stored = [
            output.metadata["image/png"]["alt"]
            for cell in nbformat.read(notebook, as_version=4).cells
            for output in cell.get("outputs", [])
            if "image/png" in output.get("data", {})
        ]
        shown = [picture["alt"] for picture in page.pictures if "_images/" in picture["src"]]
        assert stored and shown == stored
        assert (built_site / "_images" / Path(page.pictures[-1]["src"]).name).exists()


@pytest.mark.slow
def test_downloaded_notebooks_are_the_stored_ones(built_site, pages):
    for notebook in NOTEBOOKS:
        page = pages[built_site / "notebooks" / f"{notebook.stem}.html"]
        (link,) = [link for link in page.links if link.endswith(notebook.name)]
        assert (page.path.parent / link).read_bytes() == notebook.read_bytes()


@pytest.mark.slow
def test_every_picture_has_an_alternative(pages):
    bare = [(path.name, got["src"]) for path, page in pages.items() for got in page.pictures if not got.get("alt")]
    assert bare == []


FOREIGN = re.compile(r"^\s*(?:[a-z]+:)?//", re.IGNORECASE)


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(built_site, pages):
    loads = {(path.name, what) for path, page in pages.items() for what in page.loads}
    assert [one for one in loads if FOREIGN.match(one[1])] == []
    for style in built_site.rglob("*.css"):
        urls = re.findall(r"url\(\s*[\"']?([^\"')]+)|@import\s+[\"']([^\"']+)", style.read_text(encoding="utf-8"))
        assert [url for pair in urls for url in pair if FOREIGN.match(url)] == [], style
    assert any("mathjax/tex-svg-full.js" in what for _, what in loads)


@pytest.mark.slow
def test_every_link_leads_somewhere(built_site, pages):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            target, _, anchor = link.partition("#")
            if re.match(r"^[a-z]+:", link) or link in ("#", ""):
                continue
            aim = (path.parent / unquote(target)).resolve() if target else path
            if not aim.exists() or (anchor and aim in pages and unquote(anchor) not in pages[aim].anchors):
                broken.append(f"{path.relative_to(built_site)}: {link}")
    assert broken == []
    notebook = pages[built_site / "notebooks" / "07_pix2pix.html"]
    assert any(link.startswith("06_patchgan.html") for link in notebook.links)
    assert any("glossary.html#term-" in link for link in notebook.links)


@pytest.mark.slow
def test_every_public_name_is_in_the_reference(pages):
    anchors = {anchor for path, page in pages.items() if path.parent.name == "api" for anchor in page.anchors}
    ends = {anchor.rpartition(".")[2] for anchor in anchors if anchor.startswith("colorlib.")}
    names = [name for name in colorlib.__all__ if not isinstance(getattr(colorlib, name), ModuleType)]
    assert len(names) > 30 and [name for name in names if name not in ends] == []
    modules = {path.stem for path in pages if path.parent.name == "api"}
    assert {name for name in colorlib.__all__ if isinstance(getattr(colorlib, name), ModuleType)} <= modules


@pytest.mark.slow
def test_annotations_are_readable(built_site):
    page = re.sub(r"<[^>]+>", "", (built_site / "api" / "color.html").read_text(encoding="utf-8"))
    assert "Float[Tensor, '*batch 3 h w']" in page.replace("&#39;", "'") and "jaxtyping." not in page


BUILD_TOY = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import build, staging
staging.reference.write = lambda folder: None  # takes long, and needs pages that the toy lacks
sys.exit(build.build(Path(sys.argv[2]) / "out", Path(sys.argv[2])))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("link", "status"), [("changelog.md", 0), ("nowhere.md", 1)])
def test_a_warning_is_an_error(tmp_path, link, status):
    for folder in ("site/_static", "notebooks", "colorlib/weights"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    (tmp_path / "site" / "scenes.png").touch()
    (tmp_path / "CHANGELOG.md").write_text("# Changes\n")
    (tmp_path / "colorlib" / "weights" / "README.md").write_text("# Card\n")
    (tmp_path / "colorlib" / "weights" / "CREDITS.md").write_text("# Credits\n")
    tree = "```{toctree}\nmodel_card\nchangelog\ncredits\n```"
    (tmp_path / "site" / "index.md").write_text(f"# Toy\n\n[a link]({link})\n\n{tree}\n")
    command = [sys.executable, "-c", BUILD_TOY, str(SITE), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert ("nowhere.md" in done.stderr) == bool(status)


# --- what Sphinx leaves out -----------------------------------------------------------------------------------------


def test_panels_show_their_line_and_figures_do_not(hooks, tmp_path):
    pixel = "iVBORw0KGgo="
    about = {"image/png": {"alt": "A line."}}
    outputs = [
        nbformat.v4.new_output("execute_result", {"image/png": pixel, "text/plain": "A line. k = 3"}, metadata=about),
        nbformat.v4.new_output("display_data", {"image/png": pixel[:-4] + "AAAA", "text/plain": "x"}, metadata=about),
    ]
    cells = [nbformat.v4.new_code_cell("panel", outputs=outputs)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "n.ipynb")
    assert [picture for _, picture in hooks.pictures(tmp_path / "n.ipynb")] == [("A line.", "k = 3"), ("A line.", "")]


def test_docstrings_become_text(hooks):
    lines = ["L* and `a*`, |x|:", "- one", "  more", "- two"]
    hooks.as_restructured_text(None, "", "", None, None, lines)
    assert lines == ["L\\* and `a*`, \\|x\\|:", "", "- one", "  more", "- two"]


def test_toggles_get_a_name_and_parameters_become_lines(hooks):
    html = '<summary><span class="toctree-toggle"></span></summary>'
    html += '<header id="pst-header" class="bd-header x">\n<button class="primary-toggle">\n</header>'
    html += "<dl>\n<dd>x</dd>\n<dd>y</dd>\n</dl>\n<dl>\n<dt>k</dt></dl>"
    mended = hooks.mend(html)
    assert '<header id="pst-header" class="bd-header"></header>' in mended
    assert 'aria-label="Pages below this one"' in mended and "<dl>\n<dt>k" in mended
    assert '<div class="sig-lines">\n<div>x</div>\n<div>y</div>\n</div>' in mended
