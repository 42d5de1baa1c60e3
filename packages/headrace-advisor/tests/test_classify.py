"""`headrace classify --suggest`: proposals by names and by the form of values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from clilab import Project

FILES = {
    "headrace.toml": '[project]\nname = "bank"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
    "owners.yaml": "core: {kind: team}\n",
    "sources/people.yaml": (
        "source: people\nowner: core\nfiles: people.csv\n"
        "columns: {iban: {classification: secret, mask: {method: hash}}}\n"
    ),
    "people.csv": "id,iban\n1,DE111\n",
    "assets/copies.sql": "/* headrace\nowner: core\n*/\nselect iban from people\n",
}


@pytest.fixture
def bank(tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A classified column and one derived from it, published; the user of the tests is admin."""
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    project = Project(tmp_path, call)
    project.text("tick")
    who = project.json("access", "whoami")["who"]
    (tmp_path / "access.yaml").write_text(f"- {{role: admin, to: ['{who}']}}\n")
    project.text("apply", "--yes")
    return project


def test_classifications_are_proposed_by_names_and_by_values(bank: Project) -> None:
    """Would catch: a proposal for a column that is classified or derived, one that isn't valid
    YAML of a declaration, a value in the reason, a form that few values have."""
    rows = "".join(
        f"u{i}@example.com,{i},DE02120300000000202051,{i}.5\n" if i < 9 else "none,9,?,1\n"
        for i in range(10)
    )
    (bank.root / "leads.csv").write_text("contact,Birth Date,account,ip_share\n" + rows)
    (bank.root / "sources/leads.yaml").write_text("source: leads\nowner: core\nfiles: leads.csv\n")
    bank.text("apply", "--yes")
    bank.text("tick")
    found = {row["column"]: row for row in bank.json("classify", "--suggest")}
    assert {name: row["classification"] for name, row in found.items()} == {
        "leads.contact": "personal", "leads.Birth Date": "personal", "leads.account": "personal",
    }  # fmt: skip
    assert found["leads.account"]["because"] == "9 of 10 values have the form of an IBAN"
    assert found["leads.Birth Date"]["because"] == "the name says a date of birth"
    text = bank.text("classify", "--suggest", "leads")
    assert "example.com" not in text and "DE02" not in text
    lines = [line for line in text.splitlines() if line.startswith(("columns:", "  "))]
    declaration = bank.root / "sources/leads.yaml"
    declaration.write_text(declaration.read_text() + "\n".join(lines) + "\n")
    bank.text("apply", "--yes")
    assert bank.json("classify", "--suggest") == []
    assert bank.refused("classify", code=2)


def test_values_that_the_caller_may_not_read_are_not_looked_at(bank: Project) -> None:
    """Would catch: a proposal that tells the form of values in a column that a rule forbids."""
    rows = "".join(f"u{i}@example.com,{i}\n" for i in range(10))
    (bank.root / "leads.csv").write_text("contact,n\n" + rows)
    (bank.root / "sources/leads.yaml").write_text("source: leads\nowner: core\nfiles: leads.csv\n")
    rules = bank.root / "access.yaml"
    who = bank.json("access", "whoami")["who"]
    rules.write_text(
        rules.read_text() + f"- {{forbid: read, to: ['{who}'], column: leads.contact}}\n"
    )
    bank.text("apply", "--yes")
    bank.text("tick")
    assert "left out, because you may not read it: contact" in bank.text("read", "leads")
    assert bank.json("classify", "--suggest", "leads") == []
