"""`init --from`: sources, contracts, assets and consumers inferred from data files."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from headrace.connect.deliveries import SourceSchema, printable
from headrace.connect.formats.csv_dialect import declaration, json_text
from headrace.connect.formats.registry import reader
from headrace.lake.sqltext import literal
from headrace.model.errors import FILES, LEGACY_HINT, UsageError
from headrace.model.fields import NODE, SQL_KEYWORDS, is_system
from headrace.model.plugin_fields import format_by_ending

# Files are grouped by the shape of their names. Each group becomes a source with a contract, an
# asset and a consumer.

_SUFFIX = re.compile(
    r"((\.[a-z0-9]{1,8})?\.(bz2|gz|tar|tgz|zip|zst)|\.[a-z0-9]{1,8})$", re.IGNORECASE
)
_DATES = (
    ("%Y-%m-%d", r"(?<!\d)\d{4}-\d\d-\d\d(?!\d)"),
    ("%Y_%m_%d", r"(?<!\d)\d{4}_\d\d_\d\d(?!\d)"),
    ("%Y.%m.%d", r"(?<!\d)\d{4}\.\d\d\.\d\d(?!\d)"),
    ("%Y%m%d", r"(?<!\d)\d{8}(?!\d)"),
    ("%m-%d-%Y", r"(?<!\d)\d\d-\d\d-\d{4}(?!\d)"),
    ("%d-%m-%Y", r"(?<!\d)\d\d-\d\d-\d{4}(?!\d)"),
    ("%d.%m.%Y", r"(?<!\d)\d\d\.\d\d\.\d{4}(?!\d)"),
    ("%m_%d_%Y", r"(?<!\d)\d\d_\d\d_\d{4}(?!\d)"),
    ("%d_%m_%Y", r"(?<!\d)\d\d_\d\d_\d{4}(?!\d)"),
)
"""Formats of dates in file names, most common first.

If two formats fit all names of a group, the earlier one is used, with a note.
"""


class FileGroup(NamedTuple):
    """The files of one source: its name, its pattern below landing/, and each file's target."""

    name: str
    pattern: str
    daily: bool
    files: dict[str, Path]
    """Name in landing/ → the original file."""
    warnings: tuple[str, ...] = ()
    options: Mapping[str, Mapping[str, Any]] = {}
    """Format → options with which its files are read, such as the sheet of a workbook."""


class InferredColumns(NamedTuple):
    """What a group's first file is read as, and the candidates for its key."""

    schema: SourceSchema
    """The schema that a first delivery would pin."""
    filled: frozenset[str] = frozenset()
    """Columns without a null in the sampled file."""
    unique: frozenset[str] = frozenset()
    """Those of them whose values are all different."""
    options: Mapping[str, Mapping[str, Any]] = {}
    """What the source has to declare of its format, such as `{"csv": {"skip": 4}}`."""
    sample: tuple[tuple[str | None, ...], ...] = ()
    """The first rows as text."""
    warnings: tuple[str, ...] = ()
    total: tuple[str, str] | None = None
    """The column and the word by which the last row is the sum of the others."""


def groups(paths: Sequence[Path]) -> list[FileGroup]:
    """Group the files whose names differ only in a date; every other file is a group of its own.

    A file of several tables, such as a workbook, makes a group of each.
    """
    used_names: set[str] = set()
    file_groups: list[FileGroup] = []
    for shape, members in _by_shape(paths).items():
        dated = _date_format(shape, members) if len(members) > 1 else None
        if dated is None:
            file_groups += [_whole(path, used_names) for path in members]
        else:
            file_groups.append(_daily(shape, members, *dated, used_names))
    return [table for group in file_groups for table in _tables(group, used_names)]


def _tables(group: FileGroup, used_names: set[str]) -> list[FileGroup]:
    path = next(iter(group.files.values()))
    ending = path.suffix.lower()
    kind = format_by_ending(ending)
    if kind is None:
        if FILES.get(ending[1:]) == LEGACY_HINT:
            raise UsageError(f"{path}: no reader for `{ending}` files", hint=LEGACY_HINT)
        return [group]
    tables = reader(kind.name).tables(path)
    empty = ", ".join(f"`{printable(name)}`" for name, options in tables.items() if options is None)
    left_out = (f"{path.name}: {empty} has no rows below its first, and is left out",)
    return [
        group._replace(
            name=node_name(f"{group.name}_{name}", used_names) if name else group.name,
            options={kind.name: options} if options else {},
            warnings=group.warnings + left_out * (bool(empty) and number == 0),
        )
        for number, (name, options) in enumerate(
            (name, options) for name, options in tables.items() if options is not None
        )
    ] or [group]


def _by_shape(paths: Iterable[Path]) -> dict[str, list[Path]]:
    shapes: dict[str, list[Path]] = {}
    for path in dict.fromkeys(paths):
        shapes.setdefault(_shape(path.name), []).append(path)
    return shapes


def _shape(name: str) -> str:
    """Return the name with NUL in place of its date, if it holds exactly one."""
    for _, expression in _DATES:
        if len(re.findall(expression, name)) == 1:
            return re.sub(expression, "\0", name)
    return name


def _date_format(shape: str, members: Sequence[Path]) -> tuple[str, tuple[str, ...]] | None:
    """Return the format that reads the dates of all names, each as another day.

    None if there is none.

    It comes with a note if another format fits as well.
    """
    if "\0" not in shape:
        return None
    lead, _, tail = shape.partition("\0")
    texts = [path.name[len(lead) : len(path.name) - len(tail)] for path in members]
    fitting = [
        form
        for form, expression in _DATES
        if all(re.fullmatch(expression, text) for text in texts)
        and _days(texts, form) == len(texts)
    ]
    if not fitting:
        return None
    note = (
        (
            (
                f"the dates in {members[0].name} and others could also be {fitting[1]};"
                f" {fitting[0]} was taken"
            ),
        )
        if len(fitting) > 1
        else ()
    )
    return fitting[0], note


def _days(texts: Sequence[str], form: str) -> int:
    days = set()
    for text in texts:
        try:
            # a calendar date in a name has no zone
            days.add(datetime.strptime(text, form).date())  # noqa: DTZ007
        except ValueError:
            return -1
    return len(days)


def _daily(
    shape: str, members: Sequence[Path], form: str, warnings: tuple[str, ...], used_names: set[str]
) -> FileGroup:
    lead, _, tail = shape.partition("\0")
    stem = node_name(lead + _split(tail)[0], used_names)
    safe_lead, safe_tail = _safe(lead), _safe(tail)
    files = {
        f"{safe_lead}{path.name[len(lead) : len(path.name) - len(tail)]}{safe_tail}": path
        for path in members
    }
    return FileGroup(stem, f"{safe_lead}{{date:{form}}}{safe_tail}", True, files, warnings)


def _whole(path: Path, used_names: set[str]) -> FileGroup:
    stem, suffix = _split(path.name)
    name = node_name(stem, used_names)
    landed = f"{name}{suffix}"
    return FileGroup(name, landed, False, {landed: path})


def _split(name: str) -> tuple[str, str]:
    """Return stem and suffix; a compression's suffix belongs to it (`.csv.gz`)."""
    match = _SUFFIX.search(name)
    return (name[: match.start()], match[0].lower()) if match else (name, "")


def _safe(text: str) -> str:
    """Return text with `_` for every character that is special to a shell, a pattern or YAML."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)


def node_name(text: str, used_names: set[str]) -> str:
    """Return a valid, unused name for a source, and add it to `used_names`."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:50]
    if not name or not NODE.fullmatch(name):
        name = f"data_{name}".rstrip("_")
    if name in SQL_KEYWORDS or is_system(name):
        name += "_data"
    base, number = name, 2
    while name in used_names:
        name, number = f"{base}_{number}", number + 1
    used_names.add(name)
    return name


def source_yaml(group: FileGroup, learnt: InferredColumns) -> str:
    """Return the text of sources/NAME.yaml."""
    partition = (
        "partition: day"
        if group.daily
        else "partition: '*'          # one file, replaced as a whole"
    )
    return "\n".join(
        [
            f"source: {group.name}\nowner: data-team\n{partition}",
            f"files: {_text(f'landing/{group.pattern}')}\ncontract: {group.name}",
            *declarations(learnt),
            "",
        ]
    )


def declarations(learnt: InferredColumns) -> list[str]:
    """Return the format's options as lines of a source: `csv: {skip: 4}`."""
    return [declaration(options, kind) for kind, options in learnt.options.items()]


def asset_sql(group: FileGroup, learnt: InferredColumns) -> str:
    """Return the text of assets/NAME_clean.sql: the unchanged columns, with inferred checks."""
    day = day_column(learnt.schema.names)
    head = ["/* headrace", "owner: data-team"]
    if group.daily:
        head.append(f"partition: {{by: day, column: {_text(day)}}}")
    head += ["checks:", *(f"  - {check}" for check in _checks(learnt)), "*/"]
    columns = [quoted(name) for name in learnt.schema.names]
    if group.daily:
        columns.insert(0, f"$partition_start as {quoted(day)}")
    query = ["select", "    " + ",\n    ".join(columns), f"from {group.name}"]
    if learnt.total is not None:
        column, word = learnt.total
        query.append(f"where {quoted(column)} is distinct from {literal(word)}")
    return "\n".join([*head, *query, ""])


def consumer_yaml(group: FileGroup) -> str:
    """Return one entry of consumers.yaml."""
    age = "48h" if group.daily else "7d"
    return (
        f"- consumer: {group.name}-report\n  owner: data-team\n  reads: [{group.name}_clean]\n"
        f"  max_age: {age}\n"
    )


def _checks(learnt: InferredColumns) -> list[str]:
    names = learnt.schema.names
    key = next(
        (
            name
            for name in names
            if name in learnt.unique and (name == names[0] or name.lower().endswith("id"))
        ),
        None,
    )
    checks = ["row_count: {min: 1}"]
    if key is not None:
        checks.append(f"unique: [{_text(key)}]")
    elif names and names[0] in learnt.filled:
        checks.append(f"not_null: [{_text(names[0])}]")
    return checks


def day_column(names: Collection[str]) -> str:
    """Return a name for the column with the delivery's day that no column of the file has."""
    lowered = {name.lower() for name in names}
    return next(
        name
        for name in (
            "day",
            "delivery_day",
            *(f"delivery_day_{i}" for i in range(2, len(lowered) + 3)),
        )
        if name not in lowered
    )


def quoted(name: str) -> str:
    """Return a column as SQL: bare if possible, else in double quotes."""
    return (
        name
        if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in SQL_KEYWORDS
        else '"' + name.replace('"', '""') + '"'
    )


def _text(value: str) -> str:
    """Return a string as YAML: bare if unambiguous, else as JSON, which is YAML."""
    bare = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_/.]*", value) and value.lower() not in (
        "true",
        "false",
        "null",
        "yes",
        "no",
        "on",
        "off",
        "y",
        "n",
    )
    return value if bare else json_text(value)
