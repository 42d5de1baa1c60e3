"""The language of `[policy]`."""

from __future__ import annotations

import pytest

from headrace.model import UsageError
from headrace.model.settings import RULE_CHARACTERS_MAX, RULE_DEPTH_MAX, Facts, parse_rule

SMALL = Facts(
    partitions=3,
    bytes=2_000_000_000,
    tags=frozenset({"regulated", "daily"}),
    owners=frozenset({"ops"}),
    domains=frozenset({"hr"}),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("partitions > 2", True),
        ("partitions > 3", False),
        ("partitions >= 3 and tag:regulated", True),
        ("partitions > 100 or tag:regulated", True),
        ("partitions > 100 or tag:other", False),
        ("not tag:other", True),
        ("not not tag:regulated", True),
        ("not tag:regulated or owner:ops", True),
        ("not (tag:regulated or owner:ops)", False),
        ("tag:other and tag:other or domain:hr", True),
        ("tag:other and (tag:other or domain:hr)", False),
        ("bytes > 1GB", True),
        ("bytes>2GiB", False),
        ("bytes < 3_000_000_000", True),
        ("PARTITIONS = 3 AND Partitions != 4", True),
        ("partitions<=2", False),
        ("domain:regulated", False),
    ],
)
def test_a_rule_means_what_it_says(text: str, expected: bool) -> None:
    """Would catch `and` binding less than `or`, a comparison the wrong way round, and a tag taken
    for a domain."""
    assert parse_rule(text)(SMALL) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "partitions",
        "partitions >",
        "partitions > many",
        "partitions > 1GB",
        "> 3",
        "3 > partitions",
        "tag:",
        "color:red",
        "partitions > 3 tag:x",
        "(partitions > 3",
        "partitions > 3)",
        "and",
        "not",
        "tag:a or",
        "partitions ~ 3",
        "()",
        "partitions > -1",
        "bytes > 1parsec",
        "partitions > 1e9",
        "(" * (RULE_DEPTH_MAX + 2) + "tag:x" + ")" * (RULE_DEPTH_MAX + 2),
        "x" * (RULE_CHARACTERS_MAX + 1),
        "tag:a; drop table plan",
    ],
)
def test_what_is_no_rule_is_refused_with_a_hint(text: str) -> None:
    """Would catch a rule with a slip of the pen that then never asks for anything."""
    with pytest.raises(UsageError) as error:
        parse_rule(text)
    assert error.value.hint


def test_a_very_long_chain_is_no_deep_one() -> None:
    assert parse_rule(" or ".join(["tag:other"] * 150 + ["owner:ops"]))(SMALL)
