"""Fields that several kinds of files have."""

from __future__ import annotations

from headrace.model.checks import COMMON as CHECK_COMMON
from headrace.model.checks import SHAPES
from headrace.model.common import ON_ANOMALY, ON_FAIL
from headrace.model.described.vocabulary import ANYTHING, TEXT, TEXTS, ZONE, FieldDescription, Schema, closed, one_of, texts_by_name
from headrace.model.nodes import Grain, Severity

_BY = closed({"by": one_of(Grain), "column": TEXT}, "by")
_KEY = closed({"key": TEXT, "values": TEXTS}, "key")
PARTITION: Schema = {
    "anyOf": [
        {"enum": ["*", *Grain]},
        _BY,
        _KEY,
        {"type": "array", "items": {"anyOf": [one_of(Grain), _BY, _KEY]}, "minItems": 2, "maxItems": 2},
    ]
}
START: Schema = {"type": ["string", "integer"]}

COMMON = (
    FieldDescription("owner", TEXT, "who answers for it: a name in owners.yaml", required=True),
    FieldDescription("description", TEXT, "what it is, for people"),
    FieldDescription("tags", TEXTS, "short words; `tag:` selects by them"),
    FieldDescription("domain", TEXT, "the group that it belongs to; `domain:` selects by it"),
    FieldDescription("calendar", TEXT, "dates on which nothing is due: a file in calendars/"),
    FieldDescription("timezone", ZONE, "the zone that cuts its days, an IANA name", "the project's"),
)


def _check(kind: str) -> Schema:
    """A check of one kind: its arguments, and what may stand beside them or in them."""
    shape = SHAPES[kind]
    beside: dict[str, Schema] = {"name": TEXT, "severity": one_of(Severity), "where": TEXT}
    assert set(beside) == set(CHECK_COMMON)
    inner: list[Schema] = [closed({**dict.fromkeys(shape.fields, ANYTHING), **beside})]
    if shape.short is not None:
        inner += [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]
    return closed({kind: {"anyOf": inner}, **beside}, kind)


CHECKS: Schema = {"type": "array", "items": {"anyOf": [_check(kind) for kind in SHAPES]}}

_ANOMALY: Schema = {"anyOf": [one_of(ON_ANOMALY), texts_by_name(one_of(ON_ANOMALY))]}
JUDGED = (
    FieldDescription("checks", CHECKS, "statements about each partition, made before anybody can read it"),
    FieldDescription("on_fail", one_of(ON_FAIL), "what a blocking check that fails does", "reject"),
    FieldDescription("on_anomaly", _ANOMALY, "what figures unlike the history do; by column, too", "by size"),
)
CONTRACT = FieldDescription("contract", TEXT, "the contract in contracts/", "the one of its own name")
