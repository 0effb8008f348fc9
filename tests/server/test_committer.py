"""One operation that breaks its batch."""

import pytest

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest
from lockstitch_server.core import plan
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.heads import Heads
from lockstitch_server.core.intake import save_operation
from lockstitch_server.core.operations import Operation, Saved
from lockstitch_server.engine.committer import Committer
from lockstitch_server.storage.sqlite import SqliteStore


def save(session: str, step: int) -> Operation:
    return save_operation(SaveRequest(checkpoint=Checkpoint(session_id=session, step=step)), "tenant")


async def test_it_fails_alone_and_the_others_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[str] = []
    check = plan._check_parts  # every save that changes something comes by here

    def break_some(*arguments: object) -> None:
        if planned[-1] == "bad":
            raise RuntimeError("broken")
        check(*arguments)  # type: ignore[arg-type]  # what it was called with

    of_save = plan._plan_save

    async def note(save: object, *rest: object) -> Saved:
        planned.append(save.session_id)  # type: ignore[attr-defined]  # it is a save
        return await of_save(save, *rest)  # type: ignore[arg-type]  # what it was called with

    monkeypatch.setattr(plan, "_plan_save", note)
    monkeypatch.setattr(plan, "_check_parts", break_some)
    store = SqliteStore(":memory:")
    await store.open()
    try:
        committer = Committer(store, Heads(10**6), 10**6, 100)
        results = await committer.commit([save("a", 1), save("bad", 1), save("a", 2), save("b", 1)])
    finally:
        await store.close()
    assert [isinstance(result, Saved) for result in results] == [True, False, True, True]
    failure = results[1]
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.INTERNAL
    assert planned[-4:] == ["a", "bad", "a", "b"]
