"""Where the metadata of files comes from: one mapping for all, one for each, a sheet, or a function."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_src_provider.exceptions import InvalidInputError, InvalidInputsError

ID_COLUMNS = ("id", "file_id")
NAME_COLUMNS = ("name", "file_name", "filename", "file")

Pairs = dict[str, Any]


class PerFile:
    """A function of a file, in a field that is a template too: Airflow would call the function itself."""

    def __init__(self, make: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        self.make = make

    def __str__(self) -> str:
        return getattr(self.make, "__qualname__", "a function")


def not_called(metadata: Any) -> Any:
    """Return a parameter that may be a function so that Airflow leaves it alone."""
    return PerFile(metadata) if callable(metadata) else metadata


class Annotations:
    """Metadata for files, found by file id or by file name.

    :param by_file: metadata by id or name; ``None`` when ``make`` gives it.
    :param by_id: whether the keys are ids.
    :param make: gives the metadata of any file, for example the same for all.
    """

    def __init__(
        self,
        by_file: Mapping[str, Pairs] | None = None,
        *,
        by_id: bool = False,
        make: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        need: Sequence[str] = (),
    ) -> None:
        self._by_file = by_file
        self._key = "id" if by_id else "name"
        self._make = make
        #: Fields of a file that have to be known.
        self.need: tuple[str, ...] = tuple(need) if by_file is None else () if by_id else ("name",)

    def changes(self, files: Sequence[Mapping[str, Any]], parameter: str) -> list[dict[str, Any]]:
        """Return ``id`` and ``metadata`` for every file.

        :raises InvalidInputError: files that have none, or values beyond the platform's limits; all are listed.
        """
        from airflow_src_provider.client.seven_bridges import validate

        problems: list[InvalidInputError] = []
        changes = []
        for file in files:
            pairs = self._make(file) if self._make else (self._by_file or {}).get(file[self._key])
            if pairs is None:
                problems.append(
                    InvalidInputError(parameter, file[self._key], "an entry for every file; this one has none")
                )
                continue
            try:
                metadata = validate.metadata(pairs, f"{parameter} for {file.get('name') or file['id']}")
                changes.append({"id": file["id"], "metadata": metadata})
            except InvalidInputsError as error:
                problems += error.problems
            except InvalidInputError as error:
                problems.append(error)
        if problems:
            raise InvalidInputsError(problems)
        return changes

    def unused(self, files: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return the keys for which there is no file."""
        used = {file[self._key] for file in files} if self._by_file else set()
        return [key for key in self._by_file or {} if key not in used]


def from_metadata(value: Any, parameter: str = "metadata") -> Annotations:
    """Read a parameter that is a mapping or a function.

    :param value: keys and values for all files; or such a mapping by file id or file name; or a function that takes a
        file (``id``, ``name``, ``metadata``) and returns its new metadata.
    :raises InvalidInputError: anything else.
    """
    from airflow_src_provider.client.seven_bridges import validate

    if isinstance(value, PerFile):
        return Annotations(make=value.make, need=("name", "metadata"))
    if not isinstance(value, Mapping) or not value:
        raise InvalidInputError(parameter, value, "a mapping of metadata, a mapping by file, or a function")
    nested = [isinstance(pairs, Mapping) for pairs in value.values()]
    if not any(nested):
        pairs = validate.metadata(value, parameter)
        return Annotations(make=lambda _file: pairs)
    if not all(nested):
        raise InvalidInputError(parameter, value, "either metadata for all files or a mapping for each, not both")
    problems: list[InvalidInputError] = []
    for file, pairs in value.items():
        try:
            validate.metadata(pairs, f"{parameter}[{file!r}]")
        except InvalidInputsError as error:
            problems += error.problems
    if problems:
        raise InvalidInputsError(problems)
    return Annotations(value, by_id=_all_ids(value))


def _all_ids(keys: Any) -> bool:
    from airflow_src_provider.client.seven_bridges import validate

    try:
        validate.file_ids(list(keys))
    except InvalidInputError:
        return False
    return True


def find_sheet(value: Any, folders: Sequence[str | Path] = (), parameter: str = "sheet") -> Path:
    """Return the path of a sheet.

    :param folders: where a relative path is looked for, beside the working directory.
    :raises InvalidInputError: there is no such file.
    """
    if isinstance(value, str | Path) and str(value).strip():
        for folder in (*folders, Path.cwd()):
            path = Path(folder) / value
            if path.is_file():
                return path
    places = ", ".join(str(folder) for folder in (*folders, Path.cwd()))
    raise InvalidInputError(
        parameter, value, f"the path of a CSV or TSV file; relative paths are looked for in {places}"
    )


def from_sheet(path: Path, parameter: str = "sheet", key_column: str | None = None) -> Annotations:
    """Read a CSV or TSV file: a column that names the file, all others are metadata. Empty cells set nothing.

    :param path: UTF-8, with a header; ``.tsv`` and ``.tab`` are cut at tabs, all others at commas.
    :param key_column: the column that names the file; default: the first that is called id, file_id, name, file_name,
        filename or file. A column of ids saves looking up names.
    :raises InvalidInputError: no header, no such column, a file twice or not at all; all are listed.
    """
    rows = read_rows(path, parameter)
    header = list(rows[0])
    known = (*ID_COLUMNS, *NAME_COLUMNS)
    by_lower = {column.lower(): column for column in header}
    key = key_column if key_column is not None else next((by_lower[name] for name in known if name in by_lower), None)
    if key not in header:
        raise InvalidInputError(parameter, header, f"a column that names the file: {key_column or ' or '.join(known)}")
    problems: list[InvalidInputError] = []
    by_file: dict[str, Pairs] = {}
    for number, row in enumerate(rows, start=2):
        file = row[key]
        if not file:
            problems.append(InvalidInputError(f"{parameter} line {number}", file, f"a value in column {key}"))
        elif file in by_file:
            problems.append(InvalidInputError(f"{parameter} line {number}", file, "one line for each file"))
        else:
            by_file[file] = {column: cell for column, cell in row.items() if column != key and cell}
    if problems:
        raise InvalidInputsError(problems)
    return Annotations(by_file, by_id=key.lower() in ID_COLUMNS or _all_ids(by_file))


def read_rows(path: Path, parameter: str = "sheet") -> list[dict[str, str]]:
    """Return the lines of a CSV or TSV file by column, without surrounding white space; empty lines are left out.

    :raises InvalidInputError: the file is not text, has no lines, or lines of different length.
    """
    delimiter = "\t" if path.suffix.lower() in (".tsv", ".tab") else ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = [[cell.strip() for cell in row] for row in csv.reader(file, delimiter=delimiter, strict=True)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(parameter, str(path), f"a readable CSV or TSV file in UTF-8 ({error})") from None
    lines = [(number, row) for number, row in enumerate(table, start=1) if any(row)]
    if len(lines) < 2:
        raise InvalidInputError(parameter, str(path), "a header and at least one line")
    header = lines[0][1]
    if not all(header) or len(set(header)) != len(header):
        raise InvalidInputError(parameter, header, "a header whose columns all have a name of their own")
    problems = [
        InvalidInputError(f"{parameter} line {number}", row, f"{len(header)} cells, as in the header")
        for number, row in lines[1:]
        if len(row) != len(header)
    ]
    if problems:
        raise InvalidInputsError(problems)
    return [dict(zip(header, row, strict=True)) for _, row in lines[1:]]
