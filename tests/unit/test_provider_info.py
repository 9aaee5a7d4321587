"""What Airflow is told about this package: valid for both of its schemas, and true."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest

import airflow_src_provider
from airflow_src_provider import get_provider_info as module
from airflow_src_provider.client.seven_bridges.platforms import DEFAULT_PLATFORM, PLATFORMS
from airflow_src_provider.hooks.base import COMMON_FIELDS, ResearchCloudHook
from airflow_src_provider.hooks.seven_bridges import SevenBridgesHook
from airflow_src_provider.hooks.src import SrcHook

INFO: dict[str, Any] = module.get_provider_info()
PACKAGE = Path(airflow_src_provider.__file__).parent
HOOKS: list[type[ResearchCloudHook]] = [SrcHook, SevenBridgesHook]
TYPES = {connection["connection-type"]: connection for connection in INFO["connection-types"]}
KINDS = ("operators", "sensors", "hooks", "triggers")


def schema(name: str) -> dict[str, Any]:
    return json.loads((Path(airflow.__file__).parent / name).read_text())


def test_the_runtime_schema_accepts_it() -> None:
    jsonschema.validate(INFO, schema("provider_info.schema.json"))


def test_the_strict_schema_of_provider_yaml_accepts_it() -> None:
    # The three fields that only a package inside Airflow's own repository has.
    jsonschema.validate(
        INFO | {"state": "ready", "source-date-epoch": 0, "versions": ["0.1.0"]},
        schema("provider.yaml.schema.json"),
    )


def test_the_strict_schema_would_notice_a_misspelt_key() -> None:
    broken = json.loads(json.dumps(INFO))
    form = broken["connection-types"][0]
    form["ui-field-behaviour"]["hidden_fields"] = form["ui-field-behaviour"].pop("hidden-fields")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(
            broken | {"state": "ready", "source-date-epoch": 0, "versions": ["0.1.0"]},
            schema("provider.yaml.schema.json"),
        )


def test_it_is_one_literal_without_imports() -> None:
    tree = ast.parse(Path(module.__file__).read_text())
    assert [type(node) for node in tree.body] == [ast.Expr, ast.FunctionDef]
    function = tree.body[1]
    assert isinstance(function, ast.FunctionDef)
    result = function.body[-1]
    assert isinstance(result, ast.Return)
    assert result.value is not None
    assert ast.literal_eval(result.value) == INFO


def test_importing_it_imports_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import airflow_src_provider.get_provider_info; "
        "print(*(set(sys.modules) - before))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert set(output.split()) == {"airflow_src_provider", "airflow_src_provider.get_provider_info"}


def test_the_package_name_is_the_distribution_s() -> None:
    # Airflow refuses to start any command when they differ.
    distribution = importlib.metadata.distribution(INFO["package-name"])
    entry_points = [entry for entry in distribution.entry_points if entry.group == "apache_airflow_provider"]
    assert [entry.load() for entry in entry_points] == [module.get_provider_info]
    assert distribution.version == airflow_src_provider.__version__


@pytest.mark.parametrize("kind", KINDS)
def test_every_listed_module_imports(kind: str) -> None:
    integrations = {integration["integration-name"] for integration in INFO["integrations"]}
    for entry in INFO.get(kind, ()):
        assert entry["integration-name"] in integrations
        for name in entry["python-modules"]:
            importlib.import_module(name)


@pytest.mark.parametrize("kind", KINDS)
def test_every_public_module_is_listed(kind: str) -> None:
    found = {entry.name for entry in pkgutil.iter_modules([str(PACKAGE / kind)])}
    there = {f"airflow_src_provider.{kind}.{name}" for name in found & {"src", "seven_bridges"}}
    assert {name for entry in INFO.get(kind, ()) for name in entry["python-modules"]} == there


def test_every_link_is_listed() -> None:
    # Airflow refuses to show a link of a class that is not.
    from airflow_src_provider import links
    from airflow_src_provider.links.base import PortalLink

    for found in pkgutil.iter_modules(links.__path__):
        importlib.import_module(f"{links.__name__}.{found.name}")
    assert set(INFO["extra-links"]) == {f"{link.__module__}.{link.__name__}" for link in PortalLink.__subclasses__()}


@pytest.mark.parametrize("hook", HOOKS)
def test_a_connection_type_says_what_its_hook_says(hook: type[ResearchCloudHook]) -> None:
    declared = TYPES[hook.conn_type]
    assert declared["hook-class-name"] == f"{hook.__module__}.{hook.__qualname__}"
    assert declared["hook-name"] == hook.hook_name


@pytest.mark.parametrize("hook", HOOKS)
def test_the_form_shows_exactly_the_fields_that_the_hook_reads(hook: type[ResearchCloudHook]) -> None:
    assert set(TYPES[hook.conn_type]["conn-fields"]) == COMMON_FIELDS | hook.own_fields


@pytest.mark.parametrize("hook", HOOKS)
def test_every_field_explains_itself(hook: type[ResearchCloudHook]) -> None:
    for name, field in TYPES[hook.conn_type]["conn-fields"].items():
        assert field["label"], name
        assert field["description"].endswith("."), name
        assert "null" in field["schema"]["type"], f"{name} could not be left empty in the form"


@pytest.mark.parametrize("hook", HOOKS)
def test_no_field_has_a_name_that_airflow_hides(hook: type[ResearchCloudHook]) -> None:
    # Airflow shows "***" for a field whose name smells of a secret, and masks its value in every log. A proxy may hold
    # a password, so there it is right.
    from airflow.sdk.log import _secrets_masker

    hidden = {
        name for name in TYPES[hook.conn_type]["conn-fields"] if _secrets_masker().should_hide_value_for_key(name)
    }
    assert hidden == {"proxy"}


def test_fields_that_both_types_have_are_the_same() -> None:
    one, other = (TYPES[hook.conn_type]["conn-fields"] for hook in HOOKS)
    for name in COMMON_FIELDS - {"rate_limit", "rate_window"}:
        assert one[name] == other[name]


def test_the_platforms_of_the_form_are_those_of_the_client() -> None:
    platform = TYPES["seven_bridges"]["conn-fields"]["platform"]["schema"]
    assert platform["enum"] == list(PLATFORMS) == list(platform["values_display"])
    assert platform["default"] == DEFAULT_PLATFORM


def test_airflow_finds_the_provider_and_its_forms() -> None:
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert manager.providers["airflow-src-provider"].version == airflow_src_provider.__version__
    shown = {form.connection_type: form for form in HookMetaService.hook_meta_data()}
    for hook in HOOKS:
        form = shown[hook.conn_type]
        assert form.hook_name == hook.hook_name
        assert form.standard_fields is not None
        assert form.standard_fields.password is not None
        assert "token" in (form.standard_fields.password.title or "")
        assert set(form.extra_fields or ()) == COMMON_FIELDS | hook.own_fields


def test_the_configuration_has_its_defaults() -> None:
    from airflow.sdk import conf

    assert conf.get("airflow_src_provider", "budget_dir") == f"{os.environ['AIRFLOW_HOME']}/airflow_src_provider"
    assert conf.get("airflow_src_provider", "budget_store") == ""
