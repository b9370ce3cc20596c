"""The website in a browser, opened from disk: no errors, nothing from elsewhere, readable for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import chromium
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.base", reason="axe-playwright-python is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.PATH is None, reason="no Chromium on this machine"),
]

PAGES = ["index.html", "notebooks/06_patchgan.html", "glossary.html", "troubleshooting.html", "api/losses.html"]
LOOKS = [(theme, width) for theme in ("light", "dark") for width in (1280, 390)]


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with sync_api.sync_playwright() as playwright:
        yield chromium.launch(playwright)


class Visit:
    """A page opened from disk, with what went wrong and what was asked of other hosts."""

    def __init__(self, browser: object, path: Path, theme: str = "light", width: int = 1280) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._note)
        self.page.goto(path.as_uri(), wait_until="load", timeout=120_000)
        self.page.wait_for_function("document.documentElement.dataset.theme", timeout=60_000)

    def _note(self, request: object) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.foreign.append(request.url)

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


def faults(page: object) -> list[str]:
    """What axe-core finds that is serious or critical: the rule, and where it is broken."""
    page.evaluate(axe.AXE_SCRIPT)
    found = page.evaluate("axe.run({resultTypes: ['violations'], preload: false})")["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_sound_in_light_and_dark_wide_and_narrow(browser, built_site, name):
    for theme, width in LOOKS[::3] if "notebooks" in name else LOOKS:  # axe needs 20 s for so long a page
        with Visit(browser, built_site / name, theme, width) as visit:
            if "notebooks" in name:
                visit.page.wait_for_selector("mjx-container svg", timeout=60_000)
            assert visit.page.evaluate("document.documentElement.dataset.theme") == theme
            assert faults(visit.page) == [], (theme, width)
            wide = visit.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{theme}, {width} px: the page is {wide} px wider than the window"
            assert (visit.errors, visit.foreign) == ([], []), (theme, width)


def test_axe_sees_faults(browser, built_site):
    with Visit(browser, built_site / "changelog.html") as visit:
        visit.page.evaluate("document.querySelector('article').innerHTML += '<img src=\"data:,\">'")
        assert any(fault.startswith("image-alt") for fault in faults(visit.page))


def test_a_notebook_shows_formulas_pictures_and_panels(browser, built_site):
    with Visit(browser, built_site / "notebooks/06_patchgan.html", "dark") as visit:
        visit.page.wait_for_selector("mjx-container svg", timeout=60_000)
        assert "\\(" not in visit.page.inner_text("article")
        shown = visit.page.evaluate(
            """[...document.querySelectorAll('article img')].map(
                i => [i.naturalWidth > 0, i.alt.length > 10, getComputedStyle(i).filter])"""
        )
        assert len(shown) >= 6 and all(one == [True, True, "none"] for one in shown)
        assert "run the notebook to move" in visit.page.inner_text(".panel-caption")
        assert not visit.page.locator("details.hide pre").first.is_visible()  # the setup cell is folded
        visit.page.locator("a.term").first.click()
        visit.page.wait_for_url("**/glossary.html#term-*")


def test_the_keyboard_is_enough(browser, built_site):
    with Visit(browser, built_site / "index.html") as visit:
        page = visit.page
        page.keyboard.press("Tab")
        assert "Skip to main" in page.evaluate("document.activeElement.innerText")
        page.keyboard.press("Enter")
        assert page.url.endswith("#main-content")
        page.locator("button.theme-switch-button:visible").first.focus()
        for key in ("Enter", "Tab", "Tab", "Enter"):  # opens the choice: the system's, light, dark
            page.keyboard.press(key)
        assert page.evaluate("document.documentElement.dataset.mode") == "light"
        page.keyboard.press("Control+k")
        page.keyboard.type("receptive field")
        page.keyboard.press("Enter")
        page.wait_for_url("**/search.html*")
        page.get_by_role("link", name="6. The PatchGAN discriminator").first.wait_for(timeout=60_000)
        assert (visit.errors, visit.foreign) == ([], [])


def test_on_a_phone_the_menu_opens(browser, built_site):
    with Visit(browser, built_site / "glossary.html", width=390) as visit:
        entry = visit.page.get_by_role("link", name="6. The PatchGAN discriminator").first
        assert not entry.is_visible() or entry.bounding_box()["x"] < 0
        visit.page.locator("button.primary-toggle:visible").first.click()
        entry.click(timeout=30_000)
        visit.page.wait_for_url("**/06_patchgan.html")
