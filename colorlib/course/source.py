"""Show the library's source in a notebook, with a link to its file."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import colorlib
from colorlib.cli.doctor import DISTRIBUTION


def show_source(thing: Callable[..., Any] | type) -> None:
    """Display the source of a function or class of colorlib. Raises ValueError for anything else."""
    from IPython.display import display

    text = source_markdown(thing)
    display({"text/markdown": text, "text/plain": text}, raw=True)


def source_markdown(thing: Callable[..., Any] | type) -> str:
    """The source as Markdown: the file's name, as a link if the address of the course is known, and then the code."""
    module = getattr(thing, "__module__", None) or type(thing).__module__
    if not module.startswith("colorlib"):
        raise ValueError(f"expected a function or class of colorlib, got one of {module}")
    lines, _ = inspect.getsourcelines(thing)
    path = Path(inspect.getfile(inspect.unwrap(thing))).relative_to(Path(colorlib.__file__).parents[1]).as_posix()
    address = repository()
    place = f"[`{path}`]({address}/blob/main/{path})" if address else f"`{path}`"
    return f"{place}\n\n```python\n{textwrap.dedent(''.join(lines)).rstrip()}\n```"


def repository() -> str | None:
    """The public address of the course, None if it is not set."""
    try:
        urls = metadata.metadata(DISTRIBUTION).get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return None
    return dict(url.split(", ", 1) for url in urls).get("Repository")
