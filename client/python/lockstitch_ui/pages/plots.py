"""Plots of a session: bytes, time and steps."""

import asyncio

from starlette.responses import Response
from starlette.routing import BaseRoute

from lockstitch import ListedCheckpoint, View
from lockstitch_ui.views import plots
from lockstitch_ui.views.timeline import timeline
from lockstitch_ui.visit import Visit, page

MAX_CHECKPOINTS = 500
"""Checkpoints that are plotted, the newest ones."""


async def show(visit: Visit) -> Response:
    """The plots of the newest checkpoints of a namespace."""
    session_id, namespace = visit.path("session_id"), visit.query("namespace")
    pages = visit.client.list_checkpoints(
        session_id,
        namespace=namespace,
        view=View.HEADER,
        include_channel_sizes=True,
        page_size=MAX_CHECKPOINTS,
    ).pages()
    listed: list[ListedCheckpoint] = []
    has_older = False
    async for found in pages:
        listed.extend(found.items)
        has_older = bool(found.next_page_token)
        if len(listed) >= MAX_CHECKPOINTS:
            await pages.aclose()
            break
    charts = await asyncio.to_thread(_charts, listed)
    return visit.render(
        "session_plots.html",
        session_id=session_id,
        namespace=namespace,
        charts=charts,
        count=len(listed),
        has_older=has_older,
        size=(plots.WIDTH, plots.HEIGHT),
    )


def _charts(listed: list[ListedCheckpoint]) -> list[plots.Chart]:
    rows = timeline(listed, len(listed), has_older=False).rows
    return [plots.growth_by_channel(rows), plots.time_by_node(rows), plots.steps_over_time(rows)]


routes: list[BaseRoute] = [page("/sessions/{session_id:id}/plots", show)]
