"""Commands that pages and errors propose: those that the reader's role may run (TRUST Z4)."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from clilab import Project, call, filled, shop
from readers_lab import proposed_in, session_of, tokens

from headrace.access.permissions import by_name, needed_role
from headrace.access.printed_commands import name_of
from headrace.model import Refused
from headrace.project.session import ProjectSession, Silent
from headrace.services import ls

__all__ = ["call", "filled", "shop", "tokens"]
"""Fixtures of the command line's tests."""

PAGES = (
    "status",
    "ls",
    "why morning-report",
    "why fails",
    "runs",
    "runs 1",
    "incidents",
    "incident INC-1",
    "incident INC-2",
    "quarantine",
    "quarantine orders_clean",
    "checks",
    "deliveries orders",
    "read revenue",
    "read revenue --limit 1",
    "sql 'select 1'",
    "lineage revenue.revenue",
    "plan",
    "versions",
    "logs fails@2025-03-03",
    "backfills",
    "approvals",
    "costs",
    "bottleneck",
    "complexity",
    "optimize",
    "validate",
    "doctor",
    "access whoami",
    "access matrix",
    "audit show",
    "audit show 1",
    "audit show --actor nobody",
    "contract revenue",
    "pause",
    "db check",
    "token list",
    "fix INC-1 --dry-run",
    "backfill revenue --from 2025-03-01 --to 2025-03-01 --dry-run",
    "run nothing",
    "badge dashboard",
    "keys status",
)


def proposed(text: str) -> list[str]:
    """The commands that a page tells its reader to type, and those of an error's hint."""
    lines = re.findall(r"^next: (.+)$", text, re.MULTILINE)
    hints = re.findall(r"hint: (.+)", text)
    bare = [line.strip() for line in text.splitlines() if line.strip().startswith("headrace ")]
    return [
        command
        for line in (*lines, *bare, *(hint for hint in hints if hint.startswith("headrace ")))
        for command in re.split(r" {6}(?:then|or): ", line)
    ]


@pytest.mark.long
@pytest.mark.timeout(240)
def test_no_page_proposes_a_command_that_its_reader_may_not_run(
    shop: Project, tokens: dict[str, Path]
) -> None:
    """Would catch: `next: headrace audit verify` for an auditor of one domain, a repair for a
    viewer, an error whose hint is refused in turn."""
    proposals = {}
    for name, file in tokens.items():
        session = session_of(shop, file)
        proposals[name] = 0
        for line in PAGES:
            _, out, err = shop.call(
                shop.root, *shlex.split(line), "--token-file", str(file), "--no-color"
            )
            for command in proposed(out + err):
                lacks = needed_role(session, command)
                assert not lacks or "needs the role" in command or "# for the role" in command, (
                    name,
                    line,
                    command,
                )
                proposals[name] += 1
        session.close()
    assert all(proposals.values()), proposals
    assert proposals["admin"] > proposals["operator"] > 5, proposals


@pytest.mark.long
@pytest.mark.timeout(240)
def test_json_has_no_command_that_its_reader_may_not_run(
    shop: Project, tokens: dict[str, Path]
) -> None:
    """Would catch: `"command": "headrace fix INC-1"` for a viewer, whom a program tells to run it,
    of a command that the text of the same page leaves out."""
    proposals, refused = {}, []
    for name, file in tokens.items():
        session = session_of(shop, file)
        proposals[name] = 0
        for line in PAGES:
            _, out, err = shop.call(
                shop.root, *shlex.split(line), "--json", "--token-file", str(file)
            )
            text = out or err
            response = json.loads(text) if text.startswith(("{", "[")) else text.split("hint: ")
            for field, command in proposed_in(response):
                if needed_role(session, command):
                    refused.append((name, line, field, command))
                proposals[name] += 1
        session.close()
    assert not refused
    assert all(proposals.values()), proposals
    assert proposals["admin"] > proposals["operator"] > proposals["viewer"], proposals


@pytest.mark.long
@pytest.mark.timeout(240)
def test_each_command_in_an_environment_is_about_that_one(shop: Project) -> None:
    """Would catch: `"next": "headrace apply"` in the JSON of an environment, which a program runs
    in production; one of them twice; a role that isn't asked for, because a name follows --env."""
    settings = shop.root / "headrace.toml"
    settings.write_text(f"{settings.read_text()}[environments.dev]\n")
    body = shop.root / "assets/orders_clean.sql"
    body.write_text(body.read_text().replace("select id,", "select 1 as id,"))
    for line in ("apply --yes", "run orders_clean fails --partition 2025-03-03"):
        shop.call(shop.root, *shlex.split(line), "--env", "dev")
    found = set()
    for line in PAGES:
        _, out, err = shop.call(shop.root, *shlex.split(line), "--env", "dev", "--json")
        text = out or err
        for _, command in proposed_in(json.loads(text)) if text.startswith(("{", "[")) else ():
            promotes = command == "headrace --env prod apply"
            assert promotes or command.count(" --env dev") == 1, (line, command)
            found.add(line)
        _, out, _ = shop.call(shop.root, *shlex.split(line), "--env", "dev", "--no-color")
        assert all(command.count(" --env ") <= 1 for command in proposed(out)), (line, out)
    assert {"status", "quarantine", "runs 1"} <= found, found
    for form in ("headrace --env dev apply", "headrace apply --env dev"):
        assert name_of(form, by_name()) == "apply"


def test_an_auditor_of_one_owner_is_not_sent_to_verify(
    shop: Project, tokens: dict[str, Path]
) -> None:
    """Would catch: the hint that this test was written for; the same hint missing for auditors."""
    page = shop.text("audit", "show", "1")
    assert page.splitlines()[-1] == "next: headrace audit verify"
    for name, last in (("auditor", "next: headrace audit verify"), ("core-auditor", "no entry")):
        file = str(tokens[name])
        out = shop.text("audit", "show", "--actor", "nobody", "--token-file", file)
        assert out.splitlines()[-1].startswith(last), out


@pytest.fixture
def hint_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[ProjectSession, str], str]:
    """Return the hint of a command that fails with a hint, as its caller gets it."""

    def hint_for(session: ProjectSession, hint: str) -> str:
        def refuse(*_: object, **__: object) -> None:
            raise Refused("something is held", hint=hint)

        monkeypatch.setattr(ls, "selected", refuse)
        with pytest.raises(Refused) as refused:
            ls.ls(session, ["revenue"], progress=Silent())
        return refused.value.hint

    return hint_for


def test_a_hint_says_which_role_its_command_needs(
    shop: Project, tokens: dict[str, Path], hint_for: Callable[[ProjectSession, str], str]
) -> None:
    """Would catch: an error that sends its reader to a command which is refused, too, and one that
    adds a role where the reader has it, or where the text names no command."""
    viewer, admin = session_of(shop, tokens["viewer"]), session_of(shop, tokens["admin"])
    for hint, role in {
        "headrace apply": " (`apply` needs the role owner)",
        "headrace quarantine accept x": " (`quarantine accept` needs the role owner)",
        "run `headrace status`, `headrace retry 3`, or wait": " (`retry` needs the role operator)",
        "headrace status": "",
        "write headrace apply": "",
        "headrace access whoami": "",
        "git add": "",
        "": "",
    }.items():
        assert hint_for(viewer, hint) == hint + role
        assert hint_for(admin, hint) == hint
    viewer.close()
    admin.close()


def test_a_command_needs_the_role_that_it_would_be_refused_without(
    shop: Project, tokens: dict[str, Path]
) -> None:
    """Would catch: a proposal judged by another name, node or permission than its command."""
    viewer, core = session_of(shop, tokens["viewer"]), session_of(shop, tokens["core-operator"])
    for command, role in {
        "run revenue": "",
        "run orders": "the role operator",
        "run": "the role operator without a limit",
        "costs": "the role viewer without a limit",
        "tick": "the role operator without a limit",
        "backfill revenue --dry-run": "",
        "audit show 3": "the role auditor",
        "init": "",
    }.items():
        assert needed_role(core, f"headrace {command}") == role, command
    assert needed_role(viewer, "headrace fix INC-1 --dry-run") == ""
    assert needed_role(viewer, "headrace fix INC-1") == "the role operator"
    assert needed_role(viewer, "headrace optimize --prove") == "the role operator"
    viewer.close()
    core.close()


def test_without_rules_every_command_is_proposed(shop: Project) -> None:
    """Would catch: commands left out in a project without access.yaml."""
    session = ProjectSession(shop.root, "prod", None, "test")
    assert {needed_role(session, f"headrace {name}") for name in by_name()} == {""}
    session.close()
