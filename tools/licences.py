"""Write DEPENDENCIES.md, the dependencies of the course and their licences, from pyproject.toml and installed packages.

python tools/licences.py
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
HEAD = """# Dependencies and their licences

`python tools/licences.py` writes this page from pyproject.toml and from the metadata of the installed packages. The
page does not list the dependencies of these packages; `pip-licenses` lists all packages of an environment. On Linux,
torch also installs NVIDIA's libraries, which are under NVIDIA's own terms.
"""


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"The library": project["dependencies"]}
    groups |= {f"Extra `{name}`": needs for name, needs in project["optional-dependencies"].items()}
    tables = [f"## {title}\n\n{table(needs, project['name'])}" for title, needs in groups.items()]
    (ROOT / "DEPENDENCIES.md").write_text("\n".join([HEAD, *tables]), encoding="utf-8")


def table(needs: list[str], own: str) -> str:
    """Return a table with a line per package. Exits with a message if a package is not installed."""
    lines = ["| package | version | licence |", "|---|---|---|"]
    for need in map(Requirement, needs):
        if need.name != own:
            lines.append(f"| {need.name} | {need.specifier} | {licence(need)} |")
    return "\n".join(lines) + "\n"


def licence(need: Requirement) -> str:
    """Return the licence from a package's metadata: its licence expression, its classifiers or its licence file."""
    try:
        about = metadata.metadata(need.name)
    except metadata.PackageNotFoundError:
        if need.marker is not None and not need.marker.evaluate():
            return "not needed here"
        sys.exit(f'the dependency {need.name} is not installed; run: pip install -e ".[test]"')
    classified = [c.rpartition(" :: ")[2] for c in about.get_all("Classifier") or [] if c.startswith("License ::")]
    said = about["License-Expression"] or ", ".join(classified) or (about["License"] or "").strip().split("\n")[0]
    return said or _first_line_of_its_file(need.name) or "does not say"


def _first_line_of_its_file(name: str) -> str:
    for path in metadata.files(name) or []:
        if path.name.upper().startswith(("LICENSE", "LICENCE", "COPYING")):
            return path.read_text(encoding="utf-8").strip().split("\n")[0]
    return ""


if __name__ == "__main__":
    main()
