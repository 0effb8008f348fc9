"""Roles that one server has for all servers of a store, such as sweeping. A lease keeps a role."""

from lockstitch_server.storage.session_repository import SessionRepository


async def acquire_leadership(repository: SessionRepository, role: str, holder: str, lease: int) -> bytes | None:
    """Take or keep a role for a time in ns. Gives the position reached; None where another server has the role."""
    values = {"name": role, "holder": holder, "lease": lease, "position": b""}
    rows = await repository.executor.fetch("acquire_leadership", values)
    return rows[0][0] if rows else None


async def put_position(repository: SessionRepository, role: str, holder: str, position: bytes) -> None:
    """Store the position reached."""
    await repository.executor.run_all("put_position", [{"name": role, "holder": holder, "position": position}])


async def resign(repository: SessionRepository, role: str, holder: str) -> None:
    """Leave a role to other servers."""
    await repository.executor.run_all("resign", [{"name": role, "holder": holder}])
