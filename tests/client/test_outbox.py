"""What goes out when: each session in its order, whatever is answered, refused, given up or sent again."""

from typing import Any, cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lockstitch._item import Item
from lockstitch._outbox import Outbox

SESSIONS = ["a", "b"]


class OutboxMachine(RuleBasedStateMachine):
    """Checks every item that is taken; `sent` are those on the stream of now, in the order in which they were taken."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox()
        self.number = 0
        self.sent: list[Item] = []
        self.waiting: dict[int, Item] = {}
        self.held: set[str] = set()

    @rule(session=st.sampled_from(SESSIONS))
    def add(self, session: str) -> None:
        self.number += 1
        item = Item(self.number, session, bytes(self.number % 3), 0.0, 1.0, cast("Any", None))
        self.waiting[self.number] = item
        self.outbox.add(item)

    @rule(most=st.integers(1, 4), most_bytes=st.integers(0, 6))
    def take(self, most: int, most_bytes: int) -> None:
        items = self.outbox.take(most, most_bytes)
        assert len(items) <= most
        assert len(items) < 2 or sum(len(item.request) for item in items) <= most_bytes
        if not items:
            assert all(other in self.sent or other.session_id in self.held for other in self.waiting.values())
        for item in items:
            self.note(item)

    def note(self, item: Item) -> None:
        assert item.number in self.waiting
        assert item not in self.sent
        assert item.session_id not in self.held
        before = [other for other in self.waiting.values() if other.session_id == item.session_id]
        assert all(other in self.sent for other in before if other.number < item.number), "it has overtaken another"
        self.sent.append(item)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        item = self.waiting.pop(data.draw(st.sampled_from(sorted(self.waiting))))
        assert self.outbox.remove(item.number) is item
        assert self.outbox.remove(item.number) is None
        self.sent = [other for other in self.sent if other is not item]

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        item = self.sent.pop(data.draw(st.integers(0, len(self.sent) - 1)))
        assert self.outbox.hold(item) is (item.session_id not in self.held)
        self.held.add(item.session_id)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(sorted(self.held)))
        self.held.remove(session)
        self.outbox.release(session)

    @rule()
    def restart(self) -> None:
        self.sent.clear()
        self.outbox.restart()

    @invariant()
    def what_is_sent_is_known(self) -> None:
        assert {item.number for item in self.outbox.sent()} == {item.number for item in self.sent}
        assert self.outbox.waiting == self.waiting

    def teardown(self) -> None:
        for session in self.held:
            self.outbox.release(session)
        self.held.clear()
        while len(self.sent) < len(self.waiting):
            count = len(self.sent)
            self.take(1, 0)
            assert len(self.sent) > count, "something will never be sent"


TestOutbox = OutboxMachine.TestCase
