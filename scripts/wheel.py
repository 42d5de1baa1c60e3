"""`make wheel`: dist/headrace-VERSION-py3-none-any.whl, with the packages beside Headrace and the
web UI in it.

    uvx --from dist/headrace-*.whl headrace demo

A registry has a distribution for each package, so that nobody installs what they don't use. Until
they are there, and for machines that get files only by hand, this is all of them as one. Each is
built by its own hooks; their files, entry points and requirements are put together here. An extra
of this wheel (`observe`, `cloud` …) has what that package's own extras ask for.
"""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from email import message_from_bytes
from email.message import Message
from email.policy import compat32
from pathlib import Path

from packaging.requirements import Requirement

from scripts.environment import LEAVES, ROOT

MADE_ON = (1980, 1, 1, 0, 0, 0)


class Built:
    """The files of a wheel, and what its metadata say."""

    def __init__(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
        self.file_name = wheel.name
        self.files = {n: data for n, data in contents.items() if ".dist-info/" not in n}
        self.information = {n: data for n, data in contents.items() if ".dist-info/" in n}
        self.metadata: Message = message_from_bytes(self.said("METADATA"))
        self.requires = [Requirement(r) for r in self.metadata.get_all("Requires-Dist", [])]

    def said(self, name: str) -> bytes:
        """Return a file of the wheel's information, empty if it has none."""
        return next(
            (d for n, d in self.information.items() if n.endswith(f".dist-info/{name}")), b""
        )

    def needed(self, extra: str = "") -> list[str]:
        """Return what it needs besides Headrace's own packages: always, or for an extra only."""
        return [
            str(needed).split(";")[0].strip()
            for needed in self.requires
            if not needed.name.startswith("headrace")
            and (of(needed, extra) if extra else needed.marker is None)
        ]


def of(needed: Requirement, extra: str) -> bool:
    """Whether it is needed for this extra."""
    return f'extra == "{extra}"' in str(needed.marker)


def main() -> None:
    """Build them and put them together; print where the wheel is."""
    wheel = make(ROOT / "dist")
    print(f"{wheel.relative_to(ROOT)}    {wheel.stat().st_size / 1e6:.1f} MB")


def make(into: Path) -> Path:
    """Build the packages and put them together; return the wheel in the folder `into`."""
    with tempfile.TemporaryDirectory() as folder:
        trunk, *leaves = [Built(built(package, Path(folder))) for package in (ROOT, *LEAVES)]
    into.mkdir(exist_ok=True)
    wheel = into / trunk.file_name
    wheel.write_bytes(together(trunk, leaves))
    return wheel


def built(package: Path, folder: Path) -> Path:
    """Build a package's own wheel below `folder`. Exits with what hatchling says if it fails."""
    into = folder / package.name
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)]
    done = subprocess.run(command, cwd=package, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{package.name} can't be built:\n{done.stdout}{done.stderr}")
    [wheel] = into.glob("*.whl")
    return wheel


def together(trunk: Built, leaves: list[Built]) -> bytes:
    """Return one wheel with the files of all. Raises ValueError if two have a file of one name."""
    files = dict(trunk.files)
    for leaf in leaves:
        if both := files.keys() & leaf.files.keys():
            raise ValueError(f"{leaf.file_name} and another wheel have {min(both)}")
        files |= leaf.files
    information = {n: d for n, d in trunk.information.items() if not n.endswith("/RECORD")}
    folder = min(information).split("/")[0]
    information[f"{folder}/METADATA"] = metadata(trunk, leaves)
    information[f"{folder}/entry_points.txt"] = entry_points([trunk, *leaves])
    files |= information
    record = "".join(f"{name},{digest(data)},{len(data)}\n" for name, data in sorted(files.items()))
    files[f"{folder}/RECORD"] = f"{record}{folder}/RECORD,,\n".encode()
    return packed(files)


def metadata(trunk: Built, leaves: list[Built]) -> bytes:
    """Return the trunk's metadata with the leaves' requirements in place of the leaves."""
    result = trunk.metadata
    lines = [*trunk.needed(), *(needed for leaf in leaves for needed in leaf.needed())]
    for extra in result.get_all("Provides-Extra", []):
        for needed in trunk.requires:
            if of(needed, extra):
                lines += [f'{name}; extra == "{extra}"' for name in instead(needed, leaves)]
    del result["Requires-Dist"]
    for line in dict.fromkeys(lines):
        result["Requires-Dist"] = line
    return result.as_bytes(policy=compat32.clone(max_line_length=None))


def instead(needed: Requirement, leaves: list[Built]) -> list[str]:
    """Return what takes the place of a requirement: for a leaf, what its extras need."""
    for leaf in leaves:
        if leaf.metadata["Name"] == needed.name:
            return [name for extra in sorted(needed.extras) for name in leaf.needed(extra)]
    return [str(needed).split(";")[0].strip()]


def entry_points(wheels: Iterable[Built]) -> bytes:
    """Return the entry points of all. Raises ValueError if two have one name."""
    merged: dict[str, dict[str, str]] = {}
    for wheel in wheels:
        group: dict[str, str] = {}
        for line in wheel.said("entry_points.txt").decode().splitlines():
            if line.startswith("["):
                group = merged.setdefault(line, {})
            elif line:
                name = line.split("=")[0].strip()
                if name in group:
                    raise ValueError(f"{wheel.file_name} and another wheel have {name}")
                group[name] = line
    return "\n".join(
        "\n".join([head, *lines.values(), ""]) for head, lines in merged.items()
    ).encode()


def digest(data: bytes) -> str:
    """Return a file's hash as RECORD has it."""
    hashed = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return "sha256=" + hashed.decode().rstrip("=")


def packed(files: dict[str, bytes]) -> bytes:
    """Return the archive; its bytes depend on nothing but the files."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, MADE_ON), data, zipfile.ZIP_DEFLATED)
    return target.getvalue()


if __name__ == "__main__":
    main()
