"""What Sphinx is told. The pages themselves are put together by staging.py; `python site/build.py` does it all."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "notebooks"), str(HERE.parent)]

import address  # noqa: E402

import colorlib  # noqa: E402

project = "Colorization with conditional GANs"
author = "the authors of the course"
copyright = "code MIT, prose CC BY 4.0, weights CC BY-SA 4.0"
version = release = colorlib.__version__
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "hooks"]
root_doc = "index"
exclude_patterns = ["_static", "stored"]

# Notebooks are shown as they are stored.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 3
myst_dmath_double_inline = True
# `$a$b` and the like do not occur; two pages may have the same heading.
suppress_warnings = ["myst.xref_ambiguous"]

# Formulas are drawn by a copy of MathJax that the build puts beside the pages (staging.py): one file, no fonts.
mathjax_path = "mathjax/tex-svg-full.js"
mathjax_options = {"defer": "defer"}
myst_update_mathjax = False
mathjax3_config = {
    "options": {"enableMenu": False, "processHtmlClass": "tex2jax_process|mathjax_process|math|output_area"},
    "tex": {"inlineMath": [["\\(", "\\)"]], "displayMath": [["\\[", "\\]"]]},
}

highlight_language = "none"  # of the pages; notebooks say what they are written in

# Docstrings: backticks are code, and link where they name something.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False

html_theme = "sphinx_book_theme"
html_context = {"default_mode": "auto"}  # light or dark as the system says
html_title = project
html_css_files = ["site.css"]
html_favicon = None
html_show_search_summary = False  # a page opened from disk may not read the others
html_copy_source = False
html_show_sourcelink = False
html_last_updated_fmt = None
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "home_page_in_toc": False,
    "show_toc_level": 2,
    "show_navbar_depth": 1,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
REPOSITORY = address.repository()
if REPOSITORY is not None:
    html_theme_options |= {
        "repository_url": address.GITHUB + REPOSITORY,
        "repository_branch": address.BRANCH,
        "use_repository_button": True,
        "use_issues_button": True,
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    }
