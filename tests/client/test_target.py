"""Addresses of servers: which are taken, and what is said of the others."""

import pytest

from lockstitch import AsyncClient, Client
from lockstitch._target import check_target

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
    ("http://127.0.0.1:50051", 'is a URL: write host:port, such as "127.0.0.1:50051"'),
    ("http://lockstitch", 'such as "lockstitch:50051"'),
    ("https://lockstitch:443/path", r'such as "lockstitch:443"; for TLS pass credentials=Tls\(\)'),
    ("grpc://lockstitch:1", "is a URL"),
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
    check_target(target)


@pytest.mark.parametrize(("target", "said"), REFUSED)
def test_what_is_refused_and_what_to_write_instead(target: str, said: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match=said) as caught:
            kind(target)
        assert f'"{target}"' in str(caught.value) or not target
