"""Rows of production that an environment shows: masked as the reader's roles say, not the owner's."""

from __future__ import annotations

from typing import Any

import pytest
from clilab import Project

CLEAR = "DE00CLEAR"
FILES = {
    "headrace.toml": (
        '[project]\nname = "bank"\ntimezone = "UTC"\n[run]\nworkers = 1\n[environments.dev]\n'
    ),
    "owners.yaml": "core: {kind: team}\n",
    "sources/people.yaml": (
        "source: people\nowner: core\npartition: day\nfiles: people_{date:%Y-%m-%d}.csv\n"
        "columns: {iban: {classification: secret, mask: {method: hash}}}\n"
    ),
    "people_2026-03-01.csv": f"iban,city,day\n{CLEAR},Bonn,2026-03-01\n",
    "assets/codes.sql": (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
        "select cast(day as date) as day, iban as account, city from people\n"
    ),
    "assets/cities.sql": (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
        "select cast(day as date) as day, city from people\n"
    ),
}


@pytest.fixture
def bank(tmp_path: Any, call: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
    """`dev` builds `cities` itself and borrows the rest."""
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    project = Project(tmp_path, call)
    project.text("tick")
    who = project.json("access", "whoami")["who"]
    (tmp_path / "access.yaml").write_text(f"- {{role: admin, to: ['{who}']}}\n")
    project.text("apply", "--yes")
    cities = tmp_path / "assets/cities.sql"
    cities.write_text(cities.read_text().replace("city from", "upper(city) as city from"))
    project.text("apply", "--yes", "--env", "dev")
    project.text("tick", "--env", "dev")
    return project


def test_a_viewer_compares_borrowed_rows_masked(
    bank: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: production's rows read as the user of the process, who may see all of them."""
    line = ("diff", "codes", "--env", "dev", "--at", "2", "--keys", "city")
    assert CLEAR in str(bank.json(*line)), "an admin reads it"
    token = bank.json("token", "create", "reader", "--scope", "viewer", "--env", "dev")["token"]
    monkeypatch.setenv("HEADRACE_TOKEN", token)
    response = bank.json(*line)
    assert response["sample"] and CLEAR not in str(response)
    for words in (["read", "codes"], ["sql", "select * from codes"], ["plan"], ["why", "codes"]):
        assert CLEAR not in str(bank.json(*words, "--env", "dev")), words
