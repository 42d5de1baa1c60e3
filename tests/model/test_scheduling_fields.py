"""`trigger`, `pool`, `concurrency`: what is read, and what is refused with its line."""

from __future__ import annotations

import pytest
from modellab import Load, sql, told

POOLS = '[project]\nname = "p"\ntimezone = "UTC"\n[pools]\nw = 8\n'


@pytest.mark.parametrize(
    ("trigger", "read"),
    [
        ("manual", {"manual": True}),
        ("upstream", {"upstream": True}),
        ("{webhook: true}", {"webhook": True}),
        ("{interval: 6h, catch_up: all}", {"interval": "6h", "catch_up": "all"}),
        ("{arrival: flights}", {"arrival": "flights"}),
        (
            '{cron: "0-59/5 9-17 * * MON-FRI", timezone: Europe/Berlin}',
            {"cron": "0-59/5 9-17 * * MON-FRI", "timezone": "Europe/Berlin"},
        ),
    ],
)
def test_triggers(load: Load, trigger: str, read: dict[str, object]) -> None:
    source = "source: flights\nowner: acme\nfiles: landing/f.csv\n"
    project, problems = load(
        **{"sources/flights.yaml": source, "assets/a.sql": sql(trigger=trigger)}
    )
    assert told(problems) == []
    assert project is not None
    assert project.assets["a"].trigger == read


@pytest.mark.parametrize(
    ("trigger", "problem"),
    [
        ('{cron: "0 6 * *"}', "wrong_value assets/a.sql:3"),
        ('{cron: "0 25 * * *"}', "wrong_value assets/a.sql:3"),
        ('{cron: "0 0 31 2 *"}', "wrong_value assets/a.sql:3"),
        ("{cron: 6}", "wrong_type assets/a.sql:3"),
        ("{interval: 0s}", "wrong_value assets/a.sql:3"),
        ("{interval: soon}", "bad_duration assets/a.sql:3"),
        ("{webhook: hook}", "wrong_type assets/a.sql:3"),
        ("{manual: false}", "wrong_type assets/a.sql:3"),
        ("{upstream: 3}", "wrong_type assets/a.sql:3"),
        ('{cron: "0 6 * * *", timezone: Mars/Base}', "unknown_timezone assets/a.sql:3"),
        ('{cron: "0 6 * * *", catch_up: some}', "wrong_value assets/a.sql:3"),
        ("{arrival: nobody}", "unknown_node assets/a.sql:1"),
        ("{upstream: nobody}", "unknown_node assets/a.sql:1"),
        ("{upstream: a}", "wrong_value assets/a.sql:1"),
        ("[manual]", "wrong_type assets/a.sql:3"),
    ],
)
def test_what_can_not_fire_is_refused(load: Load, trigger: str, problem: str) -> None:
    _, problems = load(**{"assets/a.sql": sql(trigger=trigger)})
    assert problem in told(problems)


def test_a_cron_that_ends_its_comment_is_told_so(load: Load) -> None:
    """Catches a message about YAML for what SQL's comments don't allow."""
    _, problems = load(**{"assets/a.sql": sql(trigger='{cron: "*/5 * * * *"}')})
    assert [(problem.code, problem.place.line, problem.hint) for problem in problems] == [
        ("yaml_syntax", 3, "write 0-59/5 instead of */5")
    ]


def test_a_view_has_no_trigger(load: Load) -> None:
    _, problems = load(**{"assets/a.sql": sql(trigger="manual", materialize="view")})
    assert "conflicting_fields assets/a.sql:1" in told(problems)


def test_what_fires_each_other_is_a_cycle(load: Load) -> None:
    """Catches two assets that run for ever, each because the other did."""
    files = {
        "assets/a.sql": sql(trigger="{upstream: b}"),
        "assets/b.sql": sql(trigger="{upstream: a}"),
    }
    assert any(line.startswith("cycle") for line in told(load(**files)[1]))


@pytest.mark.parametrize(
    ("pool", "problem"),
    [
        ("w", None),
        ("{w: 8}", None),
        ("{w: 9}", "pool_too_small assets/a.sql:1"),
        ("{v: 1}", "unknown_pool assets/a.sql:3"),
        ("{w: 0}", "wrong_value assets/a.sql:3"),
        ("{w: many}", "wrong_type assets/a.sql:3"),
        ("{}", "wrong_value assets/a.sql:3"),
        ("[w]", "wrong_type assets/a.sql:3"),
    ],
)
def test_pools(load: Load, pool: str, problem: str | None) -> None:
    project, problems = load(**{"headrace.toml": POOLS, "assets/a.sql": sql(pool=pool)})
    assert told(problems) == ([] if problem is None else [problem])
    if problem is None:
        assert project is not None
        assert project.assets["a"].pools == {"w": 8 if "8" in pool else 1}


@pytest.mark.parametrize("value", ["0", "-1", "2.5", "many"])
def test_a_limit_is_a_number_of_attempts(load: Load, value: str) -> None:
    assert told(load(**{"assets/a.sql": sql(concurrency=value)})[1])
    assert told(
        load(
            **{
                "sources/s.yaml": (
                    f"source: s\nowner: acme\nfiles: landing/s.csv\nconcurrency: {value}\n"
                )
            }
        )[1]
    )


@pytest.mark.parametrize("table", ["pools", "environments.dev.pools"])
@pytest.mark.parametrize(
    ("entry", "problem"),
    [('"node:a" = 1', "bad_name"), ('w = "8"', "wrong_type"), ("w = 0", "wrong_value")],
)
def test_pools_are_declared_alike_in_an_environment(
    load: Load, table: str, entry: str, problem: str
) -> None:
    """Catches an environment's pool that stops the core, because nobody looked at it."""
    _, problems = load(
        **{"headrace.toml": f'[project]\nname = "p"\ntimezone = "UTC"\n[{table}]\n{entry}\n'}
    )
    assert [line for line in told(problems) if line.startswith(problem)] == [
        f"{problem} headrace.toml:5"
    ]
