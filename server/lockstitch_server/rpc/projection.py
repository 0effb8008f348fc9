"""Some fields of a request, read by protobuf itself.

Audit, spans, logs and limits need a few fields of a request. A projection is a message type that declares only these
fields, so protobuf's own parser finds them: groups, unknown fields, overlong numbers, repeated and merged fields mean
the same to every reader. The parser skips everything else, in about 10 ns a field, without making objects.
"""

from collections.abc import Collection, Iterable
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from lockstitch_server.core.errors import Failure, Reason

Tree: TypeAlias = "dict[str, Tree]"


class Projection:
    """Reads some fields of messages of one type.

    Example: `Projection(SaveRequest.DESCRIPTOR, ["checkpoint.session_id"]).read(data).checkpoint.session_id`.
    """

    def __init__(self, message: Descriptor, paths: Iterable[str], as_bytes: Collection[str] = ()) -> None:
        """paths: the fields, with dots between names. A path that ends at a message shows only whether it is there.

        as_bytes: paths of messages that are given as their bytes, unread.
        """
        tree: Tree = {}
        for path in (*paths, *as_bytes):
            branch = tree
            for name in path.split("."):
                branch = branch.setdefault(name, {})
        file = FileDescriptorProto(name="projection.proto", package="projection", syntax="proto3")
        declared = _declare(message, tree, "", frozenset(as_bytes))
        file.message_type.append(declared)
        pool = DescriptorPool()
        pool.Add(file)  # type: ignore[no-untyped-call, unused-ignore]
        self._name = message.name
        self._class = GetMessageClass(pool.FindMessageTypeByName(f"projection.{message.name}"))

    def read(self, data: bytes) -> Any:
        """The message, with these fields; the others stay in it as unknown ones. Fails with INVALID_FIELD.

        Whatever protobuf takes for a message of the whole type is read; what fails here fails there too.
        """
        try:
            return self._class.FromString(data)
        except DecodeError as error:
            raise not_a_message(self._name) from error

    def write(self, **fields: Any) -> bytes:
        """A serialized message that has these fields.

        Example: `Projection(SaveStreamRequest.DESCRIPTOR, [], as_bytes=["batch"]).write(batch=[item])`.
        """
        data: bytes = self._class(**fields).SerializeToString()
        return data


def not_a_message(name: str) -> Failure:
    """The failure of a request that cannot be decoded."""
    return Failure(Reason.INVALID_FIELD, f"request: is no {name} message", field="request")


def _declare(source: Descriptor, tree: Tree, path: str, as_bytes: Collection[str]) -> DescriptorProto:
    """The type of a message that has the fields of a tree only."""
    whole, declared = DescriptorProto(), DescriptorProto(name=source.name)
    source.CopyToProto(whole)
    fields = {field.name: field for field in whole.field}
    for name, inner in tree.items():
        given = fields[name]
        field = declared.field.add(name=name, number=given.number, label=given.label, type=given.type)
        if given.type == FieldDescriptorProto.TYPE_MESSAGE:
            if path + name in as_bytes:
                field.type = FieldDescriptorProto.TYPE_BYTES
                continue
            inner_source = source.fields_by_name[name].message_type
            assert inner_source is not None
            nested = _declare(inner_source, inner, f"{path}{name}.", as_bytes)
            nested.name = f"{nested.name}_{name}"
            declared.nested_type.append(nested)
            field.type_name = nested.name
    return declared
