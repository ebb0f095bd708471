"""The configuration that the deployment files bring along is read by what it is for."""

from typing import Any

import pytest
import yaml
from dagster._config import process_config
from dagster._core.instance.config import dagster_instance_config_schema

from convcg_assets.sources.source import load_source
from convcg_assets.tables.settings import Settings, load_settings

from .files import COMPOSE, DEPLOY, KUBERNETES, LAUNCHER, MANIFESTS, ROOT

PACKAGED = yaml.safe_load((ROOT / "convcg_assets" / "defs" / "dagster.yaml").read_text())


def test_dagster_takes_its_settings_and_the_launcher_its_own() -> None:
    k8s = pytest.importorskip("dagster_k8s")
    found = process_config(dagster_instance_config_schema(), LAUNCHER)
    assert found.success, found.errors
    config = LAUNCHER["run_launcher"]["config"]
    found = process_config(k8s.K8sRunLauncher.config_type(), config)
    assert found.success, found.errors
    assert not process_config(k8s.K8sRunLauncher.config_type(), config | {"image": "a"}).success


def test_kubernetes_has_dagsters_settings_of_the_package_and_more() -> None:
    of_package = {k: v for k, v in PACKAGED.items() if k != "concurrency"}
    assert {k: LAUNCHER[k] for k in of_package} == of_package


def test_source_and_settings_files_are_read() -> None:
    assert load_source(KUBERNETES / "source.yaml").first_day.year == 2026
    assert load_settings(KUBERNETES / "settings.yaml") == Settings()
    assert load_settings(DEPLOY / "compose" / "settings.yaml") == Settings()


def test_workspaces_name_the_code_location_that_there_is() -> None:
    (compose,) = yaml.safe_load((DEPLOY / "compose" / "workspace.yaml").read_text())["load_from"]
    (kubernetes,) = yaml.safe_load((KUBERNETES / "workspace.yaml").read_text())["load_from"]
    assert compose["grpc_server"]["host"] in COMPOSE["services"]
    services = [m["metadata"]["name"] for m in MANIFESTS if m["kind"] == "Service"]
    assert kubernetes["grpc_server"]["host"] in services
    assert compose["grpc_server"]["port"] == kubernetes["grpc_server"]["port"] == 4000


def test_every_name_is_of_something_that_is_made_or_asked_for() -> None:
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    made = {m["metadata"]["name"] for m in MANIFESTS}
    made |= {generated["name"] for generated in kustomization["configMapGenerator"]}
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    asked = {name for name in ("convcg-secrets", "convcg-landing") if f"`{name}`" in page}
    named = {*_names(MANIFESTS), *_names(LAUNCHER)}
    assert named <= made | asked
    files = [f for g in kustomization["configMapGenerator"] for f in g.get("files", [])]
    assert all((KUBERNETES / file).is_file() for file in files)


def test_stores_have_a_database_each() -> None:
    environment = COMPOSE["services"]["code"]["environment"]
    stores = ("CONVCG_LEDGER", "CONVCG_DAGSTER_STORAGE", "MLFLOW_TRACKING_URI")
    databases = {environment[name].rpartition("/")[2] for name in stores}
    made = (DEPLOY / "compose" / "databases.sql").read_text()
    assert len(databases) == 3
    assert all(f"CREATE DATABASE {name} " in made for name in databases)


def _names(found: Any) -> set[str]:
    """The names of config maps, secrets, claims and accounts that something refers to."""
    if isinstance(found, list):
        return set().union(*(_names(each) for each in found)) if found else set()
    if not isinstance(found, dict):
        return set()
    names = set().union(*(_names(each) for each in found.values())) if found else set()
    for key, value in found.items():
        if key in ("configMapRef", "secretRef", "configMap"):
            names.add(value["name"])
        if key in ("claimName", "serviceAccountName", "service_account_name"):
            names.add(value)
        if key in ("env_config_maps", "env_secrets"):
            names |= set(value)
    return names
