"""`export:` of a consumer: what may be said, and what would overwrite, lose or leak something."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from modellab import Load, sql, told
from source_packages import NEEDS_DATABASES

from headrace.model.exports import ExportFormat, OnRestatement, export_of, path_of

SOURCE = {
    "sources/orders.yaml": (
        "source: orders\nowner: acme\npartition: day\nfiles: landing/o_{date:%Y-%m-%d}.csv\n"
    )
}
WHOLE = {"sources/planes.yaml": "source: planes\nowner: acme\nfiles: landing/planes.csv\n"}
SETTINGS = (
    '[project]\nname = "shop"\ntimezone = "America/New_York"\n'
    '[connections.warehouse]\ntype = "postgresql"\nhost = "db"\n[connections.bucket]\ntype = "s3"\n'
)


def consumer(export: str, name: str = "c1", reads: str = "[orders]", more: str = "") -> str:
    return (
        f"- consumer: {name}\n  owner: core\n  reads: {reads}\n  due: '07:00'\n  export:"
        f" {export}\n{more}"
    )


GOOD = [
    '{to: "exports/x_{date:%Y-%m-%d}.csv"}',
    '{to: "exports/{date:%Y/%j}.parquet", options: {compression: snappy}}',
    (
        '{to: "exports/x_{date:%Y-%m-%d}.txt", format: csv, options: {delimiter: ";"},'
        " on_restatement: tell}"
    ),
    '{to: "s3://b/${PREFIX}/x_{date:%Y-%m-%d}.jsonl", connection: bucket}',
    "{to: {connection: warehouse, table: reports.delays}}",
    "{to: {connection: warehouse, table: delays, interval_column: day_of}}",
    "{connection: warehouse, table: delays, on_restatement: tell}",
]


@NEEDS_DATABASES
@pytest.mark.parametrize("export", GOOD)
def test_what_may_be_declared(load: Load, export: str) -> None:
    """Catches a rule that refuses what the documentation shows."""
    project, problems = load(
        **SOURCE, **{"headrace.toml": SETTINGS, "consumers.yaml": consumer(export)}
    )
    assert problems == []
    assert project is not None
    assert export_of(project.consumers["c1"]) is not None


WRONG = [
    ('{to: "x.csv"}', "bad_path"),  # each day would overwrite the one before
    ('{to: "x_{date:%Y-%m}.csv"}', "bad_path"),
    ('{to: "x_{date:%Y-%m-%d}_{date:%H}.csv"}', "bad_path"),
    ('{to: "x_{date:%Q}.csv"}', "bad_path"),
    ('{to: "x_{day}.csv"}', "bad_path"),
    ('{to: "/etc/x_{date:%Y-%m-%d}.csv"}', "bad_path"),
    ('{to: "{date:../../%Y-%m-%d}.csv"}', "bad_path"),
    ('{to: ".headrace/x_{date:%Y-%m-%d}.csv"}', "bad_path"),
    ('{to: "{date:.headrace/%Y-%m-%d}.csv"}', "bad_path"),
    ('{to: "assets/x_{date:%Y-%m-%d}.csv"}', "bad_path"),
    ('{to: "s3://b/../x_{date:%Y-%m-%d}.csv"}', "bad_path"),
    ('{to: "file:///etc/x_{date:%Y-%m-%d}.csv"}', "bad_path"),
    ('{to: "zip::s3://b/x_{date:%Y-%m-%d}.csv"}', "bad_path"),
    ('{to: "s3://x_{date:%Y-%m-%d}.csv"}', "bad_path"),
    ('{to: "https://h/x_{date:%Y-%m-%d}.csv"}', "bad_path"),
    ('{to: "x_{date:%Y-%m-%d}"}', "unknown_export_format"),
    ('{to: "x_{date:%Y-%m-%d}.csv.gz"}', "unknown_export_format"),
    ('{to: "x_{date:%Y-%m-%d}.csv", format: avro}', "wrong_value"),
    ('{to: "x_{date:%Y-%m-%d}.csv", options: {compression: zstd}}', "unknown_field"),
    ('{to: "x_{date:%Y-%m-%d}.csv", options: {delimiter: "::"}}', "wrong_value"),
    ('{to: "x_{date:%Y-%m-%d}.csv", connection: bucket}', "conflicting_fields"),
    ('{to: "x_{date:%Y-%m-%d}.csv", on_restatement: resend}', "wrong_value"),
    ('{to: "ftp://me:canary@h/x_{date:%Y-%m-%d}.csv"}', "literal_secret"),
    ('{to: "s3://b/x_{date:%Y-%m-%d}.csv", connection: buckets}', "unknown_connection"),
    ("{to: {connection: bucket, table: t}}", "wrong_value"),
    ("{to: {connection: warehouse, table: 't; drop table x'}}", "wrong_value"),
    ("{to: {connection: warehouse, table: t, interval_column: 'a\"b'}}", "wrong_value"),
    ("{to: {connection: warehouse, table: t, interval_column: null}}", "wrong_value"),
    ("{to: {connection: warehouse, table: t}, format: csv}", "conflicting_fields"),
]


@NEEDS_DATABASES
@pytest.mark.parametrize(("export", "code"), WRONG)
def test_what_would_go_wrong_is_refused_with_its_line(load: Load, export: str, code: str) -> None:
    """Catches an export that overwrites its own days, leaves the project, or leaks a password, and
    problems without a place.
    """
    _, problems = load(**SOURCE, **{"headrace.toml": SETTINGS, "consumers.yaml": consumer(export)})
    assert told(problems) == [f"{code} consumers.yaml:5"]
    assert problems[0].hint
    assert "canary" not in f"{problems[0].message}{problems[0].hint}"


def test_several_reads_need_a_target_each(load: Load) -> None:
    """Catches the second read overwriting the first."""
    both = {**SOURCE, **WHOLE}
    item = consumer('{to: "x_{date:%Y-%m-%d}.csv"}', reads="[orders, planes]")
    assert told(load(**both, **{"consumers.yaml": item})[1]) == ["bad_path consumers.yaml:5"]
    good = consumer('{to: "{asset}_{date:%Y-%m-%d}.csv"}', reads="[orders, planes]")
    assert load(**both, **{"consumers.yaml": good})[1] == []


def test_data_that_isnt_cut_by_time_is_one_export(load: Load) -> None:
    """Catches a date in the name of what has no date."""
    good = consumer('{to: "exports/planes.csv"}', reads="[planes]")
    assert load(**WHOLE, **{"consumers.yaml": good})[1] == []
    dated = consumer('{to: "exports/planes_{date:%Y-%m-%d}.csv"}', reads="[planes]")
    assert told(load(**WHOLE, **{"consumers.yaml": dated})[1]) == ["bad_path consumers.yaml:5"]


def test_two_consumers_cant_share_a_target(load: Load) -> None:
    """Catches two exports that overwrite each other, spelt differently or by `{asset}`."""
    first = consumer('{to: "out/orders_{date:%Y-%m-%d}.csv"}')
    for other in (
        '{to: "./out//orders_{date:%Y-%m-%d}.csv"}',
        '{to: "out/{asset}_{date:%Y-%m-%d}.csv"}',
    ):
        _, problems = load(**SOURCE, **{"consumers.yaml": first + consumer(other, "c2")})
        assert told(problems) == ["duplicate_target consumers.yaml:10"]


def test_hours_need_an_offset_where_clocks_go_back(load: Load) -> None:
    """Catches one of the two hours called 01:00 overwriting the other."""
    source = {
        "sources/orders.yaml": (
            "source: orders\nowner: acme\npartition: hour\nfiles:"
            " landing/o_{date:%Y-%m-%dT%H%z}.csv\n"
        )
    }
    export = '{to: "x_{date:%Y-%m-%dT%H}.csv"}'
    assert told(
        load(**source, **{"consumers.yaml": consumer(export, more="  per: hour\n")})[1]
    ) == ["bad_path consumers.yaml:5"]
    assert (
        load(
            **source, **{"consumers.yaml": consumer(export, more="  per: hour\n  timezone: UTC\n")}
        )[1]
        == []
    )
    zoned = '{to: "x_{date:%Y-%m-%dT%H%z}.csv"}'
    assert load(**source, **{"consumers.yaml": consumer(zoned, more="  per: hour\n")})[1] == []


def test_files_and_effects_have_no_rows_to_export(load: Load) -> None:
    """Catches an export that fails every night because there is no table."""
    files = {"assets/mail.sql": sql("select 1 as x", materialize="none")}
    _, problems = load(**files, **{"consumers.yaml": consumer('{to: "x.csv"}', reads="[mail]")})
    assert "nothing_to_read consumers.yaml:5" in told(problems)


def test_a_targets_path() -> None:
    """Catches directives that Python leaves to the machine's language, or that it lacks (%q)."""
    start = datetime(2013, 3, 4, 5, 6, 7, tzinfo=timezone(timedelta(hours=-5)))
    assert (
        path_of("o/{asset}_{date:%Y-%m-%d %H:%M:%S%z}.csv", start, "a")
        == "o/a_2013-03-04 05:06:07-0500.csv"
    )
    assert (
        path_of("{date:%G-W%V-%u %j %b %y Q%q 100%%}", start, "a")
        == "2013-W10-1 063 Mar 13 Q1 100%"
    )
    assert path_of("{date:%Y}", datetime(1000, 1, 1, tzinfo=UTC), "a") == "1000"


def test_an_export_understood(load: Load) -> None:
    """Catches a default that isn't the documented one, and a target shown with who logs in."""
    project, _ = load(
        **SOURCE,
        **{
            "headrace.toml": SETTINGS,
            "consumers.yaml": consumer("{to: {connection: warehouse, table: t}}"),
        },
    )
    assert project is not None
    export = export_of(project.consumers["c1"])
    assert export is not None
    assert (export.label, export.interval_column, export.on_restatement) == (
        "warehouse.t",
        "_interval",
        OnRestatement.REDELIVER,
    )
    url = consumer('{to: "ftp://${USER}@host/x_{date:%Y-%m-%d}.csv"}')
    project, problems = load(**SOURCE, **{"consumers.yaml": url})
    assert problems == []
    assert project is not None
    export = export_of(project.consumers["c1"])
    assert export is not None
    assert (export.label, export.format) == ("ftp://host/x_{date:%Y-%m-%d}.csv", ExportFormat.CSV)
