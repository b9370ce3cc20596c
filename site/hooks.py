"""What Sphinx and myst-nb leave out: alt texts of outputs, lines of panels, terms that link, docstrings with stars."""

from __future__ import annotations

import hashlib
import re
from binascii import a2b_base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from docutils import nodes
from sphinx.application import Sphinx

PICTURE = "image/png"


class Picture(NamedTuple):
    """What a notebook says of a picture: its alt text, and the line that stands beside it on a panel ("" for none)."""

    alt: str
    line: str


def pictures(notebook: Path) -> Iterator[tuple[str, Picture]]:
    """The pictures among a notebook's outputs, by the name under which myst-nb stores them: the hash of their bytes."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        for output in cell.get("outputs", []):
            if PICTURE in output.get("data", {}):
                alt = output.metadata.get(PICTURE, {}).get("alt", "")
                line = output.data.get("text/plain", "").removeprefix(alt).strip() if alt else ""
                panel = output.output_type == "execute_result"
                digest = hashlib.sha256(a2b_base64(output.data[PICTURE])).hexdigest()
                yield f"{digest}.png", Picture(alt, line if panel else "")


def describe_pictures(app: Sphinx, doctree: nodes.document) -> None:
    """Give each output picture the alt text that its notebook stores, and a panel's picture a caption."""
    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix != ".ipynb":
        return
    known = dict(pictures(path))
    for image in list(doctree.findall(nodes.image)):
        picture = known.get(Path(image["uri"]).name)
        if picture is not None:
            image["alt"] = picture.alt
            if picture.line:
                caption = nodes.paragraph("", "", nodes.inline("", picture.line, classes=["panel-line"]))
                caption += nodes.Text(" A panel with controls: run the notebook to move them.")
                caption["classes"] += ["panel-caption"]
                image.parent.insert(image.parent.index(image) + 1, caption)


def link_terms(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """In notebooks a bold word that the glossary has leads there."""
    if not docname.startswith("notebooks/"):
        return
    terms = app.env.domains.standard_domain._terms
    for strong in list(doctree.findall(nodes.strong)):
        target = terms.get(strong.astext().lower().rstrip(".:"))
        if target is not None and not isinstance(strong.parent, nodes.reference):
            uri = f"{app.builder.get_relative_uri(docname, target[0])}#{target[1]}"
            link = nodes.reference("", "", internal=True, refuri=uri, classes=["term"])
            strong.replace_self(link)
            link += strong


CODE_OR_SIGN = re.compile(r"`[^`]*`|[*|]")
LIST_AFTER_TEXT = re.compile(r"^(?!\s*- |  )(?P<text>.*\S.*)\n(?=\s*- )", re.MULTILINE)


def as_restructured_text(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """L* and |x| in a docstring are no markup, and a list may follow a line of text."""
    text = CODE_OR_SIGN.sub(lambda found: found[0] if found[0].startswith("`") else "\\" + found[0], "\n".join(lines))
    lines[:] = LIST_AFTER_TEXT.sub(r"\g<text>\n\n", text).split("\n")


# What the theme and Sphinx write that readers stumble over. sphinx-book-theme 1.4 on pydata-sphinx-theme 0.20 shows a
# second header: it repeats the search, is an empty bar on a phone, and takes the menu's button from the page. Toggles
# have no name, and lists no terms.
HEADER = re.compile(r'(?<=<header id="pst-header" class="bd-header).*?(?=</header>)', re.DOTALL)
TOGGLE = '<summary><span class="toctree-toggle"'
NAMED_TOGGLE = '<summary aria-label="Pages below this one"><span class="toctree-toggle"'
PARAMETERS = re.compile(r"<dl>\n(?P<lines>(?:<dd>.*?</dd>\n)+)</dl>")


def mend(html: str) -> str:
    """A page with an empty second header, with its toggles named, and with parameters as plain lines."""

    def as_lines(found: re.Match[str]) -> str:
        lines = found["lines"].replace("<dd>", "<div>").replace("</dd>", "</div>")
        return f'<div class="sig-lines">\n{lines}</div>'

    return PARAMETERS.sub(as_lines, HEADER.sub('">', html).replace(TOGGLE, NAMED_TOGGLE))


def mend_pages(app: Sphinx, failure: Exception | None) -> None:
    """Mend every page that was written."""
    if failure is None:
        for page in Path(app.outdir).rglob("*.html"):
            page.write_text(mend(page.read_text(encoding="utf-8")), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx of the hooks."""
    app.connect("doctree-read", describe_pictures)
    app.connect("doctree-resolved", link_terms)
    app.connect("autodoc-process-docstring", as_restructured_text)
    app.connect("build-finished", mend_pages)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
