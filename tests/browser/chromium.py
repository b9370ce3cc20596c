"""The browser of these tests: Debian's Chromium, without a window and without errands of its own."""

from __future__ import annotations

import shutil

PATH = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


def launch(playwright: object) -> object:
    """A browser of a running Playwright."""
    return playwright.chromium.launch(executable_path=PATH, headless=True, args=ARGUMENTS)
