"""The page of a session in a real Chromium: keys, the slider, the back button, and stored scripts that never run."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page

import lockstitch
from lockstitch_ui.urls import session_url
from tests.support.server import LockstitchServer
from tests.ui import histories
from tests.ui.browser import TIMEOUT, Tab, chromium, unnamed, unreadable
from tests.ui.explorer import Explorer
from tests.ui.histories import HOSTILE, LONG, STORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TABS = ("state", "changes", "writes", "errors", "run", "metadata", "json")
PATHS = [
    session_url(STORY),
    session_url(STORY) + "/plots",
    session_url(STORY) + "/diff?old_step=0&new_step=3",
    session_url("agent-loop", tab="changes"),
    session_url("errors", tab="errors"),
    *[session_url(HOSTILE, tab=tab) for tab in TABS],
    session_url(LONG),
]


@pytest.fixture(scope="module")
def server() -> Iterator[LockstitchServer]:
    with LockstitchServer("memory://") as running:
        histories.tell_story(running.target)
        histories.import_weavegraph(running.target)
        histories.save_long(running.target, 250, 250_000)
        with lockstitch.Client(running.target) as client:
            histories.save_hostile(client)
        yield running


@pytest.fixture(scope="module")
def explorer(server: LockstitchServer) -> Iterator[Explorer]:
    with Explorer(server.target) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def tab(browser: Browser, explorer: Explorer) -> Iterator[Tab]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield Tab(context, explorer.url)
    context.close()


def step_of(page: Page) -> str:
    """The step that the page shows."""
    return page.locator("#detail h2").inner_text().split()[1]


def wait_for_step(page: Page, step: int) -> None:
    page.wait_for_function(
        "step => document.querySelector('#detail h2')?.innerText.split(' ')[1] === String(step)", arg=step
    )
    page.wait_for_function("step => document.querySelector('#rows .selected')?.dataset.step === String(step)", arg=step)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400, 640])
def test_pages_fit_and_their_scripts_run_without_a_complaint(
    browser: Browser, explorer: Explorer, width: int, scheme: str
) -> None:
    """640 wide is 1280 at a zoom of 200%. Nothing comes from another host, and no stored script runs."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    try:
        tab = Tab(context, explorer.url)
        for path in PATHS:
            page = tab.open(path)
            assert page.title() != "pwned"
            assert unreadable(page) == [], path
            assert unnamed(page) == [], path
            assert not tab.is_wider_than_the_screen, path
        assert tab.problems == []
        assert {urlsplit(url).netloc for url in tab.requests} == {urlsplit(explorer.url).netloc}
    finally:
        context.close()


def test_what_cannot_be_read_is_found(tab: Tab) -> None:
    """The checks above can fail."""
    tab.page.set_content("<p style='color: #999; background: #fff'>pale</p><p>dark</p><input><a href='/'></a>")
    assert [each.split()[-1] for each in unreadable(tab.page)] == ["pale"]
    assert len(unnamed(tab.page)) == 2


def test_keys_move_and_all_else_follows(tab: Tab) -> None:
    page = tab.open(session_url(LONG))
    wait_for_step(page, 249)
    page.keyboard.press("j")
    wait_for_step(page, 248)
    page.keyboard.press("j")
    wait_for_step(page, 247)
    assert f"{247:020}" in page.url
    page.keyboard.press("k")
    wait_for_step(page, 248)
    page.go_back()
    wait_for_step(page, 247)
    page.go_back()
    wait_for_step(page, 248)
    page.go_back()
    wait_for_step(page, 249)
    assert tab.problems == []


def test_a_tab_stays_open_from_step_to_step(tab: Tab) -> None:
    page = tab.open(session_url(LONG))
    page.locator("#detail [data-tab=changes]").click()
    page.wait_for_function("() => document.querySelector('.tabs [aria-current]').dataset.tab === 'changes'")
    page.keyboard.press("j")
    wait_for_step(page, 248)
    assert parse_qs(urlsplit(page.url).query)["tab"] == ["changes"]
    assert page.locator(".tabs [aria-current]").inner_text() == "Changes"
    page.reload()
    wait_for_step(page, 248)
    assert page.locator(".tabs [aria-current]").inner_text() == "Changes"


def test_the_slider_goes_anywhere(tab: Tab) -> None:
    page = tab.open(session_url(LONG))
    slider = page.locator("#slider")
    assert slider.get_attribute("max") == "249"
    slider.fill("200")
    wait_for_step(page, 200)
    page.locator("#slider").fill("12")  # beyond the rows of this page
    wait_for_step(page, 12)
    page.locator("#step").fill("100")
    page.locator("#step").press("Enter")
    wait_for_step(page, 100)


def test_rows_are_links_and_keys_leave_fields_alone(tab: Tab) -> None:
    page = tab.open(session_url(LONG))
    page.locator("#rows .row").nth(5).click()
    wait_for_step(page, 244)
    page.locator("#find").press_sequentially("jk")
    assert step_of(page) == "244"


def test_find_in_the_state_opens_what_it_finds(tab: Tab) -> None:
    page = tab.open(session_url(STORY))
    page.locator(".channel[data-channel='custom/order'] > .tree > details > summary").click()
    assert not page.get_by_text("12 Harbour St", exact=False).last.is_visible()
    page.locator("#find").fill("harbour")
    page.wait_for_function("() => document.querySelectorAll('mark[data-found]').length >= 2")
    assert all(mark.is_visible() for mark in page.locator("mark[data-found]").all())


def test_paths_can_be_copied(tab: Tab, explorer: Explorer) -> None:
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=explorer.url)
    page = tab.open(session_url(STORY))
    button = page.locator(".channel[data-channel='custom/order'] [data-copy='order.address.street']")
    button.hover()
    button.click()
    page.wait_for_function(
        "() => document.querySelector(\"[data-copy='order.address.street']\").textContent.includes('✓')"
    )
    assert page.evaluate("navigator.clipboard.readText()") == "order.address.street"


def test_two_rows_are_compared_with_shift(tab: Tab) -> None:
    page = tab.open(session_url(LONG))
    page.locator("#rows .row").nth(3).click(modifiers=["Shift"])
    page.wait_for_url("**/diff?*", timeout=TIMEOUT)
    query = parse_qs(urlsplit(page.url).query)
    assert (query["old"], query["new"]) == ([f"{246:020}"], [f"{249:020}"])
    assert page.get_by_text("log[249]").count() >= 1


def test_a_change_of_the_session_is_told(tab: Tab, server: LockstitchServer) -> None:
    histories.save_long(server.target, 2, 100, "growing")
    page = tab.open(session_url("growing"))
    assert not page.locator("#news").is_visible()
    histories.save_long(server.target, 3, 150, "growing")
    page.locator("#news").wait_for()
    page.locator("#news a").click()
    wait_for_step(page, 2)
    assert tab.problems == []


def test_it_works_without_scripts(browser: Browser, explorer: Explorer) -> None:
    context = browser.new_context(java_script_enabled=False)
    try:
        tab = Tab(context, explorer.url)
        page = tab.open(session_url(LONG))
        page.locator("#rows .row").nth(2).click()
        page.wait_for_url("**/checkpoints/*")
        assert step_of(page) == "247"
        page.locator("#detail .tabs a", has_text="Changes").click()
        page.wait_for_url("**tab=changes*")
        page.locator("#step").fill("3")
        page.get_by_role("button", name="Go").click()
        page.wait_for_url(f"**/{3:020}*")
        assert step_of(page) == "3"
    finally:
        context.close()
