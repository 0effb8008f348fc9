"""A protoc plugin that writes everything Python needs: messages, services, and the types of both.

For `x.proto` that is `x_pb2.py` and `x_pb2.pyi`, and where it has services `x_pb2_grpc.py` and `x_pb2_grpc.pyi`. The
code comes from grpcio-tools, whose protoc has its Python generator built in, out of reach of other drivers (buf): here
it is handed the descriptors that the driver read. The types come from mypy-protobuf's plugins.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc


def run_protoc(generator: str, request: CodeGeneratorRequest) -> CodeGeneratorResponse:
    """What a generator that is built into grpcio-tools' protoc answers."""
    response = CodeGeneratorResponse()
    with tempfile.TemporaryDirectory() as scratch:
        descriptors, out = Path(scratch, "descriptors.bin"), Path(scratch, "out")
        out.mkdir()
        descriptors.write_bytes(FileDescriptorSet(file=request.proto_file).SerializeToString())
        arguments = [f"--descriptor_set_in={descriptors}", f"--{generator}_out={out}", *request.file_to_generate]
        if status := protoc.main(["protoc", *arguments]):
            raise SystemExit(status)
        for path in sorted(out.rglob("*.py")):
            response.file.add(name=path.relative_to(out).as_posix(), content=path.read_text(encoding="utf-8"))
    return response


def run_plugin(plugin: str, request: CodeGeneratorRequest) -> CodeGeneratorResponse:
    """What an ordinary protoc plugin answers."""
    answer = subprocess.run([plugin], input=request.SerializeToString(), stdout=subprocess.PIPE, check=True)
    return CodeGeneratorResponse.FromString(answer.stdout)


def generate(request: CodeGeneratorRequest) -> CodeGeneratorResponse:
    request.parameter = "quiet"
    response = CodeGeneratorResponse(supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL)
    response.file.extend(run_protoc("python", request).file)
    response.file.extend(run_plugin("protoc-gen-mypy", request).file)

    wanted = set(request.file_to_generate)
    request.file_to_generate[:] = [file.name for file in request.proto_file if file.name in wanted and file.service]
    if request.file_to_generate:
        response.file.extend(run_protoc("grpc_python", request).file)
        response.file.extend(run_plugin("protoc-gen-mypy_grpc", request).file)
    return response


if __name__ == "__main__":
    answer = generate(CodeGeneratorRequest.FromString(sys.stdin.buffer.read()))
    sys.stdout.buffer.write(answer.SerializeToString())
