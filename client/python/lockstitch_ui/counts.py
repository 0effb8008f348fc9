"""How many checkpoints a rewind takes."""

from contextlib import aclosing
from dataclasses import dataclass

from lockstitch import AsyncClient, ListedCheckpoint, Loaded, View

MOST_COUNTED = 20_000
"""Longer histories are not counted to the end."""
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Taken:
    """What a rewind takes. exact: False where there are more than were counted."""

    checkpoints: int
    of: int
    exact: bool


async def taken_by_rewind(client: AsyncClient, to: Loaded) -> Taken:
    """What comes after a checkpoint: greater ids in its namespace, and what was saved later in others."""
    pager = client.list_checkpoints(to.checkpoint.session_id, view=View.HEADER, page_size=PAGE)
    taken = seen = 0
    async with aclosing(pager.pages()) as pages:
        async for found in pages:
            seen += len(found.items)
            taken += sum(_comes_after(each, to) for each in found.items)
            if seen >= MOST_COUNTED and found.next_page_token:
                return Taken(taken, seen, exact=False)
    return Taken(taken, seen, exact=True)


def _comes_after(other: ListedCheckpoint, to: Loaded) -> bool:
    if other.checkpoint.namespace != to.checkpoint.namespace:
        return other.revision > to.checkpoint_revision
    return other.checkpoint.checkpoint_id.encode() > to.checkpoint.checkpoint_id.encode()
