"""Revisions never come again, so that a delta never meets another base under the revision that its client knows."""

from lockstitch import Checkpoint, Client, message
from tests.support.server import LockstitchServer


def saved(client: Client, step: int, text: str) -> int:
    checkpoint = Checkpoint(session_id="s", step=step)
    checkpoint.state.messages.items.extend(message("user", f"{text} {number}" * 20) for number in range(step + 1))
    return client.save(checkpoint).revision


def test_a_delta_does_not_fit_a_store_that_began_anew() -> None:
    with LockstitchServer("memory://") as server, Client(server.target) as ours:
        before = [saved(ours, step, "ours") for step in (0, 1)]
        server.stop()
        server.start()  # all is gone
        with Client(server.target) as theirs:
            after = [saved(theirs, step, "theirs") for step in (0, 1)]
        assert min(after) > max(before)
        saved(ours, 2, "ours")
        latest = ours.load_latest("s").checkpoint
        assert latest is not None
        assert [item.content[:4] for item in latest.state.messages.items] == ["ours"] * 3


def test_revisions_grow_with_every_change() -> None:
    with LockstitchServer("memory://") as server, Client(server.target) as client:
        revisions = [saved(client, step, "text") for step in range(50)]
        assert revisions == sorted(set(revisions))
        assert client.load_latest("s").revision == client.load_latest("s").checkpoint_revision == revisions[-1]
