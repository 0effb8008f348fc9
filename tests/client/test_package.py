"""The package as such: what it needs, what it shows."""

import inspect
import subprocess
import sys

import pytest

import lockstitch
from lockstitch import AsyncClient, Client, DeltaPolicy, RetryPolicy, SaveOutcome

# Everything outside the standard library that may be imported: the package, its two dependencies, and theirs.
ALLOWED = {"lockstitch", "grpc", "google", "typing_extensions"}

IMPORT_WITH_NOTHING_ELSE = f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in {ALLOWED!r}:
            raise ModuleNotFoundError(f"refused: {{name}}", name=name)

sys.meta_path.insert(0, Refuse())
import lockstitch
client = lockstitch.Client("127.0.0.1:1", retry=False, timeout=5)
try:
    client.save(lockstitch.Checkpoint(session_id="s"))
except lockstitch.Unavailable:
    print("fine")
print(*sorted(name for name in sys.modules if name.partition(".")[0] == "lockstitch_server"))
"""


def test_it_needs_only_grpcio_and_protobuf() -> None:
    result = subprocess.run(
        [sys.executable, "-c", IMPORT_WITH_NOTHING_ELSE], capture_output=True, text=True, check=False
    )
    assert (result.stdout.split(), result.returncode) == (["fine"], 0), result.stderr


def test_all_that_is_exported_exists() -> None:
    assert all(hasattr(lockstitch, name) for name in lockstitch.__all__)
    public = {name for name, value in vars(lockstitch).items() if not (name.startswith("_") or inspect.ismodule(value))}
    assert public == set(lockstitch.__all__)


def public_calls(client: type) -> set[str]:
    return {name for name in dir(client) if not name.startswith("_")}


def test_both_clients_have_the_same_calls() -> None:
    assert public_calls(AsyncClient) == public_calls(Client)


@pytest.mark.parametrize("name", ["__init__", *sorted(public_calls(Client))])
def test_both_clients_take_the_same_arguments(name: str) -> None:
    blocking, asynchronous = getattr(Client, name), getattr(AsyncClient, name)
    assert inspect.signature(blocking).parameters == inspect.signature(asynchronous).parameters
    assert blocking.__doc__ == asynchronous.__doc__
    assert "Async" not in str(inspect.signature(blocking).return_annotation)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RetryPolicy(max_backoff=0),
        lambda: RetryPolicy(initial_backoff=0),
        lambda: DeltaPolicy(max_bytes=0),
        lambda: DeltaPolicy(max_entries=0),
    ],
)
def test_policies_that_make_no_sense(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=r"must be|above 0"):
        make()


def test_an_outcome_of_a_newer_server() -> None:
    assert SaveOutcome(99) is SaveOutcome.UNSPECIFIED
