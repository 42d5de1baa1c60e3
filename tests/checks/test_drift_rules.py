"""Names of a file against what is expected: pure, and over random schemas."""

from __future__ import annotations

import random

import pytest

from headrace.checks.drift import (
    ColumnRename,
    DriftRules,
    Expected,
    blocks,
    changes_of,
    changes_text,
    compare,
    facts_of,
    in_force,
    known_names,
    same_spelling,
)
from headrace.checks.facts import DriftKind, Policy
from headrace.model import ContractColumn

NAMES = (
    {"name": "delay", "from": "2013-02-11", "to": "2013-06-01"},
    {"name": "departure_delay", "from": "2013-06-01"},
)
COLUMN = ContractColumn(name="dep_delay", names=NAMES)


@pytest.mark.parametrize(
    ("interval", "name"),
    [
        ("2013-02-10", "dep_delay"),
        ("2013-02-11", "delay"),
        ("2013-05-31", "delay"),
        ("2013-06-01", "departure_delay"),
        ("2014-W01", "departure_delay"),
    ],
)
def test_the_name_in_force(interval: str, name: str) -> None:
    """Catches: an end that is included, a beginning that isn't."""
    assert in_force(COLUMN, interval) == name
    assert known_names(COLUMN, interval)[0] == name
    assert set(known_names(COLUMN, interval)) == {"dep_delay", "delay", "departure_delay"}


def test_columns_that_changed_names_with_each_other() -> None:
    """Catches: a name of another time that is taken although a column is called so now."""
    expected = [Expected(name="a", names=("b", "a")), Expected(name="b", names=("a", "b"))]
    assert compare(expected, ["a", "b"]).names == {"b": "a", "a": "b"}
    assert compare(expected, ["a"]).names == {"a": "b"}
    assert compare(expected, ["a"]).dropped == ("a",)


@pytest.mark.parametrize("order", [1, -1])
def test_a_name_that_is_said_comes_before_a_column_of_that_name(order: int) -> None:
    """Catches: a declared name that is read as a column of its own, or as either by the order in
    which they are listed."""
    expected = [Expected(name="a", names=("b", "a")), Expected(name="b")][::order]
    compared = compare(expected, ["b", "c"])
    assert (compared.names, compared.dropped, compared.added) == ({"b": "a"}, ("b",), ("c",))


@pytest.mark.parametrize(
    ("was", "now", "paired"),
    [
        (["Café"], ["cafe"], True),
        (["dep_delay"], ["Dep Delay"], True),
        (["Province/State"], ["Province_State"], True),
        (["a b"], ["a_b", "A-B"], False),
        (["x"], ["y"], False),
        (["__"], ["--"], False),
    ],
)
def test_names_that_differ_only_in_how_they_are_written(
    was: list[str], now: list[str], *, paired: bool
) -> None:
    """Catches: case or accents that look like another column; two candidates of which
    one is taken.
    """
    assert bool(same_spelling(was, now)) is paired


@pytest.mark.parametrize(
    ("policies", "used", "kind", "policy"),
    [
        ({}, {"a": ("x",)}, DriftKind.DROPPED, Policy.BLOCK),
        ({}, {"b": ("x",)}, DriftKind.DROPPED, Policy.WARN),
        ({}, {"*": ("x",)}, DriftKind.DROPPED, Policy.BLOCK),
        ({"dropped": "allow"}, {"a": ("x",)}, DriftKind.DROPPED, Policy.ALLOW),
        ({"dropped": "map"}, {}, DriftKind.DROPPED, Policy.BLOCK),
    ],
)
def test_policies(
    policies: dict[str, str], used: dict[str, tuple[str, ...]], kind: DriftKind, policy: Policy
) -> None:
    """Catches: a default in place of what is declared; a mapping of what can't be mapped."""
    compared = compare([Expected(name="a"), Expected(name="k")], ["k"])
    (change,) = changes_of(compared, DriftRules(policies=policies, used=used))
    assert (change.kind, change.policy) == (kind, policy)
    assert bool(facts_of([change])) is (policy in (Policy.BLOCK, Policy.WARN))


def test_a_rename_is_read_only_where_it_is_sure() -> None:
    """Catches: a doubtful pair that is mapped without asking; a pair that is an added column as
    well.
    """
    compared = compare([Expected(name="a"), Expected(name="k")], ["k", "z"])
    rules = DriftRules(policies={"renamed": "map"})
    for score, policy in ((0.95, Policy.MAP), (0.6, Policy.BLOCK)):
        (change,) = changes_of(compared, rules, [ColumnRename(column="a", to="z", score=score)])
        assert (change.kind, change.to, change.policy) == (DriftKind.RENAMED, "z", policy)


def test_random_headers() -> None:
    """Catches: a name that is two columns, a column that is lost between dropped, matched and
    added, an order that matters.
    """
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(300):
        names = [f"c{i}" for i in rng.sample(range(60), rng.randint(1, 40))]
        expected = [
            Expected(name=name, names=(name, f"{name}_old"), optional=rng.random() < 0.1)
            for name in names
        ]
        result = [
            rng.choice([name, name, f"{name}_old"]) for name in names if rng.random() < 0.9
        ] + [f"n{i}" for i in range(rng.randint(0, 5))]
        rng.shuffle(result)
        compared = compare(expected, result)
        matched = list(compared.names.values())
        assert len(set(matched)) == len(matched)
        optional = {item.name for item in expected if item.optional}
        assert set(matched) | set(compared.dropped) | optional == set(names) | (
            optional & set(names)
        )
        assert set(compared.added) == set(result) - set(compared.names)
        again = compare(expected, sorted(result))
        assert (again.names, set(again.dropped)) == (compared.names, set(compared.dropped))
        changes = changes_of(
            compared,
            DriftRules(used={"*": ("x",)}),
            same_spelling(compared.dropped, compared.added),
        )
        assert blocks(changes) is bool(compared.dropped)


def test_a_thousand_columns_are_told_in_one_sentence() -> None:
    """Catches: a reason of a hundred kilobytes; a fact for each of a thousand names."""
    names = [f"column number {i}" for i in range(1000)]
    changes = changes_of(
        compare([Expected(name=name) for name in names], [f"{name}!" for name in names]),
        DriftRules(),
    )
    assert len(changes_text(changes)) < 700
    assert len(facts_of(changes)) == 100


def test_a_learnt_type_grows_and_an_agreed_one_doesnt() -> None:
    """Would catch: a contract's type that a file changes by itself; values that fit nothing let
    through with those that fit a wider one.
    """
    rules = DriftRules(typed=frozenset({"agreed"}), used={"*": ("x",)})
    policies = [
        rules.policy(DriftKind.TYPE, name, mappable=wider)
        for name, wider in (("learnt", True), ("agreed", True), ("learnt", False))
    ]
    assert policies == [Policy.ALLOW, Policy.BLOCK, Policy.BLOCK]
    assert (
        DriftRules(policies={"type": "warn"}).policy(DriftKind.TYPE, "learnt", mappable=True)
        is Policy.WARN
    )
