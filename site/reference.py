"""The API reference: a page a module, of its docstrings and annotations, with every public name of colorlib."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType

import colorlib

# In the order of the course: what one needs first comes first.
MODULES = [
    "color", "losses", "generators", "discriminators", "blocks", "recipes", "datasets", "training", "checkpoints",
    "inference", "evaluation", "metrics", "scenes", "images", "figures", "devices", "errors", "cli", "course",
]  # fmt: skip

HEAD = """\
API reference
=============

Names in the first list of each page are imported from :code:`colorlib` itself, as in
:code:`from colorlib import UNet`; the others from their module. An annotation such as
:code:`Float[Tensor, "b 1 h w"]` says what a tensor holds and its axes: here *b* pictures of one channel. Empty quotes
stand for a single number, and a star for any number of axes.

.. toctree::
   :maxdepth: 1

"""


def write(folder: Path) -> None:
    """Write index.rst and a page for each module. Raises ValueError if a public name would be on no page."""
    missing = {name for name in colorlib.__all__ if inspect.ismodule(getattr(colorlib, name))} - set(MODULES)
    if missing:
        raise ValueError(
            f"expected every public module in reference.MODULES, got none for {', '.join(sorted(missing))}"
        )
    folder.mkdir()
    (folder / "index.rst").write_text(HEAD + "".join(f"   {name}\n" for name in MODULES), encoding="utf-8")
    for name in MODULES:
        (folder / f"{name}.rst").write_text(page(importlib.import_module(f"colorlib.{name}")), encoding="utf-8")


def page(module: ModuleType) -> str:
    """One module: what it is for, the names that `colorlib` itself offers, then its others."""
    offered = [name for name in public(module) if name in colorlib.__all__]
    others = [name for name in public(module) if name not in offered]
    short = module.__name__.removeprefix("colorlib.")
    parts = [f"{short}\n{'=' * len(short)}\n", f".. automodule:: {module.__name__}\n   :no-members:\n"]
    for heading, names in (("From colorlib", offered), (f"From {module.__name__}", others)):
        if names:
            parts += [f"{heading}\n{'-' * len(heading)}\n", *(entry(module, name) for name in names)]
    return "\n".join(parts)


def public(module: ModuleType) -> list[str]:
    """The public functions, classes and named constants of a module, in the order of the file."""
    if hasattr(module, "__all__"):  # of a package
        return [name for name in module.__all__ if callable(getattr(module, name))]
    here = [name for name, value in vars(module).items() if _belongs(name, value, module)]
    offered = colorlib._NAMES.get(module.__name__.removeprefix("colorlib."), [])
    return here + [name for name in offered if name not in here]


def _belongs(name: str, value: object, module: ModuleType) -> bool:
    defined = getattr(value, "__module__", None) == module.__name__
    return not name.startswith("_") and defined and (inspect.isfunction(value) or inspect.isclass(value))


def entry(module: ModuleType, name: str) -> str:
    """The directive that shows one name."""
    value = getattr(module, name)
    if inspect.isclass(value):
        return f".. autoclass:: {module.__name__}.{name}\n   :members:\n"
    if inspect.isroutine(value):
        return f".. autofunction:: {module.__name__}.{name}\n"
    return f".. py:data:: {name}\n   :module: {module.__name__}\n\n   {constant(value)}\n"


def constant(value: object) -> str:
    """What a constant holds: the keys of a table, the functions of a pair."""
    if isinstance(value, dict):
        return (
            f"A dictionary of {type(next(iter(value.values()))).__name__}: {', '.join(f':code:`{k}`' for k in value)}."
        )
    held = [getattr(part, "__name__", str(part)) for part in vars(value).values()]
    return f"{type(value).__name__} of {' and '.join(f'`{name}`' for name in held)}."
