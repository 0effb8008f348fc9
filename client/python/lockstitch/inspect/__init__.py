"""What a checkpoint says, for people: its values as plain data, what ran, what is next, and what stands in the way.

Everything here is a pure function over what the client returns. No class that a stored value names is ever imported or
made, and what is read of a value is bounded.

    with lockstitch.Client("127.0.0.1:50051") as client:
        latest = client.load_latest("order-42")
        print(progress(latest.checkpoint, latest.pending_writes).next_nodes)
"""

from lockstitch.inspect._chat import ChatMessage, ToolCall, chat, message
from lockstitch.inspect._diff import Change, ChangeKind, Piece, diff, word_diff
from lockstitch.inspect._instance import Instance
from lockstitch.inspect._progress import Interrupt, Problem, Progress, progress
from lockstitch.inspect._status import Status, StatusKind, status
from lockstitch.inspect._values import Decoded, Encoding, Plain, decode, is_chunk, items, to_json

__all__ = [
    "Change",
    "ChangeKind",
    "ChatMessage",
    "Decoded",
    "Encoding",
    "Instance",
    "Interrupt",
    "Piece",
    "Plain",
    "Problem",
    "Progress",
    "Status",
    "StatusKind",
    "ToolCall",
    "chat",
    "decode",
    "diff",
    "is_chunk",
    "items",
    "message",
    "progress",
    "status",
    "to_json",
    "word_diff",
]
