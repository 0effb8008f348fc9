"""The chart: what it renders is valid, hangs together, and is what the server takes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.charts import CHART, VALUES, Resource, library, of_kind, pods, render, rendered, server_pod
from tests.support.requirements import missing

try:
    import kubernetes_validate
except ImportError:
    kubernetes_validate = None

pytestmark = pytest.mark.slow

VERSIONS = ("1.28.0", "1.37.0")
CUSTOM = {
    "Certificate": "cert-manager.io/v1",
    "GRPCRoute": "gateway.networking.k8s.io/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
}
"""Kinds of others, whose schemas no library has."""

every = pytest.mark.parametrize("values", VALUES, ids=[path.stem for path in VALUES])


def test_lint_finds_nothing() -> None:
    found = library().lint(str(CHART))
    assert found["errors"] == []
    assert [message["error"] for message in found["messages"]] == ["icon is recommended"]


@every
def test_resources_are_valid(values: Path) -> None:
    if kubernetes_validate is None:
        missing("kubernetes-validate is not installed: make .venv/.deploy")
    for resource in rendered(values):
        if resource["kind"] in CUSTOM:
            assert resource["apiVersion"] == CUSTOM[resource["kind"]]
            continue
        for version in VERSIONS:
            kubernetes_validate.validate(resource, version, strict=True)


@every
def test_names_and_labels_fit(values: Path) -> None:
    """Selectors select a pod; ports and volumes that are named exist; nobody is root."""
    resources = rendered(values)
    labels = [pod["metadata"]["labels"] for _, pod in pods(resources)]
    for resource in of_kind(resources, "Service", "PodDisruptionBudget", "NetworkPolicy", "Deployment", "StatefulSet"):
        assert any(_selector(resource).items() <= each.items() for each in labels), resource["metadata"]["name"]
    for workload, pod in pods(resources):
        if workload["kind"] != "Job":
            assert _selector(workload).items() <= pod["metadata"]["labels"].items()
        _check_pod(workload, pod["spec"])
    for monitor in of_kind(resources, "ServiceMonitor"):
        services = of_kind(resources, "Service")
        (service,) = (each for each in services if _selector(monitor).items() <= each["metadata"]["labels"].items())
        assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
    accounts = {each["metadata"]["name"] for each in of_kind(resources, "ServiceAccount")} | {"default"}
    assert server_pod(resources)["spec"]["serviceAccountName"] in accounts


def _selector(resource: Resource) -> dict[str, str]:
    spec = resource["spec"]
    found: dict[str, Any] = spec.get("selector") or spec["podSelector"]
    return found.get("matchLabels", found) if "matchLabels" in found else found


def _check_pod(workload: Resource, spec: Resource) -> None:
    volumes = {volume["name"] for volume in spec["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", ())}
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in [*spec.get("initContainers", ()), *spec["containers"]]:
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]


@every
def test_the_server_takes_its_settings(values: Path, tmp_path: Path) -> None:
    resources = rendered(values)
    (config,) = of_kind(resources, "ConfigMap")
    file = tmp_path / "lockstitch.toml"
    file.write_text(config["data"]["lockstitch.toml"])
    done = subprocess.run(
        [sys.executable, "-m", "lockstitch_server", "config", "--json"],
        env={**os.environ, "LOCKSTITCH_CONFIG": str(file)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    given = json.loads(done.stdout)["settings"]
    spec = server_pod(resources)["spec"]
    drain = sum(given[name] for name in ("drain_delay_seconds", "drain_seconds"))
    assert spec["terminationGracePeriodSeconds"] > drain
    mounts = [mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]]
    files = re.findall(r'"(/[^"]+)"', config["data"]["lockstitch.toml"])
    assert all(any(path.startswith(f"{mount}/") for mount in mounts) for path in files)


@every
def test_notes_are_told(values: Path) -> None:
    with library().Chart.load(str(CHART)) as chart:
        files = chart.render(yaml.safe_load(values.read_text()), name="demo", namespace="prod")
    assert "serves at demo-lockstitch.prod:" in files["lockstitch/templates/NOTES.txt"]


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"replica": 3}, "additional properties 'replica' not allowed"),
        ({"store": {"kind": "mysql"}}, "must be one of 'postgres', 'sqlite'"),
        ({"insecure": True}, "store.postgres.url, or store.postgres.urlSecret.name, is required"),
        ({"store": {"kind": "sqlite"}}, "set tls.secret or tls.certManager.enabled"),
        ({"store": {"kind": "sqlite"}, "tls": {"secret": "tls"}}, "callers must authenticate"),
        ({"store": {"kind": "sqlite"}, "insecure": True, "tls": {"mutual": True}}, "tls.mutual needs tls.secret"),
        (
            {"insecure": True, "store": {"postgres": {"url": "postgresql://a:b@c/d"}}},
            "store.postgres.url has a password",
        ),
        (
            {"insecure": True, "store": {"kind": "sqlite"}, "settings": {"store": "sqlite:///x"}},
            "settings.store is set by",
        ),
        ({"settings": {"queue": [1]}}, "got array"),
        ({"replicas": 0}, "minimum: got 0, want 1"),
    ],
)
def test_bad_values_are_refused(values: dict[str, Any], error: str) -> None:
    with pytest.raises(library().HelmError) as caught:
        render(values)
    assert error in str(caught.value)


def test_sqlite_has_one_pod_and_postgres_several() -> None:
    on_sqlite = render({"store": {"kind": "sqlite"}, "insecure": True, "replicas": 3})
    (workload,) = of_kind(on_sqlite, "StatefulSet", "Deployment")
    assert (workload["kind"], workload["spec"]["replicas"]) == ("StatefulSet", 1)
    on_postgres = render({"store": {"postgres": {"url": "postgresql://db"}}, "insecure": True, "replicas": 3})
    (workload,) = of_kind(on_postgres, "StatefulSet", "Deployment")
    assert (workload["kind"], workload["spec"]["replicas"]) == ("Deployment", 3)
