"""The language of `[policy]`."""

from __future__ import annotations

import pytest

from headrace.model import UsageError
from headrace.model.policy import Consequence
from headrace.model.policy_language import (
    RULE_CHARACTERS_MAX,
    RULE_DEPTH_MAX,
    constant,
    parse_rule,
)

SMALL = Consequence(
    partitions=3,
    rows=1_500_000,
    bytes=2_000_000_000,
    seconds=90.5,
    tags=("regulated", "daily"),
    owners=("ops",),
    domains=("hr",),
    consumers=("desk", "audit"),
    crossing=("audit",),
    weakens=("desk: due: 07:00 → 08:00",),
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
        ("rows > 1e6", True),
        ("rows > 2.5e6", False),
        ("seconds > 90", True),
        ("consumers = 2 and domains = 1", True),
        ("consumers_crossing_domain > 0", True),
        ("consumers_crossing_domain > 1 or weakens", True),
        ("classified or breaks", False),
        ("not classified", True),
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
        "partitions > 1.5",
        "rows > 1e-3",
        "rows > 1e999",
        "weakens > 0",
        "weaken",
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("partitions > 5 and partitions < 3", False),
        ("weakens and not weakens", False),
        ("tag:a or not tag:a", True),
        ("partitions >= 0", True),
        ("partitions > 5 or partitions < 3", None),
        ("tag:a and tag:b", None),
        (" or ".join(f"tag:t{number}" for number in range(40)), None),
    ],
)
def test_a_rule_that_no_plan_or_every_plan_meets_is_found(text: str, expected: bool | None) -> None:
    """Would catch: a contradiction that never asks anybody, and looks like a safeguard."""
    assert constant(text) is expected
