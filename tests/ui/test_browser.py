"""The list of sessions, the overview, the login and the forms in a real Chromium."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

import lockstitch
from lockstitch_ui.urls import change_url
from tests.support.server import LockstitchServer
from tests.ui import stores
from tests.ui.browser import TIMEOUT, Tab, chromium
from tests.ui.explorer import Explorer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # many pages, perhaps on a busy machine

FIRST = f"{1:020}"
HOSTILE = stores.HOSTILE_SCRIPT
PATHS = [
    "/sessions",
    "/sessions?status=waiting",
    "/sessions?prefix=nothing-begins-so",
    "/sessions?since=nonsense",
    "/overview",
    "/login",
    *[change_url(HOSTILE, action, checkpoint=FIRST) for action in ("fork", "rewind", "edit", "label", "delete")],
    change_url(HOSTILE, "edit", checkpoint=FIRST, channel="messages", item="0"),
    change_url(HOSTILE, "prune", keep_last="1"),
    change_url("running-1", "break-lease"),
]
CONTRASTS = """
() => {
  const channels = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const background = element => {
    for (let each = element; each; each = each.parentElement) {
      const found = channels(getComputedStyle(each).backgroundColor);
      if (found.length < 4 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility() || element.closest("option, datalist")) {
      continue;
    }
    const [one, other] = [channels(getComputedStyle(element).color), background(element)].map(light);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) found.push([element.className, walker.currentNode.textContent.trim().slice(0, 40), ratio]);
  }
  return found;
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def tab(browser: Browser, changing: Explorer) -> Iterator[Tab]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield Tab(context, changing.url)
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 640, 400])
def test_pages_fit_can_be_read_and_run_no_stored_script(
    browser: Browser, changing: Explorer, width: int, scheme: str
) -> None:
    """640 wide is 1280 at a zoom of 200%. Contrast is that of WCAG AA. Nothing comes from another host."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    try:
        tab = Tab(context, changing.url)
        for path in PATHS:
            page = tab.open(path, 400 if "nonsense" in path else 200)
            assert page.title() != "pwned", path
            assert page.evaluate("document.querySelectorAll('script:not([src]), img[onerror]').length") == 0, path
            assert not tab.is_wider_than_the_screen, path
            assert page.evaluate(CONTRASTS) == [], path
        assert [problem for problem in tab.problems if "status of 400" not in problem] == []
        assert {urlsplit(url).netloc for url in tab.requests} == {urlsplit(changing.url).netloc}
    finally:
        context.close()


def test_a_new_session_shows_up_by_itself(tab: Tab, filled: LockstitchServer) -> None:
    page = tab.open("/sessions")
    page.evaluate("window.isStillThisPage = true")
    with lockstitch.Client(filled.target) as client:
        client.save(lockstitch.Checkpoint(session_id="just-now", step=1))
    page.get_by_role("link", name="just-now").wait_for(timeout=TIMEOUT)
    assert page.evaluate("window.isStillThisPage")
    assert page.locator("[data-live-state]").inner_text() == "live"
    page.locator("[data-live-toggle]").click()
    assert page.locator("[data-live-state]").inner_text() == "paused"


def test_a_view_is_saved_by_its_address(tab: Tab) -> None:
    page = tab.open("/sessions")
    page.get_by_label("Label").fill("env=prod")
    page.get_by_label("Status").select_option("failed")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**/sessions?**")
    address = page.url
    assert page.locator("a.id").all_inner_texts() == ["failed-1"]
    other = tab.open(address.removeprefix(tab.url))
    assert other.locator("a.id").all_inner_texts() == ["failed-1"]
    assert other.get_by_label("Status").input_value() == "failed"


def test_a_chosen_theme_stays(tab: Tab) -> None:
    page = tab.open("/sessions")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Switch between dark and light").click()
    chosen = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert chosen != before
    page = tab.open("/overview")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == chosen


def test_the_keyboard_is_enough(tab: Tab) -> None:
    page = tab.open("/sessions")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    outlined = "getComputedStyle(document.querySelector(':focus-visible')).outlineStyle"
    for _ in range(8):
        page.keyboard.press("Tab")
        assert page.evaluate(outlined) == "solid"


def test_fork_and_delete_by_forms(tab: Tab, filled: LockstitchServer) -> None:
    page = tab.open(change_url("waiting-1", "fork", checkpoint=f"{4:020}"))
    page.get_by_label("Id of the new session").fill("a fork/of it")
    page.get_by_role("button", name="Fork").click()
    page.wait_for_url("**/sessions/a%20fork%2Fof%20it**")
    assert "This is the fork" in page.locator("[role=status]").first.inner_text()
    with lockstitch.Client(filled.target) as client:
        assert client.get_session("a fork/of it").summary.latest_step == 4
        page = tab.open(change_url("a fork/of it", "delete"))
        page.get_by_label("Type the id of the session").fill("a fork/of it")
        page.get_by_role("button", name="Delete").click()
        page.wait_for_url("**/sessions?done=delete**")
        with pytest.raises(lockstitch.SessionNotFound):
            client.get_session("a fork/of it")
    assert tab.problems == []


def test_a_page_of_another_site_changes_nothing(tab: Tab, changing: Explorer, filled: LockstitchServer) -> None:
    """The visitor has a cookie of the explorer's, and the other page sends a form by itself."""
    tab.open("/sessions")
    action = f"{changing.url}{change_url('idle-1', 'delete')}"
    with _Site(f'<form method="post" action="{action}"><input name="confirm" value="idle-1"></form>') as site:
        page = tab.page
        page.goto(site)
        with page.expect_navigation():
            page.evaluate("document.forms[0].submit()")
        assert "another site" in page.inner_text("body")
        answer = "fetch(url, {mode: 'no-cors', credentials: 'include'}).then(r => r.type, () => 'refused')"
        page.goto(site)
        assert page.evaluate(f"url => {answer}", f"{changing.url}/sessions") == "refused"
        page.set_content(f'<iframe src="{changing.url}/sessions"></iframe>')
        frame = page.frames[-1]
        frame.wait_for_load_state()
        assert "idle-1" not in frame.content()
    with lockstitch.Client(filled.target) as client:
        assert client.get_session("idle-1").summary.checkpoint_count == 1


class _Site:
    """Another web site on this machine: a page, on a port of its own."""

    def __init__(self, body: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://localhost:{self._server.server_port}/"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
