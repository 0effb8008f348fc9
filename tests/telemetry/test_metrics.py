"""Numbers: one page for all processes, which the official parser reads, and the documentation lists."""

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from promql_parser import parse

import lockstitch
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch_server.telemetry.catalogue import METRICS, Metric
from lockstitch_server.telemetry.prometheus_server import prometheus_name
from tests.support.paths import ROOT
from tests.support.server import LockstitchServer
from tests.telemetry.conftest import Start
from tests.telemetry.pages import Families, read_page, total, wait_for_page
from tests.telemetry.receiver import Receiver, attributes_of
from tests.telemetry.table import PAGE, with_table

pytestmark = pytest.mark.timeout(300)

DEPLOY = ROOT / "deploy" / "otel"
DASHBOARD = DEPLOY / "grafana-dashboard.json"
ALERTS = DEPLOY / "prometheus-alerts.yaml"
WAIT_SECONDS = 60.0
OWN = {"worker", "le"}


def address(server: LockstitchServer) -> str:
    """Where the server says that its metrics are."""
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    (listen,) = (line["listen"] for line in lines if line["message"] == "serving_metrics")
    return str(listen)


def scrape(server: LockstitchServer) -> Families:
    return read_page(address(server))


def scraped(server: LockstitchServer, found: Callable[[Families], bool]) -> Families:
    """The page, as soon as it is as it should be."""
    return wait_for_page(address(server), found)


def use(server: LockstitchServer, session: str = "s") -> None:
    """Some of every kind of call."""
    with lockstitch.Client(server.target) as client:
        client.save(Checkpoint(session_id=session, step=1))
        client.save(Checkpoint(session_id=session, step=2))
        client.load_latest(session)
        with pytest.raises(lockstitch.NotFound):
            client.load(session, step=9)
        list(client.list_sessions())


def saved(number: int) -> Callable[[Families], bool]:
    return lambda families: total(families, "lockstitch_saves_total", lockstitch_save_outcome="created") >= number


@pytest.fixture(scope="module")
def families(postgres_binaries: object) -> Iterator[Families]:
    """What a server on Postgres shows after some calls, traces on."""
    from tests.support.postgres import Postgres

    with Postgres() as postgres, pytest.MonkeyPatch.context() as patched:
        patched.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1")
        arguments = ["--migrate", "--log-format", "json", "--metrics-listen", "127.0.0.1:0"]
        with LockstitchServer(postgres.url(), arguments) as server:
            use(server)
            yield scraped(server, lambda found: saved(2)(found) and "lockstitch_sessions" in found)


class TestThePage:
    def test_counts_what_was_done(self, families: Families) -> None:
        calls = "rpc_server_call_duration_seconds_count"
        save = "lockstitch.v1.CheckpointService/Save"
        assert total(families, calls, rpc_method=save, rpc_response_status_code="OK") == 2
        assert total(families, calls, rpc_response_status_code="NOT_FOUND") == 1
        assert total(families, "lockstitch_saves_received_bytes_total") > 0
        assert total(families, "lockstitch_saves_stored_bytes_total") > 0
        assert total(families, "lockstitch_batch_size_count", lockstitch_queue="saves") >= 1
        assert total(families, "db_client_operation_duration_seconds_count", db_system_name="postgresql") >= 3
        assert total(families, "db_client_connection_max") >= 9
        assert total(families, "process_memory_usage_bytes") > 10_000_000
        assert total(families, "lockstitch_leases") == 0

    def test_has_all_metrics_and_no_other(self, families: Families) -> None:
        assert set(families) == {prometheus_name(metric) for metric in METRICS.values()}

    def test_has_few_labels_and_none_from_a_request(self, families: Families) -> None:
        by_name = {prometheus_name(metric): metric for metric in METRICS.values()}
        for name, family in families.items():
            allowed = {re.sub(r"\W", "_", each) for each in by_name[name].attributes} | OWN
            assert all(sample.labels.keys() <= allowed for sample in family.samples), name
            assert all(value != "s" for sample in family.samples for value in sample.labels.values()), name

    def test_is_what_the_documentation_lists(self) -> None:
        assert PAGE.read_text() == with_table(PAGE.read_text()), "python -m tests.telemetry.table"


class TestSeveralProcesses:
    @pytest.mark.slow
    def test_workers_are_on_one_page(self, start: Start, postgres_url: str) -> None:
        server = start(
            "--migrate", "--workers", "2", "--log-format", "json", "--metrics-listen", "127.0.0.1:0", store=postgres_url
        )
        for number in range(4):
            use(server, f"s{number}")
        # Each tells its numbers once a second; one that nobody has called may be the last to do so.
        scraped(server, lambda found: saved(8)(found) and {"1", "2"} <= workers(found))


def workers(families: Families) -> set[str]:
    """The workers whose samples are there."""
    return {sample.labels["worker"] for family in families.values() for sample in family.samples}


class TestOtlp:
    def test_carries_the_same_numbers(self, start: Start, receiver: Receiver) -> None:
        server = start(OTEL_METRICS_EXPORTER="otlp", OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"http://{receiver.address}")
        use(server)
        wanted = {"rpc.server.call.duration", "db.client.operation.duration", "process.cpu.time"}
        until = time.monotonic() + WAIT_SECONDS
        while not (2 in points(receiver, "lockstitch.saves") and wanted <= {metric.name for metric in sent(receiver)}):
            assert time.monotonic() < until
            time.sleep(0.1)
        for metric in sent(receiver):
            assert metric.unit == METRICS[metric.name].unit
            assert metric.HasField(_form(METRICS[metric.name])), metric.name


def sent(receiver: Receiver) -> Iterator[Any]:
    for request in receiver.metrics:
        for group in request.resource_metrics:
            assert attributes_of(group.resource.attributes)["service.name"] == "lockstitch"
            for scope in group.scope_metrics:
                yield from scope.metrics


def points(receiver: Receiver, name: str) -> Iterator[float]:
    for metric in sent(receiver):
        if metric.name == name:
            for point in metric.sum.data_points:
                yield point.as_double or point.as_int


def _form(metric: Metric) -> str:
    return {"histogram": "histogram", "gauge": "gauge"}.get(metric.kind, "sum")


class TestWhatLooksAtThem:
    def test_every_panel_asks_for_what_there_is(self, families: Families) -> None:
        dashboard = json.loads(DASHBOARD.read_text())
        asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
        assert len(asked) >= 12
        for expression in asked:
            check(expression.replace("$__rate_interval", "5m").replace("$instance", ".*"), families)

    def test_every_alert_asks_for_what_there_is(self, families: Families) -> None:
        rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
        assert len(rules) >= 6
        for rule in rules:
            assert {"alert", "expr", "for", "labels", "annotations"} <= rule.keys()
            check(rule["expr"], families)


def check(expression: str, families: Families) -> None:
    """A query that Prometheus understands, about metrics and labels that a server has shown."""
    assert parse(expression) is not None
    shown: dict[str, set[str]] = {}
    for family in families.values():
        for sample in family.samples:
            shown.setdefault(sample.name, set()).update(sample.labels)
    names = re.findall(
        r"\b(?:rpc|lockstitch|db|otel|process)_\w+", re.sub(r"\{[^}]*\}|(?:by|without) ?\([^)]*\)", "", expression)
    )
    assert names, expression
    assert set(names) <= shown.keys(), expression
    used = {label for part in re.findall(r"\{([^}]*)\}", expression) for label in re.findall(r"(\w+)\s*[=!]", part)}
    used |= {label.strip() for part in re.findall(r"by ?\(([^)]*)\)", expression) for label in part.split(",")}
    labels = set().union(*(shown[name] for name in names)) | {"instance", "job"}
    assert used <= labels, expression
