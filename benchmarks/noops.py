"""Projects of assets that do nothing, or next to nothing: what is left to measure is Headrace
itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

SETTINGS = '[project]\nname = "noops"\ntimezone = "UTC"\n[run]\nworkers = {workers}\n'
OWNERS = "core: {kind: team, contact: ['mailto:core@example.com']}\n"
NOTHING = '@asset(owner="core", materialize="none"{more})\ndef {name}():\n    pass\n'
ONE_ROW = '@asset(owner="core"{more})\ndef {name}():\n    return [{{"n": 1}}]\n'
SLEEPING = (
    '@asset(owner="core", materialize="none"{more})\ndef {name}():\n    time.sleep({seconds})\n'
)
ASSETS_A_FILE = 100


def write(
    folder: Path, bodies: Iterable[str], *, workers: int = 2, store: str | None = None
) -> None:
    """A project of Python assets, given as the source text of each."""
    (folder / "assets").mkdir(parents=True)
    settings = SETTINGS.format(workers=workers) + (f'[store]\nurl = "{store}"\n' if store else "")
    (folder / "headrace.toml").write_text(settings, encoding="utf-8")
    (folder / "owners.yaml").write_text(OWNERS, encoding="utf-8")
    texts = list(bodies)
    for n in range(0, len(texts), ASSETS_A_FILE):
        text = "\n\n".join(
            ["import time\n\nfrom headrace import asset\n", *texts[n : n + ASSETS_A_FILE]]
        )
        (folder / "assets" / f"part_{n // ASSETS_A_FILE:03}.py").write_text(text, encoding="utf-8")


def independent(count: int, body: str = NOTHING, **values: object) -> list[str]:
    """So many assets that wait for nobody."""
    return [body.format(name=f"a{n:05}", more="", **values) for n in range(count)]


def chain(count: int) -> list[str]:
    """So many assets, each after the one before it."""
    return [
        NOTHING.format(name=f"a{n:05}", more=f', depends=["a{n - 1:05}"]' if n else "")
        for n in range(count)
    ]


def one_row_a_day(first: str) -> list[str]:
    """One Python asset with a row for each day from `first` on."""
    return [ONE_ROW.format(name="daily", more=f', partition="day", start="{first}"')]


def daily(folder: Path) -> None:
    """Add one small SQL asset, by day from 2013-01-01 on, that reads nothing. Its statement is
    about one day: each is computed alone.
    """
    text = (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\nstart: '2013-01-01'\nbatch:"
        " off\nchecks: [{unique: [day, n]}, {not_null: [n]}]\n*/\nselect cast($partition_start as"
        " date) as day, n, n * n as squared from range(100) as numbers(n)\n"
    )
    (folder / "assets/daily.sql").write_text(text, encoding="utf-8")
