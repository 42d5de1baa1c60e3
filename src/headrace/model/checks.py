"""Reads `checks:` of sources and assets; inputs, merge, snapshot, code and packages of assets.

A check is a mapping with its kind as the key: `unique: [flight_id]`,
`range: {column: delay, min: -60}`. `name`, `severity` and `where` are arguments, or keys next to
the kind. Each kind reads its own arguments (`headrace.model.check_kinds`).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from headrace.model.check_kinds import BUILT_IN, CheckDeclaration, check_declaration
from headrace.model.errors import CHECKS as HINTS
from headrace.model.errors import Report, did_you_mean, one_of, shown
from headrace.model.fields import Fields, Items, LocatedMapping, kind_of, plain
from headrace.model.nodes import (
    ACCUMULATING,
    Asset,
    CheckSpec,
    InputMode,
    InputSpec,
    PartitionSpec,
    Severity,
)
from headrace.model.plugins import CHECKS, BrokenPlugin, plugin_names, running

# Checks of every kind: `headrace.model.check_kinds` has the kinds and their arguments.

NAME_CHARACTERS_MAX = 120
COMMON_ARGUMENTS = ("name", "severity", "where")
_ON_FAIL_HINT = (
    "write on_fail next to `checks`, for all of them; one check takes `severity: warning` at most"
)


def read_checks(fields: Fields) -> tuple[CheckSpec, ...]:
    """Return the `checks` of a source or an asset. Invalid checks are reported and left out."""
    written = fields.raw("checks")
    if written is None and "checks" not in fields:
        return ()
    if not isinstance(written, list):
        fields.wrong("checks", "a list", "write checks: [{not_null: [id]}]")
        return ()
    specs: list[CheckSpec] = []
    names: dict[str, int] = {}
    for index, item in enumerate(written):
        line = written.lines[index] if isinstance(written, Items) else fields.line("checks")
        check = _read(item, line, fields.report)
        if check is not None:
            specs.append(_named(check, names, fields.report))
    return tuple(specs)


def _read(item: Any, line: int, report: Report) -> CheckSpec | None:
    if isinstance(item, str) and item in BUILT_IN:
        kind = check_declaration(item)
        report.error(
            "bad_check",
            line,
            f"the check {shown(item)} has no arguments",
            f"write {kind.example}" if kind is not None else "",
        )
        return None
    if not isinstance(item, LocatedMapping):
        report.error(
            "bad_check",
            line,
            f"a check must be a mapping, not {kind_of(item)}",
            "write for example not_null: [id]",
        )
        return None
    kinds = [name for name in item if name not in COMMON_ARGUMENTS]
    if len(kinds) != 1:
        text = "no kind" if not kinds else f"more than one kind ({', '.join(map(shown, kinds))})"
        hint = _ON_FAIL_HINT if "on_fail" in kinds else f"one of {', '.join(BUILT_IN)} an item"
        report.error("bad_check", line, f"a check has {text}", hint)
        return None
    return _of_kind(kinds[0], item, report)


def _of_kind(name: str, item: LocatedMapping, report: Report) -> CheckSpec | None:
    line = item.lines[name]
    if name in BUILT_IN:
        kind = check_declaration(name)
        return _spec(kind, item, report) if kind is not None else None
    try:
        report.uses_plugin(CHECKS, name)
        kind = check_declaration(name)
        if kind is not None:
            return _of_plugin(kind, item, report)
    except BrokenPlugin as error:
        report.error("broken_plugin", line, str(error), error.hint)
        return None
    known = dict.fromkeys((*BUILT_IN, *plugin_names(CHECKS)))
    hint = HINTS.get(name.rpartition(".")[2], "") or did_you_mean(name, known)
    report.error(
        "unknown_check",
        line,
        f"unknown check {shown(name)}",
        hint or f"known checks: {', '.join(known)}",
    )
    return None


def _of_plugin(kind: CheckDeclaration, item: LocatedMapping, report: Report) -> CheckSpec | None:
    """Return the check as the package's class reads it. Raises BrokenPlugin for its exceptions."""
    with running(CHECKS, kind.name):
        spec = _spec(kind, item, report)
        msgspec.json.encode(spec)  # arguments are stored
        return spec


def _spec(kind: CheckDeclaration, item: LocatedMapping, report: Report) -> CheckSpec | None:
    line = item.lines[kind.name]
    arguments = _arguments(kind, item, report)
    if arguments is None:
        return None
    known = frozenset((*kind.fields, *COMMON_ARGUMENTS))
    fields = Fields(arguments, report, known, what=f"the check `{kind.name}`")
    read = kind.read(fields)
    severity = Severity(fields.choice("severity", tuple(Severity), Severity.BLOCKING))
    name, where = (
        fields.text(common) if common in fields else None for common in ("name", "where")
    )
    if name is not None and (len(name) > NAME_CHARACTERS_MAX or not name.isprintable()):
        fields.refuse(
            "name",
            f"{shown(name)} can't name a check",
            f"one line of at most {NAME_CHARACTERS_MAX} characters",
            code="bad_check",
        )
    if read is None:
        return None
    return CheckSpec(
        kind=kind.name,
        name=name or "",
        arguments=plain(read),
        severity=severity,
        where=where,
        place=report.place(line),
    )


def _arguments(
    kind: CheckDeclaration, item: LocatedMapping, report: Report
) -> LocatedMapping | None:
    """Merge the long or short form with `name`, `severity` and `where` next to the kind."""
    line, written = item.lines[kind.name], item[kind.name]
    arguments = LocatedMapping(line)
    if isinstance(written, LocatedMapping):
        for name, value in written.items():
            arguments.put(name, value, written.lines[name])
    elif kind.short is not None and written is not None:
        arguments.put(kind.short, written, line)
    else:
        report.error(
            "bad_check",
            line,
            f"the arguments of {shown(kind.name)} must be a mapping, not {kind_of(written)}",
            f"write {kind.example}",
        )
        return None
    for name in COMMON_ARGUMENTS:
        if name in item and name not in arguments:
            arguments.put(name, item[name], item.lines[name])
    return arguments


def _named(check: CheckSpec, names: dict[str, int], report: Report) -> CheckSpec:
    """Return the check with a unique name: as given or by default, numbered if already taken."""
    name = check.name or default_name(check)
    count = names[name] = names.get(name, 0) + 1
    if count > 1 and check.name:
        report.error(
            "bad_check",
            check.place.line,
            f"two checks are called {shown(name)}",
            "give one of them another name",
        )
    return msgspec.structs.replace(check, name=name if count == 1 else f"{name}_{count}")


def default_name(check: CheckSpec) -> str:
    """Return the name of a check without one, such as `unique_flight_id` or `row_count`."""
    columns = check.arguments.get("columns") or [
        check.arguments[key] for key in ("column",) if key in check.arguments
    ]
    return "_".join([check.kind, *columns])[:NAME_CHARACTERS_MAX]


# `inputs:` of an asset: the nodes that it reads, with their options (SEMANTICS §2).

INPUTS_MAX = 1_000
_INPUT_MODES = tuple(InputMode)
_INPUT_FIELDS = ("lookback", "optional", "mode", "all", "previous", "within")


def read_inputs(fields: Fields) -> tuple[InputSpec, ...]:
    """Return the inputs from a name, a list of names and `{name: options}`, or a mapping of names.

    Duplicates are reported.
    """
    written = fields.raw("inputs")
    specs: dict[str, InputSpec] = {}
    for name, how, line in _written(fields, written):
        spec = _input(fields, name, how, line)
        if name.lower() in specs:
            fields.report.error(
                "duplicate_name", line, f"the input {shown(name)} is here twice", "keep one of them"
            )
        elif spec is not None:
            specs[name.lower()] = spec
    if len(specs) > INPUTS_MAX:
        fields.refuse("inputs", f"{len(specs):,} inputs are too many", f"at most {INPUTS_MAX:,}")
        return ()
    return tuple(specs.values())


def _written(fields: Fields, written: Any) -> list[tuple[str, Any, int]]:
    """(name, how it is read, line) of each input."""
    if isinstance(written, str) and written.strip():
        return [(written, None, fields.line("inputs"))]
    if isinstance(written, LocatedMapping):
        return [(name, how, written.lines[name]) for name, how in written.items()]
    if not isinstance(written, list):
        fields.wrong("inputs", "a list of names", "write inputs: [flights_clean]")
        return []
    return _listed(fields, written)


def _listed(fields: Fields, written: list[Any]) -> list[tuple[str, Any, int]]:
    line = fields.line("inputs")
    lines = written.lines if isinstance(written, Items) else [line] * len(written)
    results: list[tuple[str, Any, int]] = []
    for item, line in zip(written, lines, strict=True):
        if isinstance(item, str):
            results.append((item, None, line))
        elif isinstance(item, LocatedMapping):
            results.extend((name, how, item.lines[name]) for name, how in item.items())
        else:
            fields.report.error(
                "wrong_type",
                line,
                f"an input must be a name, not {kind_of(item)}",
                "write inputs: [flights_clean]",
            )
    return results


def _input(fields: Fields, name: str, how: Any, line: int) -> InputSpec | None:
    place = fields.report.place(line)
    if how is None:
        return InputSpec(node=name, place=place)
    if isinstance(how, str):
        if how in _INPUT_MODES:
            return InputSpec(node=name, mode=InputMode(how), place=place)
        hint = (
            did_you_mean(how, _INPUT_MODES) or f"write {one_of(_INPUT_MODES)}, or {{lookback: 7d}}"
        )
        fields.report.error(
            "wrong_value", line, f"{shown(how)} isn't a way to read the input {shown(name)}", hint
        )
        return None
    if not isinstance(how, LocatedMapping):
        fields.report.error(
            "wrong_type",
            line,
            f"the input {shown(name)} can't be {kind_of(how)}",
            f"write {name}: {{lookback: 7d}}",
        )
        return None
    inner = Fields(how, fields.report, _INPUT_FIELDS, what=f"the input {shown(name)}")
    lookback = inner.duration("lookback", "") or None
    return InputSpec(
        node=name,
        mode=_mode(inner),
        lookback=lookback,
        optional=inner.flag("optional") or False,
        place=place,
    )


def _mode(fields: Fields) -> InputMode:
    named = [mode for mode in ("all", "previous", "within") if mode in fields and fields.flag(mode)]
    if "mode" in fields:
        named.append(fields.choice("mode", _INPUT_MODES, InputMode.REQUIRED))
    if len(set(named)) > 1:
        fields.refuse(
            named[0],
            f"{fields.what} is read in two ways: {one_of(named)}",
            "keep one of them",
            code="conflicting_fields",
        )
    return InputMode(named[0]) if named else InputMode.REQUIRED


# `merge:` and `snapshot:` of an asset: the key columns of a row, and the treatment of changed and
# deleted rows.

ADDED_BY_SNAPSHOT = ("valid_from", "valid_to", "is_current")
"""Columns that `materialize: snapshot` adds to the asset's own."""
KEYS_MAX = 100
DELETES = ("ignore", "close")


def read_accumulation(fields: Fields, materialize: str) -> dict[str, Any]:
    """Return the fields `merge` and `snapshot` as arguments of `Asset`.

    A field that doesn't match `materialize` is reported.
    """
    results: dict[str, Any] = {}
    for kind, reader in (("merge", _merge), ("snapshot", _snapshot)):
        if kind not in fields:
            continue
        read = reader(fields)
        if materialize == kind:
            results |= read
        else:
            message = f"`{kind}` is there, and the asset is materialised as `{materialize}`"
            fields.refuse(
                kind,
                message,
                f"write materialize: {kind}, or take it out",
                code="conflicting_fields",
            )
    if materialize in ACCUMULATING and not results.get("merge_keys"):
        fields.refuse(
            "materialize",
            f"`materialize: {materialize}` needs keys",
            f"add {materialize}: {{keys: [id]}}",
        )
    return results


def _merge(fields: Fields) -> dict[str, Any]:
    inner = _inner(fields, "merge", ("keys", "delete"))
    if inner is None:
        return {}
    keys, delete = _keys(inner, "merge"), inner.text("delete")
    if delete is not None and delete.lower() in (key.lower() for key in keys):
        inner.refuse(
            "delete",
            f"`{delete}` is a key, and says that a row goes as well",
            "name another column",
            code="conflicting_fields",
        )
    return {"merge_keys": keys, "merge_delete": delete}


def _snapshot(fields: Fields) -> dict[str, Any]:
    inner = _inner(fields, "snapshot", ("keys", "columns", "deletes"))
    if inner is None:
        return {}
    return {
        "merge_keys": _keys(inner, "snapshot"),
        "snapshot_columns": inner.texts("columns"),
        "snapshot_deletes": inner.choice("deletes", DELETES, "ignore"),
    }


def _inner(fields: Fields, name: str, known: tuple[str, ...]) -> Fields | None:
    block = fields.block_of(name)
    return None if block is None else Fields(block, fields.report, known, what=f"`{name}`")


def _keys(inner: Fields, name: str) -> tuple[str, ...]:
    if "keys" not in inner:
        inner.required("keys", f"write {name}: {{keys: [id]}}")
        return ()
    keys = inner.texts("keys")
    if len({key.lower() for key in keys}) < len(keys) or len(keys) > KEYS_MAX:
        inner.refuse(
            "keys",
            "`keys` names a column twice, or too many of them",
            f"each once, at most {KEYS_MAX}",
        )
    return keys


def partition_of(asset: Asset) -> PartitionSpec:
    """Return an asset's partitioning.

    `materialize: append` without `partition:` means one partition per delivery of the input.
    """
    if asset.materialize == "append" and asset.partition.whole:
        return PartitionSpec(by_delivery=True)
    return asset.partition


# `code_files` and `code_packages`: code that an asset uses and that its imports don't reveal.

PATTERNS_MAX = 100
_PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def read_code_files(fields: Fields) -> tuple[str, ...] | None:
    """Return patterns relative to the project's folder, without `./`; None if one is invalid."""
    results = []
    for text in fields.texts("code_files"):
        pattern = text.removeprefix("./").rstrip("/")
        parts = pattern.split("/")
        if not pattern or text.startswith("/") or ".." in parts or "\\" in text or "\0" in text:
            message = f"`code_files`: {shown(text)} isn't a path below the project's folder"
            fields.refuse(
                "code_files", message, "write it relative to headrace.toml: models/*.json"
            )
            return None
        if any("**" in part and part != "**" for part in parts) or len(pattern) > 1_000:
            message = f"`code_files`: {shown(text)} isn't a pattern"
            fields.refuse(
                "code_files", message, "write `**` alone between slashes: models/**/*.json"
            )
            return None
        results.append(pattern)
    if len(results) > PATTERNS_MAX:
        fields.refuse(
            "code_files",
            f"`code_files` has more than {PATTERNS_MAX} patterns",
            "name their folder: models/**",
        )
        return None
    return tuple(dict.fromkeys(results)) or None


def read_code_packages(fields: Fields) -> tuple[str, ...] | None:
    """Return names of distributions as pip writes them; None if one is invalid."""
    names = tuple(dict.fromkeys(fields.texts("code_packages")))
    for name in names:
        if len(name) > 200 or _PACKAGE.fullmatch(name) is None:
            message = f"`code_packages`: {shown(name)} isn't the name of a package"
            fields.refuse(
                "code_packages",
                message,
                "write the name that pip installs, without a version: scikit-learn",
            )
            return None
    return names or None


# `requirements`: lines of a requirements file (pip's format, which uv reads as well).

LINE_CHARACTERS_MAX = 1_000
_PASSWORD = re.compile(r"://[^/@\s]*:(?!\$\{)[^/@\s]*@|://(?!\$\{)[^/@:\s]*@")
"""What is before `@` in an address, unless it is a variable."""


def read_requirements(fields: Fields) -> tuple[str, ...] | None:
    """Return lines of a requirements file; None if one is invalid."""
    lines = tuple(dict.fromkeys(line.strip() for line in fields.texts("requirements")))
    for line in lines:
        if not line or "\n" in line or "\0" in line or len(line) > LINE_CHARACTERS_MAX:
            fields.refuse(
                "requirements",
                f"`requirements`: {shown(line)} isn't a line of a requirements file",
                'write one package for each: ["pandas==2.2.3", "scipy"]',
            )
            return None
        if _PASSWORD.search(line):
            fields.refuse(
                "requirements",
                "`requirements` has an address with a secret in it",
                "write --index-url https://${TOKEN}@… and `secrets: [TOKEN]`",
                code="literal_secret",
            )
            return None
    return lines or None
