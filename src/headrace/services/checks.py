"""`checks`: declared checks with their newest outcomes, and checks added to declaration files."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from headrace.access.permissions import CHANGE, SEE, command
from headrace.model import Asset, CheckSpec, HeadraceError, Project, Severity, Source, UsageError
from headrace.project.caches import cursor_text, place
from headrace.project.parameters import Excluded, Option, Selected
from headrace.project.selection import selected
from headrace.project.session import ProjectSession, usable
from headrace.responses import Response
from headrace.store import Transaction
from headrace.store.queries import quality as stored
from headrace.store.queries.quality import CheckOutcome

# Responses of `checks`, `checks challenge` and `checks suggest`.


class CheckOutcomeRow(Response, frozen=True, kw_only=True):
    """One outcome of a check: `passed`, `failed`, or `unchecked` if there were no rows."""

    partition: str
    outcome: str
    failing: int
    at: datetime
    attempt: str


class CheckStandingRow(Response, frozen=True, kw_only=True):
    """`checks`: one declared check with its latest outcome.

    `state` is the outcome, or `never`; `verdict` is its consequence for the partition. `runs` and
    `failures` count the outcomes in `history`, newest first.
    """

    node: str
    check: str
    kind: str
    severity: str
    partition: str | None
    state: str
    verdict: str | None
    at: datetime | None
    reason: str | None
    owner: str
    rows: int | None
    failing: int | None
    runs: int
    failures: int
    file: str
    line: int
    history: list[CheckOutcomeRow]


class ChecksResponse(Response, frozen=True, kw_only=True):
    """One page of all checks, by node and in file order.

    `next` is the cursor of the next page, null on the last.
    """

    now: datetime
    total: int
    checks: list[CheckStandingRow]
    next: str | None


class ChallengedCheckRow(Response, frozen=True, kw_only=True):
    """`checks challenge`: the result for one check.

    `verdict` is null if time ran out before there was one; `partition` is the partition whose rows
    were mutated; `caught` lists the noticed faults.
    """

    check: str
    asset: str
    verdict: str | None
    mutations_tried: int
    mutations_caught: int
    cost_ms: float | None
    evidence: str
    kind: str
    severity: str
    partition: str | None
    rows: int | None
    caught: list[str]
    file: str
    line: int


class SuggestedCheckRow(Response, frozen=True, kw_only=True):
    """`checks suggest`: a check that would notice faults that no check notices.

    `check` is the check to add, `yaml` the same as text. `written` is the file that it was added
    to, null unless that was requested.
    """

    asset: str
    check: dict[str, Any]
    yaml: str
    evidence: str
    catches: list[str]
    consumers: list[str]
    assets: list[str]
    written: str | None = None


class UnnoticedRow(Response, frozen=True, kw_only=True):
    """`checks challenge --unnoticed`: a fault that none of its asset's checks notices.

    `assets` and `consumers` are those that the fault would reach; `suggestion` is the check to add.
    """

    asset: str
    partition: str
    mutation: str
    says: str
    columns: list[str]
    rows: int
    rows_changed: int
    assets: list[str]
    consumers: list[str]
    suggestion: str | None


class ChallengeResponse(Response, frozen=True, kw_only=True):
    """The result of a challenge.

    `unfinished` names the nodes left when time ran out, `skipped` the nodes without rows.
    """

    checks: list[ChallengedCheckRow]
    noticed: dict[str, int]
    """Number of faults by what notices them first.

    Keys are `check`, `partition` (rows of another partition), `contract`, `rows` and `empty` (the
    expected delivery), kinds of cause (such as `null_spike`), and `downstream` (a check of a later
    table).
    """
    unnoticed: list[UnnoticedRow]
    suggestions: list[SuggestedCheckRow]
    unfinished: list[str]
    skipped: list[str]
    seconds: float


NEVER = "never"
_MEANT = {"reject": "rejected", "hold": "held", "warn": "warned", "quarantine_rows": "warned"}
"""The verdict of a partition whose blocking check fails, by `on_fail`."""


@command("checks", SEE, of="select", lists=True, http="GET /checks checks", session="checks")
def checks(
    session: ProjectSession,
    select: Selected = (),
    exclude: Excluded = (),
    history: Annotated[
        int,
        Option("--history", metavar="N", help="the outcomes that each check is shown with"),
        Meta(ge=1, le=1_000),
    ] = 10,
) -> list[CheckStandingRow]:
    """Return the checks of the selected nodes, each with its newest `history` outcomes.

    They come by node, in file order. Raise UsageError for a selection that matches nothing,
    ProjectError if nothing is applied and the files have errors.
    """
    return _rows(session, _every(session, select, exclude), history)


class CheckListQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selections as in commands; `history` is the maximum number of outcomes per check."""

    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    history: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 10
    cursor: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


@command("checks list", SEE, lists=True, http="GET /checks/list check_list")
def check_list(session: ProjectSession, query: CheckListQuery) -> ChecksResponse:
    """Return one page of the checks. Also raise UsageError for an unknown cursor."""
    every = _every(session, query.select, query.exclude)
    places = [(node.name, check.name) for node, check in every]
    after = None if query.cursor is None else place(query.cursor, tuple[str, str])
    if after is not None and after not in places:
        raise UsageError(
            "the check that this cursor names isn't there any more",
            hint="ask without one for the first page",
        )
    first = 0 if after is None else places.index(after) + 1
    page = every[first : first + query.limit]
    more = first + len(page) < len(every)
    return ChecksResponse(
        now=session.now(),
        total=len(every),
        checks=_rows(session, page, query.history),
        next=cursor_text(places[first + len(page) - 1]) if more else None,
    )


_Declared = tuple[Source | Asset, CheckSpec]


def _every(
    session: ProjectSession, select: Sequence[str], exclude: Sequence[str]
) -> list[_Declared]:
    """Return the checks of the selected nodes, with their nodes."""
    project = session.project()
    names = [
        name
        for name in selected(session, select, exclude, project=project)
        if name not in project.consumers
    ]
    nodes = [project.sources.get(name) or project.assets[name] for name in names]
    return [(node, check) for node in nodes for check in node.checks]


def _rows(
    session: ProjectSession, declared: Sequence[_Declared], history: int
) -> list[CheckStandingRow]:
    if session.store is None:
        return [_row(session, node, check, []) for node, check in declared]
    with session.store.read() as tx:
        return [
            _row(session, node, check, _outcomes(tx, node, check, history))
            for node, check in declared
        ]


def _outcomes(
    tx: Transaction, node: Source | Asset, check: CheckSpec, limit: int
) -> list[CheckOutcome]:
    view = isinstance(node, Asset) and node.materialize == "view"
    return stored.outcomes_of_check(tx, node.name, check.name, view=view, limit=limit)


def _row(
    session: ProjectSession,
    node: Source | Asset,
    check: CheckSpec,
    outcomes: Sequence[CheckOutcome],
) -> CheckStandingRow:
    newest = outcomes[0] if outcomes else None
    return CheckStandingRow(
        node=node.name,
        check=check.name,
        kind=check.kind,
        severity=check.severity,
        partition=newest.partition if newest else None,
        state=newest.outcome if newest else NEVER,
        verdict=_verdict(node, newest) if newest else None,
        at=session.instant(newest.at) if newest else None,
        reason=(newest.detail or None) if newest else None,
        owner=node.owner,
        rows=newest.rows if newest else None,
        failing=newest.failing if newest else None,
        runs=len(outcomes),
        failures=sum(outcome.outcome == "failed" for outcome in outcomes),
        file=check.place.file,
        line=check.place.line,
        history=[_outcome(session, outcome) for outcome in outcomes],
    )


def _verdict(node: Source | Asset, newest: CheckOutcome) -> str:
    """Return the verdict that follows from the check's outcome and its severity at that time."""
    if newest.outcome != "failed":
        return newest.outcome
    return (
        _MEANT.get(node.on_fail, "rejected") if newest.severity == Severity.BLOCKING else "warned"
    )


def _outcome(session: ProjectSession, outcome: CheckOutcome) -> CheckOutcomeRow:
    return CheckOutcomeRow(
        partition=outcome.partition,
        outcome=outcome.outcome,
        failing=outcome.failing,
        at=session.instant(outcome.at),
        attempt=f"{outcome.epoch}.{outcome.n}",
    )


# Inserts checks into the text of a declaration file: only adds lines, every other byte stays.

Line = tuple[str, str]
"""A check as YAML, and the evidence for the comment on its line."""
FRONT_MATTER = re.compile(
    r"(?:\s|--[^\n]*(?:\n|$))*/\*\s*headrace\b[ \t]*:?(.*?)\*/", re.DOTALL | re.IGNORECASE
)
HINT = "add the checks by hand: headrace checks suggest"


class CannotWrite(HeadraceError):
    """A file that can't be edited automatically."""


def insert_checks(text: str, file: str, name: str, lines: Sequence[Line]) -> str:
    """Return the file's text with checks added to a node.

    Raise CannotWrite if there is no place for them.
    """
    if file.endswith(".py"):
        return _in_python(text, file, name, lines)
    return in_yaml_part(text, file, lambda part: _in_yaml(part, file, name, lines))


def in_yaml_part(text: str, file: str, edit: Callable[[str], str]) -> str:
    """Return a file with its YAML edited: all of it, or the front matter of SQL."""
    if not file.endswith(".sql"):
        return edit(text)
    front = FRONT_MATTER.match(text)
    if front is None:
        raise CannotWrite(
            f"{file} has no front matter", hint="begin the file with /* headrace, `owner: …`, */"
        )
    inside = front.group(1)
    edited = edit(inside if inside.endswith("\n") else f"{inside}\n")
    return text[: front.start(1)] + edited + text[front.end(1) :]


def document_of(text: str, file: str) -> Any:
    """Return the tree of a YAML text; None if it is empty. Raise CannotWrite for other text."""
    import yaml

    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise CannotWrite(f"{file} can't be read", hint="headrace validate") from error


def _in_yaml(text: str, file: str, name: str, lines: Sequence[Line]) -> str:
    document = document_of(text, file)
    if document is None:
        return text + _block(lines, "", _newline(text))
    return _in_mapping(text, file, mapping_of(document, file, name), lines)


def mapping_of(document: Any, file: str, name: str) -> Any:
    """Return the mapping that declares the node: the document, or the list item that names it."""
    import yaml

    if isinstance(document, yaml.MappingNode):
        return document
    for item in document.value if isinstance(document, yaml.SequenceNode) else ():
        if any(
            key.value in ("source", "asset", "name") and value.value == name
            for key, value in item.value
        ):
            return item
    raise CannotWrite(f"{file} doesn't name {name}", hint=HINT)


def _in_mapping(text: str, file: str, mapping: Any, lines: Sequence[Line]) -> str:
    import yaml

    results = next(((key, value) for key, value in mapping.value if key.value == "checks"), None)
    if mapping.flow_style or (
        results is not None and results[1].start_mark.index < results[0].end_mark.index
    ):
        raise CannotWrite(f"the checks of {file} aren't a list of their own", hint=HINT)
    rows, newline = text.splitlines(keepends=True), _newline(text)
    if results is None:
        indent = " " * mapping.start_mark.column
        return _after(
            rows,
            _last_line(rows, mapping, mapping.start_mark.column),
            _block(lines, indent, newline),
        )
    key, value = results
    if not isinstance(value, yaml.SequenceNode):
        if value.value:
            raise CannotWrite(f"`checks` of {file} isn't a list", hint="headrace validate")
        return _after(
            rows, key.start_mark.line, _items(lines, " " * (key.start_mark.column + 2), newline)
        )
    if value.flow_style:
        return _in_flow(text, value, lines)
    column = value.start_mark.column
    return _after(rows, _last_line(rows, value, column), _items(lines, " " * column, newline))


def _in_flow(text: str, value: Any, lines: Sequence[Line]) -> str:
    """Insert into `[…]`: after the last item, or after its trailing comma."""
    end = value.end_mark.index - 1
    before = text[:end].rstrip()
    at = value.value[-1].end_mark.index if value.value and not before.endswith(",") else len(before)
    lead = ", " if value.value and not before.endswith(",") else " " if before.endswith(",") else ""
    return text[:at] + lead + ", ".join(f"{{{line}}}" for line, _ in lines) + text[at:]


def _last_line(rows: Sequence[str], node: Any, column: int) -> int:
    """Return the last line of a block, without the blank lines and comments after it.

    YAML counts these to the block.
    """
    end = node.end_mark
    last: int = (
        end.line if end.line < len(rows) and rows[end.line][: end.column].strip() else end.line - 1
    )
    while last > node.start_mark.line and _is_between(rows[last], column):
        last -= 1
    return min(last, len(rows) - 1)


def _is_between(row: str, column: int) -> bool:
    bare = row.strip()
    return not bare or (bare.startswith("#") and len(row) - len(row.lstrip()) <= column)


def _after(rows: Sequence[str], line: int, more: str) -> str:
    newline = "" if rows[line].endswith(("\n", "\r")) else "\n"
    return "".join(rows[: line + 1]) + newline + more + "".join(rows[line + 1 :])


def _block(lines: Sequence[Line], indent: str, newline: str) -> str:
    return f"{indent}checks:{newline}" + _items(lines, f"{indent}  ", newline)


def _items(lines: Sequence[Line], indent: str, newline: str) -> str:
    return "".join(f"{indent}- {line}  # {evidence}{newline}" for line, evidence in lines)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


# Python: the literals in the decorator


def _in_python(text: str, file: str, name: str, lines: Sequence[Line]) -> str:
    return _in_call(text, file, declaring_call(text, file, name), lines)


def declaring_call(text: str, file: str, name: str) -> ast.Call:
    """Return the `@asset(…)` that declares a node in a Python file. Raise CannotWrite without."""
    for function in ast.parse(text).body:
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for decorator in function.decorator_list:
            if isinstance(decorator, ast.Call) and _names(decorator, function.name, name):
                return decorator
    raise CannotWrite(f"{file} has no @asset(…) for {name}", hint=HINT)


def _names(call: ast.Call, function: str, name: str) -> bool:
    name_argument = next((word.value for word in call.keywords if word.arg == "name"), None)
    return (
        name_argument.value if isinstance(name_argument, ast.Constant) else function
    ) == name and any(word.arg == "owner" for word in call.keywords)


def _in_call(text: str, file: str, call: ast.Call, lines: Sequence[Line]) -> str:
    data = text.encode()
    literals = ", ".join(_literals(lines))
    checks = next((word.value for word in call.keywords if word.arg == "checks"), None)
    if checks is None:
        at, more = _offset(data, call.keywords[-1].value), f", checks=[{literals}]"
    elif not isinstance(checks, ast.List):
        raise CannotWrite(f"`checks` of {file} isn't a list", hint=HINT)
    elif checks.elts:
        at, more = _offset(data, checks.elts[-1]), f", {literals}"
    else:
        at, more = _offset(data, checks) - 1, literals
    return (data[:at] + more.encode() + data[at:]).decode()


def _offset(data: bytes, node: ast.expr) -> int:
    """Return the byte offset at which an expression ends."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    starts = data.splitlines(keepends=True)
    return sum(map(len, starts[: node.end_lineno - 1])) + node.end_col_offset


def _literals(lines: Sequence[Line]) -> Iterator[str]:
    import yaml

    for line, _ in lines:
        yield (
            repr(yaml.safe_load(line)).replace("'", '"')
            if '"' not in line and "'" not in line
            else repr(yaml.safe_load(line))
        )


# A check as written in a file: `not_null: [carrier]`.

SHORT = ("not_null", "unique")
"""Kinds of check whose only argument is a list of columns."""


def as_mapping(check: CheckSpec) -> dict[str, Any]:
    """Return a check as an item of `checks`."""
    arguments = check.arguments["columns"] if check.kind in SHORT else check.arguments
    return {check.kind: arguments}


def as_yaml(check: CheckSpec) -> str:
    """Return a check as one line of YAML; strings that YAML could misread are quoted."""
    ((kind, arguments),) = as_mapping(check).items()
    return f"{kind}: {_flow(arguments)}"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        return (
            value
            if _is_plain(value)
            else json.dumps(value, ensure_ascii=True).replace("*/", "*\\/")
        )  # it may end up in a comment
    return json.dumps(value)


def _is_plain(text: str) -> bool:
    """Whether every version of YAML reads the plain text as this string."""
    return text.isascii() and text.isidentifier() and text.lower() not in _WORDS


_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})


# Adds checks to the files that declare their nodes. Comments, order and everything else stay. The
# files are restored unless the project, with the added checks, can be read as intended.


@command("checks suggest", CHANGE, not_for_agents="it writes files of the project")
def declare(session: ProjectSession, rows: Sequence[SuggestedCheckRow]) -> list[SuggestedCheckRow]:
    """Add the checks to their nodes' files; return each row with its file.

    Raise CannotWrite and restores all files if one of them can't be edited.
    """
    project = usable(session.declared()).project
    before, after = _changed(session.root, project, rows)
    try:
        for file, text in after.items():
            (session.root / file).write_text(text, encoding="utf-8", newline="")
        _accepted(session, rows)
    except BaseException:
        for file, text in before.items():
            (session.root / file).write_text(text, encoding="utf-8", newline="")
        raise
    return [msgspec.structs.replace(row, written=_file(project, row.asset)) for row in rows]


def _changed(
    root: Path, project: Project, rows: Sequence[SuggestedCheckRow]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the old and the new text of each file that changes."""
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    for asset in dict.fromkeys(row.asset for row in rows):
        file = _file(project, asset)
        if file not in before:
            before[file] = after[file] = (root / file).read_bytes().decode("utf-8")
        after[file] = insert_checks(
            after[file], file, asset, [_line(row) for row in rows if row.asset == asset]
        )
    return before, after


def _line(row: SuggestedCheckRow) -> tuple[str, str]:
    return row.yaml, row.evidence


def _file(project: Project, name: str) -> str:
    node = project.sources.get(name) or project.assets[name]
    return node.place.file


def _accepted(session: ProjectSession, rows: Sequence[SuggestedCheckRow]) -> None:
    """Raise CannotWrite unless the files now declare the added checks."""
    compilation = session.again(session.actor).declared()
    project = compilation.compiled.project if compilation.compiled is not None else None
    if project is None:
        text = next((problem.message for problem in compilation.problems), "")
        raise CannotWrite(
            f"with the checks the project can't be read: {text}",
            hint="add them by hand: headrace checks suggest",
        )
    for row in rows:
        node = project.sources.get(row.asset) or project.assets[row.asset]
        ((kind, _),) = row.check.items()
        if not any(as_yaml(check) == row.yaml for check in node.checks if check.kind == kind):
            raise CannotWrite(
                f"{row.asset} can't be given `{row.yaml}`",
                hint=f"add it to {node.place.file} by hand",
            )
