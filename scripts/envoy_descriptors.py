"""Write the contract, and the details of errors, as a descriptor set: what Envoy needs to turn JSON into calls.

python scripts/envoy_descriptors.py FILE
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.rpc import error_details_pb2

from lockstitch.v1 import checkpoint_service_pb2, session_service_pb2

ROOTS = (checkpoint_service_pb2.DESCRIPTOR, session_service_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR)


def descriptor_set() -> bytes:
    """The serialized FileDescriptorSet; what a file imports comes before it."""
    files: dict[str, FileDescriptorProto] = {}
    for root in ROOTS:
        for file in _with_imports(root):
            if file.name not in files:
                files[file.name] = FileDescriptorProto()
                file.CopyToProto(files[file.name])
    return FileDescriptorSet(file=files.values()).SerializeToString(deterministic=True)


def _with_imports(file: FileDescriptor) -> Iterator[FileDescriptor]:
    for imported in file.dependencies:
        yield from _with_imports(imported)
    yield file


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(descriptor_set())
