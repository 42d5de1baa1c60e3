"""What an incident, a repair and their mails say where a repair fails, is withdrawn, or was
accepted.
"""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from clilab import Project

pytestmark = pytest.mark.long

FIRST = date(2026, 3, 1)
FILES = {
    "headrace.toml": '[project]\nname = "shop"\ntimezone = "Europe/Berlin"\n[run]\nworkers = 1\n',
    "owners.yaml": (
        "shop: {kind: team, contact: ['mailto:shop@example.com']}\ntills: {kind: vendor, manager:"
        " shop}\n"
    ),
    "sources/sales.yaml": (
        "source: sales\nowner: tills\npartition: day\nfiles:"
        " landing/sales_{date:%Y-%m-%d}.csv\nexpect: {by: '05:00'}\n"
    ),
    "consumers.yaml": "- {consumer: tax-office, owner: shop, reads: [takings], due: '06:00'}\n",
}
SQL = "/* headrace\nowner: shop\npartition: {by: day, column: day}\n*/\n"
TAKINGS = (
    SQL + "select $partition_start as day, till, sum(amount) as amount from sales group by all\n"
)
FAILING = """from headrace import asset, Context

@asset(owner='shop', partition='day', inputs=['sales'])
def takings(ctx: Context, sales):
    if ctx.partition == '2026-03-11':
        raise ValueError('no till may have more than 20')
    return sales
"""


def day(n: int) -> str:
    return (FIRST + timedelta(days=n)).isoformat()


def at(n: int, hour: str = "04:30") -> str:
    """The time of the pass in the morning after the day of that number."""
    return f"{day(n + 1)}T{hour}+01:00"


def rows(n: int, header: str = "till,amount,city", scale: int = 1) -> str:
    return (
        header
        + "\n"
        + "".join(
            f"{till},{(till * 3 + n * 7 % 17) * scale}.5{till},X{till % 3}\n"
            for till in range(1, 9)
        )
    )


@pytest.fixture
def shop(tmp_path: Path, call: Callable[..., Any]) -> Callable[..., Project]:
    """A shop with ten days that were published, and these files."""

    def build(
        asset: str = TAKINGS,
        days: int = 10,
        before: Callable[[Path], None] | None = None,
        **more: str,
    ) -> Project:
        root = tmp_path / "tills"
        name = "takings.py" if asset is FAILING else "takings.sql"
        for path, text in {**FILES, f"assets/{name}": asset, **more}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        if before is not None:
            before(root)
        project = Project(root, call)
        for n in range(days):
            deliver(project, n, rows(n))
        project.json("tick", "--now", at(days - 1))
        return project

    return build


def deliver(project: Project, n: int, text: str) -> None:
    (project.root / "landing").mkdir(exist_ok=True)
    (project.root / f"landing/sales_{day(n)}.csv").write_text(text)


def test_a_repair_that_fails_names_the_incident_of_its_own_failure(
    shop: Callable[..., Project],
) -> None:
    """Would catch: code that fails in a repair and is nobody's incident until the next pass; and a
    failed repair that says its result is what readers saw before."""
    project = shop(FAILING)
    deliver(project, 10, rows(10, "till,total,city"))
    project.json("tick", "--now", at(10))
    now = ("--now", at(10, "07:30"))
    response = project.json("fix", "INC-1", "--yes", *now)
    (code,) = [
        item for item in project.json("incidents", *now) if item["cause"]["kind"] == "code_error"
    ]
    assert code["cause"]["node"] == "takings" and code["affected"]["partitions"] == ["2026-03-11"]
    (named,) = [row for row in response["still"] if row["what"] == "takings@2026-03-11"]
    assert (
        named["command"] == f"headrace incident {code['id']}"
        and "no till may have more than 20" in named["text"]
    )
    page = project.text("backfills", "1", *now)
    assert "is what readers saw before" not in page
    assert "nothing of takings was published: readers see what they saw before" in page

    project.json("tick", "--now", at(10, "08:30"))
    assert [
        item["id"] for item in project.json("incidents") if item["cause"]["kind"] == "code_error"
    ] == [code["id"]]
    (project.root / "assets/takings.py").write_text(
        FAILING.replace("if ctx.partition == '2026-03-11'", "if False")
    )
    project.json("apply", "--yes", "--now", at(10, "08:40"))
    project.json("tick", "--now", at(10, "08:50"))
    assert project.json("incidents") == []


def test_a_rejected_delivery_is_checked_again_once_the_reference_has_its_keys(
    shop: Callable[..., Project],
) -> None:
    """Would catch: a delivery that stays rejected for keys that the reference has meanwhile."""
    project = shop(
        **{
            "sources/sales.yaml": (
                FILES["sources/sales.yaml"]
                + "checks:\n  - references: {column: till, to: stores.till}\n"
            ),
            "sources/stores.yaml": (
                "source: stores\nowner: hq\npartition: '*'\nfiles: landing/stores.csv\nexpect:"
                " {unchanged: ok}\n"
            ),
            "owners.yaml": (
                FILES["owners.yaml"] + "hq: {kind: team, contact: ['mailto:hq@example.com']}\n"
            ),
            "landing/stores.csv": stores(8),
        }
    )
    deliver(project, 10, rows(10) + "9,7.50,X1\n")
    project.json("tick", "--now", at(10))
    (incident,) = project.json("incidents")
    assert (incident["cause"]["kind"], incident["cause"]["node"]) == ("reference_broken", "sales")
    page = project.text("incident", incident["id"])
    assert (
        "if stores.till lacks keys, ask hq for them: it is checked again as soon as stores has"
        " other rows" in page
    )

    (project.root / "landing/stores.csv").write_text(stores(8) + "10,Store 10\n")
    response = project.json("tick", "--now", at(10, "07:00"))
    assert [(row["asset"], row["state"]) for row in response["attempts"]] == [
        ("stores", "published"),
        ("sales", "rejected"),
    ]
    assert project.json("tick", "--now", at(10, "07:10"))["attempts"] == [], (
        "once for each publication of the reference"
    )

    (project.root / "landing/stores.csv").write_text(stores(10))
    response = project.json("tick", "--now", at(10, "07:30"))
    assert {row["asset"]: row["state"] for row in response["attempts"]} == dict.fromkeys(
        ("stores", "sales", "takings"), "published"
    )
    (over,) = [item for item in project.json("incidents", "--all") if item["id"] == incident["id"]]
    assert over["state"] == "resolved"
    assert [line["what"] for line in over["timeline"] if "checked again" in line["what"]] == [
        "sales@2026-03-11 is checked again: stores has other rows since"
    ] * 2


def test_a_reference_in_a_database_is_read_again_by_the_command_that_is_named(
    shop: Callable[..., Project],
) -> None:
    """Would catch: keys that were added to a table which Headrace reads once a day, and a repair
    that promises a check which no pass of the day makes."""
    again = "headrace run stores --again --reason TEXT"
    project = shop(
        **{
            **OUTBOX,
            "headrace.toml": (
                OUTBOX["headrace.toml"] + '[connections.bank]\nurl = "sqlite:bank.db"\n'
            ),
            "sources/sales.yaml": (
                FILES["sources/sales.yaml"]
                + "checks:\n  - references: {column: till, to: stores.till}\n"
            ),
            "sources/stores.yaml": (
                "source: stores\nowner: hq\nconnection: bank\ntable: stores\nexpect: {unchanged:"
                " ok}\n"
            ),
            "owners.yaml": (
                FILES["owners.yaml"] + "hq: {kind: team, contact: ['mailto:hq@example.com']}\n"
            ),
        },
        before=lambda root: in_bank(
            root, "create table stores (till integer, name text)", *added(range(1, 9))
        ),
    )
    deliver(project, 10, rows(10) + "9,7.50,X1\n")
    (row,) = project.json("tick", "--now", at(10, "04:35"))["repairs"]
    assert again in row["first"] and row["commands"] == ["headrace tick"]
    (incident,) = project.json("incidents")
    assert (incident["cause"]["kind"], incident["cause"]["node"]) == ("reference_broken", "sales")
    said = (
        f"if stores.till lacks keys, ask hq for them, then {again} (stores is read every 1d by"
        " itself)"
    )
    pages = [
        project.text("incident", incident["id"]),
        project.text("quarantine", "sales@2026-03-11"),
        mails(project, incident["id"]),
    ]
    assert [said in " ".join(page.split()) for page in pages] == [True] * 3 and said in incident[
        "repair"
    ]["text"]
    in_bank(project.root, *added([9]))
    assert again in " ".join(
        project.refused("fix", incident["id"], "--yes", "--now", at(10, "04:40"), code=3).split()
    )
    project.json("tick", "--now", at(10, "04:50"))
    assert [item["id"] for item in project.json("incidents")] == [incident["id"]]

    project.json(*shlex.split(again)[1:], "--now", at(10, "05:00"))
    project.json("tick", "--now", at(10, "05:10"))
    assert project.json("incidents") == []
    assert project.json("status", "--now", at(10, "05:11"))["consumers"][0]["state"] == "served"


def test_another_unit_is_repaired_by_the_command_that_is_named(
    shop: Callable[..., Project],
) -> None:
    """Would catch: cents that are "× 93", and of which nothing says how they are converted."""
    project = shop(days=14, **OUTBOX)
    deliver(project, 14, rows(11, scale=100))
    (row,) = project.json("tick", "--now", at(14))["repairs"]
    convert = (
        "headrace contract accept sales@2026-03-15 --map amount=amount --convert 'amount / 100'"
    )
    said = f"or, if amount is in another unit, convert it ({convert})"
    (incident,) = project.json("incidents")
    assert incident["cause"]["summary"] == "amount about × 100 (per cent, or cents?)"
    pages = [
        project.text("incident", "INC-1"),
        project.text("quarantine", "sales@2026-03-15"),
        mails(project, "INC-1"),
    ]
    pages.append(project.refused("fix", "INC-1", "--yes", "--now", at(14, "04:40"), code=3))
    assert [said in " ".join(page.split()) for page in pages] == [True] * 4
    assert said in row["first"] and said in incident["repair"]["text"]
    project.json(*shlex.split(convert)[1:], "--now", at(14, "04:50"))
    project.json("tick", "--now", at(14, "05:00"))
    assert project.json("incidents") == []
    (most,) = project.json("sql", "select max(amount) as most from sales")["rows"]
    assert float(most["most"]) < 100


@pytest.mark.parametrize(
    "checks", ["", "checks: [{range: {column: till, max: 0, severity: warning}}]\n"]
)
def test_a_conversion_accepted_a_day_late_leaves_the_sound_day_after_it(
    shop: Callable[..., Project], checks: str
) -> None:
    """Would catch: a sound published day divided by 100 because the day before came in cents, its
    vendor asked for another file, and a conversion that goes on for all days to come; the same of
    days with a warning of their own."""
    project = shop(days=14, **{"sources/sales.yaml": FILES["sources/sales.yaml"] + checks})
    deliver(project, 14, rows(11, scale=100))
    project.json("tick", "--now", at(14))
    deliver(project, 15, rows(15))
    project.json("tick", "--now", at(15))
    convert = (
        "contract",
        "accept",
        "sales@2026-03-15",
        "--map",
        "amount=amount",
        "--convert",
        "amount / 100",
    )
    assert project.json(*convert, "--now", at(15, "04:50"))["reread"] == ["2026-03-15"]
    project.json("tick", "--now", at(15, "05:00"))
    deliver(project, 16, rows(16))
    project.json("tick", "--now", at(16))
    assert project.json("incidents") == []
    (most,) = project.json("sql", "select max(amount) as most, min(amount) as least from sales")[
        "rows"
    ]
    assert (float(most["most"]) < 100, float(most["least"]) > 1) == (True, True), most
    assert "to: '2026-03-16'" in (project.root / "contracts/sales.odcs.yaml").read_text()


@pytest.mark.parametrize(("whole", "factor"), [(False, 100), (True, 1000)])
def test_a_conversion_that_isnt_needed_any_more_is_ended(
    shop: Callable[..., Project], whole: bool, factor: int
) -> None:
    """Would catch: a vendor who delivers as agreed again asked for the file as it was agreed,
    beside a command that multiplies what isn't converted any more, for ever; whole numbers that
    "can't be read"."""

    def sales(n: int, scale: int = 1) -> str:
        amounts = [
            ((till * 3 + n * 7 % 17) * scale, f".5{till}" if not whole else "")
            for till in range(1, 41)
        ]
        return "till,amount,city\n" + "".join(
            f"{at},{number}{rest},X{at % 3}\n" for at, (number, rest) in enumerate(amounts)
        )

    project = shop(days=0)
    for n in range(14):
        deliver(project, n, sales(n))
    project.json("tick", "--now", at(13))
    deliver(project, 14, sales(14, factor))
    project.json("tick", "--now", at(14))
    convert = (
        "contract",
        "accept",
        "sales@2026-03-15",
        "--map",
        "amount=amount",
        "--convert",
        f"amount / {factor}",
    )
    project.json(*convert, "--now", at(14, "04:50"))
    project.json("tick", "--now", at(14, "05:00"))
    deliver(project, 15, sales(15))
    project.json("tick", "--now", at(15))
    end = "headrace contract accept sales@2026-03-16 --map amount=amount --as-is"
    place = "contracts/sales.odcs.yaml:"
    (incident,) = project.json("incidents")
    said = incident["repair"]["text"]
    assert (
        f"or, if amount needs no conversion any more (amount / {factor}, {place}" in said
        and f"end it ({end})" in said
    ), said
    assert "--convert" not in said
    project.json(*shlex.split(end)[1:], "--now", at(15, "04:50"))
    project.json("tick", "--now", at(15, "05:00"))
    assert project.json("incidents") == []
    days = project.json("sql", "select count(*) as n, max(amount) as most from sales")["rows"][0]
    assert (days["n"], float(days["most"]) < 200) == (16 * 40, True)


def in_bank(root: Path, *statements: str) -> None:
    with closing(sqlite3.connect(root / "bank.db")) as bank, bank:
        for statement in statements:
            bank.execute(statement)


def added(tills: Iterable[int]) -> list[str]:
    return [f"insert into stores values ({till}, 'Store {till}')" for till in tills]


def stores(count: int) -> str:
    return "till,name\n" + "".join(f"{till},Store {till}\n" for till in range(1, count + 1))


def mails(project: Project, incident: str) -> str:
    """All that was sent about an incident, to whomever."""
    return "\n".join(
        path.read_text() for path in sorted((project.root / "outbox").glob(f"{incident}.*"))
    )


OUTBOX = {"headrace.toml": FILES["headrace.toml"] + '[notify.mail]\nurl = "file:outbox"\n'}


def test_a_restatement_threatens_nobody_with_lateness(shop: Callable[..., Project]) -> None:
    """Would catch: a mail about figures that were delivered again which says that a consumer will
    be late, because a file of another day isn't there."""
    project = shop(**OUTBOX)
    deliver(project, 9, rows(9, scale=2))
    project.json("tick", "--now", at(10, "05:30"))
    result = {item["cause"]["kind"]: item["id"] for item in project.json("incidents")}
    assert set(result) == {"late_source", "restatement"}
    assert "tax-office will be late: 2026-03-11" in mails(project, result["late_source"])
    assert "yours: tax-office" in mails(project, result["restatement"])
    assert "will be late" not in mails(project, result["restatement"])


def test_a_rename_with_another_unit_is_one_incident(shop: Callable[..., Project]) -> None:
    """Would catch: two incidents of one change of the vendor's; a repair that decides about the
    names and leaves the unit."""
    project = shop(days=14, **OUTBOX)
    deliver(project, 14, rows(14, "till,total,city", scale=100))
    project.json("tick", "--now", at(14))
    (incident,) = project.json("incidents")
    assert incident["cause"]["kind"] == "schema_change"
    factor = incident["cause"]["summary"].removeprefix("1 column renamed, amount: values ")
    assert factor.startswith("×")
    assert f"Repair: headrace fix {incident['id']}\n" in mails(project, incident["id"])
    assert f"amount → total: values {factor}, by 14" in project.refused(
        "fix", incident["id"], "--yes", "--now", at(14), code=3
    )
    decision = ("fix", "INC-1", "--yes", "--convert")
    project.json(*decision, "total / 100", "--now", at(14, "04:45"))
    (ended,) = project.json("incidents", "--all", "--now", at(14, "04:50"))
    assert ended["state"] == "resolved"
    again = project.refused(*decision, "total / 10", "--now", at(14, "04:55"), code=3)
    assert "INC-1 is resolved, so nothing is decided about its values" in again


def test_a_unit_that_is_seen_once_the_names_are_accepted_has_an_incident_then(
    shop: Callable[..., Project],
) -> None:
    """Would catch: values under an accepted name that are published, or put down to the name."""
    project = shop(
        days=2,
        **{
            "sources/sales.yaml": (
                FILES["sources/sales.yaml"] + "checks:\n  - range: {column: amount, max: 300}\n"
            )
        },
    )
    deliver(project, 2, rows(2, "till,total,city", scale=100))
    project.json("tick", "--now", at(2))
    (names,) = project.json("incidents")
    assert names["cause"]["summary"] == "1 column renamed" and names["repair"]["text"] is None
    project.json("fix", names["id"], "--yes", "--now", at(2, "04:45"))
    (unit,) = project.json("incidents", "--now", at(2, "04:50"))
    assert (unit["id"], unit["cause"]["kind"], unit["cause"]["node"]) == (
        "INC-2",
        "distribution_shift",
        "sales",
    )
    (consumer,) = project.json("status", "--now", at(2, "04:50"))["consumers"]
    assert consumer["state"] == "at_risk" and "rejected" in consumer["reason"]


def test_what_was_withdrawn_is_not_proposed_to_be_computed_again_as_it_is(
    shop: Callable[..., Project],
) -> None:
    """Would catch: a command that publishes the rows again that somebody has just withdrawn, and a
    mail that doesn't say who withdrew them and why."""
    project = shop(**OUTBOX)
    now = ("--now", at(9, "04:40"))
    project.json("unpublish", "takings@2026-03-10", "--reason", "till 3 counts in cents", *now)
    (consumer,) = project.json("status", *now)["consumers"]
    who = project.json("audit", "show")[0]["actor"]
    withdrawn = f"till 3 counts in cents (by {who})"
    assert withdrawn in consumer["reason"] and "run takings" not in consumer["next"]
    page = project.text("why", "takings@2026-03-10", *now)
    assert f"was withdrawn 04:40: {withdrawn}" in page
    assert (
        "correct assets/takings.sql:1, or what it reads: computed as it is, it has the same rows"
        " again" in page
    )
    assert page.splitlines()[-1].startswith("next: headrace apply")
    assert f"It waits for takings@2026-03-10, withdrawn: {withdrawn}." in mails(
        project, "tax-office@2026-03-10"
    )

    project.json("tick", "--now", at(9, "06:30"))
    (item,) = [
        one for one in project.json("incidents") if one["affected"]["partitions"] == ["2026-03-10"]
    ]
    assert item["cause"]["summary"] == f"withdrawn: {withdrawn}"
    assert f"takings@2026-03-10: withdrawn: {withdrawn}" in mails(project, item["id"])

    (project.root / "assets/takings.sql").write_text(TAKINGS.replace("sum(amount)", "max(amount)"))
    project.json("apply", "--yes", *now[:1], at(9, "06:40"))
    page = project.text("why", "takings@2026-03-10", *now[:1], at(9, "06:40"))
    assert "the same rows again" not in page


CHECKED = {
    "sources/sales.yaml": (
        FILES["sources/sales.yaml"] + "checks:\n  - range: {column: amount, min: 0, max: 1000}\n"
    )
}


def test_the_end_of_what_was_accepted_says_so(shop: Callable[..., Project]) -> None:
    """Would catch: an incident that ends with all "served again" where readers see by exception
    what it was about.
    """
    project = shop(**OUTBOX, **CHECKED)
    deliver(project, 10, rows(10) + "9,5000.5,X1\n")
    project.json("tick", "--now", at(10, "06:30"))
    project.json(
        "quarantine",
        "accept",
        "sales@2026-03-11",
        "--reason",
        "a big sale",
        "--now",
        at(10, "06:40"),
    )
    (item,) = project.json("incidents", "--all")
    who = project.json("audit", "show", "--action", "quarantine.accepted")[0]["actor"]
    said = f"all whom it affected are served, by exception (accepted by {who})"
    assert said in item["ended"] and said in mails(project, item["id"])


def test_mails_of_two_unreadable_files_have_two_subjects(shop: Callable[..., Project]) -> None:
    """Would catch: a mail program that shows two faults of a source as one conversation."""
    project = shop(**OUTBOX)
    deliver(project, 10, "till,amount,city\n1,2,X1\n3,4\n5,6,7,8,9\n")
    deliver(project, 11, "\x00\x01\x02")
    project.json("tick", "--now", at(11, "06:30"))
    subjects = {
        line
        for item in project.json("incidents")
        for line in mails(project, item["id"]).splitlines()
        if line.startswith("Subject")
    }
    assert {line.split(" ", 3)[3] for line in subjects} == {
        "sales@2026-03-11: format change",
        "sales@2026-03-12: format change",
    }


def test_an_incident_counts_the_partitions_that_it_is_seen_at(shop: Callable[..., Project]) -> None:
    """Would catch: a number of partitions that reads as what is affected; none, of a list that
    isn't cut.
    """
    listed = (
        "source: list\nowner: tills\npartition: '*'\nfiles: landing/list.csv\nchecks:\n  - unique:"
        " [k]\n"
    )
    project = shop(
        **{**CHECKED, "sources/list.yaml": listed, "landing/list.csv": "k,v\n1,2\n1,3\n"}
    )
    deliver(project, 10, rows(10) + "9,5000.5,X1\n")
    project.json("tick", "--now", at(10))
    item, many = (
        "  seen at  sales 2026-03-11\n",
        "  seen at  sales 2026-03-11 … 2026-03-12 (2 partitions)\n",
    )
    assert "  affects  nobody\n  seen at  list\n" in project.text("incident", "INC-1")
    assert "  affects  1 asset, 1 consumer\n" + item in project.text("incident", "INC-2")
    deliver(project, 11, rows(11) + "9,5000.5,X1\n")
    project.json("tick", "--now", at(11))
    assert many in project.text("incident", "INC-2")


def test_an_incident_whose_wrong_rows_were_withdrawn_isnt_repaired_by_headrace(
    shop: Callable[..., Project],
) -> None:
    """Would catch: "Headrace does it by itself" of withdrawn rows, which it never computes by
    itself.
    """
    ledger = {
        "assets/ledger.sql": SQL + "select day, till, amount from takings\n",
        "consumers.yaml": FILES["consumers.yaml"].replace("reads: [takings]", "reads: [ledger]"),
    }
    project = shop(days=4, **ledger)
    days = ("--from", day(1), "--to", day(2))
    project.json(
        "incidents", "report", "takings", *days, "--reason", "cents", "--now", at(3, "07:00")
    )
    for n, hour in ((1, "07:10"), (2, "07:20")):
        project.json("unpublish", f"takings@{day(n)}", "--reason", "wrong", "--now", at(3, hour))
    project.json("tick", "--now", at(3, "07:30"))
    (item,) = project.json("incidents", "--now", at(3, "07:40"))
    assert item["state"] == "recovering"
    assert (item["repair"]["automatic"], item["repair"]["same"], item["repair"]["command"]) == (
        False,
        True,
        "headrace apply",
    )
    page = project.text("incident", item["id"], "--now", at(3, "07:40"))
    assert "by itself" not in page and "correct assets/takings.sql:1, or what it reads" in page
    project.refused("fix", item["id"], "--yes", "--now", at(3, "07:45"), code=3)

    (project.root / "assets/takings.sql").write_text(
        TAKINGS.replace("sum(amount)", "sum(amount) / 100")
    )
    project.json("apply", "--yes", "--now", at(3, "07:50"))
    (item,) = project.json("incidents", "--now", at(3, "07:50"))
    assert (item["repair"]["automatic"], item["repair"]["command"]) == (
        False,
        f"headrace fix {item['id']}",
    )
    project.json("fix", item["id"], "--yes", "--now", at(3, "08:00"))
    assert project.json("incidents", "--now", at(3, "08:10")) == []


def test_an_incident_that_opens_again_is_told_as_it_is_since_then(
    shop: Callable[..., Project],
) -> None:
    """Would catch: a mail about an incident that was over for three days and opened again, which
    names the partition that came before those; a clock that runs while it was over."""
    project = shop(**OUTBOX)
    project.json("tick", "--now", at(10, "05:10"))
    deliver(project, 10, rows(10))
    project.json("tick", "--now", at(10, "09:00"))
    for n in (11, 12):
        deliver(project, n, rows(n))
        project.json("tick", "--now", at(n, "05:10"))
    project.json("tick", "--now", at(13, "05:10"))
    (item,) = project.json("incidents", "--now", at(13, "05:11"))
    assert item["affected"]["partitions"] == [day(10), day(13)]
    again = mails(project, item["id"]).partition("(again)")[2]
    assert f"partitions: {day(13)}\n" in again
    assert "since Sun 2026-03-15 05:00, found 10 min later" in again

    deliver(project, 13, rows(13))
    project.json("tick", "--now", at(13, "08:00"))
    (item,) = [it for it in project.json("incidents", "--all") if it["id"] == item["id"]]
    assert (item["state"], round(item["restore_seconds"] / 3600)) == ("resolved", 7)
    assert "7 h 00 min in all" in project.text("incident", item["id"])
    over = mails(project, item["id"]).rpartition(" resolved: ")[2]
    assert "Found 10 min after it began." in over and "3 h 00 min after it began." in over


def test_an_attempt_that_failed_is_one_piece_of_evidence(shop: Callable[..., Project]) -> None:
    """Would catch: an attempt of a repair that is counted twice, as its failure and as that of a
    backfill.
    """
    project = shop(FAILING)
    code = FAILING.replace("raise ValueError('no till may have more than 20')", "raise MemoryError")
    (project.root / "assets/takings.py").write_text(code)
    project.json("apply", "--yes", "--now", at(10, "04:00"))
    deliver(project, 10, rows(10))
    project.json("tick", "--now", at(10))
    project.json("fix", "INC-1", "--yes", "--now", at(10, "07:30"))
    (item,) = project.json("incidents", "--now", at(10, "07:31"))
    assert item["cause"]["kind"] == "resource_exhausted"
    result = [(row["observed"], row["at"]) for row in item["cause"]["evidence"]]
    assert len(result) == len(set(result)), result


def test_a_repair_says_how_long_after_the_opening_it_was_begun(
    shop: Callable[..., Project],
) -> None:
    """Would catch: "waiting for a person: 3 h" of the whole time since the incident was opened, in
    which nobody had asked a person, or in which a vendor was waited for."""
    project = shop()
    deliver(project, 10, rows(10, "till,total,city"))
    project.json("tick", "--now", at(10))
    page = project.text("fix", "INC-1", "--yes", "--now", at(10, "07:30"))
    assert "; the repair was begun 3 h 00 min after it was opened" in page
    assert "waiting for a person" not in page


def test_the_end_of_a_cause_names_all_others_that_hold_the_same_back(
    shop: Callable[..., Project],
) -> None:
    """Would catch: "INC-2 holds it back" of a day that INC-3 holds back as well; a resolved
    incident that a list goes on to, beside open ones."""
    daily = "source: {0}\nowner: tills\npartition: day\nfiles: landing/{0}_{{date:%Y-%m-%d}}.csv\n"
    both = (
        SQL + "select $partition_start as day, sum(sales.amount) as n from sales, visits, rates\n"
    )

    def delivered(root: Path) -> None:
        (root / "landing").mkdir()
        for name in ("sales", "visits", "rates"):
            for n in range(10):
                (root / f"landing/{name}_{day(n)}.csv").write_text(rows(n))

    project = shop(both, days=10, before=delivered, **{
        "sources/visits.yaml": daily.format("visits"), "sources/rates.yaml": daily.format("rates"),
    })  # fmt: skip
    deliver(project, 10, rows(10, "till,total,city"))
    for name in ("visits", "rates"):
        text = rows(10)
        (project.root / f"landing/{name}_{day(10)}.csv").write_text(text + text.partition("\n")[2])
    project.json("tick", "--now", at(10))
    result = {item["cause"]["node"]: item["id"] for item in project.json("incidents")}
    assert set(result) == {"sales", "visits", "rates"}
    project.json("fix", result["sales"], "--yes", "--now", at(10, "04:40"))
    ended = project.json("incident", result["sales"])["ended"]
    others = " and ".join(sorted((result["visits"], result["rates"])))
    assert f"tax-office 2026-03-11 (due Thu 2026-03-12 06:00; {others} hold it back)" in ended, (
        ended
    )
    listed = project.text("incidents", "--all").splitlines()
    assert f"next: headrace incident {max(result['visits'], result['rates'])}" in listed[-1], listed


def test_what_is_named_of_a_late_consumer_is_what_can_be_repaired(
    shop: Callable[..., Project],
) -> None:
    """Would catch: a vendor waited for whose older file never comes, where the repair of the newest
    day is one command.
    """
    project = shop(days=10)
    project.json("tick", "--now", at(10, "06:30"))  # the file of this day never comes
    deliver(project, 11, rows(11, "till,total,city"))
    project.json("tick", "--now", at(11, "05:40"))
    now = ("--now", at(11, "06:30"))
    (late,) = project.json("status", *now)["consumers"]
    missing, renamed = project.json("incidents", *now)
    if missing["cause"]["kind"] != "missing_source":
        missing, renamed = renamed, missing
    assert (late["state"], late["incident"], late["since"]) == (
        "late",
        renamed["id"],
        f"{day(11)}T06:00:00+01:00",
    )
    why = project.json("why", "tax-office", *now)
    assert (why["interval"], why["next"]) == (day(11), f"headrace incident {renamed['id']}")
    assert f"{day(11)} waits since" in why["verdict"] and missing["id"] in why["verdict"]
    project.json("fix", renamed["id"], "--yes", *now)
    later = ("--now", at(11, "07:00"))
    (late,) = project.json("status", *later)["consumers"]
    assert (late["state"], late["backlog"], late["incident"]) == ("late", [day(10)], missing["id"])
    project.json("waive", f"tax-office@{day(10)}", "--reason", "never came", *later)
    (served,) = project.json("status", *later)["consumers"]
    assert (served["state"], served["backlog"]) == ("served", [])


def test_the_rows_of_a_held_delivery_are_told(shop: Callable[..., Project]) -> None:
    """Would catch: `deliveries` without a number for what tick, status and quarantine say the rows
    of.
    """
    project = shop(days=10)
    deliver(project, 10, rows(10, "till,total,city"))
    project.json("tick", "--now", at(10))
    (held,) = project.json("quarantine")
    newest, before = project.json("deliveries", "sales")[:2]
    assert (newest["state"], newest["rows"], held["rows"]) == ("held", 8, 8)
    assert (before["state"], before["rows"]) == ("published", 8)


def test_a_conversion_of_a_new_delivery_of_a_sound_day_leaves_the_day_after_it(
    shop: Callable[..., Project],
) -> None:
    """Would catch: the sound delivery that readers see of the day taken for the one in cents that
    is held.
    """
    project = shop(days=16)
    deliver(project, 14, rows(11, scale=100))
    project.json("tick", "--now", at(15, "08:00"))
    convert = (
        "contract",
        "accept",
        "sales@2026-03-15",
        "--map",
        "amount=amount",
        "--convert",
        "amount / 100",
    )
    project.json(*convert, "--now", at(15, "08:10"))
    assert "to: '2026-03-16'" in (project.root / "contracts/sales.odcs.yaml").read_text()


def test_a_conversion_of_a_day_that_a_check_held_leaves_the_day_after_it(
    shop: Callable[..., Project],
) -> None:
    """Would catch: the day after divided by 100 unnoticed, where a check holds and nothing compares
    with the history.
    """
    held = "on_anomaly: ignore\nchecks: [{range: {column: amount, max: 200}}]\n"
    project = shop(days=14, **{"sources/sales.yaml": FILES["sources/sales.yaml"] + held})
    deliver(project, 14, rows(11, scale=100))
    project.json("tick", "--now", at(14))
    deliver(project, 15, rows(15))
    project.json("tick", "--now", at(15))
    convert = (
        "contract",
        "accept",
        "sales@2026-03-15",
        "--map",
        "amount=amount",
        "--convert",
        "amount / 100",
    )
    project.json(*convert, "--now", at(15, "04:50"))
    assert "to: '2026-03-16'" in (project.root / "contracts/sales.odcs.yaml").read_text()


@pytest.mark.parametrize("how", ["warned", "accepted", "unnoticed", "published again"])
def test_a_conversion_goes_on_over_later_days_of_the_same_fault(
    shop: Callable[..., Project], how: str
) -> None:
    """Would catch: a later day in cents that readers see taken for one in the agreed unit: by an
    exception, unnoticed since the day before was published with a warning, or since there was no
    history to compare it with."""
    warns = FILES["sources/sales.yaml"] + "on_anomaly: warn\n"
    published = how in ("warned", "published again")
    project = shop(
        days=0 if how == "unnoticed" else 14, **({"sources/sales.yaml": warns} if published else {})
    )
    for n in (14, 15):
        deliver(project, n, rows(n, scale=100))
        project.json("tick", "--now", at(n))
    if how == "published again":
        deliver(project, 14, rows(14, scale=100) + "99,9900,X\n")
        project.json("tick", "--now", at(15, "04:35"))
    if how == "accepted":
        project.json(
            "quarantine",
            "accept",
            "sales@2026-03-16",
            "--reason",
            "needed",
            "--now",
            at(15, "04:40"),
        )
    convert = (
        "contract",
        "accept",
        "sales@2026-03-15",
        "--map",
        "amount=amount",
        "--convert",
        "amount / 100",
    )
    assert project.json(*convert, "--now", at(15, "04:50"))["reread"] == [
        "2026-03-15",
        "2026-03-16",
    ]
    assert "to: '2026-03-16'" not in (project.root / "contracts/sales.odcs.yaml").read_text()
    project.json("tick", "--now", at(15, "05:00"))
    (most,) = project.json("sql", "select max(amount) as most from sales")["rows"]
    assert float(most["most"]) < 100


def test_a_check_that_warns_every_day_isnt_part_of_what_is_held_today(
    shop: Callable[..., Project],
) -> None:
    """Would catch: a check's warnings of other days made part of an incident about one day's unit,
    and those days called wrong; also some days later, when the older warnings are forgotten."""
    checks = "checks: [{range: {column: till, max: 0, severity: warning}}]\n"
    project = shop(days=14, **{"sources/sales.yaml": FILES["sources/sales.yaml"] + checks})
    deliver(project, 14, rows(14, scale=100))
    project.json("tick", "--now", at(14))
    (item,) = project.json("incidents")
    assert (item["affected"]["partitions"], item["cause"]["partition"]) == (
        ["2026-03-15"],
        "2026-03-15",
    )
    assert (item["cause"]["summary"], item["cause"]["columns"]) == ("amount × 127", ["amount"])
    status = project.json("status", "--now", at(14, "06:30"))
    assert [row["state"] for row in status["consumers"]] == ["late"]
    for n in (15, 16, 17, 18, 19):
        deliver(project, n, rows(n) + f"9,{n}.5,X0\n")
        project.json("tick", "--now", at(n))
        (item,) = project.json("incidents")
        assert (item["affected"]["partitions"], item["cause"]["summary"]) == (
            ["2026-03-15"],
            "amount × 127",
        ), n
