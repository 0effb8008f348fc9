"""Plain state: dicts, dataclasses and models in place of the contract's messages. See `Thread`."""

from lockstitch.plain._codec import Codec, JsonCodec
from lockstitch.plain._layout import PLAIN_STATE
from lockstitch.plain._thread import AsyncThread, Thread, Version

__all__ = ["PLAIN_STATE", "AsyncThread", "Codec", "JsonCodec", "Thread", "Version"]
