"""The files of deploy/ as they are read here: containers of compose and of Kubernetes alike."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
KUBERNETES = DEPLOY / "kubernetes"
MANIFESTS: list[dict[str, Any]] = [
    manifest
    for name in yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    for manifest in yaml.safe_load_all((KUBERNETES / name).read_text())
]
LAUNCHER: dict[str, Any] = yaml.safe_load((KUBERNETES / "dagster.yaml").read_text())


@dataclass(frozen=True)
class Container:
    """One container of convcg's image: where it stands, what it runs, what it listens on."""

    name: str
    command: list[str]
    health: list[list[str]]
    """Commands by which it is asked how it is."""
    environment: frozenset[str]


def of_compose() -> Iterator[Container]:
    """The services of convcg's own image."""
    for name, service in COMPOSE["services"].items():
        if service["image"].startswith("convcg:"):
            test = service["healthcheck"]["test"]
            assert test[0] == "CMD"
            environment = frozenset(service["environment"])
            yield Container(f"compose {name}", service["command"], [test[1:]], environment)


def deployments() -> list[dict[str, Any]]:
    """The deployments of Kubernetes."""
    return [manifest for manifest in MANIFESTS if manifest["kind"] == "Deployment"]


def of_kubernetes() -> Iterator[Container]:
    """The containers of the deployments."""
    given = (KUBERNETES / "settings.env").read_text() + (
        KUBERNETES / "secrets.env.example"
    ).read_text()
    names = frozenset(re.findall(r"^([A-Z_]+)=", given, re.MULTILINE))
    for deployment in deployments():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        probes = [container[name] for name in container if name.endswith("Probe")]
        asked = [probe["exec"]["command"] for probe in probes if "exec" in probe]
        own = {variable["name"] for variable in container.get("env", [])}
        command = container["command"]
        if command[:2] == ["sh", "-c"]:
            command = shlex.split(command[2].removeprefix("exec "))
        yield Container(f"kubernetes {container['name']}", command, asked, names | own)


def containers() -> list[Container]:
    """All of them."""
    return [*of_compose(), *of_kubernetes()]


def variables_read() -> set[str]:
    """The CONVCG_ variables that the packages read."""
    packages = ("convcg_assets", "convcg_serving", "convcg_model")
    return {
        name
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        for name in re.findall(r"\"(CONVCG_[A-Z_]+)\"", path.read_text(encoding="utf-8"))
    }
