"""What files say about each other."""

from __future__ import annotations

import time

import pytest
from modellab import OWNERS, Load, sql, told
from source_packages import NEEDS_DATABASES

from headrace.model import Declared, SqlBody, link
from headrace.model.linking import find_cycles
from headrace.model.nodes import Asset, Owner, Place, Settings

CONSUMER = "- consumer: reader\n  owner: core\n  reads: [{}]\n  due: '07:00'\n"


def test_a_project_is_put_together(load: Load) -> None:
    """Zones are filled in, contracts found by name, names brought to their declared spelling."""
    contract = (
        "apiVersion: v3.0.2\nkind: DataContract\nid: o\nversion: 1.0.0\nstatus: active\nschema:"
        " []\n"
    )
    project, problems = load(
        **{
            "sources/orders.yaml": (
                "- source: Orders\n  owner: acme\n  files: landing/o.csv\n"
                "- source: rates\n  owner: acme\n  timezone: UTC\n  files: landing/r.csv\n"
            ),
            "contracts/Orders.odcs.yaml": contract,
            "assets/clean.sql": sql(inputs="{ORDERS: all}"),
            "consumers.yaml": CONSUMER.format("CLEAN"),
            "macros/m.sql": "create macro one() as 1;",
            "tests/t.yaml": "- {test: t, asset: clean, expect: []}",
        }
    )
    assert problems == []
    assert project is not None
    assert project.sources["Orders"].timezone == "America/New_York"
    assert project.sources["rates"].timezone == "UTC"
    assert project.sources["Orders"].contract == "Orders"
    assert project.assets["clean"].inputs[0].node == "Orders"
    assert project.consumers["reader"].reads == ("clean",)
    assert project.macros == {"macros/m.sql": "create macro one() as 1;"}
    assert [test.name for test in project.tests] == ["t"]
    assert project.node("clean") is project.assets["clean"]
    assert project.node("nothing") is None


@NEEDS_DATABASES
@pytest.mark.parametrize(
    ("files", "problem", "hint"),
    [
        (
            {"consumers.yaml": CONSUMER.format("flighs_clean"), "assets/flights_clean.sql": sql()},
            "unknown_node consumers.yaml:3",
            "did you mean `flights_clean`?",
        ),
        (
            {"consumers.yaml": CONSUMER.format("zzz")},
            "unknown_node consumers.yaml:3",
            "`headrace ls` shows the nodes that there are",
        ),
        (
            {"consumers.yaml": CONSUMER.format("reader")},
            "unknown_node consumers.yaml:3",
            "name sources and assets",
        ),
        (
            {"assets/a.sql": sql(inputs="[b]"), "assets/bb.sql": sql()},
            "unknown_node assets/a.sql:3",
            "did you mean `bb`?",
        ),
        (
            {"assets/a.sql": sql(depends="[b]"), "assets/bb.sql": sql()},
            "unknown_node assets/a.sql:3",
            "did you mean `bb`?",
        ),
        (
            {"assets/a.sql": sql(owner="cor")},
            "unknown_owner assets/a.sql:2",
            "did you mean `core`?",
        ),
        (
            {"owners.yaml": OWNERS + "x: {manager: acm}\n"},
            "unknown_owner owners.yaml:3",
            "did you mean `acme`?",
        ),
        (
            {"owners.yaml": OWNERS + "x: {contact: ops}\n"},
            "unknown_contact owners.yaml:3",
            "add [notify.ops] to headrace.toml and write ops, or write mailto:…",
        ),
        (
            {"assets/a.sql": sql(pool="w")},
            "unknown_pool assets/a.sql:3",
            "add w = 4 to [pools] in headrace.toml",
        ),
        (
            {"assets/a.sql": sql(contract="c"), "contracts/c.odcs.yaml": "[]\n"},
            "contract_invalid contracts/c.odcs.yaml:1",
            "begin with apiVersion: v3.1.0, kind: DataContract",
        ),
        (
            {"assets/a.sql": sql(contract="c")},
            "unknown_contract assets/a.sql:3",
            "add contracts/c.odcs.yaml",
        ),
        (
            {
                "contracts/c.odcs.yaml": (
                    "apiVersion: v3.0.2\nkind: DataContract\nid: c\nversion: 1.0.0\nstatus:"
                    " active\nschema: []\n"
                ),
                "sources/a.yaml": "source: a\nowner: acme\nfiles: a.csv\ncontract: c\n",
                "sources/b.yaml": "source: b\nowner: acme\nfiles: b.csv\ncontract: c\n",
            },
            "contract_claimed_twice sources/b.yaml:1",
            "give b a contract of its own: contracts/b.odcs.yaml",
        ),
        (
            {"sources/a.yaml": "source: a\nowner: acme\nconnection: w\nquery: select 1\n"},
            "unknown_connection sources/a.yaml:3",
            "add [connections.w] to headrace.toml",
        ),
        (
            {"assets/a.sql": sql(calendar="holidys"), "calendars/holidays.yaml": "[2013-01-01]"},
            "unknown_calendar assets/a.sql:3",
            "did you mean `holidays`?",
        ),
        (
            {"assets/a.sql": sql(partition="day", start="2013-02")},
            "wrong_value assets/a.sql:1",
            "write it like 2013-02-11",
        ),
        (
            {"assets/a.sql": sql(start="2013-02-01")},
            "wrong_value assets/a.sql:1",
            "add `partition: day`, or take `start` out",
        ),
        (
            {
                "assets/a.sql": sql(),
                "assets/A.py": "from headrace import asset\n@asset(owner='core')\ndef A(): ...\n",
            },
            "duplicate_name assets/a.sql:1",
            "names are compared ignoring case; rename one of them",
        ),
        (
            {"tests/t.yaml": "- {test: t, asset: a, expect: []}", "assets/aa.sql": sql()},
            "unknown_node tests/t.yaml:1",
            "did you mean `aa`?",
        ),
    ],
)
def test_what_doesnt_fit_together_is_said_where_it_is_written(
    load: Load, files: dict[str, str], problem: str, hint: str
) -> None:
    """Who reads the message must be able to mend it without searching."""
    _, problems = load(**files)
    assert told(problems) == [problem]
    assert problems[0].hint == hint


def test_sources_assets_and_consumers_share_their_names(load: Load) -> None:
    """`headrace why orders` must mean one thing."""
    _, problems = load(
        **{
            "sources/a.yaml": "source: orders\nowner: acme\nfiles: landing/a.csv\n",
            "assets/Orders.sql": sql(),
            "consumers.yaml": "- {consumer: ORDERS, owner: core, reads: [orders], due: '07:00'}\n",
        }
    )
    assert told(problems) == [
        "duplicate_name assets/Orders.sql:1",
        "duplicate_name consumers.yaml:1",
    ]


def test_cycles_are_shown_as_the_cycle(load: Load) -> None:
    """`there is a cycle` helps nobody."""
    _, problems = load(
        **{
            "assets/a.sql": sql(depends="[c]"),
            "assets/b.sql": sql(inputs="[a]"),
            "assets/c.sql": sql(depends="[b]"),
            "assets/d.sql": sql(depends="[a]"),
        }
    )
    assert told(problems) == ["cycle assets/a.sql:1"]
    assert "a → c → b → a" in problems[0].message


def test_reading_the_previous_interval_is_no_cycle(load: Load) -> None:
    """A running balance reads its own yesterday."""
    _, problems = load(
        **{
            "assets/a.sql": sql(partition="day", inputs="{a: previous}"),
            "assets/b.sql": sql(depends="[b]"),
        }
    )
    assert told(problems) == ["cycle assets/b.sql:1"]


def test_cycles_in_a_graph() -> None:
    """One cycle a knot, the same from run to run, without recursion."""
    assert find_cycles({"a": ["b"], "b": ["c"], "c": []}) == []
    assert find_cycles({"z": ["y"], "y": ["x"], "x": ["z"]}) == [["x", "z", "y", "x"]]
    assert find_cycles({"a": ["a"], "b": ["c"], "c": ["b"]}) == [["a", "a"], ["b", "c", "b"]]
    assert find_cycles({f"a{i}": [f"a{i + 1}"] for i in range(20_000)}) == []


def test_without_settings_there_is_no_project_but_all_problems(load: Load) -> None:
    """A typing mistake in headrace.toml must not hide the mistakes elsewhere."""
    project, problems = load(
        **{"headrace.toml": "[project\n", "assets/a.sql": "/* headrace\nownr: x\n*/ select 1"}
    )
    assert project is None
    assert told(problems) == [
        "toml_syntax headrace.toml:1",
        "missing_field assets/a.sql:2",
        "unknown_field assets/a.sql:2",
    ]


def test_a_consumer_may_be_called_like_a_command(load: Load) -> None:
    """`report` is what people call reports."""
    project, problems = load(
        **{
            "assets/a.sql": sql(),
            "consumers.yaml": "- {consumer: report, owner: core, reads: [a], due: '07:00'}\n",
        }
    )
    assert project is not None
    assert list(project.consumers) == ["report"]
    assert problems == []


@pytest.mark.long
def test_thousands_of_unknown_names_dont_take_minutes() -> None:
    """Each suggestion compares with every name: there is a bound."""
    place = Place(file="assets/a.sql")
    body = SqlBody(text="select 1", file="assets/a.sql")
    assets = tuple(
        Asset(name=f"asset_{i}", owner="cor", body=body, depends=(f"aset_{i}x",), place=place)
        for i in range(3000)
    )
    declared = [
        Declared(
            path="x",
            settings=Settings(name="x"),
            owners=(Owner(name="core", place=place),),
            assets=assets,
        )
    ]
    began = time.process_time()
    _, problems = link(declared)
    assert len(problems) == 6000
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    "written", ["2013-01-01T00:00", "2013-01-01T05:00Z", "2013-01-01T00:00:00"]
)
def test_a_start_is_kept_in_its_one_written_form(load: Load, written: str) -> None:
    """Would catch: an hour without an offset that `validate` accepts and every `tick` refuses."""
    front = f'owner: core\npartition: hour\nstart: "{written}"\n'
    project, problems = load(
        **{
            "sources/m.yaml": f"source: m\n{front}files: landing/m_{{date:%Y-%m-%dT%H%z}}.csv\n",
            "assets/hourly.sql": f"/* headrace\n{front}*/\nselect 1 as x\n",
        }
    )
    assert problems == []
    assert project is not None
    for node in (project.sources["m"], project.assets["hourly"]):
        assert node.start == "2013-01-01T00:00-05:00"
