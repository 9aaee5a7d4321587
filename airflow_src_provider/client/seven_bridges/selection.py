"""Which files: one way to say it, the same for every operator.

A selection is written as one of

* a list of file ids, or of objects with ``id`` (and ``name``, if it is known: that saves the look-up);
* what an earlier task returned: an object with ``file_ids`` or ``output_file_ids``;
* names in one place: ``{"project": "owner/short-name", "names": ["a.bam", "b.bam"]}``, or ``parent`` instead of
  ``project`` for a folder;
* a query: ``project`` or ``parent``, and any of ``metadata`` (values by key), ``tags``, ``name_pattern`` (shell
  wildcards), ``recursive`` (folders below as well), ``origin_task`` (one or more tasks that made the files; needs no
  project).

Several values of one filter mean any of them, different filters mean all. A text that is JSON or a Python literal is
read as what it says, because that is what a template gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from airflow_src_provider.client.literals import literal as literal
from airflow_src_provider.client.seven_bridges import validate
from airflow_src_provider.client.seven_bridges.base import Json
from airflow_src_provider.client.seven_bridges.bulk import BulkItem, known
from airflow_src_provider.client.seven_bridges.files import is_folder
from airflow_src_provider.client.seven_bridges.waits import error_text, files_in
from airflow_src_provider.exceptions import InvalidInputError, InvalidInputsError

if TYPE_CHECKING:
    from airflow_src_provider.client.seven_bridges import SevenBridgesClient

RESULTS = ("file_ids", "output_file_ids")
PLACES = ("project", "parent")
FILTERS = ("metadata", "tags", "name_pattern", "recursive", "origin_task")
FORMS = (
    "a list of file ids; an earlier task's result with file_ids; {'project' or 'parent', 'names'}; or a query with "
    "project or parent, metadata, tags, name_pattern, recursive, origin_task"
)


@dataclass(frozen=True)
class Selection:
    """A checked selection; see the module for its forms.

    :param known: what is known without asking, by file id; ``None`` when the service has to be asked.
    :param names: exact names wanted.
    :param query: everything else.
    """

    parameter: str
    known: dict[str, Json] | None = None
    names: tuple[str, ...] = ()
    query: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.known is not None:
            return f"{len(self.known)} files by id"
        place = next((f"{key} {self.query[key]}" for key in PLACES if key in self.query), "any project")
        if self.names:
            return f"{len(self.names)} files by name in {place}"
        filters = ", ".join(key for key in FILTERS if key in self.query)
        return f"files in {place}" + (f" by {filters}" if filters else "")


@dataclass(frozen=True)
class Found:
    """The files of a selection.

    :param files: in the order of the ids or names, or in the order of the listing.
    :param failed: reason by id or name for those that are not there.
    """

    files: list[Json]
    failed: dict[str, str]


def read(value: Any, parameter: str = "files") -> Selection:
    """Check a selection without asking the service.

    :raises InvalidInputError: what is wrong; several problems are listed together.
    """
    value = literal(value)
    if isinstance(value, Mapping):
        if result := next((key for key in RESULTS if key in value), None):
            return read(value[result], f"{parameter}.{result}")
        if "id" not in value:
            return _query(dict(value), parameter)
        value = [value]
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, Iterable):
        raise InvalidInputError(parameter, value, FORMS)
    return Selection(parameter, known=dict(validate.several(list(value), parameter, _known)))


def _known(entry: Any, parameter: str) -> tuple[str, Json]:
    if isinstance(entry, Mapping):
        return validate.file_id(entry.get("id"), f"{parameter}.id"), dict(entry)
    try:
        return validate.file_id(entry, parameter), {"id": entry}
    except InvalidInputError as error:
        raise InvalidInputError(
            parameter, entry, f"{error.allowed}; for names write {{'project': …, 'names': […]}}"
        ) from None


def _query(query: dict[str, Any], parameter: str) -> Selection:
    problems: list[InvalidInputError] = []

    def refuse(key: str, value: Any, allowed: str) -> None:
        problems.append(InvalidInputError(f"{parameter}.{key}" if key else parameter, value, allowed))

    unknown = sorted(map(str, set(query) - {*PLACES, "names", *FILTERS}))
    if unknown:
        refuse("", unknown, f"keys among {', '.join((*PLACES, 'names', *FILTERS))}")
    places = [key for key in PLACES if query.get(key) is not None]
    if len(places) != 1 and not (query.get("origin_task") and not places):
        refuse("", sorted(map(str, query)), "exactly one of project and parent")
    if "names" in query and len(query) > 2:
        others = sorted(map(str, set(query) - {*PLACES, "names"}))
        refuse("names", others, "names in one place, without further filters")
    checks = {"project": validate.project_id, "parent": validate.file_id, "tags": validate.tags}
    names: list[str] = []
    for key, value in query.items():
        name = f"{parameter}.{key}"
        try:
            if key in checks:
                checks[key](value, name)
            elif key == "names":
                names = list(dict.fromkeys(validate.several(_listed(value), name, validate.text)))
            elif key == "name_pattern":
                query[key] = validate.several(_listed(value), name, validate.text)
            elif key == "origin_task":
                query[key] = list(dict.fromkeys(validate.several(_listed(value), name, validate.task_id)))
            elif key == "metadata":
                query[key] = _metadata(value, name)
            elif key == "recursive" and not isinstance(value, bool):
                refuse(key, value, "True or False")
        except InvalidInputsError as error:
            problems += error.problems
        except InvalidInputError as error:
            problems.append(error)
    if problems:
        raise InvalidInputsError(problems)
    return Selection(parameter, names=tuple(names), query=query)


def _listed(value: Any) -> list[Any]:
    value = literal(value)
    return [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [value]


def _metadata(value: Any, parameter: str) -> dict[str, list[str]]:
    if not isinstance(value, Mapping) or not value:
        raise InvalidInputError(parameter, value, "values by metadata key")
    return {
        validate.text(key, parameter): validate.several(_listed(wanted), f"{parameter}.{key}", validate.text)
        for key, wanted in value.items()
    }


def resolve(client: SevenBridgesClient, selection: Selection, need: Sequence[str] = ()) -> Found:
    """Return the files of a selection with the fields that are needed, at the fewest calls.

    :param need: fields beside ``id``, such as ``name`` or ``metadata``. What a caller knows already is not asked for.
    """
    if selection.known is not None:
        if all(_has(file, key) for file in selection.known.values() for key in need):
            return Found(list(selection.known.values()), {})
        return _by_id(client, list(selection.known), need)
    if selection.names:
        return _by_name(client, selection, need)
    if "origin_task" in selection.query:
        return _by_task(client, selection.query, need)
    return Found(_listing(client, selection.query, need), {})


def _has(file: Json, key: str) -> bool:
    value: Any = file
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return True


def _by_id(client: SevenBridgesClient, ids: Sequence[str], need: Sequence[str]) -> Found:
    files, failed = [], {}
    for item in known(client.files.get_many(ids, fields=("id", "type", *need))):
        if item.resource is None:
            failed[item.sent] = _reason(item)
        elif is_folder(item.resource):
            failed[item.sent] = "a folder, not a file"
        else:
            files.append(item.resource)
    return Found(files, failed)


def _reason(item: BulkItem) -> str:
    return error_text(item.error) if item.error else "the service gave no answer about it"


def _by_name(client: SevenBridgesClient, selection: Selection, need: Sequence[str]) -> Found:
    place = {key: selection.query[key] for key in PLACES if key in selection.query}
    found = client.files.resolve_names(selection.names, fields=("id", "name", "type", *need), **place)
    files, failed = [], {}
    for name, all_of_name in found.items():
        if named := [file for file in all_of_name if not is_folder(file)]:
            files.append(named[0])
        else:
            failed[name] = "a folder, not a file" if all_of_name else "no file of this name"
    return Found(files, failed)


def _by_task(client: SevenBridgesClient, query: dict[str, Any], need: Sequence[str]) -> Found:
    files: dict[str, Json] = {}
    failed: dict[str, str] = {}
    for item in known(client.tasks.get_many(query["origin_task"], fields=("id", "project", "batch", "outputs"))):
        task = item.resource
        if task is None:
            failed[item.sent] = _reason(item)
            continue
        if "project" in query and task.get("project") != query["project"]:
            failed[item.sent] = f"a task of project {task.get('project')}"
            continue
        makers = client.tasks.list(parent=item.sent, fields=("id", "outputs")) if task.get("batch") else [task]
        for maker in makers:
            for file in files_in(maker.get("outputs")):
                files[file["path"]] = {"id": file["path"], "name": file.get("name")}
    wanted = [key for key in ("metadata", "tags", "parent") if key in query]
    asked = {*need, *wanted, *(["name"] if "name_pattern" in query else [])}
    if (files and asked - {"name"}) or any(file["name"] is None for file in files.values()):
        looked = _by_id(client, list(files), sorted(asked))
        return Found([file for file in looked.files if _fits(query, file)], {**failed, **looked.failed})
    return Found([file for file in files.values() if _fits(query, file)], failed)


def _listing(client: SevenBridgesClient, query: dict[str, Any], need: Sequence[str]) -> list[Json]:
    place = {key: query[key] for key in PLACES if key in query}
    fields = dict.fromkeys(("id", "name", "type", *need))
    if query.get("recursive"):
        # The API filters one level only and would hide the folders, so everything is listed and looked at here.
        fields |= dict.fromkeys(key for key in ("metadata", "tags") if key in query)
        found: Iterable[Json] = (walked.file for walked in client.files.walk(fields=list(fields), **place))
        return [file for file in found if not is_folder(file) and _fits({**query, "parent": None}, file)]
    found = client.files.list(
        metadata=query.get("metadata"), tag=query.get("tags") or None, fields=list(fields), **place
    )
    return [file for file in found if not is_folder(file) and _fits({"name_pattern": query.get("name_pattern")}, file)]


def _fits(query: Mapping[str, Any], file: Json) -> bool:
    patterns = query.get("name_pattern")
    if patterns and not any(fnmatchcase(str(file.get("name")), pattern) for pattern in patterns):
        return False
    if query.get("parent") and file.get("parent") != query["parent"]:
        return False
    if query.get("tags") and not set(query["tags"]) & set(file.get("tags") or []):
        return False
    metadata = file.get("metadata") or {}
    return all(metadata.get(key) in values for key, values in (query.get("metadata") or {}).items())
