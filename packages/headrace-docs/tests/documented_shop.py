"""A shop to be documented: two domains, hostile words, one promise kept and one missed."""

from __future__ import annotations

import pwd
from html.parser import HTMLParser
from os import getuid
from pathlib import Path

from headrace.cli.main import run
from headrace.project.session import ProjectSession

MARKUP = "<img src=x onerror=document.title='hacked'>&\"'"
RTL = "מכירות יומיות"
LONG = "n" * 200
NOW = "2025-03-04T06:30+00:00"
SHOP = {
    "headrace.toml": f'[project]\nname = "shop {MARKUP[:4]}"\ntimezone = "UTC"\n[run]\nworkers = 1\n',
    "owners.yaml": (
        "core: {kind: team, contact: ['mailto:core@example.com'], manager: acme}\n"
        "acme: {kind: vendor}\n"
    ),
    "access.yaml": f"- {{role: admin, to: ['user:{pwd.getpwuid(getuid()).pw_name}']}}\n",
    "sources/orders.yaml": (
        "source: orders\nowner: acme\ndomain: sales\npartition: day\n"
        "files: landing/orders_{date:%Y-%m-%d}.csv\n"
        "columns: {customer: {classification: personal}}\n"
    ),
    "assets/clean.sql": (
        "/* headrace\nowner: core\ndomain: sales\npartition: {by: day, column: day}\n"
        f"description: |\n  {MARKUP}\n  {RTL}\ntags: ['{LONG[:100]}']\n"
        "checks:\n  - unique: [id]\n  - not_null: {columns: [amount], severity: warning}\n*/\n"
        "select id, customer, cast(amount as decimal(18, 2)) as amount, cast(day as date) as day,"
        f' id as "{RTL}", id as "{LONG}", id as "<b>bold</b> & \'so\' #1 %20" from orders\n'
    ),
    "assets/secret_margin.sql": (
        f'/* headrace\nowner: core\ndomain: "{LONG}{MARKUP[:4]}"\n'
        "partition: {by: day, column: day}\n*/\n"
        "select day, sum(amount) as revenue from clean group by day\n"
    ),
    "assets/page.py": (
        "from headrace import asset, Context\n\n@asset(owner='core', domain='sales',"
        " partition='day', inputs=['clean'])\ndef page(ctx: Context, clean):\n"
        "    return clean.select(['day'])\n"
    ),
    "consumers.yaml": (
        "- {consumer: morning-report, owner: core, domain: sales, reads: [clean], due: '05:00',"
        f' description: "{MARKUP[:28]} {RTL}"}}\n'
        "- {consumer: board, owner: core, reads: [secret_margin], due: '05:00'}\n"
    ),
    "glossary.yaml": (
        "- {term: order, definition: What a customer asked for, columns: [clean.ID], see: [basket]}\n"
        f'- {{term: "{MARKUP[:28]}", definition: "{RTL}"}}\n'
        "- {term: margin, definition: What is left, columns: [clean.gone, secret_margin.revenue]}\n"
    ),
}
UNSEEN_VALUE = "Grace-Hopper"
"""In a row of a classified column, and of an order that a check rejects."""


def documented_shop(root: Path) -> Path:
    """Two days, the second of which arrives too late for its promise; both are published."""
    for path, text in SHOP.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    (root / "landing").mkdir()
    for day, now in (("02", "2025-03-03T04:00+00:00"), ("03", NOW)):
        rows = f"1,{UNSEEN_VALUE},19.90,2025-03-{day}\n2,Ada,5.00,2025-03-{day}\n"
        file = root / f"landing/orders_2025-03-{day}.csv"
        if day == "03":
            assert run(["tick", "--now", "2025-03-04T05:10+00:00", "--project", str(root)]) == 0
        file.write_text("id,customer,amount,day\n" + rows, encoding="utf-8")
        assert run(["tick", "--now", now, "--project", str(root)]) == 0
    return root


def opened(root: Path, now: str | None = NOW) -> ProjectSession:
    """Return the project, as the user of the operating system has opened it."""
    return ProjectSession.open(root, "prod", now, "tester")


class Parsed(HTMLParser):
    """What a page has: elements with their attributes, ids, addresses and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    @property
    def ids(self) -> list[str]:
        """All ids, in order."""
        return [str(held["id"]) for _, held in self.elements if "id" in held]

    @property
    def addresses(self) -> list[str]:
        """Where it leads, and what it loads."""
        names = ("href", "src")
        return [str(held[name]) for _, held in self.elements for name in names if name in held]

    @property
    def words(self) -> str:
        """Its text, with single spaces."""
        return " ".join(" ".join(self.said).split())
