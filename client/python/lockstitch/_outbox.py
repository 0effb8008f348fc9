"""What a stream has to send, and what of that has no answer yet."""

from collections import OrderedDict

from lockstitch._item import Item


class Outbox:
    """Gives items out. The items of one session keep the order in which they came in."""

    def __init__(self) -> None:
        self.waiting: dict[int, Item] = {}
        """All that have no answer, by number."""
        self._unsent: OrderedDict[int, Item] = OrderedDict()
        self._held: dict[str, dict[int, Item]] = {}  # by session

    def add(self, item: Item) -> None:
        """Take in an item whose number is above those of all before it."""
        self.waiting[item.number] = self._unsent[item.number] = item

    def take(self, most: int = 1, most_bytes: int = 0) -> list[Item]:
        """The next items to send, up to a number. None: there is nothing to send now.

        most_bytes: how many bytes they may have together, unless it is one alone.
        """
        items: list[Item] = []
        while self._unsent and len(items) < most:
            number, item = next(iter(self._unsent.items()))
            most_bytes -= len(item.request)
            if items and most_bytes < 0:
                break
            del self._unsent[number]
            if self._held and item.session_id in self._held:
                self._held[item.session_id][number] = item
            else:
                item.sent = True
                items.append(item)
        return items

    def remove(self, number: int) -> Item | None:
        """Let go of an item that has its answer, or that nobody waits for any more. None: it is gone already."""
        self._unsent.pop(number, None)
        return self.waiting.pop(number, None)

    def restart(self) -> None:
        """Give everything out again that has no answer."""
        self._unsent = OrderedDict(self.waiting)
        for item in self.waiting.values():
            item.sent = False

    def hold(self, item: Item) -> bool:
        """Give this item out again, but not before its session is released; what came after it waits with it.

        False: its session was held already.
        """
        new = item.session_id not in self._held
        item.sent = False
        self._held.setdefault(item.session_id, {})[item.number] = item
        return new

    def release(self, session_id: str) -> None:
        """Give out what was held."""
        held = self._held.pop(session_id)
        held.update((item.number, item) for item in self._unsent.values() if item.session_id == session_id)
        for number in sorted(held.keys() & self.waiting.keys()):
            self._unsent.pop(number, None)
            self._unsent[number] = held[number]

    def sent(self) -> list[Item]:
        """What has gone out and has no answer, in its order."""
        return [item for item in self.waiting.values() if item.sent]
