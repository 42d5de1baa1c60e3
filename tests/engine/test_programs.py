"""The programs and packages of a command, found without running any."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from headrace.engine import processes
from headrace.engine.processes import program_versions
from headrace.plan.compiled import Environment, Program


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def environment(folder: Path, *command: str, **more: object) -> Environment:
    options = {"variables": {"PATH": str(folder / "bin")}, "imported": (), "named": (), **more}
    return program_versions(command, folder=folder / "code", **options)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of applied files, and one of programs on the PATH."""
    (tmp_path / "code").mkdir()
    executable(tmp_path / "bin" / "tool", "a tool")
    return tmp_path


def test_a_program_is_its_file_and_that_of_its_interpreter(folder: Path) -> None:
    """Would catch: an interpreter left out, another file of the PATH, options of `env` taken for
    the interpreter, a script of the command not recorded."""
    tool = Program("tool", str(folder / "bin/tool"), digest("a tool"), None, f"{folder}/bin/tool")
    assert environment(folder, "tool", "x.sh") == Environment(tool.path or "", {}, (tool,))
    direct = f"#!{folder}/bin/tool -x\nrest"
    for name, text, words in [
        ("direct", direct, tool.path),
        ("found", "#!/usr/bin/env -S A=1 tool\n", "tool"),
    ]:
        executable(folder / "code" / "jobs" / name, text)
        result = environment(folder, f"./jobs/{name}", named=("numbers",))
        own = Program(f"./jobs/{name}", f"jobs/{name}", digest(text), None)
        interpreter = Program(str(words), tool.path, tool.sha256, None, tool.path)
        assert result == Environment(tool.path or "", {"numbers": None}, (own, interpreter))


def test_a_program_that_is_not_there_has_only_its_name(folder: Path) -> None:
    """Would catch: a failure, or the path of another file, for a command that can't start."""
    for name in ("missing", "./missing.sh"):
        missing = Program(name, None, None, None)
        assert environment(folder, name) == Environment(name, {}, (missing,))
    executable(folder / "code" / "lost.sh", "#!/usr/bin/env\n")
    assert environment(folder, "./lost.sh").programs[1:] == (Program("", None, None, None),)


def test_a_hash_follows_the_file_up_to_its_limit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: the hash of an earlier file of the same name; gigabytes read for a hash."""
    assert processes.HASHED_BYTES_MAX == 512 * 2**20
    monkeypatch.setattr(processes, "HASHED_BYTES_MAX", 8)
    for text, expected in [("12345678", digest("12345678")), ("123456789", None)]:
        executable(folder / "bin" / "sized", text)
        assert environment(folder, "sized").programs[0].sha256 == expected


def python_in(folder: Path, name: str = "python3.9", cfg: str = "") -> Path:
    program = executable(folder / "bin" / name, "an interpreter")
    if cfg:
        (folder / "pyvenv.cfg").write_text(cfg)
    return program


@pytest.mark.parametrize(
    ("name", "cfg", "version"),
    [
        ("python3.9", "", "3.9"),
        ("pypy3.10", "", "3.10"),
        ("python3", "home = /x\nversion_info = 3.12.4.final.0\n", "3.12.4.final.0"),
        ("python", "version = 3.13.1\n", "3.13.1"),
    ],
)
def test_a_pythons_version_is_that_of_its_environment_or_name(
    folder: Path, name: str, cfg: str, version: str
) -> None:
    """Would catch: this process's version given for another Python."""
    python_in(folder, name, cfg)
    (folder / "code" / "job.py").write_text("import numbers")
    result = environment(folder, name, "job.py")
    assert result.interpreter == f"Python {version}"
    assert [(program.name, program.version) for program in result.programs] == [
        (name, version),
        ("job.py", None),
    ]
    assert result.programs[1].path == "job.py"


def test_this_processs_own_python_has_its_exact_version(folder: Path) -> None:
    """Would catch: a version without its last number for an interpreter outside an environment."""
    (folder / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    assert environment(folder, "python").interpreter == f"Python {sys.version.split()[0]}"


def install(packages: Path, name: str, version: str, *files: str) -> None:
    metadata = packages / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (metadata / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    for file in files:  # newer versions of importlib.metadata leave out those that aren't there
        (packages / file).parent.mkdir(exist_ok=True)
        (packages / file).touch()


def test_packages_are_those_beside_the_python_or_on_its_path(folder: Path) -> None:
    """Would catch: versions of Headrace's own environment; imports whose distribution has another
    name missed; a package on PYTHONPATH hidden by the one beside the Python."""
    python_in(folder)
    beside, before = folder / "lib/python3.9/site-packages", folder / "before"
    install(beside, "plain", "1.0", "plain/__init__.py")
    install(beside, "twice", "2.0", "twice.py")
    install(before, "twice", "2.5", "twice.py")
    install(beside, "Other-Name", "3.0", "imported.py", "Other-Name.txt")
    variables = {"PATH": str(folder / "bin"), "PYTHONPATH": f"{os.pathsep}{before}"}
    result = environment(
        folder,
        "python3.9",
        variables=variables,
        imported=("plain", "twice", "imported", "nowhere"),
        named=("absent", "pytest"),
    )
    assert result.packages == {
        "plain": "1.0",
        "twice": "2.5",
        "Other-Name": "3.0",
        "absent": None,
        "pytest": None,
    }
    install(beside, "later", "4.0", "nowhere/__init__.py")
    after = environment(folder, "python3.9", variables=variables, imported=("nowhere",))
    assert after.packages == {"later": "4.0"}


def test_this_processs_packages_are_known_to_its_own_python(folder: Path) -> None:
    """Would catch: folders that only `sys.path` names left out, such as editable installations."""
    result = program_versions(
        [sys.executable], folder=folder, variables={}, imported=(), named=("pytest",)
    )
    assert result.packages == {"pytest": pytest.__version__}
