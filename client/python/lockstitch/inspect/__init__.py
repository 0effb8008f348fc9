"""What a checkpoint says, for people: its values as plain data, what ran, what is next, and what stands in the way.

Everything here is a pure function over what the client returns. No class that a stored value names is ever imported or
made, and what is read of a value is bounded.

    with lockstitch.Client("127.0.0.1:50051") as client:
        latest = client.load_latest("order-42")
        print(progress(latest.checkpoint, latest.pending_writes).next_nodes)
"""

from lockstitch.inspect._chat import ChatMessage, ToolCall, chat, chat_of, message
from lockstitch.inspect._compare import ItemChange, PartChange, compare
from lockstitch.inspect._diff import Change, ChangeKind, Piece, Work, diff, word_diff
from lockstitch.inspect._instance import Instance
from lockstitch.inspect._plain import plain_state, to_plain
from lockstitch.inspect._progress import (
    STATUS_CHANNELS,
    Interrupt,
    Problem,
    Progress,
    names,
    node_of,
    progress,
    ran_needs_parent,
)
from lockstitch.inspect._status import Status, StatusKind, status
from lockstitch.inspect._values import Decoded, Encoding, Plain, chunk_size, decode, is_chunk, items, read_json, to_json

__all__ = [
    "STATUS_CHANNELS",
    "Change",
    "ChangeKind",
    "ChatMessage",
    "Decoded",
    "Encoding",
    "Instance",
    "Interrupt",
    "ItemChange",
    "PartChange",
    "Piece",
    "Plain",
    "Problem",
    "Progress",
    "Status",
    "StatusKind",
    "ToolCall",
    "Work",
    "chat",
    "chat_of",
    "chunk_size",
    "compare",
    "decode",
    "diff",
    "is_chunk",
    "items",
    "message",
    "names",
    "node_of",
    "plain_state",
    "progress",
    "ran_needs_parent",
    "read_json",
    "status",
    "to_json",
    "to_plain",
    "word_diff",
]
