"""The Lockstitch server: a gRPC service that keeps the checkpoints of agent workflows."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("lockstitch")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0.0.0"
