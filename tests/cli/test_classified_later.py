"""A column that is classified when checks, anomalies, failures and reasons have quoted its values.

An admin loses these values, too: what is classified before its first run isn't recorded either.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from clilab import Project

from headrace.model import Settings
from headrace.model.texts import marked
from headrace.store import Store

SOURCE = "source: {0}\nowner: core\nfiles: '{0}_{{date:%Y-%m-%d}}.csv'\npartition: day\n"
HEAD = "/* headrace\nowner: core\npartition: {by: day, column: day}\n"
CITY = "checks: [{accepted_values: {column: city, values: [Rome]}}]\n*/ select day, id, city from "
FILES = {
    "headrace.toml": '[project]\nname = "bank"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
    "owners.yaml": "core: {kind: team}\n",
    "consumers.yaml": "- {consumer: desk, owner: core, reads: [rejecting, failing], due: '09:00'}\n",
    "sources/people.yaml": SOURCE.format("people"),
    "sources/shops.yaml": SOURCE.format("shops"),
    "assets/warning.sql": (
        HEAD + "checks:\n  - {accepted_values: {column: nick, values: [Rome]}, severity: warning}\n"
        "*/ select day, city as nick from people\n"
    ),
    "assets/rejecting.sql": f"{HEAD}{CITY}people\n",
    "assets/failing.sql": f"{HEAD}*/ select day, cast(city as integer) as n from people\n",
    "assets/apart.sql": f"{HEAD}{CITY}shops\n",
    "assets/checking.sql": (
        HEAD + "checks:\n  - sql: {name: other, query: select cast(city as integer) from people"
        " where city <> 'Rome'}\n"
        "*/ select day, id from shops\n"
    ),
}
CANARY, OTHER = "Zanzibar", "Timbuktu"
OUTLETS = (
    ("status",),
    ("why", "desk"),
    ("why", "rejecting"),
    ("why", "checking"),
    ("checks",),
    ("runs",),
    ("runs", "1"),
    ("incidents",),
    ("incidents", "show", "INC-1"),
    ("incidents", "show", "INC-2"),
    ("quarantine",),
    ("logs", "failing"),
    ("logs", "rejecting"),
    ("sql", "from headrace.incidents"),
    ("sql", "from headrace.runs"),
    ("sql", "from headrace.partitions"),
    ("sql", "from headrace.checks"),
)


@pytest.fixture
def bank(tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Two days, of which the second has cities that checks and casts quote."""
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    for day, of_people, of_shops in (("01", "Rome", "Rome"), ("02", CANARY, OTHER)):
        for source, city in (("people", of_people), ("shops", of_shops)):
            rows = "".join(f"2025-01-{day},{number},{city}\n" for number in range(40))
            (tmp_path / f"{source}_2025-01-{day}.csv").write_text(f"day,id,city\n{rows}")
    project = Project(tmp_path, call)
    call(tmp_path, "tick", "--now", "2025-01-03T12:00")
    who = project.json("access", "whoami")["who"]
    (tmp_path / "access.yaml").write_text(f"- {{role: admin, to: ['{who}']}}\n")
    project.text("apply", "--yes")
    return project


def _quoting(project: Project, value: str) -> list[str]:
    """Return the commands that say a value."""
    return [
        " ".join(words)
        for words in OUTLETS
        for more in ((), ("--json",))
        if value in "".join(project.call(project.root, *words, *more)[1:])
    ]


def _incidents(project: Project) -> list[tuple[str, str]]:
    return [(row["id"], row["state"]) for row in project.json("incidents")]


def _vectors(project: Project) -> list[bytes]:
    settings = Settings(name="bank")
    with Store.open(project.root, settings) as store, store.read() as tx:
        return [bytes(row[0]) for row in tx.execute("select vector from metric")]


def test_what_was_quoted_before_is_hidden(bank: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a viewer who is told a classified value by a check of the day before."""
    token = bank.json("token", "create", "reader", "--scope", "viewer")["token"]
    before, incidents = _quoting(bank, CANARY), _incidents(bank)
    assert {"why rejecting", "why checking", "checks", "runs 1", "quarantine"} <= {*before}
    people = SOURCE.format("people") + "columns: {city: {personal: true}}\n"
    (bank.root / "sources/people.yaml").write_text(people)
    bank.text("apply", "--yes")
    monkeypatch.setenv("HEADRACE_TOKEN", token)
    assert _quoting(bank, CANARY) == []
    assert _quoting(bank, OTHER), "what is about other nodes stays"
    monkeypatch.delenv("HEADRACE_TOKEN")
    bank.call(bank.root, "tick", "--now", "2025-01-03T13:00")
    assert {*_quoting(bank, CANARY)} == {"quarantine"}, "rows that an admin may read"
    assert _incidents(bank) == incidents
    bank.text("db", "check", "--deep")


def test_what_an_earlier_version_has_left_is_hidden(bank: Project) -> None:
    """Catches: a column that was classified late, before apply took out what was quoted of it."""
    details = "update check_result set detail = ? where node = 'rejecting' and detail <> ''"
    people = SOURCE.format("people") + "columns: {city: {personal: true}}\n"
    (bank.root / "sources/people.yaml").write_text(people)
    bank.text("apply", "--yes")
    with Store.open(bank.root, Settings(name="bank")) as store, store.write(None) as tx:
        tx.execute(details, (f"city: 1 row not in Rome ({marked(CANARY)})",))
        tx.execute("delete from meta where key = 'quotes_hidden'")
    assert "checks" in _quoting(bank, CANARY)
    (bank.root / "owners.yaml").write_text("core: {kind: team}\nother: {kind: team}\n")
    bank.text("apply", "--yes")
    assert "checks" not in _quoting(bank, CANARY)


def test_metrics_of_before_name_no_category(bank: Project) -> None:
    """Catches: a category in the figures of an incident, from metrics of the weeks before."""
    assert any(CANARY.encode() in vector for vector in _vectors(bank))
    people = SOURCE.format("people") + "columns: {city: {personal: true}}\n"
    (bank.root / "sources/people.yaml").write_text(people)
    bank.text("apply", "--yes")
    assert not any(CANARY.encode() in vector for vector in _vectors(bank))
    assert any(OTHER.encode() in vector for vector in _vectors(bank))
