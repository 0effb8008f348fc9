"""Finds sessions whose row has another key, which only damage causes.

Such a session looks new, so a save tries to create it. The unique index of session ids refuses that, which on Postgres
looks like a race with another server. So a query looks for such sessions when a batch has failed in this way.
"""

from collections.abc import Sequence

from lockstitch_server.core.errors import Failure
from lockstitch_server.core.format.rows import session_damaged
from lockstitch_server.core.planning.operations import Operation
from lockstitch_server.engine.batches import BatchTooLarge
from lockstitch_server.storage.executor import LostRace
from lockstitch_server.storage.store import Store


async def misplaced_session(store: Store, operations: Sequence[Operation], error: Exception) -> Failure | None:
    """The DATA_LOSS of a batch that failed as it may by a session whose row lies under another key; None: none does."""
    if isinstance(error, BatchTooLarge) or (isinstance(error, Failure) and not isinstance(error.__cause__, LostRace)):
        return None
    names = {operation.key: (operation.key, operation.tenant, operation.session_id) for operation in operations}
    found = await store.snapshot(lambda repository: repository.catalog.misplaced(list(names.values())))
    return next((session_damaged(names[key][2]) for key in found), None)
