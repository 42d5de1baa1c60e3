"""How many statements a command sends to the state's database at most: on the demo after its fault,
over 10,000 partitions, and with 50 open incidents."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from runlab import Lab

from benchmarks import history
from headrace.project.session import ProjectSession, Silent
from headrace.services.status import status
from headrace.services.why import why
from headrace.store.engines import sqlite

pytest.importorskip("headrace_demo")
from headrace_demo.demo import demo
from headrace_demo.demo_data import DemoDataError

bottleneck = pytest.importorskip("headrace_advisor.services.bottleneck").bottleneck

INCIDENTS = 50


def asked(
    open_session: Callable[[], ProjectSession],
    act: Callable[[ProjectSession], object],
    monkeypatch: pytest.MonkeyPatch,
) -> int:
    """The number of statements of a command."""
    statements: list[str] = []
    connect = sqlite._connect

    def watched(path: Path) -> object:
        connection = connect(path)
        connection.set_trace_callback(statements.append)
        return connection

    with monkeypatch.context() as patch, closing(open_session()) as session:
        patch.setattr(sqlite, "_connect", watched)
        session.trusted = True
        act(session)
    return len(statements)


def why_of(subject: str) -> Callable[[ProjectSession], object]:
    return lambda session: why(session, subject)


def opening(root: Path) -> Callable[[], ProjectSession]:
    return lambda: ProjectSession.open(root, "prod", None, "tester")


@pytest.mark.long
def test_the_demo_after_its_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: facts about each consumer, held delivery or incident that are asked for one by
    one."""
    root = tmp_path / "demo"
    try:
        demo(root, days=None, fault="rename", fresh=False, progress=Silent())
    except DemoDataError as error:
        pytest.skip(f"the registry can't be reached: {error}")
    consumers = ("morning-report", "regulator-extract", "ops-dashboard")
    for act in (status, *map(why_of, consumers), bottleneck):
        assert asked(opening(root), act, monkeypatch) <= 120


def test_ten_thousand_partitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: facts about each partition or consumer that are asked for one by one."""
    assert history.build(tmp_path / "history", *history.SIZES["10k"]) > 9_000
    for act in (status, why_of("c0"), why_of("a3_7"), bottleneck):
        assert asked(opening(tmp_path / "history"), act, monkeypatch) <= 120


def test_fifty_incidents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: facts about each incident or held delivery that are asked for one by one."""
    lab = Lab(tmp_path)
    names = [f"s{n:02}" for n in range(INCIDENTS)]
    owners = "".join(f"v{name}: {{kind: vendor}}\n" for name in names)
    lab.write("owners.yaml", f"core: {{kind: team}}\nacme: {{kind: vendor}}\n{owners}")
    for name in names:
        lab.write(
            f"sources/{name}.yaml",
            f"source: {name}\nowner: v{name}\npartition: day\nfiles:"
            f" landing/{name}_{{date:%Y-%m-%d}}.csv\n",
        )
        lab.write(f"landing/{name}_2025-01-08.csv", f"id,of_{name}\n1,2\n")
    lab.orders("2025-01-08")
    consumers = "".join(
        f"- {{consumer: of_{name}, owner: core, reads: [{name}], due: '06:00', since: 2025-01-08}}\n"
        for name in names
    )
    lab.write("consumers.yaml", consumers)
    lab.tick()
    for name in names:
        lab.write(f"landing/{name}_2025-01-09.csv", "id,price\n1,one\n")
    lab.tick()
    with closing(lab.session()) as session:
        session.trusted = True
        assert status(session).incidents_open >= INCIDENTS
    for act in (status, why_of("of_s07")):
        assert asked(lab.session, act, monkeypatch) <= 120
