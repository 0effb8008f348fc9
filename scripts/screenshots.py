"""`make screenshots`: pictures of the session explorer for the docs, at 1280 and 400 pixels, into docs/images/.

Needs Chromium. Sessions are those of the tests, on a server of its own.
"""

from datetime import timedelta
from typing import Literal

import lockstitch
from lockstitch_ui.urls import session_url
from tests.support.paths import ROOT
from tests.support.server import LockstitchServer
from tests.ui import histories, stores
from tests.ui.browser import Tab, chromium
from tests.ui.explorer import Explorer

IMAGES = ROOT / "docs" / "images"
WIDTHS = {1280: 860, 400: 800}
"""Width -> height of a picture, in pixels."""
PAGES = {
    "sessions": "/sessions",
    "overview": "/overview",
    "session": session_url(histories.STORY),
    "diff": f"{session_url(histories.STORY)}/diff?old_step=0&new_step=3",
    "plots": f"{session_url(histories.STORY)}/plots",
}
DARK = ("overview",)
"""Pages that are shown dark."""


def main() -> None:
    """Write the pictures."""
    IMAGES.mkdir(exist_ok=True)
    with LockstitchServer("memory://", ["--set", "retention.keep_last=5"]) as server:
        fill(server.target)
        with Explorer(server.target, "--allow-changes") as explorer, chromium() as browser:
            for width, height in WIDTHS.items():
                for name, path in PAGES.items():
                    scheme: Literal["dark", "light"] = "dark" if name in DARK else "light"
                    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
                    page = Tab(context, explorer.url).open(path)
                    page.wait_for_load_state("networkidle")
                    page.screenshot(path=IMAGES / f"explorer-{name}-{width}.png", animations="disabled")
                    context.close()
                    print(f"docs/images/explorer-{name}-{width}.png")


def fill(target: str) -> None:
    """Sessions as a team may have them."""
    with lockstitch.Client(target) as client:
        for step in range(1, 9):
            client.save(stores.step("billing-7", step, frontier=["charge"], ran=["quote"]))
        stores.fill_statuses(client)
        client.update_session("billing-7", set_labels={"env": "prod"}, ttl=timedelta(days=7))
        client.copy_session(
            "billing-7", "billing-7-fork", checkpoint_id=f"{4:020}", labels={"forked-from": "billing-7"}
        )
    stores.fill_langgraph(target)
    histories.tell_story(target)


if __name__ == "__main__":
    main()
