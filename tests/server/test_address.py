"""Addresses that are reserved: for the workers of one server, and for nobody else."""

import errno
import multiprocessing
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, suppress
from multiprocessing.synchronize import Barrier

import pytest

from lockstitch_server.runtime.reserved_address import reserved
from lockstitch_server.runtime.startup import StartupError

LISTENS = ["127.0.0.1:0", "localhost:0", "0.0.0.0:0", "[::]:0", "[::1]:0"]
ROUNDS = 1500

meet: Barrier


@pytest.fixture(params=LISTENS)
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    try:
        with reserved(request.param) as address:
            yield address
    except StartupError as error:
        pytest.skip(str(error))  # a machine without IPv6


def listener(address: str, *, shared: bool) -> socket.socket:
    """What a server opens."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    opened = socket.socket(family)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        opened.bind((host.strip("[]"), int(port)))
        opened.listen()
    except OSError:
        opened.close()
        raise
    return opened


def linger(server: socket.socket) -> None:
    """Let the port of a server have a connection that has ended."""
    client = socket.create_connection(server.getsockname())
    connection, _ = server.accept()
    connection.close()  # first: so it is this side that remembers the connection for a minute
    client.close()


def test_port_0_becomes_a_port(address: str) -> None:
    assert int(address.rpartition(":")[2]) > 0


def test_workers_share_it(address: str) -> None:
    with ExitStack() as workers:
        for _ in range(3):
            workers.enter_context(listener(address, shared=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_nobody_else_gets_it(address: str, workers: int) -> None:
    """Whether workers are there already, or all of them have just died."""
    with ExitStack() as opened:
        for _ in range(workers):
            opened.enter_context(listener(address, shared=True))
        with pytest.raises(OSError, match=os.strerror(errno.EADDRINUSE)):
            listener(address, shared=False)
        with pytest.raises(StartupError, match="in use"), reserved(address):
            pass


@pytest.mark.parametrize("shared", [False, True])
def test_what_is_taken_is_refused(shared: bool) -> None:
    with closing(listener("127.0.0.1:0", shared=shared)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StartupError, match=f"cannot listen on {listen}: the port is in use"), reserved(listen):
            pass


def test_it_is_free_afterwards_although_connections_linger() -> None:
    with reserved("127.0.0.1:0") as address, closing(listener(address, shared=True)) as server:
        linger(server)
    with reserved(address), closing(listener(address, shared=True)):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("lingers", [False, True])
def test_of_two_that_ask_at_once_one_at_most_gets_it(lingers: bool) -> None:
    """Otherwise two servers, perhaps with two databases, would share the calls of a port without notice."""
    with reserved("127.0.0.1:0") as address, closing(listener(address, shared=True)) as server:
        if lingers:
            linger(server)
    processes = multiprocessing.get_context("spawn")
    meet = processes.Barrier(2, timeout=60)
    with ProcessPoolExecutor(2, processes, _meet_at, (meet,)) as pool:
        one, other = pool.map(rounds_that_got, [address] * 2)
    assert not one & other
    with reserved(address):
        pass


def _meet_at(barrier: Barrier) -> None:
    global meet
    meet = barrier


def rounds_that_got(address: str) -> set[int]:
    """The rounds in which this process got an address. Another one asks for it at the same moments."""
    got = set()
    for number in range(ROUNDS):
        meet.wait()
        with suppress(StartupError), reserved(address):
            got.add(number)
            meet.wait()
            continue
        meet.wait()
    return got


@pytest.mark.parametrize("listen", ["203.0.113.1:0", "no-such-host.invalid:0"])
def test_what_is_not_here_is_refused(listen: str) -> None:
    with pytest.raises(StartupError, match=listen), reserved(listen):
        pass
