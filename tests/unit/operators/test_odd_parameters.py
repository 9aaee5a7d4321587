"""Parameters of a wrong kind are refused by name, while the DAG is parsed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_src_provider.client.seven_bridges import selection
from airflow_src_provider.client.seven_bridges import validate as sb_validate
from airflow_src_provider.client.src import selection as src_selection
from airflow_src_provider.client.src import validate as src_validate
from airflow_src_provider.client.src.bodies import interactive_parameters
from airflow_src_provider.exceptions import InvalidInputError
from airflow_src_provider.operators import seven_bridges as sb
from airflow_src_provider.operators import src

FILE = "5f0c4e2fe4b0d1a2b3c4d5e6"
IMPORT = {"volume": "owner/volume", "project": "owner/project"}
EXPORT = {"volume": "owner/volume", "files": FILE, "keep_on_platform": True}
TASK = {"name": "task", "project": "owner/project", "app": "owner/project/app", "inputs": {}}
TASKS = {"project": "owner/project", "app": "owner/project/app", "tasks": [{"name": "one", "inputs": {}}]}
CREATE = {"name": "box", "collaboration": "co", "wallet": "wallet", "catalog_item": "item", "lifetime": 3600}
DEEP = "[" * 5000


@pytest.mark.parametrize(
    ("operator", "given", "odd"),
    [
        (sb.SevenBridgesImportFilesOperator, IMPORT, {"pattern": 3}),
        (sb.SevenBridgesExportFilesOperator, EXPORT, {"properties": True}),
        (sb.SevenBridgesFindFilesOperator, {"files": FILE}, {"fields": timedelta(1)}),
        (sb.SevenBridgesFindFilesOperator, {"files": FILE}, {"fields": "name"}),
        (sb.SevenBridgesSubmitTaskOperator, TASK, {"description": 3}),
        (sb.SevenBridgesSubmitTaskOperator, {**TASK, "batch_by": "item"}, {"batch_input": ["reads"]}),
        (sb.SevenBridgesSubmitTaskOperator, TASK, {"use_interruptible_instances": "yes"}),
        (sb.SevenBridgesSubmitTasksOperator, TASKS, {"use_interruptible_instances": "yes"}),
        (sb.SevenBridgesSubmitTasksOperator, TASKS, {"execution_settings": "c5.large"}),
        (sb.SevenBridgesSubmitTasksOperator, TASKS, {"output_location": ""}),
        (sb.SevenBridgesSubmitTasksOperator, TASKS, {"file_inputs": {"reads": ["files"]}}),
        (sb.SevenBridgesSubmitTasksOperator, TASKS, {"tasks": [{"name": ["one"], "inputs": {}}]}),
        (sb.SevenBridgesCreateProjectOperator, {"name": "p"}, {"description": True}),
        (sb.SevenBridgesCreateProjectOperator, {"name": "p"}, {"name": 10**5000}),
        (sb.SevenBridgesRequestOperator, {"path": "/user"}, {"response_filter": "str"}),
        (src.SrcRequestOperator, {"path": "a/", "service": "user"}, {"data": float("nan")}),
        (src.SrcCreateWorkspaceOperator, CREATE, {"os_flavour": 1.0}),
        (src.SrcCreateWorkspaceOperator, CREATE, {"size": ["a size"]}),
        (src.SrcCreateWorkspaceOperator, CREATE, {"cloud": None}),
        (src.SrcCreateWorkspaceOperator, CREATE, {"description": 3}),
        (src.SrcCreateWorkspaceOperator, CREATE, {"storages": 3}),
        (src.SrcCreateWorkspaceOperator, CREATE, {"networks": [None]}),
        (src.SrcCreateWorkspaceOperator, CREATE, {"parameters": ["key"]}),
        (src.SrcCreateWorkspaceOperator, CREATE, {"resource_type": 3}),
        (src.SrcCreateWorkspaceOperator, CREATE, {"resource_type": "Private-Network"}),
        (src.SrcPauseWorkspaceOperator, {"workspace": "box"}, {"timeout": 10**400}),
        (src.SrcPauseWorkspaceOperator, {"workspace": "box"}, {"timeout": timedelta.max}),
        (src.SrcPauseWorkspaceOperator, {}, {"workspace": {"ends_within": float("nan")}}),
        (src.SrcPauseWorkspaceOperator, {}, {"workspace": {"ends_within": 10**400}}),
        (src.SrcPauseWorkspaceOperator, {}, {"workspace": {"kind": []}}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else next(iter(value), ""),
)
def test_it_is_refused(operator: Any, given: dict[str, Any], odd: dict[str, Any]) -> None:
    (name,) = odd
    with pytest.raises(InvalidInputError, match=name):
        operator(task_id="t", **{**given, **odd})


@pytest.mark.parametrize(
    ("operator", "given", "name"),
    [
        (sb.SevenBridgesImportFilesOperator, IMPORT, "recursive"),
        (sb.SevenBridgesExportFilesOperator, EXPORT, "keep_on_platform"),
        (sb.SevenBridgesSubmitTaskOperator, TASK, "max_children"),
        (sb.SevenBridgesDeleteFilesOperator, {"files": FILE}, "on_item_failure"),
        (sb.SevenBridgesSubmitTaskOperator, TASK, "check_inputs"),
    ],
)
def test_a_template_where_none_is_rendered_is_refused(operator: Any, given: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidInputError, match=name):
        operator(task_id="t", **{**given, name: "{{ params.wanted }}"})


def test_a_batch_may_be_over_an_input_that_is_known_later() -> None:
    given = {**TASK, "inputs": {"reads": [FILE]}, "batch_by": "item"}
    task = sb.SevenBridgesSubmitTaskOperator(task_id="t", **given, batch_input="{{ params.over }}")
    task.rendered, task.batch_input = True, "read"
    with pytest.raises(InvalidInputError, match="one of the inputs: reads"):
        task.check()


def test_what_still_looks_like_a_template_after_rendering_is_checked() -> None:
    task = sb.SevenBridgesDeleteFilesOperator(task_id="t", files="{{ params.files }}")
    task.rendered = True
    with pytest.raises(InvalidInputError, match="24 hexadecimal"):
        task.check()


@pytest.mark.parametrize("wanted", [10**5000, "yes", [None]], ids=["number", "text", "list"])
def test_what_is_wanted_may_be_said_with_any_value(wanted: Any) -> None:
    task = src.SrcPauseWorkspaceOperator(task_id="t", workspace="box", only_if=wanted, src_conn_id=" ")
    with pytest.raises(InvalidInputError, match="src_conn_id"):
        task.execute({})


@pytest.mark.parametrize("value", [DEEP, "{'a': " * 2000, "{[]: 1}", "[1, 2"])
def test_text_that_cannot_be_read_as_a_literal_stays_text(value: str) -> None:
    assert selection.literal(value) == value


@pytest.mark.parametrize("value", [{None: 1, "a": 2, 3: 4}, {"project": "a/b", "names": ["x"], None: 1, 2: 3}])
def test_a_query_with_keys_of_any_kind_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="files"):
        selection.read(value)


@pytest.mark.parametrize("text", [sb_validate.text, src_validate.text])
def test_half_a_character_is_no_text(text: Any) -> None:
    with pytest.raises(InvalidInputError, match="name"):
        text("a\ud800", "name")


@pytest.mark.parametrize("value", ["owner/a\x00", "owner/\ud800", "owner/a\x1b[31m"])
def test_an_id_has_no_control_characters(value: str) -> None:
    with pytest.raises(InvalidInputError, match="project"):
        sb_validate.project_id(value)


@pytest.mark.parametrize("hours", [14, -14])
def test_a_moment_beyond_the_calendar_is_refused(hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    moment = datetime.min.replace(tzinfo=zone) if hours > 0 else datetime.max.replace(tzinfo=zone)
    with pytest.raises(InvalidInputError, match="end_time"):
        src_validate.moment(moment, "end_time")
    assert src_validate.moment(datetime(2030, 1, 1, tzinfo=UTC), "end_time") == "2030-01-01T00:00:00Z"


def test_parameters_of_an_item_are_a_mapping() -> None:
    with pytest.raises(InvalidInputError, match="parameters"):
        interactive_parameters(["key"])  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**400, timedelta.max, True])
def test_a_filter_by_end_takes_seconds(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="ends_within"):
        src_selection.check_selection({"ends_within": value})
