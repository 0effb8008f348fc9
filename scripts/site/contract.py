"""The reference of the contract, out of the comments in proto/."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "lockstitch.v1"
FILES = ("checkpoint_service", "session_service", "checkpoint", "error")
# Numbers of fields in descriptor.proto, of which the paths to comments consist.
MESSAGES, ENUMS, SERVICES = 4, 5, 6
FIELDS, NESTED, NESTED_ENUMS = 2, 3, 4
VALUES = METHODS = 2

Place = tuple[int, ...]


@dataclass(frozen=True)
class Source:
    """A file, and its comments by their places."""

    file: FileDescriptorProto
    comments: dict[Place, str]

    def comment(self, *place: int) -> str:
        return self.comments.get(place, "")


@cache
def sources() -> dict[str, Source]:
    """The files of the contract, by name without folder and suffix."""
    buf = Path(sys.executable).with_name("buf")
    built = subprocess.run([buf, "build", "-o", "-#format=binpb"], cwd=ROOT, capture_output=True, check=True)
    files = {Path(file.name).stem: file for file in FileDescriptorSet.FromString(built.stdout).file}
    return {name: Source(files[name], _comments(files[name])) for name in FILES}


def _comments(file: FileDescriptorProto) -> dict[Place, str]:
    return {
        tuple(location.path): _text(location.leading_comments or location.trailing_comments)
        for location in file.source_code_info.location
        if location.leading_comments or location.trailing_comments
    }


def _text(comment: str) -> str:
    """As Markdown: a name in angle brackets is no HTML."""
    lines = (line.removeprefix(" ").rstrip() for line in comment.strip("\n").split("\n"))
    return "\n".join(lines).replace("<", "&lt;").strip()


def contract_page() -> str:
    """All services and messages."""
    parts = [
        "# The contract",
        f"Package `{PACKAGE}`. This page is made from the comments of the files in "
        "[proto/lockstitch/v1](../../proto/lockstitch/v1), which are the contract.",
    ]
    for name, source in sources().items():
        if name != "error":
            parts += _file(source)
    return "\n\n".join(parts) + "\n"


def errors_page() -> str:
    """All reasons of errors."""
    source = sources()["error"]
    (place, reasons), *_ = [
        (index, enum) for index, enum in enumerate(source.file.enum_type) if enum.name == "ErrorReason"
    ]
    rows = [
        f"| `{value.name.removeprefix('ERROR_REASON_')}` | {_cell(source.comment(ENUMS, place, VALUES, index))} |"
        for index, value in enumerate(reasons.value)
        if value.number
    ]
    return "\n".join(
        [
            "# Reasons of errors",
            "",
            source.comment(ENUMS, place),
            "",
            "| reason | status, meaning, metadata |",
            "| --- | --- |",
            *rows,
            "",
        ]
    )


def _file(source: Source) -> Iterator[str]:
    for index, service in enumerate(source.file.service):
        yield from _service(source, service, index)
    for index, message in enumerate(source.file.message_type):
        yield from _message(source, message, (MESSAGES, index))
    for index, enum in enumerate(source.file.enum_type):
        yield from _enum(source, enum, enum.name, (ENUMS, index))


def _service(source: Source, service: ServiceDescriptorProto, index: int) -> Iterator[str]:
    yield f"## {service.name}"
    yield source.comment(SERVICES, index)
    for number, method in enumerate(service.method):
        yield f"### {service.name}.{method.name}"
        sends = f"{'stream of ' if method.client_streaming else ''}{_link(method.input_type)}"
        returns = f"{'stream of ' if method.server_streaming else ''}{_link(method.output_type)}"
        yield f"{sends} → {returns}"
        yield source.comment(SERVICES, index, METHODS, number)


def _message(source: Source, message: DescriptorProto, place: Place, outer: str = "") -> Iterator[str]:
    if message.options.map_entry:
        return
    name = f"{outer}{message.name}"
    yield f"### {name}"
    yield source.comment(*place)
    rows = [
        f"| `{field.name}` | {_type(message, field)} | {_cell(source.comment(*place, FIELDS, index))} |"
        for index, field in enumerate(message.field)
    ]
    if rows:
        yield "\n".join(["| field | type | meaning |", "| --- | --- | --- |", *rows])
    for index, nested in enumerate(message.nested_type):
        yield from _message(source, nested, (*place, NESTED, index), f"{name}.")
    for index, enum in enumerate(message.enum_type):
        yield from _enum(source, enum, f"{name}.{enum.name}", (*place, NESTED_ENUMS, index))


def _enum(source: Source, enum: EnumDescriptorProto, name: str, place: Place) -> Iterator[str]:
    yield f"### {name}"
    yield source.comment(*place)
    rows = [
        f"| `{value.name}` | {value.number} | {_cell(source.comment(*place, VALUES, index))} |"
        for index, value in enumerate(enum.value)
    ]
    yield "\n".join(["| value | number | meaning |", "| --- | --- | --- |", *rows])


def _type(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    for nested in message.nested_type:
        if nested.options.map_entry and field.type_name.endswith(f".{nested.name}"):
            key, value = nested.field
            return f"map of {_type(message, key)} to {_type(message, value)}"
    scalar = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    name = _link(field.type_name) if field.type_name else f"`{scalar}`"
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {name}"
    return f"optional {name}" if field.proto3_optional else name


def _link(full_name: str) -> str:
    name = full_name.removeprefix(".")
    if not name.startswith(f"{PACKAGE}."):
        return f"`{name}`"
    short = name.removeprefix(f"{PACKAGE}.")
    page = "errors.md" if short == "ErrorReason" else ""
    anchor = "" if page else re.sub(r"[^a-z0-9_-]", "", short.lower())
    return f"[{short}]({page}{'#' + anchor if anchor else ''})" if page or _on_page(short) else f"`{short}`"


def _on_page(short: str) -> bool:
    top = short.partition(".")[0]
    files = [source.file for name, source in sources().items() if name != "error"]
    messages = {each.name for file in files for each in file.message_type}
    return top in messages | {each.name for file in files for each in file.enum_type}


def _cell(text: str) -> str:
    """In a table: one line, in which a bar is no border."""
    return " ".join(text.split()).replace("|", "\\|")
