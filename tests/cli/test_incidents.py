"""`incidents`, `incident`, `incidents report`, `waive`: causes as people and programs see them."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from clilab import Project

from headrace.cli.completion import candidates


def test_each_cause_is_one_incident_with_its_owner_and_whom_it_affects(shop: Project) -> None:
    """Twelve red lines for one vendor's new header are what people are woken up for today."""
    result = {
        (item["cause"]["kind"], item["cause"]["node"]): item for item in shop.json("incidents")
    }
    assert result.keys() == {
        ("schema_change", "orders"),
        ("duplicate_rows", "orders_clean"),
        ("code_error", "fails"),
    }
    renamed = result["schema_change", "orders"]
    assert (renamed["owner"], renamed["state"]) == ("acme", "open")
    assert renamed["cause"]["summary"] == "1 column renamed"
    seen = {
        "what": "column renamed",
        "expected": "amount",
        "observed": "total",
        "at": "",
        "attempts": [],
    }
    assert renamed["cause"]["evidence"][0] | {"at": ""} == seen
    assert set(renamed["affected"]["consumers"]) == {"morning-report", "dashboard"}
    assert renamed["affected"]["partitions"] == ["2025-03-05"]
    assert renamed["timeline"][0]["by"] == "headrace"
    assert shop.json("incident", renamed["id"]) == renamed
    assert shop.json("incident", renamed["id"].removeprefix("INC-")) == renamed
    assert renamed["id"] in candidates(["--project", str(shop.root), "fix", "INC-"])


def test_status_names_the_incident_that_a_consumer_waits_for(shop: Project) -> None:
    """A reason without its incident can't be followed to who repairs it. Would also catch: "1 cause
    holds" where one interval waits for the first incident and another one for the second."""
    numbers = {item["cause"]["node"]: item["id"] for item in shop.json("incidents")}
    response = shop.json("status")
    assert response["incidents_open"] == 3
    waits = {item["name"]: item["incident"] for item in response["consumers"]}
    assert waits["morning-report"] == numbers["orders"]
    report = next(item for item in response["consumers"] if item["name"] == "morning-report")
    assert report["reason"].startswith(f"{waits['morning-report']} ")
    assert response["next"] == "headrace why morning-report"
    assert response["holding"] == {
        "causes": 2,
        "assets": 4,
        "consumers": 2,
        "command": f"headrace fix {numbers['orders']}",
    }
    last = shop.text("status").splitlines()[-2:]
    assert last[0].startswith("2 causes hold 4 assets and 2 consumers.")
    assert last[1].startswith(
        f"next: headrace why morning-report      then: headrace fix {numbers['orders']}"
    )
    verdict = shop.json("why", "morning-report")["verdict"]
    assert f"because of {numbers['orders']}: " in verdict
    assert verdict.endswith(
        f" {numbers['orders_clean']} (orders_clean: check unique_id fails) holds it back, too."
    ), "both that status counts"


def test_what_people_report_is_wrong_from_its_publication_on_until_it_is_replaced(
    shop: Project,
) -> None:
    """What nobody's check found was never wrong in other tools' figures."""
    row = shop.json(
        "incidents",
        "report",
        "orders_clean",
        "--from",
        "2025-03-02",
        "--reason",
        "amounts in cents",
    )
    assert (row["cause"]["kind"], row["cause"]["node"], row["affected"]["partitions"]) == (
        "reported",
        "orders_clean",
        ["2025-03-02"],
    )
    assert "amounts in cents" in row["timeline"][-1]["what"]
    assert row["began_at"] < row["opened_at"]
    board = next(item for item in shop.json("status")["consumers"] if item["name"] == "dashboard")
    assert "wrong" in board["states"]
    entries = shop.json("audit", "show")
    assert any(
        entry["action"] == "incident.reported" and entry["reason"] == "amounts in cents"
        for entry in entries
    )


def test_a_report_about_several_partitions_is_told_of_once(shop: Project) -> None:
    """Would catch: "(reported by ada) (2 times)" of what was reported once, for two partitions; and
    "(3 times)" where it was reported twice."""
    days = ("--from", "2025-03-01", "--to", "2025-03-02")
    row = shop.json("incidents", "report", "orders_clean", *days, "--reason", "amounts in cents")
    assert row["affected"]["partitions"] == ["2025-03-01", "2025-03-02"]
    assert len(row["cause"]["evidence"]) == 1
    assert " times)" not in shop.text("incident", row["id"])
    shop.json(
        "incidents",
        "report",
        "orders_clean",
        "--from",
        "2025-03-03",
        "--reason",
        "amounts in cents",
    )
    assert " (2 times)" in shop.text("incident", row["id"])


def test_a_repair_is_asked_for_among_the_incidents_too(shop: Project) -> None:
    """Would catch: `incidents fix ID` taken for a word that isn't known; a repair's options where
    nothing is repaired."""
    number = next(
        item["id"] for item in shop.json("incidents") if item["cause"]["node"] == "orders"
    )
    assert shop.json("incidents", "fix", number, "--dry-run") == shop.json(
        "fix", number, "--dry-run"
    )
    assert "missing: ID" in shop.refused("incidents", "fix")
    assert "unknown: --yes" in shop.refused("incidents", "--yes")
    assert "isn't known" in shop.refused("incidents", "mend", number)


def test_what_somebody_knows_stands_in_the_timeline_and_in_the_trail(shop: Project) -> None:
    """Would catch: a note that is lost, that nobody signed, or that changes what is known of a
    cause."""
    before = shop.json("incidents")[0]
    after = shop.json(
        "incidents", "note", before["id"], "--reason", "<b>they send it again at noon</b>"
    )
    (line,) = [item for item in after["timeline"] if item["what"].startswith("note: ")]
    assert line["what"] == "note: <b>they send it again at noon</b>"
    assert line["by"]
    assert {**after, "timeline": []} == {**before, "timeline": []}
    entries = [item for item in shop.json("audit", "show") if item["action"] == "incident.noted"]
    assert [entry["reason"] for entry in entries] == ["<b>they send it again at noon</b>"]
    assert "needs --reason" in shop.refused("incidents", "note", before["id"], code=3)
    assert "there is no incident" in shop.refused("incidents", "note", "INC-99", "--reason", "x")


def test_an_incident_is_assigned_and_linked_to_its_ticket(shop: Project) -> None:
    """Would catch: an assignment or a ticket that is lost, that nobody signed, that can't be
    removed, or that changes what is known of a cause."""
    before = shop.json("incidents")[0]
    number, url = before["id"], "https://tickets.example.com/browse/DATA-12?x=<b>"
    assert (before["assignee"], before["ticket"]) == (None, None)
    for _ in range(2):  # the second time changes nothing, and writes nothing
        shop.json("incidents", "assign", number, " Ana <b>Lópe</b>z ")
        after = shop.json("incidents", "ticket", number, url)
    assert (after["assignee"], after["ticket"]) == ("Ana <b>Lópe</b>z", url)
    assert shop.json("incident", number) == after == shop.json("incidents")[0]
    new = [line["what"] for line in after["timeline"][len(before["timeline"]) :]]
    assert new == ["assigned to Ana <b>Lópe</b>z", f"ticket: {url}"]
    fields = {"assignee": None, "ticket": None, "timeline": []}
    assert {**after, **fields} == {**before, **fields}
    page = " ".join(shop.text("incident", number).split())
    assert "assigned to Ana <b>Lópe</b>z" in page
    assert f"ticket {url}" in page
    assert "Ana" in shop.text("incidents")
    shop.json("incidents", "assign", number, "Bo")
    shop.json("incidents", "assign", number, "--none")
    cleared = shop.json("incidents", "ticket", number, "--none")
    assert (cleared["assignee"], cleared["ticket"]) == (None, None)
    assert "assignee" not in shop.text("incidents").splitlines()[2]
    entries = [
        (item["action"], item["before"], item["after"])
        for item in shop.json("audit", "show")
        if item["action"] in ("incident.assigned", "incident.ticket_linked")
    ]
    assert sorted(entries, key=str) == sorted(
        [
            ("incident.assigned", {"assignee": None}, {"assignee": "Ana <b>Lópe</b>z"}),
            ("incident.ticket_linked", {"ticket": None}, {"ticket": url}),
            ("incident.assigned", {"assignee": "Ana <b>Lópe</b>z"}, {"assignee": "Bo"}),
            ("incident.assigned", {"assignee": "Bo"}, {"assignee": None}),
            ("incident.ticket_linked", {"ticket": url}, {"ticket": None}),
        ],
        key=str,
    )


def test_a_long_timeline_says_that_it_isnt_whole(shop: Project) -> None:
    """Would catch: "--json has all" of lines that are left out, a beginning that is lost, and
    "lines are left out" of a timeline that is long but whole."""

    def assign(numbers: range) -> None:
        with closing(sqlite3.connect(shop.root / ".headrace/state.db")) as state, state:
            state.executemany(
                "insert into incident_event (incident_id, at, what, actor, act) values (1, ?, ?, ?,"
                " ?)",
                [(2**51 + at, f"assigned to p{at}", "bo", "assignee") for at in numbers],
            )

    assign(range(500))
    whole = shop.json("incident", "INC-1")
    assert (whole["timeline_limited"], len(whole["timeline"]) > 500) == (False, True)
    assign(range(500, 510))
    row = shop.json("incident", "INC-1")
    assert (row["timeline_limited"], row["assignee"]) == (True, "p509")
    assert row["timeline"][0]["what"].startswith("opened: ")
    assert row["timeline"][-1]["what"] == "assigned to p509"
    page = shop.text("incident", "INC-1")
    assert "more; --json has the newest" in page
    assert "has all" not in page


def test_an_incident_is_muted_and_unmuted(shop: Project) -> None:
    """Would catch: a mute that nobody signed or that isn't seen, one that changes what is known of a
    cause, one for good that was for a time, and one that can't be ended."""
    before = shop.json("incidents")[0]
    number = before["id"]
    assert before["muted"] is None
    assert "muted" not in shop.text("incidents") + shop.text("status")
    why = ("--reason", "the vendor: at it")
    timed = shop.json("incidents", "mute", number, *why, "--until", "2h")
    after = shop.json("incidents", "mute", number, *why)
    assert timed["muted"]["until"] is not None
    assert (after["muted"]["reason"], after["muted"]["until"]) == ("the vendor: at it", None)
    assert shop.json("incident", number) == after == shop.json("incidents")[0]
    new = [line["what"] for line in after["timeline"][len(before["timeline"]) :]]
    assert [what.partition(" 20")[0] for what in new] == [
        f"muted until {new[0].split()[2]}",
        "muted: the vendor: at it",
    ]
    fields = {"muted": None, "timeline": []}
    assert {**after, **fields} == {**before, **fields}
    page = " ".join(shop.text("incident", number).split())
    assert " · muted " in page
    assert f"muted by {after['muted']['by']}: the vendor: at it" in page
    assert "muted" in shop.text("incidents").splitlines()[2]
    assert f"{number} {before['cause']['node']}: the vendor: at it (by" in shop.text("status")
    rows = shop.json("status")["muted"]
    assert [(row["incident"], row["until"]) for row in rows] == [(number, None)]
    ended = shop.json("incidents", "unmute", number, "--reason", "it goes on")
    assert (ended["muted"], shop.json("status")["muted"]) == (None, [])
    assert ended["timeline"][-1]["what"] == "unmuted: it goes on"
    entries = [
        (item["action"], item["reason"], item["before"], item["after"])
        for item in shop.json("audit", "show")
        if item["action"] in ("incident.muted", "incident.unmuted")
    ]
    by, until = after["muted"]["by"], {"until": None}
    mutes = [entry for entry in entries if entry[0] == "incident.muted"]
    assert [entry[1] for entry in mutes] == [why[1], why[1]]
    assert {entry[2] is None for entry in mutes} == {True, False}
    assert (
        "incident.unmuted", "it goes on", {"reason": why[1], "by": by, **until}, None
    ) in entries  # fmt: skip


def test_a_resolved_incident_isnt_muted(shop: Project) -> None:
    """Would catch: a mute of what is over, which would hold its recurrence back, or that is shown."""
    shop.json("incidents", "mute", "INC-1", "--reason", "x")
    long = shop.refused("incidents", "unmute", "INC-1", "--reason", "x" * 2_001)
    assert "at most 2,000 characters" in long
    with closing(sqlite3.connect(shop.root / ".headrace/state.db")) as state, state:
        state.execute("update incident set state = 'resolved', resolved_at = 2 where id = 1")
    assert shop.json("incident", "INC-1")["muted"] is None
    assert shop.json("status")["muted"] == []
    assert "is resolved" in shop.refused("incidents", "mute", "INC-1", "--reason", "x")
    assert "isn't muted" in shop.refused("incidents", "unmute", "INC-1")


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (("mute",), "missing: ID", 2),
        (("mute", "INC-1"), "needs --reason", 3),
        (("mute", "INC-1", "2h", "--reason", "x"), "unknown: 2h", 2),
        (("mute", "INC-1", "--reason", "x", "--until", "2020-01-01"), "is over already", 2),
        (("mute", "INC-1", "--reason", "x", "--until", "soon"), "--until", 2),
        (("mute", "INC-1", "--reason", "x" * 2001), "at most 2,000", 2),
        (("mute", "INC-99", "--reason", "x"), "there is no incident", 2),
        (("unmute",), "missing: ID", 2),
        (("unmute", "INC-1"), "isn't muted", 2),
        (("note", "INC-1", "--reason", "x", "--until", "2h"), "unknown: --until", 2),
        (("assign", "INC-1", "ana", "--reason", "x"), "unknown: --reason", 2),
    ],
)
def test_what_is_refused_of_a_mute(
    shop: Project, words: tuple[str, ...], message: str, code: int
) -> None:
    """Would catch: a mute without a reason, or one whose end is past or misread."""
    assert message in shop.refused("incidents", *words, code=code)


def test_an_assignment_isnt_what_was_done_about_a_cause(shop: Project) -> None:
    """Would catch: "What was done then: assigned to ana", beside the repair or in its place."""
    shop.json("incidents", "assign", "INC-1", "ana")
    shop.json("incidents", "ticket", "INC-1", "https://tickets.example.com/1")
    shop.json("incidents", "mute", "INC-1", "--reason", "x")
    shop.json("incidents", "unmute", "INC-1")
    with closing(sqlite3.connect(shop.root / ".headrace/state.db")) as state, state:
        state.execute("update incident set recurrence_of = 1 where id = 2")
    before = shop.json("incident", "INC-2")["before"]
    assert (before["id"], before["done"]) == ("INC-1", [])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("assign", "INC-1"), "needs PERSON or --none"),
        (("assign", "INC-1", "ana", "--none"), "takes PERSON or --none, not both"),
        (("ticket", "INC-1", "https://a.example", "--none"), "takes URL or --none, not both"),
        (("asign", "INC-1", "ana"), "did you mean `headrace incidents assign`"),
        (("xyz", "INC-1"), "one of report, note, assign"),
        (("ticket", "INC-1"), "needs URL or --none"),
        (("assign",), "missing: ID"),
        (("assign", "INC-99", "ana"), "there is no incident"),
        (("assign", "INC-1", " "), "is missing"),
        (("assign", "INC-1", "a" * 101), "at most 100"),
        (("assign", "INC-1", "ana\u202eb"), "invisible characters; character 4 is U+202E"),
        (("ticket", "INC-1", "javascript:alert(1)"), "http:// or https://"),
        (("ticket", "INC-1", "//tickets/1"), "http:// or https://"),
        (("ticket", "INC-1", "https://"), "http:// or https://"),
        (("ticket", "INC-1", "https://[x/1"), "http:// or https://"),
        (("ticket", "INC-1", "https://a:b/1"), "http:// or https://"),
        (("ticket", "INC-1", "https://a.example/" + "1" * 500), "at most 500"),
        (("ticket", "INC-1", "https://ana:secret@a.example/1"), "no user or password"),
        (("note", "INC-1", "ana", "--reason", "x"), "unknown: ana"),
        (("note", "INC-1", "--none", "--reason", "x"), "unknown: --none"),
    ],
)
def test_what_is_refused_of_an_assignment_and_a_ticket(
    shop: Project, words: tuple[str, ...], message: str
) -> None:
    """Would catch: a link that runs code or has a password in it, and a name that hides text."""
    assert message in shop.refused("incidents", *words)


def test_what_is_refused_of_a_report(shop: Project) -> None:
    """A report about nothing would open an incident that nothing can close."""
    assert "needs --reason" in shop.refused(
        "incidents", "report", "orders_clean", "--from", "2025-03-02", code=3
    )
    assert "nothing is published" in shop.refused(
        "incidents", "report", "orders_clean", "--from", "2024-01-01", "--reason", "x"
    )
    assert "since which partition" in shop.refused(
        "incidents", "report", "orders_clean", "--reason", "x"
    )
    assert "isn't known" in shop.refused("incidents", "explain")
    assert "there is no incident INC-99" in shop.refused("incident", "INC-99")
    assert "is no incident's id" in shop.refused("incident", "flights'; drop table incident; --")


def test_an_obligation_that_is_let_go_is_nobodys_backlog(shop: Project) -> None:
    """A holiday that nobody declared would stay in the backlog for ever; one that is met can't be
    let go."""
    before = next(
        item for item in shop.json("status")["consumers"] if item["name"] == "morning-report"
    )
    assert before["backlog"] == ["2025-03-04"]
    done = shop.json("waive", "morning-report@2025-03-04", "--reason", "closed")
    assert (done["interval"], done["backlog"]) == ("2025-03-04", ["2025-03-05"])
    after = next(
        item for item in shop.json("status")["consumers"] if item["name"] == "morning-report"
    )
    assert after["backlog"] == []
    assert "waived already" in shop.refused(
        "waive", "morning-report@2025-03-04", "--reason", "again"
    )
    assert "is met" in shop.refused("waive", "morning-report@2025-03-03", "--reason", "no")
    assert "isn't due yet" in shop.refused("waive", "morning-report@2025-04-03", "--reason", "no")
    assert "there is no consumer" in shop.refused("waive", "morning@2025-04-03", "--reason", "no")


def test_an_incident_of_no_partition_names_none(new: Project) -> None:
    """Would catch: "0 partitions of its own" of a source that can't be read."""
    with (new.root / "headrace.toml").open("a") as settings:
        settings.write('[connections.bank]\nurl = "sqlite:nothere/bank.db"\n')
    declared = "source: orders\nowner: acme\npartition: day\nconnection: bank\nstart: 2025-03-03\n"
    query = 'query: "select * from orders where day = $partition_start"\n'
    (new.root / "sources/orders.yaml").write_text(declared + query)
    new.call(new.root, "tick", "--now", "2025-03-05T06:00+01:00")
    text = new.text("incident", "INC-1")
    assert "source_unavailable at orders" in text
    assert "of its own" not in text


@pytest.mark.long
@pytest.mark.parametrize("ours", [True, False])
def test_a_table_that_is_gone_is_asked_for_where_it_was_read_before(
    new: Project, ours: bool
) -> None:
    """Would catch: "correct sources/orders.yaml:1", of a declaration that worked until the table
    was renamed; and a vendor who is asked for the table that our own change named."""
    with (new.root / "headrace.toml").open("a") as settings:
        settings.write('[connections.bank]\nurl = "sqlite:bank.db"\n')
    declared = "source: orders\nowner: acme\npartition: day\nconnection: bank\nstart: 2025-03-03\n"
    query = 'query: "select * from orders where day = $partition_start"\n'
    (new.root / "sources/orders.yaml").write_text(declared + query)
    with closing(sqlite3.connect(new.root / "bank.db")) as bank, bank:
        bank.execute("create table orders (id integer, customer text, amount real, day text)")
        days = ("2025-03-03", "2025-03-04")
        bank.executemany("insert into orders values (1, 'ann', 2.5, ?)", [(day,) for day in days])
    new.call(new.root, "tick", "--now", "2025-03-04T06:00+01:00")
    if ours:
        (new.root / "sources/orders.yaml").write_text(
            declared + query.replace("from orders", "from sales")
        )
        assert new.call(new.root, "apply", "--yes", "--now", "2025-03-05T05:00+01:00")[0] == 0
    else:
        with closing(sqlite3.connect(new.root / "bank.db")) as bank, bank:
            bank.execute("alter table orders rename to orders_old")
    new.call(new.root, "tick", "--now", "2025-03-05T06:00+01:00")
    (result,) = [item for item in new.json("incidents") if item["cause"]["node"] == "orders"]
    asked = "" if ours else "ask acme what became of it, or "
    assert (result["cause"]["kind"], result["repair"]["first"]) == (
        "configuration_error",
        f"{asked}correct sources/orders.yaml:1",
    )
    report = next(
        item for item in new.json("status")["consumers"] if item["name"] == "morning-report"
    )
    gone = "sales" if ours else "orders"
    assert report["state"] == "at_risk", "nobody knows whether it is there, and it is due at 07:00"
    said = f"orders@2025-03-04: can't be observed since 06:00: bank.db: no such table: {gone}"
    assert (report["reason"], report["next"]) == (
        f"late at 07:00: {said}",
        f"headrace incident {result['id']}",
    )
