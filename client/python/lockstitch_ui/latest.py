"""The latest checkpoints of many sessions, with what their status needs: no messages and no other values."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from lockstitch import AsyncClient, LockstitchError, SessionSummary, View
from lockstitch.inspect import STATUS_CHANNELS, ran_needs_parent
from lockstitch_ui.views.sessions import Latest

PARALLEL = 16
"""Calls of a page that are under way at once."""


async def load_latest(client: AsyncClient, summaries: Sequence[SessionSummary]) -> Mapping[str, Latest]:
    """What the rows of these sessions need, by session id."""
    found: dict[str, Latest] = {}
    alive = [summary.session_id for summary in summaries if not summary.HasField("error")]
    answers = client.load_latest_many(alive, channels=STATUS_CHANNELS)
    async with aclosing(answers):
        async for answer in answers:
            if answer.error is not None:
                found[answer.session_id] = Latest(problem=answer.error.message)
                continue
            latest = answer.result()
            found[answer.session_id] = Latest(latest.checkpoint, latest.pending_writes)
    return {name: found.get(name, Latest()) for name in (summary.session_id for summary in summaries)}


async def with_details(
    client: AsyncClient, summaries: Sequence[SessionSummary], found: Mapping[str, Latest]
) -> dict[str, Latest]:
    """The same, with the leases of those that have one, and the parents that tell what ran in LangGraph's threads."""
    slots = asyncio.Semaphore(PARALLEL)

    async def one(summary: SessionSummary) -> Latest:
        latest = found[summary.session_id]
        async with slots:
            if summary.lease_holder:
                latest = await _with_lease(client, summary.session_id, latest)
            return await _with_parent(client, latest)

    latests = await asyncio.gather(*(one(summary) for summary in summaries))
    return {summary.session_id: latest for summary, latest in zip(summaries, latests, strict=True)}


async def _with_lease(client: AsyncClient, session_id: str, latest: Latest) -> Latest:
    try:
        return replace(latest, lease=(await client.get_session(session_id)).lease)
    except LockstitchError:
        return latest  # it has been deleted since, or the server has too much to do: only the seconds are missing


async def _with_parent(client: AsyncClient, latest: Latest) -> Latest:
    checkpoint = latest.checkpoint
    if checkpoint is None or not ran_needs_parent(checkpoint):
        return latest
    try:
        parent = await client.load(
            checkpoint.session_id,
            checkpoint_id=checkpoint.parent_id,
            namespace=checkpoint.namespace,
            view=View.HEADER,
        )
    except LockstitchError:
        return latest  # a parent need not exist
    return replace(latest, parent=parent.checkpoint)
