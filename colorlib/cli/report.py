"""Write a report as one HTML file with pictures side by side, tables and curves.

The pictures are inside the file. So it can be moved or sent, and needs no connection to the internet.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

STYLE = """
:root { color-scheme: light dark; --ink: #1d2126; --soft: #5b6470; --page: #fafaf8; --card: #fff; --line: #dddfe3; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #a0a8b3; --page: #16181c; --card: #1f2227; --line: #363b43; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 56rem; padding: 1.5rem 1rem 4rem; background: var(--page); color: var(--ink);
       font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
p { margin: .5rem 0 1rem; max-width: 42rem; }
.pictures { display: grid; gap: .4rem; margin: 1rem 0; }
.pictures > span { color: var(--soft); font-size: .85rem; text-align: center; align-self: end; }
.pictures img { width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: .25rem; display: block; }
.pictures img.small { image-rendering: pixelated; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0; }
th, td { padding: .35rem .45rem; border-bottom: 1px solid var(--line); text-align: right; font-weight: normal; }
thead th { color: var(--soft); font-size: .85rem; vertical-align: bottom; }
tbody th, thead th:first-child { text-align: left; padding-left: 0; }
.legend { color: var(--soft); font-size: .85rem; }
@media (min-width: 40rem) { th, td { padding: .35rem .9rem; } }
.curves { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
.curves img { width: 100%; background: #fff; border: 1px solid var(--line); border-radius: .4rem; padding: .4rem; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--soft);
         font-size: .85rem; }
"""
# A picture of fewer pixels is enlarged without smoothing, so that its pixels are seen as squares and not as a blur.
SMALL = 100


@dataclass(frozen=True)
class Picture:
    """The bytes of a PNG file, a text that says what it shows, and its width in pixels.

    A browser reads the text to people who cannot see the picture.
    """

    png: bytes
    alt: str
    width: int = 1000


@dataclass(frozen=True)
class Table:
    """The names of the columns, the rows, and a legend that explains the columns.

    The first cell of each row is the row's name.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    legend: str = ""


@dataclass(frozen=True)
class Section:
    """A heading and paragraphs, followed by pictures, a table and curves if they are given.

    `pictures` maps the name of each column to its pictures. All columns have the same length.
    """

    title: str
    paragraphs: Sequence[str]
    pictures: Mapping[str, Sequence[Picture]] = field(default_factory=dict)
    table: Table | None = None
    curves: Sequence[Picture] = ()


def render(title: str, introduction: str, sections: Sequence[Section], footer: str) -> str:
    """Return the page as HTML. All texts are plain text: characters such as `<` are escaped and shown as they are."""
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            f"<h1>{escape(title)}</h1>\n<p>{escape(introduction)}</p>",
            *map(_section, sections),
            f"<footer>{escape(footer)}</footer>\n</body>\n</html>\n",
        ]
    )


def _section(section: Section) -> str:
    parts = [f"<section>\n<h2>{escape(section.title)}</h2>"]
    parts += [f"<p>{escape(text)}</p>" for text in section.paragraphs]
    if section.pictures:
        parts.append(_pictures(section.pictures))
    if section.table:
        parts.append(_table(section.table))
    if section.curves:
        parts.append(f'<div class="curves">{"".join(map(_image, section.curves))}</div>')
    return "\n".join([*parts, "</section>"])


def _pictures(columns: Mapping[str, Sequence[Picture]]) -> str:
    # The grid is filled row by row: first the names of the columns, then the first picture of each column, and so on.
    cells = [f"<span>{escape(name)}</span>" for name in columns]
    cells += [_image(picture) for row in zip(*columns.values(), strict=True) for picture in row]
    style = f"grid-template-columns: repeat({len(columns)}, 1fr); max-width: {9 * len(columns)}rem"
    return f'<div class="pictures" style="{style}">\n' + "\n".join(cells) + "\n</div>"


def _image(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode("ascii")
    small = ' class="small"' if picture.width < SMALL else ""
    return f'<img{small} alt="{escape(picture.alt)}" src="data:image/png;base64,{data}">'


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    body = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
        for name, *cells in table.rows
    )
    legend = f'<p class="legend">{escape(table.legend)}</p>' if table.legend else ""
    html = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    return f'<div class="scroll">{html}</div>{legend}'
