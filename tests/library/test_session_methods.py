"""`headrace.Session` can do what the command line can."""

from __future__ import annotations

import inspect
import os
from importlib import import_module
from pathlib import Path

import pytest

import headrace
from headrace import library
from headrace.access.permissions import COMMANDS
from headrace.cli.command_table import BY_NAME
from headrace.installed_commands import installed_tables
from headrace.model.errors import Refused, UsageError
from headrace.project.parameters import command_function, parameters_of, request_type

TERMINAL_ONLY = {"ci", "conformance", "demo", "docs", "init", "lock", "lsp", "mcp", "serve", "dev"}
"""Commands that make a project, are a server, or run commands themselves."""
METHODS = {row.session: path for path, row in COMMANDS.items() if row.session}
PACKAGES = [
    import_module(f"{table.__package__}.session_methods").SessionMethods
    for table in installed_tables()
]
"""The methods of packages beside Headrace, which a session looks up."""
OTHER_NAMES = {
    "try": "try_asset",
    "exports": "take_over_exports",
    "db": "db_check",
    "explain": "figure",
    "schema": "validate",
    "access": "whoami",
    "token": "create_token",
    "session": "list_sessions",
    "user": "list_users",
}


def test_every_command_has_a_method() -> None:
    """Would catch: a command that only a terminal can run."""
    wanted = {OTHER_NAMES.get(name, name) for name in BY_NAME} - TERMINAL_ONLY
    assert {name for name in wanted if not hasattr(headrace.Session, name)} == set()


@pytest.mark.parametrize("name", METHODS)
def test_a_method_passes_every_parameter(name: str) -> None:
    """Would catch: a method that takes a value and drops it."""
    function = command_function(METHODS[name])
    fields = {*request_type(function).__struct_fields__}
    [method] = [
        getattr(each, name) for each in (headrace.Session, *PACKAGES) if hasattr(each, name)
    ]
    taken = set(inspect.signature(method).parameters) - {"self"}
    assert taken == fields, parameters_of(function)


def test_the_package_of_every_method_is_known() -> None:
    """Would catch: a method whose package isn't named where it isn't installed."""
    known = {
        name: each.__module__.partition(".")[0].replace("_", "-")
        for each in PACKAGES
        for name in vars(each)
        if not name.startswith("_")
    }
    assert known == library.IN_PACKAGES


NOW = "2025-03-03T06:00+00:00"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "headrace.toml": '[project]\nname = "shop"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
        "owners.yaml": "core: {kind: team}\n",
        "sources/orders.yaml": (
            "source: orders\nowner: core\npartition: day\n"
            "files: landing/orders_{date:%Y-%m-%d}.csv\n"
        ),
        "assets/revenue.sql": (
            "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
            "select day, sum(amount) as revenue from orders group by 1\n"
        ),
        "consumers.yaml": "- {consumer: report, owner: core, reads: [revenue], max_age: 30h}\n",
        "landing/orders_2025-03-02.csv": "id,amount,day\n1,19.90,2025-03-02\n",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    os.utime(tmp_path / "landing/orders_2025-03-02.csv", (1_740_900_000, 1_740_900_000))
    return tmp_path


def test_a_project_is_paused_and_resumed(root: Path) -> None:
    """Would catch: a method that doesn't reach its function, or loses a word of the selection."""
    with headrace.Session(root, now=NOW, actor="ana") as session:
        session.tick()
        paused = session.pause("revenue", "orders", exclude=["orders"], reason="month-end")
        assert [(row.node, row.by, row.reason) for row in paused.paused] == [
            ("revenue", "ana", "month-end")
        ]
        assert session.paused().paused == paused.paused
        assert session.resume("revenue").paused == []
        with pytest.raises(UsageError, match="nothing of that is paused"):
            session.resume("revenue")
        with pytest.raises(Refused, match="--reason"):
            session.pause("revenue", reason="")
        with pytest.raises(UsageError, match="nothing was selected"):
            session.pause(reason="an empty list of names isn't all of them")


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("receive", ["orders", "landing/orders_2025-03-02.csv"]),
        ("pause", ["revenue"]),
        ("backfill", ["revenue"]),
        ("waive", ["report"]),
        ("note", ["INC-1"]),
        ("quarantine_drop", ["revenue@2025-03-02"]),
    ],
)
def test_a_missing_reason_is_refused_in_words(root: Path, method: str, words: list[str]) -> None:
    """Would catch: a TypeError, where the command line says how to give a reason."""
    with (
        headrace.Session(root, now=NOW) as session,
        pytest.raises(Refused, match="needs --reason"),
    ):
        getattr(session, method)(*words)


def test_reads_answer_as_the_commands_do(root: Path) -> None:
    """Would catch: a method whose response isn't the command's."""
    with headrace.Session(root, now=NOW) as session:
        session.tick()
        assert session.why("revenue").subject == "revenue@2025-03-02"
        assert {row.node for row in session.runs(limit=1)} == {"orders", "revenue"}
        assert session.incidents() == []
        assert len(session.deliveries("orders", limit=1)) == 1
        assert session.audit_verify().ok
        assert session.plan().plan_id


@pytest.mark.parametrize(
    ("method", "given", "parameter"),
    [
        ("pause", {"exclude": "orders", "reason": "x"}, "exclude"),
        ("pause", {"reason": 7}, "reason"),
        ("run", {"again": "yes"}, "again"),
        ("run", {"partitions": ["2025-03-02", 3]}, "partitions"),
        ("run", {"first": 20250302}, "first"),
        ("runs", {"limit": "5"}, "limit"),
        ("runs", {"limit": 0}, "limit"),
        ("audit", {"limit": True}, "limit"),
        ("render", {"target": "revenue", "parameters": {"rate": 2}}, "parameters"),
        ("backup", {"folder": 3}, "folder"),
    ],
)
def test_a_value_of_another_type_is_refused(
    root: Path, method: str, given: dict[str, object], parameter: str
) -> None:
    """Would catch: `exclude="orders"` as six exclusions, or an error from deep inside a command."""
    with headrace.Session(root, now=NOW) as session:
        with pytest.raises(UsageError, match=f"^`{parameter}`: Expected"):
            getattr(session, method)(**given)
        assert session.audit() == [], "nothing was done"


def test_a_path_may_be_a_text_and_a_list_a_tuple(root: Path, tmp_path: Path) -> None:
    """Would catch: values refused that the methods have always taken."""
    with headrace.Session(root, now=NOW) as session:
        session.tick()
        assert session.run("revenue", partitions=("2025-03-02",)).state == "nothing_due"
        copy = str(tmp_path / "copy")
        assert session.backup(copy).folder == copy  # type: ignore[arg-type]
