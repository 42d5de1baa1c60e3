"""Headrace in an environment without the packages beside it: nothing of it needs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from headrace.command_tables import PATHS
from headrace.installed_commands import IN_PACKAGES
from headrace.services.rebuildable import NOT_PROVEN

ROOT = Path(__file__).parents[2]
BESIDE = sorted(
    folder.name.replace("-", "_")
    for folder in (ROOT / "packages").iterdir()
    if (folder / "pyproject.toml").is_file()
)
SECONDS_MAX = 200
IMPORT_ALL = f"""
import pkgutil
from importlib import import_module
from importlib.util import find_spec

import headrace

assert not [name for name in {BESIDE} if find_spec(name)]
names = [
    module.name
    for module in pkgutil.walk_packages(headrace.__path__, "headrace.")
    if "demo_project" not in module.name and not module.name.endswith("__main__")
]
for name in names:
    import_module(name)
print(len(names))
"""
EXTENSION = """
from headrace import extension
for name in extension._HOMES:
    getattr(extension, name)
"""

ASK = f"""
import json
import sys
from pathlib import Path

sys.path.insert(0, {str(ROOT / "tests")!r})
from door_lab import opened
from serve_lab import ask, project

with opened(project(Path("shop"))) as door:
    answers = [door.get(path) for path in json.loads(sys.argv[1])]
    unknown = door.get("/api/v1/nothing")
    page = door.get("/incidents/INC-1", Accept="text/html").body
assert b"pip install headrace-ui" in page
assert unknown.json.get("code") != "not_installed"
print(json.dumps([[answer.status, answer.json] for answer in answers]))
"""
OF_PACKAGES = {
    **{
        f"/api/v1{path.replace('{', '').replace('}', '')}": package
        for method, _, path, package in (
            (*known.partition(" "), package) for known, package in PATHS.items()
        )
        if method == "GET"
    },
    "/mcp": "headrace-agents",
    "/metrics": "headrace-observe",
    "/sign-in/provider": "headrace-sso",
    **dict.fromkeys(("/badge/x.svg", "/card/x", "/oembed", "/"), "headrace-ui"),
}
SIGN_IN = """
from headrace.web.sign_in import sign_in_body
print(sign_in_body("/", "", passwords=False, issuer="https://login.example"))
"""
WITHOUT_FORMATS = """
import sys
from pathlib import Path

from headrace.connect.ingest import ReadRules, prepare
from headrace.model.errors import HeadraceError

try:
    prepare(
        Path(sys.argv[1]), "x", ReadRules(temporary=Path("t")), connection=None, pinned=None
    )
except HeadraceError as error:
    print(error, error.hint, sep="; ")
"""
WITHOUT_DATABASES = """
from headrace.connect.connection_kinds import connection_kind_named
connection_kind_named("sqlite")
"""
WITHOUT_ADVICE = """
from headrace.model.plugins import REPEATABILITY, functions
from headrace.repairs.incident_messages import weekly_lines
from headrace.services.rebuildable import _why_not

print(weekly_lines(None, None, None, 0, 0))
print(_why_not(None, None, functions(REPEATABILITY)))
"""


class Alone:
    """An environment that has all installed packages but those beside Headrace."""

    def __init__(self, folder: Path) -> None:
        venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
        [packages] = folder.glob("lib/python*/site-packages")
        for item in Path(sysconfig.get_path("purelib")).iterdir():
            if not any(name in item.name for name in BESIDE):
                (packages / item.name).symlink_to(item)
        self._python = folder / "bin/python"

    def run(self, *words: str, folder: Path = ROOT, code: int = 0) -> tuple[str, str]:
        """The output and the errors of Python with these words."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run(
            [self._python, *words],
            cwd=folder,
            env={**kept, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert done.returncode == code, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout, done.stderr


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    return Alone(tmp_path_factory.mktemp("alone") / "venv")


@pytest.mark.system
@pytest.mark.long
def test_every_module_is_imported(alone: Alone) -> None:
    """Would catch: an import of a package that isn't a dependency, in a function's module or in
    the table of public names.
    """
    output, _ = alone.run("-c", IMPORT_ALL)
    assert int(output.splitlines()[-1]) > 700
    alone.run("-c", EXTENSION)


@pytest.mark.system
@pytest.mark.long
def test_a_command_of_another_package_says_which(alone: Alone) -> None:
    """Would catch: "no command `import`", or a traceback, where only its package is missing."""
    output, _ = alone.run("-m", "headrace", "--help")
    assert "\n  status " in output
    for command, package in IN_PACKAGES.items():
        assert f"\n  {command} " not in output
        _, errors = alone.run("-m", "headrace", *command.split(), "shop", code=2)
        assert errors == (
            f"error: `headrace {command}` is in another package: pip install {package}\n"
        )
    _, errors = alone.run("-m", "headrace", "checks", "--exclude", "challenge", code=1)
    assert "another package" not in errors, "it is the value of an option"


@pytest.mark.system
@pytest.mark.long
def test_no_action_of_another_package_is_proposed(alone: Alone, tmp_path: Path) -> None:
    """Would catch: `next: headrace checks suggest` or `headrace try`, which aren't installed."""
    shop = tmp_path / "shop"
    alone.run("-m", "headrace", "init", "shop", folder=tmp_path)
    for words in (("checks",), ("render", "daily_revenue@2026-01-01")):
        output, _ = alone.run("-m", "headrace", *words, folder=shop)
        assert "next:" not in output


@pytest.mark.system
@pytest.mark.long
def test_a_kind_of_another_package_says_which(alone: Alone, tmp_path: Path) -> None:
    """Would catch: an unknown field, a damaged CSV or a traceback, where only a package is missing."""
    shop = tmp_path / "shop"
    alone.run("-m", "headrace", "init", "shop", folder=tmp_path)
    sources = "".join(
        f"- {{source: s{n}, owner: data-team, files: {file}, {more}}}\n"
        for n, (file, more) in enumerate(
            (
                ("a.xlsx", "every: 1d"),
                ("a.bin", "excel: {sheet: A}"),
                ("a.xml", "xml: {records: //r}"),
                ("a.txt", "fixed_width: [{name: a, width: 1}]"),
            )
        )
    )
    sources += (
        "- {source: a, owner: data-team, partition: day, airflow: {url: 'https://a.example'}}\n"
    )
    sources += "- {source: h, owner: data-team, http: 'https://a.example'}\n"
    sources += "- {source: d, owner: data-team, connection: erp, table: t, cursor: at}\n"
    (shop / "sources/legacy.yaml").write_text(sources)
    (shop / "consumers.yaml").write_text(
        "".join(
            f"- {{consumer: c{n}, owner: data-team, reads: [daily_revenue], max_age: 7d, export: {export}}}\n"
            for n, export in enumerate(
                ("{to: x.xlsx}", "{to: x.bin, format: excel}", "{connection: erp, table: t}")
            )
        )
    )
    settings = (shop / "headrace.toml").read_text()
    on_dask = '[run]\nexecutor = "dask"\ndask = "tcp://a.example:8786"\n'
    (shop / "headrace.toml").write_text(
        settings.replace("[run]\n", on_dask)
        + '\n[openlineage]\nfile = "events.jsonl"\n[connections.erp]\npath = "erp.db"\ntype = "sqlite"\n'
    )
    output, _ = alone.run("-m", "headrace", "validate", "--json", folder=shop, code=1)
    problems = json.loads(output)["problems"]
    hints = [(problem["code"], problem["hint"]) for problem in problems]
    assert sorted(hints) == sorted(
        [
            ("unsupported_kind", f"pip install {name}")
            for name in (
                "'headrace-cloud[dask]'",
                "headrace-http",
                "headrace-import",
                "headrace-observe",
            )
        ]
        + [("unsupported_kind", "pip install headrace-databases")] * 3
        + [("unsupported_kind", "pip install headrace-legacy")] * 6
    )
    _, errors = alone.run("-c", WITHOUT_DATABASES, code=1)
    assert errors.endswith("in another package: pip install headrace-databases\n")
    alone.run("-m", "headrace", "ls", folder=shop)
    (tmp_path / "book.xlsx").write_bytes(b"")
    _, errors = alone.run(
        "-m", "headrace", "init", "new", "--from", "book.xlsx", folder=tmp_path, code=2
    )
    assert "no reader for `.xlsx` files" in errors
    assert "pip install headrace-legacy" in errors
    with zipfile.ZipFile(tmp_path / "book.bin", "w") as book:
        book.writestr("[Content_Types].xml", "")
    output, _ = alone.run("-c", WITHOUT_FORMATS, str(tmp_path / "book.bin"), folder=tmp_path)
    assert output == (
        "no installed package reads the format `excel`;"
        " install it where workers run: pip install headrace-legacy\n"
    )


@pytest.mark.system
@pytest.mark.long
def test_a_method_of_another_package_says_which(alone: Alone, tmp_path: Path) -> None:
    """Would catch: "'Session' object has no attribute 'costs'", where only its package is missing."""
    alone.run("-m", "headrace", "init", "shop", folder=tmp_path)
    script = "import headrace; s = headrace.Session(); print(hasattr(s, 'test')); s.costs()"
    output, errors = alone.run("-c", script, folder=tmp_path / "shop", code=1)
    assert output == "False\n"
    assert errors.endswith(
        "AttributeError: `costs` is in another package: pip install headrace-advisor\n"
    )


@pytest.mark.system
@pytest.mark.long
def test_traces_need_the_libraries_of_their_package(alone: Alone) -> None:
    """Would catch: a package that is installed as it was said, and sends no traces."""
    script = "from headrace.model.plugins import *; print(missing_package(EMITTERS, 'traces'))"
    assert alone.run("-c", script)[0] == "'headrace-observe[otel]'\n"


@pytest.mark.system
@pytest.mark.long
def test_a_path_of_another_package_says_which(alone: Alone, tmp_path: Path) -> None:
    """Would catch: "there is no such thing" in place of a page, where only its package is missing."""
    output, _ = alone.run("-c", ASK, json.dumps([*OF_PACKAGES]), folder=tmp_path)
    for (status, problem), (path, package) in zip(
        json.loads(output), OF_PACKAGES.items(), strict=True
    ):
        assert (status, problem["code"]) == (404, "not_installed"), path
        what = "the web UI" if path == "/" else f"`{path}`"
        assert problem["detail"] == f"{what} is in another package"
        assert problem["hint"].startswith(f"`pip install {package}`")


@pytest.mark.system
@pytest.mark.long
def test_a_provider_isn_t_offered_without_its_package(alone: Alone, tmp_path: Path) -> None:
    """Would catch: a link of the page to sign in that leads nowhere."""
    output, _ = alone.run("-c", SIGN_IN, folder=tmp_path)
    assert "pip install headrace-sso" in output and "href" not in output


@pytest.mark.system
@pytest.mark.long
def test_nothing_goes_that_nothing_proves(alone: Alone, tmp_path: Path) -> None:
    """Would catch: rows that are removed as if they could be computed again, without a proof; a
    digest that fails."""
    output, _ = alone.run("-c", WITHOUT_ADVICE, folder=tmp_path)
    assert output.splitlines() == ["[]", NOT_PROVEN]


@pytest.mark.system
@pytest.mark.long
def test_nothing_erased_comes_back_by_a_restore(alone: Alone, tmp_path: Path) -> None:
    """Would catch: a restore that brings erased rows back, because what erases isn't installed; a
    state that is moved aside before that is said."""
    shop = tmp_path / "shop"
    alone.run("-m", "headrace", "init", "shop", folder=tmp_path)
    alone.run("-m", "headrace", "apply", "--yes", folder=shop)
    alone.run("-m", "headrace", "db", "backup", "../kept", folder=shop)
    (shop / ".headrace/erasures.jsonl").write_text('{"subject": "s-1"}\n')
    (shop / ".headrace/erasure.key").write_bytes(bytes(32))
    restore = ("-m", "headrace", "db", "restore", "../kept", "--force")
    _, errors = alone.run(*restore, folder=shop, code=3)
    assert "pip install headrace-erase" in errors
    assert not [path for path in (shop / ".headrace").iterdir() if "before_" in path.name]
    (shop / ".headrace/erasures.jsonl").unlink()
    alone.run(*restore, folder=shop)


@pytest.mark.system
@pytest.mark.long
def test_a_project_is_validated(alone: Alone, tmp_path: Path) -> None:
    """Would catch: a command that needs a package beside Headrace."""
    shop = tmp_path / "shop"
    shutil.copytree(ROOT / "packages/headrace-demo/src/headrace_demo/demo_project", shop)
    assert "✓ valid" in alone.run("-m", "headrace", "validate", folder=shop)[0]


@pytest.mark.system
@pytest.mark.long
def test_all_its_tests_are_collected(alone: Alone) -> None:
    """Would catch: a test of Headrace that can't be run without the packages beside it."""
    output, _ = alone.run("-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", "tests")
    assert "error" not in output.splitlines()[-1]
