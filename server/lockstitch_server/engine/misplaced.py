"""Sessions whose row lies under another key, which damage alone brings about.

Under its own key such a session looks new, so a save creates it: the unique index of session ids refuses that, and on
Postgres it looks like a race with another server. Only when a batch has failed so is it worth a query to know.
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
