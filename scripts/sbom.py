"""Write build/sbom.json: the wheel and its locked dependencies as a CycloneDX document.

Versions, hashes and the dependency graph are those of requirements/runtime.txt. The document has no
times, random ids or addresses, so that the same lock file gives the same bytes.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

ROOT = Path(__file__).parents[1]
LOCK, TARGET = ROOT / "requirements/runtime.txt", ROOT / "build/sbom.json"
BESIDE = [path.name for path in (ROOT / "packages").iterdir()]
"""Packages of this repository; what they need counts as needed by Headrace's wheel."""
_PINNED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)")
_HASH = re.compile(r"--hash=sha256:(?P<hex>[0-9a-f]{64})")
_VIA = re.compile(r"\s+#(?: via)?\s*(?P<name>[A-Za-z0-9._-]+)?( \(.*\))?")


class Locked(NamedTuple):
    """One package of the lock file; `needed_by` has `headrace` for a direct dependency."""

    name: str
    version: str
    hashes: tuple[str, ...]
    needed_by: tuple[str, ...]


def locked(text: str) -> Iterator[Locked]:
    """Yield the packages of a lock file that uv wrote."""
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        pinned = _PINNED.match(block)
        if pinned is None:
            continue
        lines = block.splitlines()
        comments = [match["name"] for line in lines if (match := _VIA.fullmatch(line))]
        yield Locked(
            pinned["name"],
            pinned["version"],
            tuple(_HASH.findall(block)),
            tuple(name for name in comments if name),
        )


def document(lock: str, pyproject: str, wheel: Path | None = None) -> str:
    """Return the document as JSON, checked against CycloneDX's schema.

    With a `wheel`, the document has its hash. Raise ValueError for an invalid document.
    """
    project = tomllib.loads(pyproject)["project"]
    digests = [] if wheel is None else [hashlib.sha256(wheel.read_bytes()).hexdigest()]
    root = _component(project["name"], project["version"], digests, ComponentType.APPLICATION)
    root.description = project["description"]
    root.licenses.add(DisjunctiveLicense(id=project["license"]))
    packages = [
        (package, _component(package.name, package.version, package.hashes))
        for package in locked(lock)
    ]
    bom = Bom(metadata=BomMetaData(component=root), components=[each for _, each in packages])
    # A package can be locked in two versions, for older and newer releases of Python.
    known = {project["name"]: [root], **{name: [root] for name in BESIDE}}
    for package, component in packages:
        known.setdefault(package.name, []).append(component)
    for package, component in packages:
        for name in package.needed_by:
            for dependent in known[name]:
                bom.register_dependency(dependent, [component])
    bom.serial_number = None  # type: ignore[assignment]
    bom.metadata.timestamp = None  # type: ignore[assignment]
    text = JsonV1Dot6(bom).output_as_string(indent=2) + "\n"
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problem is not None:
        raise ValueError(f"the document isn't valid CycloneDX: {problem}")
    return text


def _component(
    name: str,
    version: str,
    hashes: list[str] | tuple[str, ...],
    kind: ComponentType = ComponentType.LIBRARY,
) -> Component:
    url = PackageURL("pypi", name=name, version=version)
    return Component(
        type=kind,
        name=name,
        version=version,
        purl=url,
        bom_ref=str(url),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=item) for item in hashes],
    )


def main(arguments: list[str]) -> int:
    """Write the document; the argument is the wheel, if there is one."""
    wheel = Path(arguments[0]) if arguments else None
    text = document(LOCK.read_text(), (ROOT / "pyproject.toml").read_text(), wheel)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text, encoding="utf-8")
    print(f"{TARGET.relative_to(ROOT)}: {text.count('purl')} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
