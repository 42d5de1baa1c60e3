"""The demo's project tells a story; its facts are counted here from the data, by DuckDB alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from importlib import resources
from pathlib import Path

import duckdb
import pytest

from headrace.compiler.compiling import compile_project
from headrace.model import ProblemLevel, Project, SqlBody
from headrace.sql.analysis import analyse
from headrace_demo import demo_data
from headrace_demo.demo_data import DemoDataError, DemoFault

DAYS = [date(2013, 1, 1) + timedelta(days=n) for n in range(44)]
ROOT = Path(str(resources.files("headrace_demo").joinpath("demo_project")))


@pytest.fixture(scope="module")
def project() -> Project:
    compilation = compile_project(ROOT)
    assert [
        problem for problem in compilation.problems if problem.level is ProblemLevel.ERROR
    ] == []
    assert compilation.project is not None
    return compilation.project


@pytest.fixture(scope="module")
def lake(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Both daily sources over all days, typed as their contracts say."""
    landing = tmp_path_factory.mktemp("landing")
    try:
        for day in DAYS:
            demo_data.deliver(landing, day, DemoFault.NONE)
    except DemoDataError as error:
        pytest.skip(f"the registry can't be reached: {error}")
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'America/New_York'")
        for name in ("flights", "weather"):
            columns = {column.name: column.type for column in project.contracts[name].columns}
            connection.execute(
                f"CREATE TABLE {name} AS SELECT * FROM read_csv('{landing}/{name}_*.csv', columns ="
                f" {columns!r})"
            )
        for name in ("flights_clean", "weather_clean"):
            connection.execute(f"CREATE TABLE {name} AS {sql(project, name)}")
        yield connection


def sql(project: Project, name: str) -> str:
    body = project.assets[name].body
    assert isinstance(body, SqlBody)
    return body.text


def inputs(project: Project, name: str) -> set[str]:
    asset = project.assets[name]
    result = {spec.node for spec in asset.inputs}
    if isinstance(asset.body, SqlBody):
        result |= set(
            analyse(asset.body.text, file=asset.body.file, line=asset.body.line, name=name).inputs
        )
    return result


def test_it_is_as_large_as_the_readme_says(project: Project) -> None:
    """Somebody removed an asset, and the story counts on."""
    assert [
        len(part) for part in (project.sources, project.assets, project.consumers, project.owners)
    ] == [5, 12, 3, 4]
    bodies = {type(asset.body).__name__ for asset in project.assets.values()}
    assert bodies == {"SqlBody", "PythonBody", "CommandBody"}
    assert {asset.domain for asset in project.assets.values()} == {"operations", "network"}
    assert {
        node.owner
        for node in (
            *project.sources.values(),
            *project.assets.values(),
            *project.consumers.values(),
        )
    } == set(project.owners)


def test_eight_assets_need_the_flights_and_four_do_not(project: Project) -> None:
    """A held delivery of flights would hold another number of assets than the story tells."""
    behind = {"flights"}
    for _ in project.assets:
        behind |= {name for name in project.assets if inputs(project, name) & behind}
    assert len(behind - {"flights"}) == 8
    assert set(project.assets) - behind == {
        "weather_clean",
        "daylight",
        "flying_conditions",
        "fleet",
    }


def test_each_consumer_needs_the_flights(project: Project) -> None:
    """One of the three consumers would be served while the vendor's files are held."""
    for consumer in project.consumers.values():
        needed = set(consumer.reads)
        for _ in project.assets:
            needed |= {
                above for name in needed & set(project.assets) for above in inputs(project, name)
            }
        assert "flights" in needed, consumer.name


@pytest.mark.parametrize(
    ("asset", "check", "days"),
    [
        ("flights_clean", "many_cancelled", ["2013-02-08", "2013-02-09"]),
        ("flights_clean", "outcome_is_whole", []),
        ("weather_clean", "all_hours_observed", ["2013-01-01", "2013-01-06"]),
    ],
)
def test_checks_say_what_happened_on_exactly_the_days_when_it_did(
    project: Project, lake: duckdb.DuckDBPyConnection, asset: str, check: str, days: list[str]
) -> None:
    """The storm passes in silence, or an ordinary day is called one."""
    [spec] = [spec for spec in project.assets[asset].checks if spec.name == check]
    column = project.assets[asset].partition.column
    said = []
    for day in DAYS:
        lake.execute(
            f"CREATE OR REPLACE TEMP TABLE one AS SELECT * FROM {asset} WHERE {column} = DATE"
            f" '{day}'"
        )
        if lake.execute(spec.arguments["query"].replace("$self", "one")).fetchall():
            said.append(day.isoformat())
    assert said == days


def test_the_impossible_wind_is_said_and_left_out(lake: duckdb.DuckDBPyConnection) -> None:
    """A wind of a thousand miles an hour is averaged into somebody's report."""
    assert lake.sql(
        "SELECT day, month, round(wind_speed) FROM weather WHERE wind_speed > 200"
    ).fetchall() == [(12, 2, 1048.0)]
    assert lake.sql("SELECT max(wind_mph) < 60 FROM weather_clean").fetchone() == (True,)


def test_each_flight_has_an_id_of_its_own(lake: duckdb.DuckDBPyConnection) -> None:
    """Two flights share an id, and one of them is lost by whoever joins on it."""
    assert lake.sql("SELECT count(*), count(DISTINCT flight_id) FROM flights_clean").fetchone() == (
        38_270,
        38_270,
    )
