"""Every dependency is listed with its licence."""

from __future__ import annotations

import re
import sys

from notebook_fixtures import ROOT, load
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def test_every_dependency_is_listed_with_a_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needs = [*project["dependencies"], *(need for extra in project["optional-dependencies"].values() for need in extra)]
    expected = {(need.name, str(need.specifier)) for need in map(Requirement, needs) if need.name != project["name"]}
    rows = re.findall(r"^\| ([\w.-]+) \| ([^|]*) \| ([^|]+) \|$", (ROOT / "DEPENDENCIES.md").read_text(), re.MULTILINE)
    listed = {(name, version.strip()): licence for name, version, licence in rows if name != "package"}
    assert listed.keys() == expected, "write it anew: python tools/licences.py"
    unknown = [name for (name, _), licence in listed.items() if licence in ("does not say", "UNKNOWN")]
    assert not unknown


def test_a_licence_is_what_the_package_says() -> None:
    licences = load(ROOT / "tools" / "licences.py", "licences")
    assert licences.licence(Requirement("pytest>=8")) == "MIT"
    assert "Apache" in licences.licence(Requirement("safetensors"))
    assert licences.licence(Requirement("no-such-package>=1; python_version < '3'")) == "not needed here"
