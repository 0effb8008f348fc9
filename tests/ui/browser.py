"""Chromium for page tests: Debian's, without a window, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support.requirements import missing

TIMEOUT = 120_000.0
"""Milliseconds that anything may take: the machine may be busy."""
_ACCESSIBILITY = Path(__file__).with_name("accessibility.js").read_text().partition("\n")[2]
NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. Nothing else may run an event loop in this thread until it is closed."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        missing("there is no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page that remembers what went wrong in it: scripts that failed, what the content policy stopped."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        context.set_default_timeout(TIMEOUT)
        self.page: Page = context.new_page()
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.url = url
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, path: str, status: int = 200) -> Page:
        """Load a page of the explorer. status: what it answers with."""
        response = self.page.goto(self.url + path)
        assert response is not None
        assert response.status == status, self.page.content()
        return self.page

    @property
    def is_wider_than_the_screen(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > innerWidth"))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.problems.append(text)


def unreadable(page: Page) -> list[str]:
    """Texts whose contrast is below that of WCAG AA."""
    found: list[str] = page.evaluate(f"{_ACCESSIBILITY}.unreadable()")
    return found


def unnamed(page: Page) -> list[str]:
    """Links and fields that a screen reader has no name for."""
    found: list[str] = page.evaluate(f"{_ACCESSIBILITY}.unnamed()")
    return found
