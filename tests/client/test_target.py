"""Addresses of servers: which are taken, and what is said of the others."""

import pytest

from lockstitch import AsyncClient, Client, Tls
from lockstitch._target import parse_target

TAKEN = [
    "127.0.0.1:50051",
    "localhost:1",
    "[::1]:65535",
    "dns:///lockstitch:50051",
    "dns:lockstitch:50051",
    "dns://127.0.0.1:53/lockstitch:50051",
    "ipv4:10.0.0.1:50051,10.0.0.2:50051",
    "ipv6:[::1]:50051",
    "unix:/run/lockstitch.sock",
    "unix:///run/lockstitch.sock",
    "unix:relative",
    "unix-abstract:lockstitch",
    "xds:///lockstitch",
]
REFUSED = [
    ("", "is empty: write host:port"),
    ("http://lockstitch", 'has no port: write host:port, such as "lockstitch:50051"'),
    ("https://lockstitch:443/path", 'has more than host and port: write "https://lockstitch:443"'),
    ("https://lockstitch:443?key=x", "has more than host and port"),
    ("http://:50051", "has no host"),
    ("https://lockstitch:65536", "the port is a number"),
    ("grpc://lockstitch:1", 'has an unknown scheme: write "lockstitch:1", or "https://lockstitch:1" for TLS'),
    ("lockstitch", 'has no port: write host:port, such as "lockstitch:50051"'),
    ("127.0.0.1", 'such as "127.0.0.1:50051"'),
    ("::1", r'such as "\[::1\]:50051"'),
    ("[::1]", r'such as "\[::1\]:50051"'),
    ("dns:///lockstitch", "has no port"),
    ("ipv4:10.0.0.1:50051,10.0.0.2", "has no port"),
    ("lockstitch:", 'the port is a number from 1 to 65535, not ""'),
    ("lockstitch:grpc", "the port is a number"),
    ("lockstitch:0", "the port is a number"),
    ("lockstitch:65536", "the port is a number"),
    ("lockstitch:50051/", "the port is a number|has no port"),
    (":50051", 'has no host: write host:port, such as "127.0.0.1:50051"'),
]


@pytest.mark.parametrize("target", TAKEN)
def test_what_is_taken(target: str) -> None:
    assert parse_target(target) == (target, None)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:50051", ("127.0.0.1:50051", False)),
        ("HTTP://lockstitch:50051/", ("lockstitch:50051", False)),
        ("https://[::1]:443", ("[::1]:443", True)),
    ],
)
def test_urls_say_whether_there_is_tls(url: str, address: tuple[str, bool]) -> None:
    assert parse_target(url) == address


def test_a_url_does_not_contradict_the_credentials() -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match='not encrypted, but there are credentials: write "https://lockstitch:1"'):
            kind("http://lockstitch:1", credentials=Tls())


def test_a_user_name_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="pass key=") as caught:
        Client("https://name:secret@lockstitch:1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("target", "said"), REFUSED)
def test_what_is_refused_and_what_to_write_instead(target: str, said: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match=said) as caught:
            kind(target)
        assert f'"{target}"' in str(caught.value) or not target
