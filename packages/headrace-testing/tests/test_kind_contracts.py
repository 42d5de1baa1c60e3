"""Headrace's own check kinds against the suite that packages use."""

from __future__ import annotations

from datetime import datetime

from headrace.checks.kinds.accepted_values import AcceptedValues
from headrace.checks.kinds.freshness import Freshness
from headrace.checks.kinds.not_null import NotNull
from headrace.checks.kinds.range import Range
from headrace.checks.kinds.regex import Regex
from headrace.checks.kinds.row_count import RowCount
from headrace.checks.kinds.sql import Sql
from headrace.checks.kinds.unique import Unique
from headrace_testing.contracts import CheckContract


class TestUnique(CheckContract):
    kind = Unique
    check = 'unique: {"columns": ["id"]}'
    good = ({"id": 1}, {"id": 2}, {"id": None})
    bad = ({"id": 1}, {"id": 1})


class TestNotNull(CheckContract):
    kind = NotNull
    check = 'not_null: {"columns": ["id", "origin"]}'
    good = ({"id": 1, "origin": "EWR"},)
    bad = ({"id": None, "origin": "EWR"}, {"id": 2, "origin": None})


class TestAcceptedValues(CheckContract):
    kind = AcceptedValues
    check = 'accepted_values: {"column": "origin", "values": ["EWR", "it\'s"]}'
    good = ({"origin": "EWR"}, {"origin": "it's"}, {"origin": None})
    bad = ({"origin": "XXX"}, {"origin": ""})


class TestRange(CheckContract):
    kind = Range
    check = 'range: {"column": "distance", "min": 0, "max": 10}'
    good = ({"distance": 0.0}, {"distance": 10.0}, {"distance": None})
    bad = ({"distance": -0.5}, {"distance": 10.5}, {"distance": float("nan")})


class TestRegex(CheckContract):
    kind = Regex
    check = 'regex: {"column": "tail", "pattern": "N[0-9]+"}'
    good = ({"tail": "N12"}, {"tail": None})
    bad = ({"tail": "xN12"}, {"tail": "N"})


class TestFreshness(CheckContract):
    kind = Freshness
    check = 'freshness: {"column": "at", "max_age": "2d"}'
    good = ({"at": datetime(1969, 12, 30, 12)}, {"at": datetime(1960, 1, 1)})  # noqa: DTZ001
    bad = ({"at": datetime(1969, 12, 29, 12)}, {"at": None})  # noqa: DTZ001


class TestRowCount(CheckContract):
    kind = RowCount
    check = 'row_count: {"min": 2, "max": 3}'
    good = ({"id": 1}, {"id": 2})
    bad = ({"id": 1},)


class TestSql(CheckContract):
    kind = Sql
    check = 'sql: {"query": "select * from $self where id < 0"}'
    good = ({"id": 1},)
    bad = ({"id": -1}, {"id": -2})
