"""What the deployment files grant and name: no root, no written tree, settings that are read."""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from fastapi.routing import APIRoute

from convcg_serving.app import make_app

from .files import (
    COMPOSE,
    DEPLOY,
    KUBERNETES,
    LAUNCHER,
    MANIFESTS,
    ROOT,
    Container,
    containers,
    deployments,
    variables_read,
)

WRITTEN = {"/tmp", "/var/lib/convcg", "/var/lib/dagster"}
"""Found by running each process in a tree that is read-only but for these."""
PORT = {"webserver": 3000, "code": 4000, "server": 8080, "metrics": 9464, "mlflow": 5000}


@pytest.mark.parametrize("container", containers(), ids=lambda container: container.name)
def test_every_setting_is_one_that_the_code_reads(container: Container) -> None:
    named = {name for name in container.environment if name.startswith("CONVCG_")}
    assert named <= variables_read()
    assert "CONVCG_SOURCE" in named


def test_what_compose_asks_for_is_in_the_example() -> None:
    asked = set(re.findall(r"\$\{([A-Z_0-9]+)", (DEPLOY / "compose.yaml").read_text()))
    given = re.findall(r"^([A-Z_0-9]+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE)
    assert asked == set(given)


def test_no_secret_stands_among_the_settings() -> None:
    settings = (KUBERNETES / "settings.env").read_text()
    secret = ("PASSWORD", "SECRET", "KEY", "WEBHOOK", "LEDGER", "STORAGE", "TRACKING")
    assert not [line for line in settings.splitlines() if any(word in line for word in secret)]
    assert "password" not in yaml.safe_dump(MANIFESTS).lower()


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text(encoding="utf-8")


def images() -> Iterator[str]:
    for service in COMPOSE["services"].values():
        yield service["image"]
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    for image in kustomization["images"]:
        yield f"{image['newName']}:{image['newTag']}"
    yield from re.findall(r"^ARG PYTHON_IMAGE=(.*)$", dockerfile(), re.MULTILINE)


@pytest.mark.parametrize("image", list(images()))
def test_images_are_pinned(image: str) -> None:
    _, _, tag = image.rpartition(":")
    assert re.search(r"\d+\.\d+|\d{4}-\d{2}-\d{2}", tag), "latest is another one tomorrow"


def test_compose_gives_no_root_and_no_written_tree() -> None:
    own = [s for s in COMPOSE["services"].values() if s["image"].startswith("convcg:")]
    assert len(own) == 6
    for service in own:
        assert service["user"] == "10001:10001"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["mem_limit"]
        written = {text.partition(":")[0] for text in service["tmpfs"]}
        written |= {v.split(":")[1] for v in service["volumes"] if not v.endswith(":ro")}
        assert written == WRITTEN


def test_ports_are_open_to_this_machine_alone() -> None:
    ports = [port for s in COMPOSE["services"].values() for port in s.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("deployment", deployments(), ids=lambda d: d["metadata"]["name"])
def test_kubernetes_gives_no_root_and_no_written_tree(deployment: dict[str, Any]) -> None:
    pod = deployment["spec"]["template"]["spec"]
    assert_restricted(pod["securityContext"], pod["containers"][0]["securityContext"])
    (container,) = pod["containers"]
    assert container["resources"].keys() == {"requests", "limits"}
    kinds = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = container["volumeMounts"]
    assert {mount["name"] for mount in mounts} == kinds.keys()
    assert {mount["mountPath"] for mount in mounts if not mount.get("readOnly")} == WRITTEN
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels


def test_runs_are_jobs_with_the_same_rights_and_their_own_spill() -> None:
    config = LAUNCHER["run_launcher"]["config"]
    run = config["run_k8s_config"]
    assert_restricted(run["pod_spec_config"]["security_context"], config["security_context"])
    assert config["resources"].keys() == {"requests", "limits"}
    mounts = config["volume_mounts"]
    assert {mount["name"] for mount in mounts} == {volume["name"] for volume in config["volumes"]}
    written = {mount["mountPath"] for mount in mounts if not mount.get("readOnly")}
    assert written == WRITTEN - {"/var/lib/dagster"} | {"/var/lib/convcg/spill"}


def assert_restricted(pod: dict[str, Any], container: dict[str, Any]) -> None:
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] == 10001
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_services_reach_what_listens_and_probes_ask_paths_that_there_are() -> None:
    app = make_app(cast(Any, SimpleNamespace(release=None)))
    paths = {route.path for route in app.routes if isinstance(route, APIRoute)}
    assert {"/healthz", "/readyz", "/metrics"} <= paths
    services = {m["metadata"]["name"]: m["spec"] for m in MANIFESTS if m["kind"] == "Service"}
    for deployment in deployments():
        name = deployment["metadata"]["name"]
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        part = container["name"]
        if part == "daemon":
            assert name not in services
            continue
        (port,) = container["ports"]
        command = " ".join(container["command"])
        assert re.search(rf"(-p|--port) {PORT[part]}\b", command)
        assert port["containerPort"] == PORT[part]
        (reached,) = services[name]["ports"]
        assert (reached["targetPort"], reached["port"]) == (port["name"], PORT[part])
        for probe in (container[p] for p in container if p.endswith("Probe")):
            asked = probe.get("httpGet") or probe.get("tcpSocket")
            assert asked is None or asked["port"] == port["name"]
            if part == "server":
                assert asked is not None
                assert asked["path"] in paths
    server = next(d for d in deployments() if d["metadata"]["name"] == "convcg-server")
    (container,) = server["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    # Without a model the server lives on: it takes up the first one by itself.
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_the_image_has_every_package_no_root_and_a_check_of_its_health() -> None:
    text = dockerfile()
    packages = {path.parent.name for path in ROOT.glob("convcg_*/__init__.py")}
    assert packages <= set(re.findall(r"^COPY (convcg_\w+) \1$", text, re.MULTILINE))
    assert text.count("\nFROM ") == 2
    last = text.rpartition("\nFROM ")[2]
    assert "\nUSER 10001:10001\n" in last
    assert "\nHEALTHCHECK " in last
    exposed = re.search(r"^EXPOSE (.*)$", last, re.MULTILINE)
    assert exposed is not None
    assert set(map(int, exposed[1].split())) == set(PORT.values()) - {5000}
