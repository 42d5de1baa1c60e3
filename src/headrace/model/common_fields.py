"""The fields that several kinds of nodes share, with their readers: owner, partition, checks …"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headrace.model.checks import read_checks
from headrace.model.errors import VALUES, UsageError, did_you_mean, shown
from headrace.model.fields import Fields, LocatedMapping, kind_of, plain
from headrace.model.nodes import CatchUp, Grain, PartitionSpec
from headrace.model.partitions import WHOLE
from headrace.model.retention import parse_retention
from headrace.model.schemas import (
    MAPPING,
    TEXT,
    TEXTS,
    ZONE,
    Field,
    Schema,
    choice_field,
    closed,
    listed,
    one_of,
    text_field,
    texts_by_name,
)
from headrace.model.times import check_cron, parse_duration

# The fields that all nodes have.

ON_FAIL = ("reject", "hold", "warn", "quarantine_rows")
ON_ANOMALY = ("hold", "warn", "ignore")
ALL_COLUMNS = "*"
"""In `on_anomaly`: all columns that aren't named, and anomalies without a column."""
TAG_CHARACTERS_MAX = 100


def read_fields(fields: Fields, declared: Iterable[Field]) -> dict[str, Any]:
    """Return the values of declared fields that have a reader and are written, by name.

    Those that can't be used are reported and left out, and so are missing ones that are required.
    """
    results = {
        field.name: field.read(fields)
        for field in declared
        if field.read is not None and (field.required or field.name in fields)
    }
    return {name: value for name, value in results.items() if value is not None}


def tags(fields: Fields) -> tuple[str, ...]:
    """Return the tags; report those with blanks or commas, which `tag:` couldn't select."""
    results = fields.texts("tags")
    for tag in results:
        if (
            len(tag) > TAG_CHARACTERS_MAX
            or not tag.isprintable()
            or any(sign in tag for sign in " ,")
        ):
            fields.refuse(
                "tags",
                f"{shown(tag)} can't be a tag",
                f"no blanks or commas, at most {TAG_CHARACTERS_MAX} characters",
            )
    return results


def read_on_anomaly(fields: Fields) -> str | dict[str, str] | None:
    """Return one policy for all columns, or a policy by column."""
    if not isinstance(fields.raw("on_anomaly"), LocatedMapping):
        return fields.choice("on_anomaly", ON_ANOMALY, "") or None
    block = fields.block_of("on_anomaly") or LocatedMapping(0)
    inner = Fields(block, fields.report, tuple(block), what="`on_anomaly`")
    results = {column: inner.choice(column, ON_ANOMALY, "") for column in block}
    return {column: policy for column, policy in results.items() if policy} or None


def anomaly_policies(on_anomaly: str | dict[str, str] | None) -> tuple[str | None, dict[str, str]]:
    """Return the general anomaly policy, and the policies of single columns."""
    if not isinstance(on_anomaly, dict):
        return on_anomaly, {}
    return on_anomaly.get(ALL_COLUMNS), {
        column: policy for column, policy in on_anomaly.items() if column != ALL_COLUMNS
    }


# `partition:` and `start:`: how a node's data is partitioned, and its first partition.

KEYS_MAX = 10_000
"""At most this number of fixed keys may be listed."""
KEY_CHARACTERS_MAX = 1_000
_PARTITION_FORMS = (
    "`day`, `{by: day, column: flight_date}`, `{key: region}`, `[day, {key: region}]` or `'*'`"
)


def read_partition(fields: Fields) -> PartitionSpec:
    """Return the field `partition`; unpartitioned if it is missing or invalid."""
    if "partition" not in fields:
        return PartitionSpec()
    written = fields.raw("partition")
    if not isinstance(written, list):
        return _part(fields, written) or PartitionSpec()
    parts = [part for part in (_part(fields, item) for item in written) if part is not None]
    times, keys = [part for part in parts if part.grain], [part for part in parts if part.key]
    if len(parts) != len(written):  # `_part` has reported the others
        return PartitionSpec()
    if (len(times), len(keys), len(written)) != (1, 1, 2):
        fields.refuse(
            "partition", "a list cuts by one time and one key", "write [day, {key: region}]"
        )
        return PartitionSpec()
    return PartitionSpec(
        grain=times[0].grain, column=times[0].column, key=keys[0].key, values=keys[0].values
    )


def _part(fields: Fields, written: Any) -> PartitionSpec | None:
    if isinstance(written, str):
        return PartitionSpec() if written == WHOLE else _by(fields, written, None)
    if not isinstance(written, LocatedMapping):
        fields.refuse(
            "partition",
            f"`partition` can't be {kind_of(written)}",
            f"write {_PARTITION_FORMS}",
            code="wrong_type",
        )
        return None
    if "key" in written:
        return _by_key(Fields(written, fields.report, ("key", "values"), what="`partition`"))
    inner = Fields(written, fields.report, ("by", "column"), what="`partition`")
    column = inner.text("column")
    grain = inner.required("by", "write {by: day, column: flight_date}")
    return None if grain is None else _by(fields, grain, column)


def _by(fields: Fields, grain: str, column: str | None) -> PartitionSpec | None:
    if grain in tuple(Grain):
        return PartitionSpec(grain=Grain(grain), column=column)
    hint = (
        VALUES.get(("partition", grain.lower()))
        or did_you_mean(grain, tuple(Grain))
        or f"write {_PARTITION_FORMS}"
    )
    fields.refuse("partition", f"{shown(grain)} is no way to cut time", hint)
    return None


def _by_key(fields: Fields) -> PartitionSpec | None:
    key = fields.required("key")
    values = fields.texts("values") if "values" in fields else None
    if values is not None and not 0 < len(values) <= KEYS_MAX:
        fields.refuse(
            "values",
            f"`values` lists {len(values):,} keys",
            f"from 1 to {KEYS_MAX:,}; leave it out for keys that grow",
        )
        return None
    if values is not None and (
        len(set(values)) < len(values) or max(map(len, values)) > KEY_CHARACTERS_MAX
    ):
        fields.refuse(
            "values",
            "`values` lists a key twice, or one that is too long",
            f"each once, at most {KEY_CHARACTERS_MAX:,} characters",
        )
        return None
    return None if key is None else PartitionSpec(key=key, values=values)


def read_start(fields: Fields) -> str | None:
    """Return `start` as written; it is validated later, once the time zone is known."""
    written = fields.raw("start")
    if isinstance(written, int) and not isinstance(written, bool) and 1000 <= written <= 9999:
        return str(written)  # a year
    return fields.text("start")


# `trigger`, `pool` and `concurrency`: when a node runs, and how many attempts run concurrently.

TRIGGERS = ("cron", "interval", "arrival", "upstream", "webhook", "manual")
TRIGGERS_WITHOUT_VALUE = ("manual", "upstream", "webhook", "arrival")
"""Kinds that need no value."""
CATCH_UP = tuple(choice.value for choice in CatchUp)
SLOTS_MAX = 100_000
CONCURRENCY_MAX = 100_000


def read_trigger(fields: Fields) -> dict[str, Any] | None:
    """Return one trigger kind with its value and options, or None if it is missing or invalid.

    For example `manual`, or `{cron: "0 6 * * 1-5", catch_up: latest}`.
    """
    written = fields.raw("trigger")
    if isinstance(written, str):
        kind = fields.choice("trigger", TRIGGERS_WITHOUT_VALUE, "")
        return {kind: True} if kind else None
    block = fields.block_of("trigger")
    if block is None:
        return None
    inner = Fields(block, fields.report, (*TRIGGERS, "catch_up", "timezone"), what="`trigger`")
    kinds = [kind for kind in TRIGGERS if kind in block]
    if len(kinds) != 1:
        fields.refuse(
            "trigger", "`trigger` names no kind, or more than one", f"one of {', '.join(TRIGGERS)}"
        )
        return None
    if "catch_up" in inner:
        inner.choice("catch_up", CATCH_UP, "all")
    if "timezone" in inner:
        inner.timezone("timezone")
    return dict(plain(block)) if _usable(inner, kinds[0]) else None


def _usable(fields: Fields, kind: str) -> bool:
    match kind:
        case "cron":
            return _cron(fields)
        case "interval":
            return _interval(fields)
        case _ if fields.raw(kind) is True:
            return True
        case "arrival" | "upstream":
            return fields.text(kind) is not None
        case _:
            fields.wrong(kind, "true", f"write trigger: {kind}")
            return False


def _cron(fields: Fields) -> bool:
    cron = fields.text("cron")
    if cron is None:
        return False
    try:
        check_cron(cron)
    except UsageError as error:
        fields.refuse("cron", str(error), error.hint)
        return False
    return True


def _interval(fields: Fields) -> bool:
    written = fields.duration("interval", "")
    if written and not parse_duration(written):
        fields.refuse("interval", "`interval` is no time at all", "write a duration: `15m`, `6h`")
        return False
    return bool(written)


def read_pool(fields: Fields) -> str | dict[str, int] | None:
    """Return one pool, of which each attempt takes one slot, or the slots per attempt by pool."""
    if not isinstance(fields.raw("pool"), LocatedMapping):
        return fields.text("pool")
    block = fields.block_of("pool") or LocatedMapping(0)
    inner = Fields(block, fields.report, tuple(block), what="`pool`")
    slots = {name: inner.whole(name, minimum=1, maximum=SLOTS_MAX) for name in block}
    if not block:
        fields.refuse(
            "pool", "`pool` names no pool", f"write pool: NAME, or pool: {shown('{NAME: 2}')}"
        )
    return {name: count for name, count in slots.items() if count is not None} or None


# The fields, with their readers.

_BY = closed({"by": one_of(Grain), "column": TEXT}, "by")
_KEY = closed({"key": TEXT, "values": TEXTS}, "key")
PARTITION: Schema = {
    "anyOf": [
        {"enum": ["*", *Grain]},
        _BY,
        _KEY,
        {
            "type": "array",
            "items": {"anyOf": [one_of(Grain), _BY, _KEY]},
            "minItems": 2,
            "maxItems": 2,
        },
    ]
}
START: Schema = {"type": ["string", "integer"]}

COMMON = (
    Field(
        "owner",
        TEXT,
        "who answers for it: a name in owners.yaml",
        required=True,
        read=lambda fields: fields.required("owner", "add `owner:` with a name from owners.yaml"),
    ),
    text_field("description", "what it is, for people"),
    Field("tags", TEXTS, "short words; `tag:` selects by them", read=tags),
    text_field("domain", "the group that it belongs to; `domain:` selects by it"),
    text_field("calendar", "dates on which nothing is due: a file in calendars/"),
    Field(
        "timezone",
        ZONE,
        "the zone that cuts its days, an IANA name",
        "the project's",
        read=lambda fields: fields.timezone("timezone"),
    ),
)
COMMON_FIELDS = tuple(field.name for field in COMMON)
CHECKED = (
    Field(
        "checks",
        listed(MAPPING),  # `with_kinds` knows which
        "statements about each partition, made before anybody can read it",
        read=read_checks,
    ),
    choice_field("on_fail", ON_FAIL, "what a blocking check that fails does", "reject"),
    Field(
        "on_anomaly",
        {"anyOf": [one_of(ON_ANOMALY), texts_by_name(one_of(ON_ANOMALY))]},
        "what figures unlike the history do; by column, too",
        "by size",
        read=read_on_anomaly,
    ),
)
CONTRACT = text_field("contract", "the contract in contracts/", "the one of its own name")
RETAIN = Field(
    "retain",
    {**TEXT, "examples": ["30d", "13mo", "7y"]},
    "how long the rows of a partition are kept, with its stored deliveries and quarantine",
    "for ever",
    read=lambda fields: fields.checked("retain", parse_retention, "bad_duration"),
)
