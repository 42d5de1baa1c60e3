"""The fields of an asset, whichever file they stand in: a front matter, a YAML file, or a decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.model.asset_environment import check_environment, read_environment, read_secrets
from headrace.model.checks import read_checks
from headrace.model.code_fields import read_code_files, read_code_packages
from headrace.model.common import COMMON, ON_FAIL, read_common, read_on_anomaly
from headrace.model.documents import Items, LocatedMapping, kind_of
from headrace.model.fields import Fields
from headrace.model.inputs import read_inputs
from headrace.model.materializing import read_accumulation
from headrace.model.names import check_node
from headrace.model.nodes import Asset, Body, CommandBody
from headrace.model.parameters import read_parameters
from headrace.model.partitions import read_partition, read_start
from headrace.model.reporting import Report
from headrace.model.scheduling_fields import read_concurrency, read_pool, read_trigger

FIELDS = frozenset(
    (*COMMON, "name", "partition", "start", "inputs", "depends", "materialize", "merge", "snapshot", "columns", "parameters",
     "secrets", "environment", "checks", "on_fail", "on_anomaly", "contract", "trigger", "timeout", "attempts_max", "memory_max",
     "pool", "concurrency", "priority", "batch", "on_reference_change", "renamed_from", "code_files",
     "code_packages")
)  # fmt: skip
COMMAND_FIELDS = FIELDS | {"asset", "command"}
MATERIALIZE = ("table", "append", "merge", "snapshot", "view", "files", "none")
ATTEMPTS_MAX = 100
ARGUMENTS_MAX = 1_000
ARGUMENT_CHARACTERS_MAX = 32_000


def read_asset(fields: Fields, name: str, name_line: int, body: Body, line: int) -> Asset | None:
    """An asset of these fields; None where it has no usable name or no owner, and then that is reported.

    `name` counts unless the field `name` says otherwise; `line` is where the asset is declared.
    """
    if "name" in fields:
        name, name_line = fields.text("name") or name, fields.line("name")
    named = check_node(name, name_line, fields.report, "asset")
    common = read_common(fields)
    parts = _parts(fields)
    check_environment(fields, body)
    if not named or "owner" not in common:
        return None
    return Asset(name=name, body=body, place=fields.report.place(line), **common, **parts)


def _parts(fields: Fields) -> dict[str, Any]:
    """Everything but the common fields that is there, as keyword arguments of `Asset`."""
    results = {name: reader(fields) for name, reader in _READERS.items() if name in fields}
    results |= read_accumulation(fields, results.get("materialize", "table"))
    return {name: value for name, value in results.items() if value is not None}


def _materialize(fields: Fields) -> str:
    return fields.choice("materialize", MATERIALIZE, "table")


def _columns(fields: Fields) -> dict[str, Any] | None:
    """`{column: type}` or a list of what is written; or both `writes` and `reads` of each input."""
    written = fields.raw("columns")
    if isinstance(written, LocatedMapping) and set(written) <= {"writes", "reads"} and isinstance(written.get("reads", {}), dict):
        inner = Fields(written, fields.report, ("writes", "reads"), what="`columns`")
        return {"writes": _writes(inner, "writes") if "writes" in inner else {}, "reads": _reads(inner)}
    results = _writes(fields, "columns")
    return {"writes": results, "reads": {}} if results else None


def _writes(fields: Fields, name: str) -> dict[str, str | None]:
    written = fields.raw(name)
    if isinstance(written, list):
        return dict.fromkeys(fields.texts(name))
    block = fields.block_of(name)
    if block is None:
        return {}
    inner = Fields(block, fields.report, tuple(block), what=f"`{name}`")
    return {column: inner.text(column) if block[column] is not None else None for column in block}


def _reads(fields: Fields) -> dict[str, list[str]]:
    block = fields.block_of("reads") or LocatedMapping(0)
    inner = Fields(block, fields.report, tuple(block), what="`reads`")
    return {name: list(inner.texts(name)) for name in block}


def _batch(fields: Fields) -> str:
    if fields.raw("batch") is False:
        return "off"
    return fields.choice("batch", ("auto", "off"), "auto")


def _depends(fields: Fields) -> tuple[str, ...]:
    return tuple(dict.fromkeys(fields.texts("depends")))


_READERS: dict[str, Callable[[Fields], Any]] = {
    "partition": read_partition,
    "start": read_start,
    "inputs": read_inputs,
    "depends": _depends,
    "materialize": _materialize,
    "columns": _columns,
    "parameters": read_parameters,
    "secrets": read_secrets,
    "environment": read_environment,
    "checks": read_checks,
    "on_fail": lambda fields: fields.choice("on_fail", ON_FAIL, "reject"),
    "on_anomaly": read_on_anomaly,
    "contract": lambda fields: fields.text("contract"),
    "trigger": read_trigger,
    "timeout": lambda fields: fields.duration("timeout", "1h"),
    "attempts_max": lambda fields: fields.whole("attempts_max", minimum=1, maximum=ATTEMPTS_MAX),
    "memory_max": lambda fields: fields.size("memory_max"),
    "pool": read_pool,
    "concurrency": read_concurrency,
    "priority": lambda fields: fields.whole("priority", minimum=-1000, maximum=1000),
    "batch": _batch,
    "on_reference_change": lambda fields: fields.choice("on_reference_change", ("ignore", "rebuild"), "ignore"),
    "renamed_from": lambda fields: fields.text("renamed_from"),
    "code_files": read_code_files,
    "code_packages": read_code_packages,
}


def read_command(fields: Fields, file: str) -> CommandBody | None:
    """The field `command`: a program and its arguments, each a text of its own, because no shell takes them apart."""
    written = fields.raw("command")
    line = fields.line("command")
    if isinstance(written, str):
        fields.refuse(
            "command", "`command` is one text; it isn't run through a shell", 'write a list: ["program", "argument"]', code="wrong_type"
        )
        return None
    if not isinstance(written, list) or not written:
        fields.wrong("command", "a list of texts", 'write ["program", "argument"]')
        return None
    for index, argument in enumerate(written):
        at = written.lines[index] if isinstance(written, Items) else line
        if not isinstance(argument, str) or "\0" in argument:
            fields.report.error(
                "wrong_type", at, f"an argument of `command` must be text, not {kind_of(argument)}", "put numbers in quotes"
            )
            return None
    if not written[0].strip() or len(written) > ARGUMENTS_MAX or max(map(len, written)) > ARGUMENT_CHARACTERS_MAX:
        fields.refuse("command", "`command` names no program, or is too long", f"at most {ARGUMENTS_MAX:,} arguments")
        return None
    return CommandBody(command=tuple(written), file=file, line=line)


def name_of_file(report: Report) -> str:
    """What an asset is called by its file."""
    return report.file.rpartition("/")[2].partition(".")[0]
