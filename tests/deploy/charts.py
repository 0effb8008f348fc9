"""The Helm chart, rendered by Helm's own library."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import ROOT
from tests.support.requirements import missing

try:
    import helm_python as helm
except ImportError:
    helm = None

CHART = ROOT / "deploy" / "helm" / "lockstitch"
VALUES = sorted((ROOT / "tests" / "fixtures" / "helm").glob("*.yaml"))
Resource = dict[str, Any]


def library() -> Any:
    if helm is None:
        missing("Helm's library is not installed: make .venv/.deploy")
    return helm


def render(values: Mapping[str, Any]) -> list[Resource]:
    """All resources of the release `demo` in `prod`. Raises HelmError where the chart refuses the values."""
    with library().Chart.load(str(CHART)) as chart:
        files: dict[str, str] = chart.render(dict(values), name="demo", namespace="prod")
    texts = (text for name, text in files.items() if not name.endswith(".txt"))
    return [resource for text in texts for resource in yaml.safe_load_all(text) if resource]


def rendered(file: Path) -> list[Resource]:
    return render(yaml.safe_load(file.read_text()))


def of_kind(resources: list[Resource], *kinds: str) -> list[Resource]:
    return [resource for resource in resources if resource["kind"] in kinds]


def pods(resources: list[Resource]) -> Iterator[tuple[Resource, Resource]]:
    """(the workload, its pod's template) of each."""
    for resource in of_kind(resources, "Deployment", "StatefulSet", "Job"):
        yield resource, resource["spec"]["template"]


def server_pod(resources: list[Resource]) -> Resource:
    """The template of the server's pod."""
    (found,) = (
        pod for _, pod in pods(resources) if pod["metadata"]["labels"].get("app.kubernetes.io/component") == "server"
    )
    return found
