"""Where columns come from and go to over a whole project."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import compiled, contract, python, source, sql, write

from headrace.compiler.lineage import compile_lineage
from headrace.model import UsageError

FILES = {
    "sources/flights.yaml": source("flights"),
    "contracts/flights.odcs.yaml": contract(
        "flights",
        carrier="string|VARCHAR",
        day="date|DATE",
        delay="integer|INTEGER",
        gate="string|VARCHAR",
    ),
    "assets/clean.sql": sql(
        "select carrier as airline, day, delay::bigint as delay from flights",
        partition="{by: day, column: day}",
    ),
    "assets/totals.sql": sql(
        "select day, airline, sum(delay) as total from clean where airline <> 'XX' group by day,"
        " airline",
        partition="day",
    ),
    "assets/busy.sql": sql("select day, count(*) as n from flights group by day", partition="day"),
    "assets/opaque.py": python("opaque", "busy"),
    "consumers.yaml": (
        "- {consumer: punctuality, owner: core, reads: [totals], due: '07:00'}\n"
        "- {consumer: traffic, owner: core, reads: [opaque], due: '07:00'}\n"
    ),
}


def _steps(steps):
    return [f"{step.column} -> {step.via} {step.transformation}" for step in steps]


def test_upstream_is_every_step_to_the_source(tmp_path: Path) -> None:
    """The path must name each hop and what it does."""
    lineage = compile_lineage(compiled(write(tmp_path, FILES)))
    assert _steps(lineage.upstream("totals", "total")) == [
        "clean.delay -> totals.total aggregate",
        "clean.airline -> totals.total filter",
        "clean.day -> totals.total group_key",
        "flights.delay -> clean.delay cast",
        "flights.carrier -> clean.airline identity",
        "flights.day -> clean.day identity",
    ]


def test_downstream_follows_filters_and_opaque_bodies(tmp_path: Path) -> None:
    """A key that is grouped by reaches all that the code returns."""
    lineage = compile_lineage(compiled(write(tmp_path, FILES)))
    reached = {step.column for step in lineage.downstream("flights", "day")}
    assert reached == {
        "clean.day",
        "busy.day",
        "busy.n",
        "totals.day",
        "totals.airline",
        "totals.total",
        "opaque.*",
    }
    assert {step.column for step in lineage.downstream("flights", "gate")} == set()


@pytest.mark.parametrize(
    ("columns", "assets", "consumers"),
    [
        (["delay"], ["clean", "totals"], ["punctuality"]),
        (["gate"], [], []),
        (["day"], ["busy", "clean", "opaque", "totals"], ["punctuality", "traffic"]),
        (["gate", "CARRIER"], ["clean", "totals"], ["punctuality"]),
    ],
)
def test_drift_names_exactly_who_uses_what_changed(
    tmp_path: Path, columns: list[str], assets: list[str], consumers: list[str]
) -> None:
    """SEMANTICS §5: the incident names exactly the assets and consumers that use what changed."""
    result = compile_lineage(compiled(write(tmp_path, FILES))).users("flights", columns)
    assert (sorted(result[0]), result[1]) == (assets, consumers)


def test_columns_that_arent_known_are_followed_by_name(tmp_path: Path) -> None:
    """Before the first delivery of a source without contract there is a lineage all the same."""
    files = {**FILES}
    del files["contracts/flights.odcs.yaml"]
    lineage = compile_lineage(compiled(write(tmp_path, files)))
    assert "flights.delay -> clean.delay cast" in _steps(lineage.upstream("totals", "total"))
    assert lineage.users("flights", ["delay"]) == (["clean", "totals"], ["punctuality"])


def test_stars_over_unknown_columns_reach_everything(tmp_path: Path) -> None:
    """`select *` of something unknown uses every column of it."""
    files = {
        "sources/s.yaml": source("s", "*"),
        "assets/a.sql": sql("select * from s"),
        "assets/b.sql": sql("select k from a"),
    }
    lineage = compile_lineage(compiled(write(tmp_path, files)))
    assert lineage.users("s", ["k"]) == (["a", "b"], [])


def test_an_unknown_column_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="totl") as raised:
        compile_lineage(compiled(write(tmp_path, FILES))).upstream("totals", "totl")
    assert "did you mean `total`?" in raised.value.hint


def test_declared_reads_of_a_python_asset_narrow_its_lineage(tmp_path: Path) -> None:
    """SEMANTICS §7: an opaque body uses all columns of its inputs until it declares `columns:`."""
    narrowed = FILES["assets/opaque.py"].replace(
        'inputs=["busy"]',
        'inputs=["busy"], columns={"writes": {"n": "BIGINT"}, "reads": {"busy": ["day"]}}',
    )
    lineage = compile_lineage(compiled(write(tmp_path, {**FILES, "assets/opaque.py": narrowed})))
    assert lineage.users("busy", ["n"])[0] == []
    assert lineage.users("busy", ["day"])[0] == ["opaque"]
