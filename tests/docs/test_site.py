"""The documentation site, as a browser shows it: built strictly, with pages from code, and searched offline."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.requirements import missing

pytestmark = pytest.mark.slow
MILLISECONDS = 60_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mkdocs = Path(sys.executable).with_name("mkdocs")
    if not mkdocs.exists():
        missing("MkDocs is not installed: make .venv/.docs")
    directory = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [mkdocs, "build", "--strict", "--site-dir", directory],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize(
    ("page", "texts"),
    [
        ("contract", ["CheckpointService.SaveStream", "stream of", "Stores one checkpoint.", "AcquireLeaseRequest"]),
        ("errors", ["EXPECTED_LATEST_MISMATCH", "STORE_READ_ONLY", "UNAVAILABLE"]),
        ("commands", ["lockstitch serve", "lockstitch import langgraph", "--allow-changes"]),
        ("events", ["database_unavailable", "sqlite_file_gone", "serving"]),
        ("python", ["lockstitch.AsyncClient", "expected_latest", "lockstitch.plain.Thread"]),
    ],
)
def test_pages_come_from_code(site: Path, page: str, texts: list[str]) -> None:
    html = (site / "reference" / f"{page}.html").read_text()
    assert all(text in html for text in texts), [text for text in texts if text not in html]


def test_every_page_is_in_the_navigation(site: Path) -> None:
    index = (site / "index.html").read_text()
    apart = {"404.html", "index.html", "go/index.html"}  # the last one is for the go command
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")} - apart
    assert [page for page in sorted(pages) if f'href="{page}"' not in index] == []


def test_search_works_without_the_internet(url: str) -> None:
    if not shutil.which("chromium"):
        missing("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{url}/index.html")
        # What is typed before the index has been read finds nothing.
        page.wait_for_function(
            "() => !document.querySelector('.md-search-result__meta').textContent.includes('Initializing')",
            timeout=MILLISECONDS,
        )
        page.locator("input[name=query]").press_sequentially("fencing token", timeout=MILLISECONDS)
        page.wait_for_selector(".md-search-result__link", timeout=MILLISECONDS)
        found = page.locator(".md-search-result__link").all_inner_texts()
        browser.close()
    assert any("Leases" in text for text in found), found
    assert [each for each in asked if not each.startswith((url, "data:", "blob:"))] == []
