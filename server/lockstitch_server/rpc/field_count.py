"""How many fields a message has, counted before it is parsed: each becomes an object of up to 200 bytes in memory."""

from typing import TypeAlias

from google.protobuf.descriptor import Descriptor

from lockstitch_server.core.errors import Failure, Reason

VARINT, LENGTH_DELIMITED = 0, 2
SIZES = {1: 8, 5: 4, 3: 0, 4: 0}
"""Of the values of other wire types; those of groups have none of their own."""
MOST_IN_A_BYTE = 0x7F
LAST_SHIFT = 63
"""Of the tenth byte of a number, beyond which protobuf takes none."""

Messages: TypeAlias = "dict[int, Messages]"
"""The fields of a type that are messages themselves: their types, by number."""


class FieldCounter:
    """Counts the fields of messages up to a limit.

    most: fields that a message may have, those of messages within it included. named: the setting that says so.
    """

    def __init__(self, most: int, named: str) -> None:
        self.most = most
        self._named = named
        self._types: dict[str, Messages] = {}

    def check(self, message: Descriptor, data: bytes) -> int:
        """How many fields a message has. Fails with INVALID_FIELD where it has too many.

        What is no message is for its parser to refuse.
        """
        stack, count = [(0, len(data), self._messages(message))], 0
        while stack:
            place, end, messages = stack.pop()
            try:
                while place < end:
                    count += 1
                    if count > self.most:
                        raise self._failure()
                    tag, place = _varint(data, place)
                    kind = tag & 7
                    if kind == VARINT:
                        _, place = _varint(data, place)
                    elif kind == LENGTH_DELIMITED:
                        size, place = _varint(data, place)
                        inner = messages.get(tag >> 3)
                        if inner is not None and size:
                            stack.append((place, min(place + size, end), inner))
                        place += size
                    else:
                        place += SIZES[kind]
            except (IndexError, KeyError):
                continue
        return count

    def _messages(self, message: Descriptor) -> Messages:
        known = self._types.get(message.full_name)
        if known is None:
            known = self._types[message.full_name] = {}
            for field in message.fields:
                if field.message_type is not None:
                    known[field.number] = self._messages(field.message_type)
        return known

    def _failure(self) -> Failure:
        return Failure(
            Reason.INVALID_FIELD,
            f"request: has more than {self.most} fields, those of messages within it included; the limit is "
            f"{self.most} ({self._named}): send it in several requests",
            field="request",
            limit=self.most,
        )


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """The number at a place, and the place after it. Raises IndexError where it is none."""
    number = data[place]
    if number <= MOST_IN_A_BYTE:
        return number, place + 1
    number, shift = number & MOST_IN_A_BYTE, 7
    while (byte := data[place + 1]) > MOST_IN_A_BYTE:
        number |= (byte & MOST_IN_A_BYTE) << shift
        shift += 7
        place += 1
        if shift > LAST_SHIFT:
            raise IndexError(place)
    return number | byte << shift, place + 2
