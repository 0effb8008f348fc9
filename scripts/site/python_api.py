"""The reference of the Python client: what `lockstitch` exports, out of its docstrings."""

import lockstitch
from lockstitch import plain


def page() -> str:
    """One entry for each class and function that is exported."""
    names = [f"lockstitch.{name}" for name in lockstitch.__all__ if _is_ours(name)]
    names += [f"lockstitch.plain.{name}" for name in plain.__all__]
    entries = "\n\n".join(f"::: {name}" for name in names)
    return (
        "# The Python client\n\n[The tour](../clients/python.md) explains it by examples. The messages of the "
        f"[contract](contract.md) are in `lockstitch`, too.\n\n{entries}\n"
    )


def _is_ours(name: str) -> bool:
    """Not a message of the contract, nor what gRPC has."""
    module: str = getattr(getattr(lockstitch, name), "__module__", "")
    return module.startswith("lockstitch.") and not module.startswith("lockstitch.v1")
