"""Aggregates of classified columns that are shown for groups of enough people."""

from __future__ import annotations

import csv
import io
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from clilab import Project

from headrace import Session
from headrace.project.read_queries import ReadQuery
from headrace.project.session import ProjectSession
from headrace.web.read_process import JSON, AfterHead, DataFileRequest, hand_out

ROWS = [
    *((f"r{n}", "Rome", 1_000 + n) for n in range(12)),
    *((f"b{n}", "Bonn", 70_000 + n) for n in range(4)),
    *((f"o{n}", "Oslo", 90_000 if n == 0 else "") for n in range(20)),
]
INCOMES = "id,city,income\n" + "".join(f"{name},{city},{income}\n" for name, city, income in ROWS)
COUNT = "count(distinct id) filter (where income is not null)"
DECLARED = "{reason: published for planning, k: 10, people: earners}"
FILES = {
    "headrace.toml": '[project]\nname = "tax"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
    "owners.yaml": "core: {kind: team}\n",
    "sources/incomes.yaml": (
        "source: incomes\nowner: core\nfiles: incomes.csv\n"
        "columns:\n  id: {personal: true, mask: {method: hash}}\n  income: {personal: true}\n"
    ),
    "incomes.csv": INCOMES,
    "assets/cities.sql": (
        f"/* headrace\nowner: core\ndeclassify:\n  average: {DECLARED}\n  earners: {DECLARED}\n*/\n"
        f"select city, avg(income) as average, {COUNT} as earners, max(income) as highest,"
        " count(*) as rows from incomes group by city\n"
    ),
    "assets/passed_on.sql": (
        "/* headrace\nowner: core\n*/\nselect city, average, earners from cities\n"
    ),
    "assets/live.sql": (
        f"/* headrace\nowner: core\nmaterialize: view\ndeclassify: {{average: {DECLARED}}}\n*/\n"
        f"select city, avg(income) as average, {COUNT} as earners from incomes group by city\n"
    ),
    "consumers.yaml": (
        "- {consumer: report, owner: core, reads: [cities], max_age: 1d, export: {to: out/cities.csv}}\n"
    ),
}  # fmt: skip
SMALL = ("70001.5", "90000", "70003", "1011")
"""What tells about Bonn's four earners, Oslo's only one, and Rome's highest."""


@pytest.fixture
def tax(tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
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


@pytest.fixture
def reader(tax: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The same, read by a token with the role viewer."""
    token = tax.json("token", "create", "reader", "--scope", "viewer")["token"]
    monkeypatch.setenv("HEADRACE_TOKEN", token)
    return tax


def by_city(rows: list[dict[str, Any]], column: str) -> dict[str, Any]:
    return {row["city"]: row[column] for row in rows}


def test_only_groups_of_enough_people_are_shown(reader: Project) -> None:
    """Would catch: the average of a few people, or of one whose colleagues' values are missing, a
    maximum, a threshold that an outlet doesn't ask for."""
    seen = {"Rome": 1005.5, "Bonn": None, "Oslo": None}
    response = reader.json("read", "cities")
    assert by_city(response["rows"], "average") == seen
    assert by_city(response["rows"], "earners") == {"Rome": 12, "Bonn": None, "Oslo": None}
    assert by_city(response["rows"], "rows") == {"Rome": 12, "Bonn": 4, "Oslo": 20}
    assert "highest" not in response["rows"][0]
    assert response["masked"] == ["average", "earners", "highest"]
    for query in (
        "select city, average from cities",
        "select city, max(average) as average from cities where average > 0 or true group by city",
        "select city, average from live",
    ):
        assert by_city(reader.json("sql", query)["rows"], "average") == seen, query
    assert reader.json("sql", "select city from cities where average > 2000")["rows"] == []
    assert by_city(reader.json("read", "live")["rows"], "average") == seen
    assert by_city(Session(reader.root).read("cities").arrow.to_pylist(), "average") == seen
    for command in (("read", "cities"), ("read", "cities", "--format", "csv"), ("read", "live")):
        text = reader.text(*command)
        assert "1005.5" in text and not [value for value in SMALL if value in text]


def test_exports_have_the_same_rows_for_everybody(tax: Project) -> None:
    """Would catch: an average of few people in an export, and an owner who sees no values."""
    with (tax.root / "out/cities.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert by_city(rows, "average") == {"Rome": "1005.5", "Bonn": "", "Oslo": ""}
    assert "highest" not in rows[0]
    assert by_city(tax.json("read", "cities")["rows"], "average")["Oslo"] == 90_000


def test_a_column_that_passes_the_values_on_is_left_out(reader: Project) -> None:
    """Would catch: a count beside a value that isn't that of its group any more."""
    assert [*reader.json("read", "passed_on")["rows"][0]] == ["city"]


def test_a_threshold_is_in_the_trail_with_its_number(tax: Project) -> None:
    """Would catch: a lower number of people that nobody can see afterwards."""
    path = tax.root / "assets/cities.sql"
    path.write_text(path.read_text().replace("k: 10", "k: 5"))
    tax.text("apply", "--yes")
    rows = tax.json("audit", "show", "--action", "column.declassified")
    reasons = [row["reason"] for row in rows if row["object"].endswith("cities.average")]
    assert sorted(reasons) == [
        "published for planning (from 10 earners on)",
        "published for planning (from 5 earners on)",
    ]


def test_a_table_without_the_count_shows_nothing(
    tax: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: rows that earlier code computed without counting people, shown as they are."""
    path = tax.root / "assets/cities.sql"
    path.write_text(path.read_text().replace("earners", "counted"))
    passed_on = tax.root / "assets/passed_on.sql"
    passed_on.write_text(passed_on.read_text().replace("earners", "counted"))
    tax.text("apply", "--yes")
    token = tax.json("token", "create", "reader", "--scope", "viewer")["token"]
    monkeypatch.setenv("HEADRACE_TOKEN", token)
    response = tax.json("read", "cities")
    assert "average" not in response["rows"][0], response


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ("max(income) as average, count(distinct id) as earners from incomes", "single values"),
        ("avg(income) as average, count(distinct id) as earners from incomes", "is missing, too"),
        (f"avg(income) as average, {COUNT} as earners from tops", "tops.income may combine"),
    ],
)
def test_unsafe_thresholds_are_named(tax: Project, columns: str, text: str) -> None:
    """Would catch: an average of maxima, here or above, that passes as one of many people."""
    (tax.root / "assets/tops.sql").write_text(
        "/* headrace\nowner: core\n*/\nselect id, city, max(income) over (partition by city) as"
        " income from incomes\n"
    )
    (tax.root / "assets/cities.sql").write_text(
        f"/* headrace\nowner: core\ndeclassify: {{average: {DECLARED}}}\n*/\n"
        f"select city, {columns} group by city\n"
    )
    (tax.root / "assets/passed_on.sql").unlink()
    (tax.root / "consumers.yaml").unlink()
    problems = tax.json("validate")["problems"]
    (problem,) = [item for item in problems if item["code"] == "unsafe_threshold"]
    assert text in problem["message"] and problem["file"] == "assets/cities.sql"


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        ("{reason: x, k: 4, people: earners}", "k"),
        ("{reason: x, k: many, people: earners}", "k"),
        ("{k: 10, people: earners}", "`reason`"),
        ("{reason: x, people: earners}", "`k`"),
        ("{reason: x, k: 10}", "`people`"),
        ("{reason: x, k: 10, people: earners, than: 3}", "than"),
        ("{reason: '', k: 10, people: earners}", "reason"),
    ],
)
def test_wrong_declarations_are_named(tax: Project, declared: str, text: str) -> None:
    """Would catch: a threshold of one, without a reason, or with a field that nobody reads."""
    path = tax.root / "assets/live.sql"
    path.write_text(path.read_text().replace(DECLARED, declared))
    (problem,) = tax.json("validate")["problems"]
    assert text in problem["message"] and problem["file"] == "assets/live.sql", problem


def test_python_assets_have_no_threshold(tax: Project) -> None:
    """Would catch: a count of people that Headrace takes for true without seeing the code."""
    (tax.root / "assets/tops.yaml").write_text(
        "asset: tops\nowner: core\ninputs: [incomes]\ncommand: ['true']\n"
        f"declassify: {{average: {DECLARED}}}\n"
    )
    problems = tax.json("validate")["problems"]
    assert ["isn't SQL" in problem["message"] for problem in problems] == [True], problems


def test_rows_over_the_network_have_thresholds_for_everybody(tax: Project) -> None:
    """Would catch: `/data` of the admin's own server that gives small groups to other programs."""
    out = io.BytesIO()
    request = DataFileRequest(str(tax.root), "prod", "x", ReadQuery("cities"), JSON)
    answer = AfterHead(out)
    with closing(ProjectSession.open(tax.root, "prod", None, "x")) as session:
        hand_out(session, request, answer)
    answer.begin()
    text = out.getvalue().decode()
    assert "1005.5" in text and not [value for value in SMALL if value in text]


def test_a_forbidden_column_has_no_threshold(reader: Project) -> None:
    """Would catch: a rule that forbids a column, and its average that is shown nevertheless."""
    path = reader.root / "access.yaml"
    rule = "- {forbid: read, to: ['token:reader'], column: incomes.income}\n"
    path.write_text(path.read_text() + rule)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HEADRACE_TOKEN")
        reader.text("apply", "--yes")
    response = reader.json("read", "cities")
    assert "average" not in response["rows"][0], response


def test_a_python_asset_that_declares_a_threshold_is_refused(tax: Project) -> None:
    """Would catch: a mapping in Python's declaration that is read as a reason."""
    (tax.root / "assets/tops.py").write_text(
        "import headrace as hr\n\n\n"
        "@hr.asset(owner='core', declassify={'a': {'reason': 'x', 'k': 10, 'people': 'n'}})\n"
        "def tops(ctx, incomes):\n    return incomes\n"
    )
    problems = tax.json("validate")["problems"]
    assert any("isn't SQL" in problem["message"] for problem in problems), problems


def test_rows_of_an_earlier_query_have_no_threshold(
    tax: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a maximum under the name of an average, shown because the group is large."""
    path = tax.root / "assets/cities.sql"
    text = path.read_text()
    path.write_text(
        text.replace(f"  average: {DECLARED}\n", "").replace("avg(income)", "max(income)")
    )
    tax.text("apply", "--yes")
    tax.text("run", "cities")
    assert by_city(tax.json("read", "cities")["rows"], "average")["Rome"] == 1_011
    path.write_text(text)
    tax.text("apply", "--yes", "--keep", "cities", "--reason", "the rows are right")
    token = tax.json("token", "create", "reader", "--scope", "viewer")["token"]
    monkeypatch.setenv("HEADRACE_TOKEN", token)
    response = tax.json("read", "cities")
    assert "average" not in response["rows"][0]
    assert by_city(response["rows"], "earners")["Rome"] == 12
