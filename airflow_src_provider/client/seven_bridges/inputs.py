"""Inputs of a task: from what a user writes to what the platform takes, and in which groups a batch will run.

A value is taken for files when it is a file id, a list of ids, or any other selection (see :mod:`~.selection`); a
mapping with ``names`` as one text gives one file instead of a list. A mapping with ``class`` is sent as it is, and
``{"value": …}`` sends what would otherwise be taken for a file. Everything else is a value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_src_provider.client.seven_bridges import selection, validate
from airflow_src_provider.client.seven_bridges.base import Json
from airflow_src_provider.exceptions import InvalidInputError, InvalidInputsError

if TYPE_CHECKING:
    from airflow_src_provider.client.seven_bridges import SevenBridgesClient

MAX_CRITERIA = 100
SIMPLE_KEY = re.compile(r"metadata\.[A-Za-z0-9_-]+")
SHOWN = 20


def _is_id(value: Any) -> bool:
    try:
        return bool(validate.file_id(value))
    except InvalidInputError:
        return False


def _is_selection(value: Any) -> bool:
    if isinstance(value, Mapping):
        keys = {*selection.RESULTS, *selection.PLACES, "origin_task"}
        return "class" not in value and bool(keys & set(value) or _is_id(value.get("id")))
    if isinstance(value, list | tuple):
        return any(_is_id(one) or (isinstance(one, Mapping) and _is_id(one.get("id"))) for one in value)
    return _is_id(value)


def check_inputs(value: Any, parameter: str = "inputs") -> None:
    """Refuse inputs that cannot be sent.

    :raises InvalidInputError: no mapping, ids mixed with names, something that is not JSON; all are listed.
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidInputError(parameter, value, "a mapping of input ids to values")
    problems: list[InvalidInputError] = []
    for key, given in value.items():
        name = f"{parameter}.{key}"
        one = selection.literal(given)
        try:
            if _is_selection(one):
                selection.read(one, name)
            else:
                json.dumps(one, allow_nan=False)
        except InvalidInputsError as error:
            problems += error.problems
        except InvalidInputError as error:
            problems.append(error)
        except (TypeError, ValueError, RecursionError):
            problems.append(InvalidInputError(name, given, "something that can be written as JSON"))
    if problems:
        raise InvalidInputsError(problems)


def batch_settings(batch_by: Any, parameter: str = "batch_by") -> Json:
    """Return ``type`` and ``criteria`` for the platform.

    :param batch_by: ``"item"``, a list such as ``["metadata.sample_id"]``, or the platform's own form.
    :raises InvalidInputError: anything else.
    """
    batch_by = selection.literal(batch_by)
    if isinstance(batch_by, Mapping):
        kind = str(batch_by.get("type")).upper()
        batch_by = "item" if kind == "ITEM" else batch_by.get("criteria") if kind == "CRITERIA" else None
    if isinstance(batch_by, str) and batch_by.lower() == "item":
        return {"type": "ITEM"}
    if isinstance(batch_by, str):
        batch_by = [batch_by]
    allowed = f"item, or a list of 1 to {MAX_CRITERIA} criteria such as metadata.sample_id"
    if not isinstance(batch_by, list | tuple) or not 1 <= len(batch_by) <= MAX_CRITERIA:
        raise InvalidInputError(parameter, batch_by, allowed)
    for criterion in batch_by:
        if not isinstance(criterion, str) or not criterion.startswith("metadata.") or criterion == "metadata.":
            raise InvalidInputError(parameter, criterion, allowed)
    return {"type": "CRITERIA", "criteria": list(dict.fromkeys(batch_by))}


@dataclass
class Resolved:
    """Inputs as the platform takes them.

    :param values: by input id.
    :param files: the files of each input that is a list of files, as far as they are known.
    """

    values: Json = field(default_factory=dict)
    files: dict[str, list[Json]] = field(default_factory=dict)


def resolve_inputs(
    client: SevenBridgesClient, inputs: Mapping[str, Any], need: Mapping[str, Sequence[str]] | None = None
) -> Resolved:
    """Look up the files of the inputs.

    :param need: fields that must be known of the files of an input.
    :raises InvalidInputsError: files that are not there, all of them.
    """
    resolved = Resolved()
    problems: list[InvalidInputError] = []
    for key, given in inputs.items():
        value = selection.literal(given)
        if isinstance(value, Mapping) and set(value) == {"value"}:
            resolved.values[key] = value["value"]
        elif not _is_selection(value):
            resolved.values[key] = value
        else:
            name = f"inputs.{key}"
            found = selection.resolve(client, selection.read(value, name), (need or {}).get(key, ()))
            for id_, reason in found.failed.items():
                problems.append(InvalidInputError(name, id_, f"a file that can be used; {reason}"))
            if not found.files and not found.failed:
                problems.append(InvalidInputError(name, value, "a selection that finds at least one file"))
            single = isinstance(value, str) or (
                isinstance(value, Mapping) and (isinstance(value.get("names"), str) or "id" in value)
            )
            resolved.files[key] = found.files
            as_files = [cwl_file(file) for file in found.files]
            resolved.values[key] = as_files[0] if single and as_files else as_files
    if problems:
        raise InvalidInputsError(problems)
    return resolved


def cwl_file(file: Mapping[str, Any]) -> Json:
    """Return a file as an input."""
    return {"class": "File", "path": file["id"], **({"name": file["name"]} if file.get("name") else {})}


def criteria_fields(criteria: Sequence[str]) -> list[str]:
    """Return the fields that have to be known to group files."""
    return list(criteria) if all(SIMPLE_KEY.fullmatch(one) for one in criteria) else ["metadata"]


def groups(files: Sequence[Json], criteria: Sequence[str], parameter: str) -> dict[tuple[str, ...], list[Json]]:
    """Return the files by their values of the criteria, which is how the platform will make children.

    :raises InvalidInputsError: files that lack a value.
    """
    keys = [criterion.removeprefix("metadata.") for criterion in criteria]
    grouped: dict[tuple[str, ...], list[Json]] = {}
    problems: list[InvalidInputError] = []
    for file in files:
        metadata = file.get("metadata") or {}
        lacking = [key for key in keys if not metadata.get(key)]
        if lacking:
            shown = file.get("name") or file["id"]
            problems.append(InvalidInputError(parameter, shown, f"files with metadata {', '.join(lacking)}"))
        else:
            grouped.setdefault(tuple(str(metadata[key]) for key in keys), []).append(file)
    if problems:
        left = len(problems) - SHOWN
        if left > 0:
            problems[SHOWN:] = [InvalidInputError(parameter, f"{left} more files", "the same")]
        raise InvalidInputsError(problems)
    return grouped


def app_inputs(raw: Mapping[str, Any]) -> set[str] | None:
    """Return the ids of an app's inputs from its CWL; ``None`` when they cannot be told."""
    inputs = raw.get("inputs")
    if isinstance(inputs, Mapping):
        return set(inputs)
    if not isinstance(inputs, list):
        return None
    ids = [str(one.get("id") or "") for one in inputs if isinstance(one, Mapping)]
    return {id_.lstrip("#").rpartition("/")[2] for id_ in ids}
