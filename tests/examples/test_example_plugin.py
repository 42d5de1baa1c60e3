"""`examples/plugin`: a package with kinds of its own, installed by pip into a folder, and packages
that are broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from example_lab import EXAMPLES

PLUGIN = EXAMPLES / "plugin"
SECONDS_MAX = 200
WRONG_MAIL = """\
From tills@example.com Wed Mar  4 03:00:00 2026
From: tills@example.com
Subject: Sales of 2026-03-03
Message-ID: <2026-03-03.1@example.com>
Content-Type: text/csv
Content-Disposition: attachment; filename="sales.csv"

day,till,ean,amount
2026-03-03,north,4006381333939,1.00

"""


class Shop:
    """A copy of the example's project, and a folder of packages besides the environment's own."""

    def __init__(self, folder: Path, packages: Path) -> None:
        self.root, self.packages = folder / "project", packages
        shutil.copytree(PLUGIN / "project", self.root)

    def run(self, *arguments: str, code: int = 0) -> str:
        """The output of a command, which is a new process, as its packages are found once."""
        return self._run(arguments, code).stdout

    def error(self, *arguments: str, code: int) -> str:
        return self._run(arguments, code).stderr

    def completed(self, *words: str) -> list[str]:
        """The candidates for the last word."""
        return self._run((), 0, "\n".join((*words, ""))).stdout.splitlines()

    def _run(
        self, arguments: Sequence[str], code: int, words: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
        done = subprocess.run(
            [sys.executable, "-m", "headrace", *arguments],
            cwd=self.root,
            env={
                **kept,
                **({} if words is None else {"_HEADRACE_COMPLETE": "bash"}),
                "PYTHONPATH": str(self.packages),
                "NO_COLOR": "1",
                "COLUMNS": "200",
            },
            input=words,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code))

    def problems(self) -> dict[str, str]:
        """The messages of `validate` by code and place."""
        found = self.json("validate", code=1)["problems"]
        return {f"{item['code']} {item['file']}:{item['line']}": item["message"] for item in found}


def install(package: Path, target: Path) -> None:
    """What `pip install` does, without a network and into a folder."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run(
        [*command, "--no-build-isolation", "--target", str(target), str(package)],
        check=True,
        timeout=SECONDS_MAX,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("packages")
    copy = tmp_path_factory.mktemp("source") / "plugin"
    shutil.copytree(PLUGIN, copy)
    install(copy, target)
    return target


def add_package(packages: Path, name: str, entry_points: str, code: str) -> None:
    """Install a package by hand: a module, and the metadata that pip writes."""
    metadata = packages / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(entry_points)
    (packages / f"{name}.py").write_text(code)


@pytest.mark.long
def test_its_kinds_are_declared_ingested_checked_and_exported(
    tmp_path: Path, installed: Path
) -> None:
    """Would catch: a kind that validates and doesn't run in workers, a check that can't fail, an
    editor's schema without the kinds, or a cache that outlives the package.
    """
    shop = Shop(tmp_path, installed)
    assert shop.json("validate")["problems"] == []
    schema = json.dumps(shop.json("schema", "sources"))
    assert all(f'"{name}"' in schema for name in ("mailbox", "ini", "check_digit"))
    assert '"markdown"' in json.dumps(shop.json("schema", "consumers"))

    assert shop.json("tick", "--now", "2026-03-03T05:00+01:00")["state"] == "succeeded"
    assert (shop.root / "exports/takings_2026-03-02.md").read_text() == (
        "| day | ean | town | amount |\n"
        "| --- | --- | --- | --- |\n"
        "| 2026-03-02 | 4006381333931 | Kiel | 4.0 |\n"
        "| 2026-03-02 | 4006381333931 | Ulm | 9.75 |\n"
    ).replace("---", "---:")

    with (shop.root / "inbox.mbox").open("a") as box:
        box.write(WRONG_MAIL)
    tick = shop.json("tick", "--now", "2026-03-04T05:00+01:00")
    assert "wrong check digit (4006381333939)" in json.dumps(tick)
    assert not (shop.root / "exports/takings_2026-03-03.md").exists()

    shop.packages = tmp_path / "nothing"
    assert set(shop.problems()) >= {
        "unknown_check assets/takings.sql:6",
        "unknown_field sources/sales.yaml:5",
        "unknown_field sources/tills.yaml:4",
        "unknown_export_format consumers.yaml:6",
    }


@pytest.mark.long
def test_its_command_is_listed_completed_permitted_and_run(tmp_path: Path, installed: Path) -> None:
    """Would catch: a command that only `headrace --help` knows, or that anybody may run."""
    shop = Shop(tmp_path, installed)
    look = shop.run("--help").partition("Look:")[2].partition("\n\n")[0]
    assert look.endswith("  mails        list the mails that mailbox sources read")
    assert "usage: headrace mails [SOURCE]" in shop.run("mails", "--help")
    days = [row["day"] for row in shop.json("mails", "sales")["mails"]]
    assert days == ["2026-03-01", "2026-03-02"]
    assert shop.completed("mai") == ["mails"]
    assert "--json" in shop.completed("mails", "--")
    rows = [row for row in shop.json("access", "matrix") if row["command"] == "mails"]
    assert {row["permission"] for row in rows} == {"read"}

    (shop.root / "access.yaml").write_text('- {role: admin, to: ["user:nobody"]}\n')
    shop.run("apply", "--yes")
    assert "may not mails: no rule gives" in shop.error("mails", code=3)
    shop.packages = tmp_path / "nothing"
    shop.run("mails", code=2)


def add_command(packages: Path, name: str, command: str, code: str) -> None:
    add_package(packages, name, f"[headrace.commands]\n{command} = {name}:COMMAND\n", code)


TABLE = (
    "from headrace.extension import CliCommand\n"
    "COMMAND = CliCommand('{0}', 'look', '{1}', 'no_such_module')\n"
)
BROKEN_COMMANDS = {
    "import no_such_module\n": "can't be used: ModuleNotFoundError: No module named",
    "COMMAND = 1\n": "can't be used: headrace_gone:COMMAND isn't its CliCommand with a home",
    TABLE.format("else", "of another name"): "can't be used: headrace_gone:COMMAND isn't its",
    TABLE.format("gone", "its module is missing"): "its module is missing",
}


@pytest.mark.parametrize("code", BROKEN_COMMANDS)
def test_a_broken_command_is_named_and_help_goes_on(tmp_path: Path, code: str) -> None:
    """Would catch: one package by which `headrace --help` or all commands end in a traceback."""
    packages = tmp_path / "packages"
    add_command(packages, "headrace_gone", "gone", code)
    shop = Shop(tmp_path, packages)
    assert f"  gone         {BROKEN_COMMANDS[code]}" in shop.run("--help")
    error = shop.error("gone", "--help", code=1)
    assert error.startswith("error: `headrace gone` can't be used: ")
    assert "repair or uninstall the package that has " in error
    assert "Traceback" not in error
    assert shop.completed("gone", "") == []


def test_commands_of_headrace_and_of_the_first_package_win(tmp_path: Path) -> None:
    """Would catch: a package that takes the place of `status`."""
    packages = tmp_path / "packages"
    for name, command in (("headrace_a", "same"), ("headrace_b", "same"), ("headrace_c", "status")):
        add_command(packages, name, command, TABLE.format(command, f"of {name}"))
    help_text = Shop(tmp_path, packages).run("--help")
    assert "  same         of headrace_a\n" in help_text
    assert "headrace_b" not in help_text
    assert "headrace_c" not in help_text


def test_metadata_that_is_no_package_is_passed_over(tmp_path: Path) -> None:
    """Would catch: a folder or a half-installed package by which no command runs."""
    packages = tmp_path / "packages"
    add_command(packages, "headrace_good", "good", TABLE.format("good", "is listed"))
    (packages / "headrace_empty-1.dist-info").mkdir()
    (packages / "headrace_folder-1.dist-info/entry_points.txt").mkdir(parents=True)
    (packages / "headrace_file-1.dist-info").touch()
    bytes_of = packages / "headrace_bytes-1.dist-info"
    bytes_of.mkdir()
    (bytes_of / "entry_points.txt").write_bytes(b"[headrace.commands]\n\xff = x:Y\nno line\n")
    assert "  good         is listed\n" in Shop(tmp_path, packages).run("--help")


@pytest.mark.long
def test_its_own_tests_pass(installed: Path, tmp_path: Path) -> None:
    """Would catch: a contract suite that packages can't use, or an example that breaks it."""
    shutil.copytree(PLUGIN / "tests", tmp_path / "tests")
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        timeout=SECONDS_MAX,
        check=True,
    )


BROKEN = {
    "gone": "import no_such_module\n",
    "wrong": "class Kind:\n    name = 'check_digit'\n",
    "raising": (
        "from headrace.checks.check_kinds import CheckKind\n"
        "class Kind(CheckKind):\n"
        "    name, fields, example = 'check_digit', ('column',), 'check_digit: {column: ean}'\n"
        "    def read(self, fields):\n"
        "        raise ValueError('not today')\n"
        "    def measure(self, check, subject): ...\n"
    ),
    "heavy": "import duckdb\nfrom headrace.checks.check_kinds import CheckKind as Kind\n",
}
REASONS = {
    "gone": "ModuleNotFoundError: No module named 'no_such_module'",
    "wrong": "wrong:Kind isn't a subclass of headrace.model.check_kinds.CheckDeclaration",
    "raising": "ValueError: not today",
    "heavy": "its module imports duckdb, which a process that reads declarations must not",
}


@pytest.mark.long
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_package_is_named_and_nothing_else_breaks(tmp_path: Path, name: str) -> None:
    """Would catch: a traceback, a message that doesn't say which package, or other checks lost."""
    packages = tmp_path / "packages"
    points = f"[headrace.checks]\ncheck_digit = {name}:Kind\n"
    add_package(packages, name, points, BROKEN[name])
    shop = Shop(tmp_path, packages)
    message = shop.problems()["broken_plugin assets/takings.sql:6"]
    assert message == (
        f"`check_digit` of the installed package {name} 1.0 can't be used: {REASONS[name]}"
    )
    (shop.root / "assets/takings.sql").write_text(
        "/* headrace\nowner: shop\nchecks: [{not_null: [till]}]\n*/\nselect 'a' as till\n"
    )
    assert not any(problem.startswith("broken_plugin") for problem in shop.problems())


@pytest.mark.long
def test_two_packages_with_one_name_are_both_named(tmp_path: Path) -> None:
    """Would catch: a kind that depends on the order of folders."""
    packages = tmp_path / "packages"
    for name in ("first", "second"):
        add_package(packages, name, f"[headrace.checks]\ncheck_digit = {name}:Kind\n", "")
    message = Shop(tmp_path, packages).problems()["broken_plugin assets/takings.sql:6"]
    assert "first 1.0 and second 1.0 both have it" in message


@pytest.mark.long
def test_doctor_lists_packages_and_names_the_one_with_a_taken_name(
    tmp_path: Path, installed: Path
) -> None:
    """Would catch: a package whose check is never used since Headrace has one of that name."""
    packages = tmp_path / "packages"
    shutil.copytree(installed, packages)
    add_package(packages, "second", "[headrace.checks]\nunique = second:Kind\n", "")
    rows = Shop(tmp_path, packages).run("doctor", code=1)
    assert "headrace-shop-kinds 0.1.0 adds `check_digit`" in rows
    assert "`unique` of the installed package second 1.0 can't be used: Headrace has this" in rows


@pytest.mark.long
def test_a_broken_package_of_advice_stops_no_cleanup(tmp_path: Path) -> None:
    """Would catch: `db gc` that frees nothing because an installed package can't be imported."""
    packages = tmp_path / "packages"
    add_package(
        packages,
        "headrace_torn",
        "[headrace.repeatability]\ntorn = headrace_torn:why\n",
        "import no_such_module\n",
    )
    shop = Shop(tmp_path, packages)
    shutil.rmtree(shop.root)
    (shop.root / "assets").mkdir(parents=True)
    (shop.root / "headrace.toml").write_text('[project]\nname = "shop"\ntimezone = "UTC"\n')
    (shop.root / "owners.yaml").write_text("core: {kind: team}\n")
    (shop.root / "assets/daily.sql").write_text(
        "/* headrace\nowner: core\npartition: {by: day, column: day}\nstart: 2026-03-02\n"
        "retain_rebuildable: 30d\n*/\nselect cast('2026-03-02' as date) as day\n"
    )
    shop.run("apply", "--yes")
    assert "headrace_torn" in shop.json("db", "gc", "--dry-run")["rebuildable"][0]["why"]
    assert "headrace_torn" in shop.json("db", "gc")["rebuildable"][0]["why"]
    broken = [row for row in shop.json("doctor", code=1) if row["state"] == "fail"]
    assert any("headrace_torn" in row["detail"] for row in broken), broken


BROKEN_EMITTERS = {
    "import no_such_module\n": "No module named 'no_such_module'",
    "def start(held, leader):\n    raise RuntimeError('no route')\n": "RuntimeError: no route",
    (
        "class Emitter:\n    def close(self):\n        raise RuntimeError('not flushed')\n\n"
        "def start(held, leader):\n    return Emitter()\n"
    ): "RuntimeError: not flushed",
}


@pytest.mark.long
@pytest.mark.parametrize("code", BROKEN_EMITTERS)
def test_a_broken_emitter_is_named_and_the_tick_goes_on(
    tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a package that only reports, and by which every tick and run fails."""
    packages = tmp_path / "packages"
    entry = "[headrace.emitters]\ngone = headrace_gone:start\n"
    add_package(packages, "headrace_gone", entry, code)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    shop = Shop(tmp_path, packages)
    shutil.rmtree(shop.root / "assets")
    shutil.rmtree(shop.root / "sources")
    (shop.root / "consumers.yaml").unlink()
    error = shop.error("tick", "--now", "2026-03-03T05:00+01:00", code=0)
    [line] = [line for line in error.splitlines() if "headrace_gone 1.0" in line]
    assert BROKEN_EMITTERS[code] in line
    assert "Traceback" not in error
