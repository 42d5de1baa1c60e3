"""Wheels of a few bytes, made by the tests: no registry is asked."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

TIME = (2020, 1, 1, 0, 0, 0)


def write_wheel(
    folder: Path, name: str, version: str, code: str, requires: Sequence[str] = ()
) -> None:
    """Write a wheel with one module."""
    information = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    files = {
        f"{name}.py": code,
        f"{information}/METADATA": (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        ),
        f"{information}/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    files[f"{information}/RECORD"] = "".join(f"{path},,\n" for path in files)
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(zipfile.ZipInfo(path, TIME), text)
