"""`examples/regulated`: the five steps of its README, by the people and tokens that it names."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from example_lab import Example
from serve_lab import HEADRACE, Server, ask, serving

from headrace.project.local_actor import local_actor

PASSWORD = "four random words here"
CLEAR = ("Mina", "DE02120300000000202051", "1984-05-17", "DE02500105170137075030")
CUSTOMERS = (
    "id,name,iban,born,city\n"
    "{id},Mina Albrecht,DE02120300000000202051,1984-05-17,Bremen\n"
    "18,Jonas Weber,DE02500105170137075030,1990-11-02,Kiel\n"
)


class Company(Example):
    """The example with its tokens."""

    def __init__(self, folder: Path) -> None:
        super().__init__("regulated", folder)
        self.people: set[str] = set()
        rules = self.root / "access.yaml"
        rules.write_text(rules.read_text().replace("YOU", local_actor().partition("@")[0]))
        self.deliver(None, "customers.csv", "orders.csv")
        assert self.json("tick")["state"] == "succeeded"
        scopes = {
            "analyst": ["viewer"],
            "on-call": ["operator"],
            "agent": ["operator"],
            "retail": ["viewer", "owner:domain=retail"],
        }
        self.tokens = {}
        for name, roles in scopes.items():
            words = [word for role in roles for word in ("--scope", role)]
            self.tokens[name] = self.json("token", "create", name, *words)["token"]

    def deliver(self, text: str | None, *names: str) -> None:
        """Write files of `landing`, an hour ago."""
        for name in names:
            path = self.root / "landing" / name
            if text is not None:
                path.write_text(text)
            os.utime(path, (path.stat().st_mtime - 3600,) * 2)

    def as_(self, token: str, *words: str) -> tuple[int, str]:
        """Return the exit code and all that a command prints for a token."""
        self.environment["HEADRACE_TOKEN"] = self.tokens[token]
        try:
            done = self.run(*words, code=None)
        finally:
            del self.environment["HEADRACE_TOKEN"]
        return done.returncode, done.stdout + done.stderr

    def add_user(self, name: str) -> None:
        """Give a person a password, as an admin does; each only once."""
        if name in self.people:
            return
        self.people.add(name)
        done = subprocess.run(
            [HEADRACE, "user", "add", name],
            cwd=self.root,
            env=self.environment,
            input=PASSWORD + "\n",
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    return Company(tmp_path_factory.mktemp("regulated"))


@pytest.mark.long
def test_an_analyst_reads_masked_values(company: Company) -> None:
    """Would catch: a clear value in what a viewer reads, or a mask that hides too much."""
    for words in (["read", "customers"], ["read", "exposure"], ["sql", "select * from customers"]):
        code, said = company.as_("analyst", *words)
        assert code == 0 and "h1v1_" in said
        assert not [value for value in CLEAR if value in said]
    code, said = company.as_(
        "analyst", "sql", f"select city from customers where iban = '{CLEAR[1]}'"
    )
    assert code == 0 and "Bremen" not in said
    assert company.as_("retail", "read", "customers")[1].count(CLEAR[1]) == 1


@pytest.mark.long
def test_an_operator_repairs_without_seeing_values(company: Company) -> None:
    """Would catch: a repair that needs the right to read, or evidence that contains a row."""
    good = (company.root / "landing/customers.csv").read_text()
    company.deliver(CUSTOMERS.format(id=""), "customers.csv")
    said = company.as_("on-call", "run", "customers")[1]
    said += company.as_("on-call", "incident", "INC-1")[1]
    assert "1 of 2 rows fail" in said
    code, refused = company.as_("on-call", "read", "customers")
    assert code == 3
    company.deliver(good, "customers.csv")
    code, repaired = company.as_("on-call", "run", "customers")
    assert not [value for value in CLEAR if value in said + refused + repaired]
    assert company.json("incident", "INC-1")["state"] == "resolved"


@pytest.mark.long
def test_a_weaker_promise_is_agreed_by_the_other_domains(company: Company) -> None:
    """Would catch: a change that other domains depend on and never agreed to."""
    for name in ("frida", "rosa"):
        company.add_user(name)
    contract = company.root / "contracts/customers.odcs.yaml"
    contract.write_text(contract.read_text().replace(", unique: true", ""))
    plan = company.json("plan")
    assert [(row["domain"], row["owners"], row["needed"]) for row in plan["agreements"]] == [
        ("finance", ["finance"], True),
        ("risk", ["risk"], True),
    ]
    assert plan["agreements"][0]["changes"] == ["id needn't be unique"]
    assert "board-report" in plan["agreements"][0]["readers"]
    said = company.run("plan", code=None).stdout
    assert "finance reads it" in said and "must agree, by `headrace approve`: risk" in said
    asked = ["apply", "--yes", "--reason", "the shop delivers corrections as new rows"]
    code, said = company.as_("retail", *asked)
    assert code == 3 and "domain:finance" in said and "domain:risk" in said
    code, said = company.as_("retail", "approve", "A1", "--reason", "we need it")
    assert code == 3 and "another person" in said
    assert "id needn't be unique (read in finance, risk)" in company.run("approvals").stdout
    with serving(company.root, leads=False) as server:
        assert _approved(server, "frida", "A1")["id"] == "A1"
        (of_finance, of_risk) = company.json("plan")["agreements"]
        assert [row["by"] for row in of_finance["agreed"]] == ["user:frida"]
        assert of_risk["agreed"] == [] and of_risk["needed"]
        assert company.as_("retail", *asked)[0] == 3, "risk hasn't agreed yet"
        assert _approved(server, "rosa", "A1")["id"] == "A1"
    assert company.as_("retail", *asked)[0] == 0
    acts = [row for row in company.json("audit", "show") if "approv" in row["action"]]
    assert {"user:frida", "user:rosa"} <= {row["actor"] for row in acts}
    agreed = company.json("audit", "show", "--action", "contract.agreed")
    assert [(row["actor"], row["object"], row["after"]["domains"]) for row in agreed] == [
        ("user:rosa", "contract:customers", ["risk"]),
        ("user:frida", "contract:customers", ["finance"]),
    ]
    assert {row["reason"] for row in agreed} == {"our reports allow for it"}
    shown = company.run("contract", "show", "customers").stdout
    assert "agreed for finance: user:frida" in shown and "agreed for risk: user:rosa" in shown


def _approved(server: Server, name: str, plan: str) -> Any:
    """Approve a plan as a person who signs in with a browser."""
    origin = f"http://127.0.0.1:{server.port}"
    form = urlencode({"name": name, "password": PASSWORD, "next": "/approvals"}).encode()
    headers = {"Content_Type": "application/x-www-form-urlencoded", "Origin": origin}
    signed_in = ask(server.port, "/sign-in", method="POST", body=form, **headers)
    cookie = signed_in.headers["set-cookie"].partition(";")[0]
    answer = ask(
        server.port,
        f"/api/v1/approvals/{plan}/approve",
        method="POST",
        body=b'{"reason": "our reports allow for it"}',
        Cookie=cookie,
        Content_Type="application/json",
        X_Headrace_Act="1",
        Origin=origin,
    )
    assert answer.status in {200, 202}, answer.body
    return answer.json


@pytest.mark.long
def test_a_customer_is_erased(company: Company) -> None:
    """Would catch: a row of the person in a table that carries their number."""
    where = "customers.id = 17 or orders.customer_id = 17"
    planned = company.json("erase", "request-17", "--where", where, "--dry-run")
    erased = {row["node"] for row in planned["places"] if row["action"] == "erased"}
    assert {"customers", "orders", "order_lines", "exposure"} <= erased
    asked = ["erase", "request-17", "--where", where, "--yes", "--reason", "asked on 2 March"]
    done = company.run(*asked, code=None)
    said = done.stdout + done.stderr
    assert done.returncode == 3 and "domain:finance" in said and "domain:risk" in said, said
    (waiting,) = [row for row in company.json("approvals") if row["state"] == "open"]
    for name in ("frida", "rosa"):
        company.add_user(name)
    with serving(company.root, leads=False) as server:
        for name in ("frida", "rosa"):
            _approved(server, name, waiting["id"])
    company.run(*asked, code=None)
    for table in ("customers", "orders", "order_lines", "exposure"):
        key = {"customers": "id"}.get(table, "customer_id")
        assert 17 not in [row[key] for row in company.rows(table)], table
    kept = {row["node"] for row in planned["places"] if row["action"] == "kept"}
    assert "revenue" in kept


def test_an_agent_is_stopped(company: Company) -> None:
    """Would catch: a frozen token that goes on."""
    assert company.as_("agent", "status")[0] == 0
    company.run("freeze", "token:agent", "--reason", "it retries without an end")
    code, said = company.as_("agent", "run", "revenue", "--again", "--reason", "again")
    assert code == 3 and re.search("frozen.*it retries without an end", said)
    assert company.as_("analyst", "status")[0] == 0
