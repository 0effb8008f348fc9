"""First-byte times of the session explorer's pages, over as many sessions as the largest store has, and a long one."""

import asyncio
import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager

import lockstitch
from benchmarks.options import Options
from benchmarks.parts.rates import tell
from benchmarks.results import Results
from benchmarks.servers import lockstitch as server_on
from benchmarks.servers import sqlite_url
from lockstitch_ui.urls import session_url, with_query
from tests.ui.explorer import Explorer

LOADS = 10
"""How often each page is loaded; the first load does not count."""
IN_FLIGHT = 256
LONG = "long"


def run(options: Options, results: Results) -> None:
    """On SQLite, beside a server that does nothing else."""
    count, steps = max(options.sessions), max(options.turns)
    with sqlite_url() as url, server_on(url) as server:
        asyncio.run(_fill(server.target, count, steps))
        with Explorer(server.target) as explorer:
            for name, path in _pages(server.target).items():
                _load(explorer.port, path)
                for _ in range(LOADS):
                    results.add("explorer", {"first_byte": _load(explorer.port, path)}, page=name, sessions=count)
                tell(f"explorer: {name}: {1e3 * (results.median('explorer', 'first_byte', page=name) or 0):.0f} ms")


def _pages(target: str) -> dict[str, str]:
    """The pages that are loaded. The last page of the list is the farthest that tokens lead to in 100 pages."""
    with lockstitch.Client(target) as client:
        pages = client.list_sessions(page_size=1000, order_by=lockstitch.SessionOrder.SESSION_ID).pages()
        tokens = [token for token in (page.next_page_token for page, _ in zip(pages, range(90), strict=False)) if token]
    deep = {"order": "id", "page": tokens[-1]} if tokens else {"order": "id"}
    return {
        "Sessions, first page": "/sessions",
        "Sessions, far down the list": with_query("/sessions", deep),
        "Sessions with a prefix": "/sessions?prefix=session-01",
        "Sessions with a label": "/sessions?label=team%3Dbilling",
        "Sessions that failed": "/sessions?status=failed",
        "Overview": "/overview",
        "A session of many steps": session_url(LONG),
    }


async def _fill(target: str, sessions: int, steps: int) -> None:
    """Store sessions, one in a hundred of which has failed and has a label, and a long one."""
    slots = asyncio.Semaphore(IN_FLIGHT)
    async with lockstitch.AsyncClient(target, delta=True) as client:

        async def save(number: int) -> None:
            async with slots:
                name = f"session-{number:06}"
                await client.save(_checkpoint(name, 1, failed=number % 100 == 0))
                if number % 100 == 0:
                    await client.update_session(name, set_labels={"team": "billing"})

        for start in range(0, sessions, 10_000):
            await asyncio.gather(*(save(number) for number in range(start, min(start + 10_000, sessions))))
        state = lockstitch.VersionedState(messages=lockstitch.MessagesChannel())
        for step in range(1, steps + 1):
            state.messages.version = step
            state.messages.items.append(lockstitch.message("user", f"message {step} " * 20))
            await client.save(lockstitch.Checkpoint(session_id=LONG, step=step, state=state, parent_id=_parent(step)))


def _parent(step: int) -> str:
    return f"{step - 1:020}" if step > 1 else ""


def _checkpoint(name: str, step: int, *, failed: bool) -> lockstitch.Checkpoint:
    state = lockstitch.VersionedState(
        messages=lockstitch.MessagesChannel(version=1, items=[lockstitch.message("user", "Where is my order?")])
    )
    if failed:
        scope = lockstitch.ErrorScope(node=lockstitch.ErrorScope.Node(kind="Custom:write", step=step))
        error = lockstitch.ErrorEvent(scope=scope, error=lockstitch.WeaveError(message="HTTP 500"))
        state.errors.CopyFrom(lockstitch.ErrorsChannel(version=1, items=[error]))
    return lockstitch.Checkpoint(
        session_id=name,
        step=step,
        state=state,
        frontier=[lockstitch.node("write")],
        ran_nodes=[lockstitch.node("plan")],
    )


def _load(port: int, path: str) -> float:
    """Seconds to the first byte of a page."""
    with _connection(port) as connection:
        begun = time.perf_counter()
        connection.request("GET", path)
        response = connection.getresponse()
        first = time.perf_counter() - begun
        body = response.read()
    if response.status != 200:
        raise RuntimeError(f"{path}: {response.status}: {body[:500].decode(errors='replace')}")
    return first


@contextmanager
def _connection(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.connect()
        yield connection
    finally:
        connection.close()
