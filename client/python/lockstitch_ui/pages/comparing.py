"""Getting two checkpoints to compare: of their states only the channels that differ."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from lockstitch import AsyncClient, ListedCheckpoint
from lockstitch.inspect import Work
from lockstitch_ui.pages.checkpoints import load_state, with_state
from lockstitch_ui.views.changes import ShownPart, compared
from lockstitch_ui.views.state import MAX_STATE_BYTES
from lockstitch_ui.workers import apart

EVERYTHING = "*"
"""Asks for all channels, whatever their size."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of two checkpoints."""

    session_id: str
    listed: ListedCheckpoint


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs.

    skipped: channels that differ, or may, and are too large to be compared unasked. refused: how many texts and lists
    were compared as a whole, since comparing them by words or items would take too long.
    """

    parts: Sequence[ShownPart]
    skipped: Sequence[str] = field(default=())
    refused: int = 0


async def compare(client: AsyncClient, old: Side, new: Side, asked: str = "") -> Comparison:
    """Compare two checkpoints. asked: a channel that is compared whatever its size, or EVERYTHING."""
    before, after, skipped = _channels(old, new, asked)
    old_state, new_state = await asyncio.gather(
        load_state(client, old.session_id, old.listed, before), load_state(client, new.session_id, new.listed, after)
    )
    work = Work()
    parts = await apart(compared, with_state(old.listed, old_state), with_state(new.listed, new_state), work)
    return Comparison(parts, skipped, work.refused)


def _channels(old: Side, new: Side, asked: str) -> tuple[Sequence[str] | None, Sequence[str] | None, list[str]]:
    """The channels to load of each, and those that are too large."""
    if not old.listed.channels and not new.listed.channels:
        is_small = old.listed.state_bytes + new.listed.state_bytes <= 2 * MAX_STATE_BYTES
        return (None, None, []) if is_small or asked else ([], [], ["the state"])
    before = {size.channel: size for size in old.listed.channels}
    after = {size.channel: size for size in new.listed.channels}
    same_session = old.session_id == new.session_id
    total, chosen, skipped = 0, set[str](), list[str]()
    sizes = {name: sum(side[name].bytes for side in (before, after) if name in side) for name in {**before, **after}}
    for name in sorted(sizes, key=lambda name: (name != asked, sizes[name])):
        is_same = name in before and name in after and before[name].fingerprint == after[name].fingerprint
        if is_same and same_session:  # fingerprints say nothing about other sessions
            continue
        total += sizes[name]
        if total <= 2 * MAX_STATE_BYTES or asked in (name, EVERYTHING):
            chosen.add(name)
        else:
            skipped.append(name)
    return sorted(chosen & before.keys()), sorted(chosen & after.keys()), skipped
