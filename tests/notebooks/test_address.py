"""The one switch: an address is written once, everything else follows, and until then nothing points anywhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from notebook_fixtures import load

ROOT = Path(__file__).parents[2]
if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


address = load(ROOT / "notebooks" / "address.py", "address")
MINIMAL = '[project]\nname = "x"\nversion = "1"\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The real pyproject.toml without an address, and a README with a block to fill."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("Repository")]
    (tmp_path / "pyproject.toml").write_text("".join(lines), encoding="utf-8")
    (tmp_path / "README.md").write_text(
        "# Title\n\n<!-- badges -->\nold\n<!-- /badges -->\n\nText.\n", encoding="utf-8"
    )
    return tmp_path


def project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def test_an_address_is_set_changed_and_read_back_and_nothing_else_moves(root: Path) -> None:
    before = project(root)
    assert address.repository(root) is None
    for chosen in ("some-one/course", "Other1/my.course_2", "Other1/my.course_2"):
        address.set_repository(chosen, root)
        assert address.repository(root) == chosen
        after = project(root)
        assert after["project"].pop("urls") == {
            **before["project"].get("urls", {}),
            "Repository": address.GITHUB + chosen,
        }
        assert after == {**before, "project": {k: v for k, v in before["project"].items() if k != "urls"}}
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    assert text.count("[project.urls]") == 1 and text.count("Repository") == 1
    comments = [line for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("#")]
    assert [line for line in text.splitlines() if line.startswith("#")] == comments


@pytest.mark.parametrize("text", [
    MINIMAL,
    MINIMAL.strip(),
    MINIMAL + "dependencies = [\n    'a',\n]\n\n[tool.b]\nc = 1\n",
    MINIMAL + '[project.urls]\nChanges = "https://example.org"\n[tool.b]\nc = 1\n',
    MINIMAL + '[project.urls]\nRepository = "https://github.com/old/one"  # soon another\nA = "b"',
    MINIMAL + "[project.urls]",
    "[tool.b]\nc = 1\n\n" + MINIMAL + "\n# about scripts\n[project.scripts]\nd = 'e:f'\n",
])  # fmt: skip
def test_every_usual_form_of_the_file_takes_an_address(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    before = tomllib.loads(text)
    address.set_repository("a/b", tmp_path)
    after = project(tmp_path)
    assert after["project"]["urls"].pop("Repository") == "https://github.com/a/b"
    before["project"].setdefault("urls", {}).pop("Repository", None)
    assert after == before


def test_an_unusual_form_is_left_as_it_is(tmp_path: Path) -> None:
    text = MINIMAL + 'urls = { Changes = "https://example.org" }\n'
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"expected a table \[project.urls\]"):
        address.set_repository("a/b", tmp_path)
    assert (tmp_path / "pyproject.toml").read_text(encoding="utf-8") == text


@pytest.mark.parametrize("bad", [
    "", "name", "a/b/c", "/b", "a/", "a b/c", "-a/b", "a-/b", "a--b/c", "a_b/c", "a/b c", "a/..", "a/.", "a/b.git",
    "https://github.com/a/b", 'a/b"', "a/b\n", "x" * 40 + "/b", "a/" + "b" * 101, "ä/b",
])  # fmt: skip
def test_what_is_no_address_is_refused_in_one_line(root: Path, bad: str) -> None:
    before = (root / "pyproject.toml").read_bytes()
    with pytest.raises(ValueError, match="expected the address as owner/name, got") as raised:
        address.set_repository(bad, root)
    assert "\n" not in str(raised.value) and "make address REPO=owner/name" in str(raised.value)
    assert (root / "pyproject.toml").read_bytes() == before
    with pytest.raises(ValueError, match="owner/name"):
        address.setup_cell("00_start_here", bad)


@pytest.mark.parametrize("url", ["https://gitlab.com/a/b", "https://github.com/a", "https://github.com/a/b/c", "a/b"])
def test_an_address_elsewhere_is_refused(root: Path, url: str) -> None:
    with (root / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[project.urls]\nRepository = "{url}"\n')
    with pytest.raises(ValueError, match="make address REPO=owner/name"):
        address.repository(root)


def test_the_forms_in_which_people_write_their_own_address_are_read(tmp_path: Path) -> None:
    for url in ("https://github.com/a/b", "https://github.com/a/b/", "https://github.com/a/b.git"):
        (tmp_path / "pyproject.toml").write_text(f'{MINIMAL}urls = {{ Repository = "{url}" }}\n')
        assert address.repository(tmp_path) == "a/b"


def test_badges_lead_to_this_notebook() -> None:
    assert address.badges("06_patchgan", "a/b").split(" · ") == [
        "[Open in Colab](https://colab.research.google.com/github/a/b/blob/main/notebooks/06_patchgan.ipynb)",
        "[Open in Kaggle](https://kaggle.com/kernels/welcome?src="
        "https://github.com/a/b/blob/main/notebooks/06_patchgan.ipynb)",
        "[Read on the site](https://a.github.io/b/notebooks/06_patchgan.html)",
    ]
    assert address.page("01_colour", "Ann/Ann.GitHub.io") == "https://ann.github.io/notebooks/01_colour.html"


def test_without_an_address_nothing_points_anywhere() -> None:
    for text in (
        address.badges("06_patchgan", None),
        address.readme_links(None),
        address.setup_cell("06_patchgan", None),
    ):
        assert "http" not in text and "](" not in text and "github" not in text
    assert "make address REPO=owner/name" in address.badges("06_patchgan", None)
    assert "\n" not in address.badges("06_patchgan", None)


def test_the_readme_is_filled_between_its_marks_only(root: Path) -> None:
    address.set_repository("a/b", root)
    stale = address.stale_places(root)
    assert set(stale) == {root / "README.md"}
    text = stale[root / "README.md"]
    assert text.startswith("# Title\n\n<!-- badges -->\nStart here: [Open in Colab](https://colab.research")
    assert text.endswith("\n<!-- /badges -->\n\nText.\n") and "old" not in text
    (root / "README.md").write_text(text, encoding="utf-8")
    assert address.stale_places(root) == {}
    address.set_repository("a/c", root)
    assert "/a/c/" in address.stale_places(root)[root / "README.md"]
    assert address.fill("no marks", "links") == "no marks"


def test_what_the_repository_says_follows_from_its_address() -> None:
    assert [path.name for path in address.stale_places()] == [], "run `python notebooks/address.py`"


@pytest.mark.slow
def test_the_command_sets_fills_and_builds_without_running(root: Path) -> None:
    (root / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "address.py", root / "notebooks")
    (root / "notebooks" / "build.py").write_text("import sys\nprint('built', sys.argv[1:])\nsys.exit(3)\n")
    command = [sys.executable, str(root / "notebooks" / "address.py")]
    done = subprocess.run([*command, "a/b"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, "built ['--no-execute']\n", "")
    assert address.repository(root) == "a/b" and "a/b" in (root / "README.md").read_text(encoding="utf-8")
    (root / "README.md").write_text("<!-- badges -->\n<!-- /badges -->\n", encoding="utf-8")
    assert subprocess.run(command, capture_output=True).returncode == 3
    assert address.repository(root) == "a/b" and "a/b" in (root / "README.md").read_text(encoding="utf-8")
    for bad in (["a"], [""], ["a/b", "c/d"]):
        done = subprocess.run([*command, *bad], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("expected the address as owner/name, got") and done.stderr.count("\n") == 1
    assert address.repository(root) == "a/b"
