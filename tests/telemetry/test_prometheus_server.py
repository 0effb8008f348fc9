"""Only one path of the metrics address has anything."""

import urllib.error
import urllib.request

import pytest

from lockstitch_server.telemetry.prometheus_server import PrometheusServer


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:0"])
def test_other_paths_are_not_found(listen: str) -> None:
    page = PrometheusServer(listen, lambda: ())
    try:
        for path in ("/metrics", "/metrics?name[]=up"):
            with urllib.request.urlopen(f"http://{page.address}{path}", timeout=30) as answer:
                assert answer.status == 200
        for path in ("/", "/metric", "/metrics/", "/healthz"):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(f"http://{page.address}{path}", timeout=30)
            assert caught.value.code == 404
            assert caught.value.read() == b"Metrics are served at /metrics.\n"
    finally:
        page.close()
