"""Every block of a page is typed by a test, or stands in one list with the reason why not."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from page_lab import BLOCK, ROOT, pages
from test_inline_claims import settings, wrong_in_command

from headrace import faults

TYPED = ("README.md", "docs/tutorial.md", "docs/how-to/")
"""Pages whose blocks of commands are typed: by `test_how_to`, by the tests that it names, and by
`test_tutorial`."""
MOVED = "needs the clone of another project; `make test-dbt JAFFLE_SHOP=…` does it"
NOT_RUN = {
    ("docs/explanation/moving-jaffle-shop.md", "jafgen 1"): MOVED,
    ("docs/explanation/moving-jaffle-shop.md", "headrace import dbt jaffle-shop --into j"): MOVED,
    ("docs/explanation/moving-jaffle-shop.md", "cd jaffle"): MOVED,
    ("docs/explanation/moving-jaffle-shop.md", "headrace run"): MOVED,
    ("docs/explanation/moving-jaffle-shop.md", "make test-dbt JAFFLE_SHOP=~/jaffle-shop"): MOVED,
    ("README.md", "git clone <this repository> headrace &&"): "fetches packages",
    ("README.md", "flights · prod · Thu 2013-02-14 07:20 Am"): "compared with the demo's status",
    (
        "README.md",
        "/* headrace",
    ): "shortened from an asset of the demo; the tutorial writes a whole one",
    (
        "docs/how-to/python-requirements.md",
        'requirements: ["--index-url https://${IN',
    ): "an index that needs a token: a test has one",
    ("docs/how-to/access.md", '- {break_glass: operator, to: ["group:on'): "a test has the rules",
    ("docs/how-to/access.md", '- {same_person: ["user:ana", "user:24828'): "needs a provider",
    ("docs/explanation/architecture.md", "┌─────────────────────────────┐"): "a picture",
    ("docs/how-to/agents.md", "{"): "an agent's own configuration",
    ("docs/how-to/deploy.md", "[http]"): "a part of headrace.toml; tests/security has the whole",
    ("docs/how-to/badges.md", '<img src="https://headrace.example.com/b'): "a part of a page",
    ("docs/how-to/badges.md", "- {consumer: morning-report, owner: data"): "a test has a whole one",
    ("docs/how-to/simplify.md", "[costs]"): "a part of headrace.toml; tests/cli has the whole",
    ("docs/how-to/mask.md", "[keys]"): "a part of headrace.toml; tests/security has the whole",
    ("docs/how-to/sign-in.md", "[sign_in]"): "needs a provider, which tests/web starts",
    ("docs/how-to/sign-in.md", '- {role: operator, to: ["group:night-shi'): "needs a provider",
    ("docs/how-to/approve.md", "[serve]"): "a part of headrace.toml; tests/cli has the whole",
    (
        "docs/how-to/approve.md",
        "[[policy.rule]]",
    ): "a part of headrace.toml; tests/cli has the whole",
    ("docs/how-to/approve.md", 'headrace approve A1 --reason "agreed wit'): (
        "needs a second person, whom tests/cli/test_policy_rules.py has"
    ),
    ("docs/how-to/validate.md", "repos:"): "needs pre-commit, which fetches packages",
    ("docs/how-to/backup.md", "[backup]"): "names a disk that isn't there",
    ("docs/how-to/from-airflow.md", "from headrace_airflow import HeadracePar"): (
        "needs Airflow, which make test-airflow has"
    ),
    ("docs/how-to/from-airflow.md", "cd airflow-headrace"): "make test-airflow does it",
    ("docs/how-to/from-airflow.md", "headrace import move sales"): "make test-airflow does it",
    (
        "docs/how-to/from-airflow.md",
        "headrace import shadow sales",
    ): "tests of headrace-import do it",
    ("docs/how-to/from-airflow.md", "headrace import diff sales"): "tests of headrace-import do it",
    (
        "docs/how-to/from-airflow.md",
        "headrace import retire sales",
    ): "tests of headrace-import do it",
    ("docs/how-to/from-airflow.md", "headrace import rollback sales"): "make test-airflow does it",
    ("docs/how-to/from-dbt.md", "headrace import dbt shop --into shop-hea"): (
        "needs dbt, which make test-dbt has"
    ),
    (
        "docs/how-to/dask.md",
        "[run]",
    ): "names a machine that isn't there; tests of the executor start a cluster",
    (
        "docs/how-to/dask.md",
        "dask scheduler --port 8786 &",
    ): "tests of the executor start a cluster",
    (
        "docs/how-to/change-data.md",
        "select pg_drop_replication_slot(slot_nam",
    ): "for a source that is deleted",
    (
        "docs/how-to/databases.md",
        "pip install './headrace/packages/headrac",
    ): "fetches packages",
    (
        "docs/how-to/deploy.md",
        "$ headrace serve",
    ): "runs until it is stopped; the page's test has a server of its own",
    (
        "docs/how-to/from-airflow.md",
        "/* headrace",
    ): "written by the import; a test of the importer compares it",
    ("docs/how-to/deploy.md", "[run]"): "a page's file is written whole, this is a part of it",
    ("docs/how-to/deploy.md", "scrape_configs:"): "Prometheus' own configuration",
    ("docs/how-to/deploy.md", '$ curl -X POST -H "Authorization: Bearer'): "names no asset",
    (
        "docs/how-to/deploy.md",
        "$ sudo cp deploy/headrace@.service /etc/",
    ): "needs root; a test reads the unit",
    (
        "docs/how-to/deploy.md",
        "$ docker build -f deploy/Dockerfile -t h",
    ): "needs Docker; a test reads the file",
    ("docs/how-to/deploy.md", "FROM headrace"): "needs Docker",
    ("docs/how-to/deploy.md", "*/5 * * * * cd /srv/headrace/shop && /op"): "a line for cron",
    (
        "docs/how-to/drift.md",
        "$ headrace fix INC-1 --yes",
    ): "of ten sound days; typed by the tests of `fix`",
    (
        "docs/how-to/drift.md",
        "customProperties:",
    ): "a part of a contract that `contract accept` writes",
    ("docs/how-to/drift.md", "on_drift: {added: warn, dropped: block,"): "a part of a source",
    (
        "docs/how-to/extend.md",
        "from headrace.checks.check_kinds import",
    ): "a part of a package; tests/examples installs a whole one",
    (
        "docs/how-to/extend.md",
        '[project.entry-points."headrace.checks"]',
    ): "a part of a package's pyproject.toml",
    (
        "docs/how-to/extend.md",
        "from acme_headrace.even import Even",
    ): "a part of a package's tests; examples/plugin has tests of its own",
    (
        "docs/how-to/extend.md",
        "from headrace.extension import CliComman",
    ): "a part of a package; tests/examples installs a whole one",
    (
        "docs/how-to/extend.md",
        "from typing import Annotated",
    ): "a part of a package; tests/examples installs a whole one",
    (
        "docs/how-to/extend.md",
        "from headrace.extension import SEE, Http",
    ): "a file of an example; tests/web/test_package_routes.py serves routes of a package",
    (
        "docs/how-to/extend.md",
        '[project.entry-points."headrace.routes"]',
    ): "a part of a package's pyproject.toml",
    (
        "docs/how-to/extend.md",
        '[project.entry-points."headrace.commands',
    ): "a part of a package's pyproject.toml",
    ("docs/how-to/exports.md", "- consumer: payroll"): "a declaration of another project",
    (
        "docs/how-to/exports.md",
        "headrace exports take-over CONSUMER --re",
    ): "two projects with one database",
    (
        "docs/how-to/remote-files.md",
        "pip install 'headrace[s3]'        # or h",
    ): "fetches packages",
    (
        "docs/how-to/secret-managers.md",
        "pip install 'headrace-cloud[aws]'",
    ): "fetches packages",
    ("docs/how-to/install.md", "git clone <the repository> headrace"): "fetches packages",
    ("docs/how-to/install.md", "make wheel"): "fetches packages",
    ("docs/how-to/metrics.md", "scrape_configs:"): "Prometheus' own configuration",
    ("docs/how-to/metrics.md", "groups:"): "Prometheus' own configuration",
    ("docs/how-to/notify.md", "[notify.mail]"): "names servers that aren't there",
    ("docs/how-to/traces.md", "pip install './headrace/packages/headrac"): "fetches packages",
    (
        "docs/explanation/durability.md",
        "HEADRACE_FAULT=turn.committed:3=kill hea",
    ): "ends its process; tests of faults do it",
    ("docs/explanation/performance.md", "make bench ARGS=overhead        # tasks,"): "takes hours",
    (
        "docs/explanation/simulation.md",
        "make simulate SEEDS=500     five hundred",
    ): "takes minutes; tests simulate",
}
"""Page and the start of the first line of each block that nobody types → why."""


@dataclass(frozen=True)
class Block:
    page: str
    language: str
    """Empty for an indented block."""
    text: str
    typed: bool

    @property
    def first(self) -> str:
        """The start of the first line."""
        return self.text.strip().splitlines()[0].strip()[:40].strip()


def blocks() -> Iterator[Block]:
    """All blocks of all pages, fenced and indented."""
    for path in pages():
        page, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        on_typed_page = page.startswith(TYPED)
        for result in BLOCK.finditer(text):
            typed = on_typed_page and (result["language"] == "console" or bool(result["path"]))
            yield Block(page, result["language"], result["text"], typed)
        prose = re.sub(r"^```.*?^```$", "```", text, flags=re.DOTALL | re.MULTILINE)
        for indented in re.finditer(r"(?<=\n\n)(?: {4}.*\n|\n(?= {4}))+", prose):
            yield Block(page, "", indented[0], typed=False)


BLOCKS = list(blocks())


def test_a_block_is_typed_or_says_why_not() -> None:
    """Would catch: commands on a page that nobody runs, so that nobody notices when they don't work
    any more.
    """
    assert sum(block.typed for block in BLOCKS) > 250
    untyped = {(block.page, block.first) for block in BLOCKS if not block.typed}
    assert untyped == set(NOT_RUN)


def test_a_file_that_a_page_writes_has_the_name_of_a_file() -> None:
    """Would catch: a word in code that ends the sentence above a block, taken for the file that the
    block is."""
    result = [
        block for path in pages() for block in BLOCK.finditer(path.read_text(encoding="utf-8"))
    ]
    names = [block["path"] for block in result if block["path"] and block["language"] != "console"]
    assert names and [name for name in names if "." not in name.rpartition("/")[2]] == []


def test_blocks_are_found_whatever_they_are_called() -> None:
    """Would catch: a fence without a language, which no test sees."""
    for path in pages():
        text = path.read_text(encoding="utf-8")
        assert len(re.findall(r"^```", text, re.MULTILINE)) == 2 * len(
            list(BLOCK.finditer(text))
        ), path


def test_commands_that_nobody_types_exist() -> None:
    """Would catch: a block that isn't run and names a command or an option that there isn't."""
    seen = 0
    for block in BLOCKS:
        lines = (
            block.text.splitlines()
            if not block.typed and block.language in {"", "text", "sh"}
            else []
        )
        for line in lines:
            command = re.match(
                r" *(?:\$ )?(?:[A-Z_]+=\S+ )?(headrace [a-z].*?)(?: #.*| >>.*)?$", line
            )
            if command:
                seen += 1
                assert wrong_in_command(command[1]) is None, (block.page, line)
    assert seen >= 4


def test_settings_that_nobody_applies_exist() -> None:
    """Would catch: a part of headrace.toml that is refused."""
    parts = [
        block
        for block in BLOCKS
        if not block.typed
        and (block.language == "toml" or block.first.startswith("["))
        and "entry-points" not in block.first
    ]
    assert len(parts) >= 3
    for block in parts:
        text = "\n".join(line.removeprefix("    ") for line in block.text.splitlines())
        for section, result in tomllib.loads(text).items():
            known = settings()[section]
            assert not known or set(result) <= known, (block.page, section, result)


def test_fault_points_of_pages_exist() -> None:
    """Would catch: a fault point that was renamed, so that arming it does nothing."""
    points = [
        point for block in BLOCKS for point in re.findall(r"HEADRACE_FAULT=([\w.]+)", block.text)
    ]
    assert points
    assert set(points) <= set(faults.FaultPoint)


@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if "make " in block.text and not block.typed],
    ids=lambda block: block.first,
)
def test_targets_in_blocks_exist(block: Block) -> None:
    """Would catch: a `make` that has nothing to make."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^ *make ([a-z-]+)", block.text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
