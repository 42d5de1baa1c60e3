"""The acts that a page is told are refused are those that the commands refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from serve_lab import headrace, project, response, write

from headrace.access.permissions import COMMANDS, LOOKING, check_call
from headrace.access.refused_acts import NODE_ACTS, refused_in_project, refused_on_node
from headrace.model import HeadraceError, LakeError
from headrace.model.texts import of_error
from headrace.project.read_queries import ReadQuery
from headrace.project.session import ProjectSession
from headrace.security.access import Identity, IdentityKind, NotAllowed
from headrace.services import logs
from headrace.web.sign_in import ACTS

RULES = """\
- {role: viewer, to: [user:vera]}
- {role: operator, to: [user:otto]}
- {role: viewer, to: [user:sal]}
- {role: operator, to: [user:sal], domain: sales}
- {role: owner, to: [user:olga], domain: sales}
- {role: owner, to: [user:fred]}
- {forbid: operate, to: [user:fred], domain: sales}
- {role: auditor, to: [user:aud]}
- {role: viewer, to: [user:enno]}
- {role: operator, to: [user:enno], env: dev}
"""
PEOPLE = ("vera", "otto", "sal", "olga", "fred", "aud", "enno", "nobody")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose source is in the domain sales, and whose asset is in none."""
    root = project(tmp_path_factory.mktemp("refused") / "shop")
    source = (root / "sources/orders.yaml").read_text(encoding="utf-8")
    write(root / "sources/orders.yaml", source + "\ndomain: sales\n")
    me = response(root, "access", "whoami")["who"]
    write(root / "access.yaml", f"- {{role: admin, to: [{me}]}}\n{RULES}")
    headrace(root, "apply", "--yes")
    return root


def _session(root: Path, person: str) -> ProjectSession:
    subjects = frozenset({f"user:{person}"})
    identity = Identity(name=f"{person}@db1", kind=IdentityKind.USER, subjects=subjects)
    return ProjectSession(root, "prod", None, person, identity=identity)


def _allowed(session: ProjectSession, function: str, arguments: dict[str, Any]) -> bool:
    try:
        check_call(session, function, arguments)
    except NotAllowed:
        return False
    except HeadraceError:
        return False  # a node that the person may not see
    return True


@pytest.mark.parametrize("person", PEOPLE)
def test_a_node_says_what_its_commands_would_say(shop: Path, person: str) -> None:
    """Would catch: an act that a page offers and the server refuses, or the other way round."""
    session = _session(shop, person)
    for name in ("orders", "revenue"):
        declared = session.project().node(name)
        if not _allowed(session, "headrace_ui.services.nodes:node", {"name": name}):
            continue
        refused = {row.act for row in refused_on_node(session, declared)}
        for function in NODE_ACTS:
            first = COMMANDS[function].of.partition(".")[0]
            value = {"select": [name], "query": ReadQuery(asset=name)}.get(first, name)
            allowed = _allowed(session, function, {first: value})
            assert allowed == (COMMANDS[function].name not in refused), (name, function)
    session.close()


@pytest.mark.parametrize("person", PEOPLE)
def test_the_project_says_what_its_commands_would_say(shop: Path, person: str) -> None:
    """Would catch: an act on the whole project, or one that is asked about its nodes, that is
    offered to roles which don't allow it anywhere."""
    session = _session(shop, person)
    acts = [name for name in ACTS if COMMANDS[name].permission not in LOOKING]
    rows = {row.act: row for row in refused_in_project(session, ACTS)}
    assert refused_in_project(session, ["status:status", "sql:console"]) == []
    for function in acts:
        needed = COMMANDS[function]
        row = rows.get(needed.name)
        assert _allowed(session, function, {}) == (row is None), function
        assert row is None or "; ask " in row.reason
        if row is not None and needed.of == "select":
            nodes = ("orders", "revenue")
            anywhere = any(_allowed(session, function, {"select": [name]}) for name in nodes)
            assert row.somewhere == anywhere, function
    session.close()


def test_reasons_say_what_is_needed(shop: Path) -> None:
    """Would catch: a role that wouldn't help, a forbidding rule that is passed over."""
    me = response(shop, "access", "whoami")["who"]

    def reason(person: str, command: str) -> str:
        session = _session(shop, person)
        rows = refused_in_project(session, ACTS)
        session.close()
        return next(row.reason for row in rows if row.act == command)

    assert reason("vera", "fix") == f"needs the role operator; ask {me}"
    assert reason("sal", "fix") == f"needs the role operator without a limit; ask {me}"
    assert reason("fred", "fix") == f"a rule forbids it (access.yaml:8); ask {me}"
    assert reason("otto", "apply") == f"needs the role owner; ask {me}"


def test_without_rules_nothing_is_refused(tmp_path: Path) -> None:
    """Would catch: acts refused to the user of a project that never asked for roles."""
    root = project(tmp_path / "shop")
    headrace(root, "apply", "--yes")
    session = ProjectSession(root, "prod", None, "local")
    assert refused_in_project(session, ACTS) == []
    assert refused_on_node(session, session.project().assets["revenue"]) == []
    session.close()


def test_a_role_of_another_environment_is_named_with_the_environment(shop: Path) -> None:
    """Would catch: somebody who has the role in `dev`, and is told that they need it."""
    session = _session(shop, "enno")
    source = session.project().source_or_asset("orders")
    assert source is not None
    (run,) = [row.reason for row in refused_on_node(session, source) if row.act == "run"]
    assert run == "needs the role operator for orders in prod; ask core"
    (fix,) = [row.reason for row in refused_in_project(session, ["fix:run_fix"])]
    assert fix.startswith("needs the role operator in prod; ask ")
    with pytest.raises(NotAllowed) as refused:
        check_call(session, "fix:run_fix", {})
    said = str(refused.value)
    assert said.endswith("fix: the role operator doesn't hold in prod, only in dev"), said


@pytest.mark.parametrize(("person", "shown"), [("otto", False), ("vera", True)])
def test_an_error_says_no_values_to_somebody_who_reads_no_rows(
    shop: Path, monkeypatch: pytest.MonkeyPatch, person: str, shown: bool
) -> None:
    """Would catch: a value in the message of a command that fails."""

    def fails(*_: Any, **__: Any) -> None:
        error = of_error("Conversion Error: Type INT32 with value 4711")
        raise LakeError(f"files can't be read: {error}")

    monkeypatch.setattr(logs, "_attempt", fails)
    with pytest.raises(LakeError) as raised:
        logs.logs(_session(shop, person), "orders")
    assert ("4711" in str(raised.value)) is shown
