"""Reads YAML files other than assets: sources, consumers, owners, calendars and tests."""

from __future__ import annotations

from datetime import date
from typing import Any

from headrace.model.assets import name_of_file
from headrace.model.common_fields import (
    COMMON,
    COMMON_FIELDS,
    CONCURRENCY_MAX,
    read_fields,
)
from headrace.model.connectors import FORMAT_FIELDS, added_fields, read_connectors
from headrace.model.errors import FILES, LEGACY_HINT, Report, shown
from headrace.model.exports import read_export
from headrace.model.fields import (
    Fields,
    Items,
    LocatedMapping,
    check_consumer,
    check_node,
    check_owner,
    kind_of,
    plain,
)
from headrace.model.for_each import blocks_of
from headrace.model.locations import read_pattern
from headrace.model.masks import COLUMN_FIELDS, read_column_classes
from headrace.model.nodes import (
    AssetTest,
    BadgeAccess,
    Calendar,
    Consumer,
    Grain,
    Owner,
    PartitionSpec,
    Source,
)
from headrace.model.plugin_fields import format_by_ending
from headrace.model.plugins import ANY, FORMATS
from headrace.model.secrets import check_channel, is_address, read_parameters
from headrace.model.source_fields import SOURCE, SOURCE_FIELDS
from headrace.model.times import Quiet, time_of_day

# `sources/*.yaml`: data that others deliver.


def read_sources(document: object, report: Report) -> tuple[Source, ...]:
    """Return the sources of a file: one, or a list."""
    example = "write source: name, owner: …, files: …"
    blocks = blocks_of(
        document,
        report,
        "a source",
        ("a source must be a mapping", example, "write - source: name"),
    )
    read = (_source(block, report) for block in blocks)
    return tuple(source for source in read if source is not None)


def _source(block: LocatedMapping, report: Report) -> Source | None:
    name = block.get("source")
    added = added_fields(block, SOURCE_FIELDS, report)
    fields = Fields(
        block,
        report,
        SOURCE_FIELDS | added,
        what=f"the source {shown(name)}" if isinstance(name, str) else "a source",
    )
    name = fields.required("source", "add `source:` with the name")
    named = name is not None and check_node(name, fields.line("source"), report, "source")
    parts = read_fields(fields, SOURCE)
    partition = parts.get("partition", PartitionSpec())
    parts |= {
        "files": _files(fields, partition) if "files" in fields else None,
        "connector": read_connectors(fields, partition, added),
        "classified": read_column_classes(fields, COLUMN_FIELDS),
    }
    if name is None or not named or "owner" not in parts:
        return None
    return Source(name=name, place=fields.place(fields.line("source")), **parts)


def _files(fields: Fields, partition: PartitionSpec) -> str | None:
    """Return the pattern of the files; report endings that no reader supports."""
    pattern = read_pattern(fields, "files", partition)
    if pattern is None:
        return None
    endings = [ending.lower() for ending in pattern.rpartition("/")[2].split(".")[1:]]
    for ending in endings[-2:]:
        if ending in FILES and not _is_read(ending, fields):
            fields.refuse(
                "files",
                f"{shown(pattern)}: no reader for `.{ending}` files",
                FILES[ending],
                code="unsupported_kind",
            )
            return None
    return pattern


def _is_read(ending: str, fields: Fields) -> bool:
    """Return whether a package reads files with this ending, or the source names their format."""
    if FORMAT_FIELDS & {*fields.block} and FILES[ending] == LEGACY_HINT:
        return True
    fields.report.uses_plugin(FORMATS, ANY)
    return format_by_ending(f".{ending}") is not None


# `consumers.yaml`: consumers with their assets and deadlines.

_CONSUMER_FIELDS = frozenset(
    (
        *COMMON_FIELDS,
        "consumer",
        "reads",
        "per",
        "due",
        "max_age",
        "since",
        "export",
        "importance",
        "badge",
    )
)
_CONSUMER_EXAMPLE = "write - consumer: morning-report, with owner:, reads: and due: or max_age:"


def read_consumers(document: object, report: Report) -> tuple[Consumer, ...]:
    """Return all consumers of the file."""
    blocks = blocks_of(
        document,
        report,
        "a consumer",
        ("consumers.yaml must be a list", _CONSUMER_EXAMPLE, _CONSUMER_EXAMPLE),
    )
    read = (_consumer(block, report) for block in blocks)
    return tuple(consumer for consumer in read if consumer is not None)


def _consumer(block: LocatedMapping, report: Report) -> Consumer | None:
    name = block.get("consumer")
    fields = Fields(
        block,
        report,
        _CONSUMER_FIELDS,
        what=f"the consumer {shown(name)}" if isinstance(name, str) else "a consumer",
    )
    name = fields.required("consumer", "add `consumer:` with the name")
    named = name is not None and check_consumer(name, fields.line("consumer"), report)
    common = read_fields(fields, COMMON)
    reads = tuple(dict.fromkeys(fields.texts("reads")))
    if not reads:
        report.error(
            "missing_field",
            fields.line("reads"),
            f"{fields.what} reads nothing",
            "add reads: [asset]",
        )
    per = Grain(fields.choice("per", tuple(Grain), Grain.DAY))
    due, max_age = fields.offset("due"), fields.duration("max_age", "") or None
    since = fields.instant("since")
    _check_promise(fields)
    export = read_export(fields, reads, per)
    importance = fields.text("importance")
    badge = BadgeAccess(fields.choice("badge", tuple(BadgeAccess), BadgeAccess.PRIVATE))
    if name is None or not named or "owner" not in common:
        return None
    place = fields.place(fields.line("consumer"))
    return Consumer(
        name=name,
        reads=reads,
        per=per,
        due=due,
        max_age=max_age,
        since=since,
        export=export,
        importance=importance,
        badge=badge,
        place=place,
        **common,
    )


def _check_promise(fields: Fields) -> None:
    """Report a consumer without exactly one of `due` and `max_age`."""
    if "due" in fields and "max_age" in fields:
        fields.refuse(
            "max_age",
            f"{fields.what} has both `due` and `max_age`",
            "keep one of them, or write two consumers",
            code="conflicting_fields",
        )
    elif "due" not in fields and "max_age" not in fields:
        fields.report.error(
            "missing_field",
            fields.block.line,
            f"{fields.what} has neither `due` nor `max_age`",
            'add due: "07:00" or max_age: 30h',
        )


# `owners.yaml`: accountable teams, vendors and persons.

_OWNER_FIELDS = ("kind", "contact", "manager", "tell", "concurrency", "quiet", "escalate", "digest")
OWNER_KINDS = ("team", "vendor", "person")
_OWNER_EXAMPLE = "write core: {kind: team, contact: ['mailto:core@example.com']}"


def read_owners(document: object, report: Report) -> tuple[Owner, ...]:
    """Return all owners of the file."""
    if not isinstance(document, LocatedMapping):
        report.error(
            "wrong_type",
            1,
            f"owners.yaml must be a mapping of names, not {kind_of(document)}",
            _OWNER_EXAMPLE,
        )
        return ()
    result = (_owner(name, document, report) for name in document)
    return tuple(owner for owner in result if owner is not None)


def _owner(name: str, document: LocatedMapping, report: Report) -> Owner | None:
    line, written = document.lines[name], document[name]
    if not check_owner(name, line, report):
        return None
    if written is None:
        written = LocatedMapping(line)
    if not isinstance(written, LocatedMapping):
        report.error(
            "wrong_type",
            line,
            f"the owner {shown(name)} must be a mapping, not {kind_of(written)}",
            _OWNER_EXAMPLE,
        )
        return None
    fields = Fields(written, report, _OWNER_FIELDS, what=f"the owner {shown(name)}")
    for contact in fields.texts("contact"):
        url = {"url": contact} if is_address(contact) else {}
        check_channel(f"{name}.contact", url, {"url": fields.line("contact")}, line, report)
    return Owner(
        name=name,
        kind=fields.choice("kind", OWNER_KINDS, "team"),
        contact=fields.texts("contact"),
        manager=fields.text("manager"),
        tell=fields.flag("tell"),
        concurrency=fields.whole("concurrency", minimum=1, maximum=CONCURRENCY_MAX),
        quiet=fields.checked("quiet", Quiet.parse, "bad_time"),
        escalate=fields.duration("escalate", "") or None,
        digest=fields.checked("digest", time_of_day, "bad_time"),
        place=report.place(line),
    )


# `calendars/*.yaml`: dates on which no data is due.

DATES_MAX = 50_000
_CALENDAR_EXAMPLE = "write dates: [2013-01-01, 2013-12-25]"


def read_calendar(document: object, report: Report) -> tuple[Calendar, ...]:
    """Return the calendar of a file: a list of dates, or `{calendar: name, dates: […]}`.

    Its default name is the file's.
    """
    name, written, line = name_of_file(report), document, 1
    if isinstance(document, LocatedMapping):
        fields = Fields(document, report, ("calendar", "description", "dates"), what="a calendar")
        name = fields.text("calendar") or name
        fields.text("description")
        written, line = fields.raw("dates"), fields.line("dates")
    if not check_owner(name, line, report):
        return ()
    if not isinstance(written, list):
        report.error(
            "wrong_type",
            line,
            f"a calendar must be a list of dates, not {kind_of(written)}",
            _CALENDAR_EXAMPLE,
        )
        return ()
    if len(written) > DATES_MAX:
        report.error(
            "wrong_value", line, f"{len(written):,} dates are too many", f"at most {DATES_MAX:,}"
        )
        return ()
    dates = {
        day
        for index, item in enumerate(written)
        if (day := _date(item, _line_of_date(written, index, line), report)) is not None
    }
    return (Calendar(name=name, dates=tuple(sorted(dates)), place=report.place(line)),)


def _line_of_date(items: list[Any], index: int, line: int) -> int:
    return items.lines[index] if isinstance(items, Items) else line


def _date(item: object, line: int, report: Report) -> str | None:
    try:
        if isinstance(item, str):
            return date.fromisoformat(item.strip()).isoformat()
        reason = f"not {kind_of(item)}"
    except ValueError as error:
        reason = f"not {shown(item)} ({error})"
    report.error("wrong_value", line, f"a calendar holds dates, {reason}", _CALENDAR_EXAMPLE)
    return None


# `tests/*.yaml`: given rows and expected rows of an asset.

TEST_FIELDS = (
    "test",
    "asset",
    "partition",
    "given",
    "expect",
    "expect_error",
    "checks",
    "ordered",
    "description",
    "parameters",
)
CHECK_OUTCOMES = ("passes", "fails")


def read_tests(document: object, report: Report) -> tuple[AssetTest, ...]:
    """Return all tests of a file."""
    example = "write - {test: name, asset: …, given: …, expect: …}"
    blocks = blocks_of(
        document, report, "a test", ("tests must be a list", example, "write - test: name")
    )
    read = (_test(block, report) for block in blocks)
    return tuple(test for test in read if test is not None)


def _test(block: LocatedMapping, report: Report) -> AssetTest | None:
    fields = Fields(block, report, TEST_FIELDS, what="a test")
    name, asset = fields.required("test"), fields.required("asset")
    expects = _expected(fields)
    if "description" in fields:
        fields.text("description")
    results: dict[str, Any] = {
        "partition": fields.text("partition"),
        "given": _given_rows(fields),
        "ordered": fields.flag("ordered") or False,
        "parameters": read_parameters(fields),
        "checks": _expected_checks(fields),
    }
    if name is None or asset is None or expects is None:
        return None
    return AssetTest(
        name=name, asset=asset, **results, **expects, place=report.place(fields.line("test"))
    )


def _given_rows(fields: Fields) -> dict[str, Any]:
    given = fields.mapping("given")
    for node, rows in given.items():
        if not _is_rows(rows):
            fields.refuse(
                "given",
                f"the rows given for {shown(node)} are {kind_of(rows)}",
                "a list of rows, or a path",
            )
    return given


def _is_rows(value: Any) -> bool:
    return (isinstance(value, str) and bool(value.strip())) or (
        isinstance(value, list) and all(isinstance(row, dict) for row in value)
    )


def _expected(fields: Fields) -> dict[str, Any] | None:
    """Return the expected rows or error; report a test without rows, error and checks."""
    results: dict[str, Any] = {}
    if "expect_error" in fields:
        results["expect_error"] = fields.text("expect_error")
        if "expect" in fields:
            fields.refuse(
                "expect_error",
                f"{fields.what} expects rows and an error",
                "keep one of them",
                code="conflicting_fields",
            )
    elif "expect" in fields and _is_rows(fields.raw("expect")):
        results["expect"] = plain(fields.raw("expect"))
    elif "expect" in fields or "checks" not in fields:
        fields.report.error(
            "missing_field",
            fields.line("expect"),
            f"{fields.what} expects no rows",
            "add expect: [{column: value}]",
        )
        return None
    return results


def _expected_checks(fields: Fields) -> dict[str, str]:
    block = fields.block_of("checks")
    if block is None:
        return {}
    inner = Fields(block, fields.report, tuple(block), what="`checks`")
    return {name: inner.choice(name, CHECK_OUTCOMES, CHECK_OUTCOMES[0]) for name in block}
