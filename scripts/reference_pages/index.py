"""The pages that list others, and the order in which the site's navigation shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.reference_pages.markdown import page as written


@dataclass(frozen=True)
class Section:
    """Pages that stand together in the navigation."""

    title: str
    paths: tuple[str, ...]
    """From the root, in the order in which somebody needs them."""


HOW_TO = {
    "Get started": ("install", "combine-sources"),
    "Come from other tools": (
        "from-dbt",
        "from-airflow",
        "from-azure-data-factory",
        "from-prefect",
        "from-dagster",
    ),
    "See data": ("web-ui", "query", "python"),
    "Ingest data": (
        "files",
        "excel",
        "legacy/formats",
        "legacy/copybook",
        "legacy/camt",
        "legacy/pain",
        "legacy/mt940",
        "legacy/coda",
        "legacy/bai2",
        "legacy/nacha",
        "legacy/x12",
        "legacy/edifact",
        "legacy/ubl",
        "legacy/hl7",
        "legacy/fhir",
        "legacy/naaccr",
        "legacy/fix",
        "legacy/statistics",
        "legacy/dbf",
        "legacy/geography",
        "remote-files",
        "databases",
        "change-data",
        "http-api",
        "secrets",
        "secret-managers",
    ),
    "Write assets": (
        "materialisations",
        "partitions",
        "python-assets",
        "command-assets",
        "python-requirements",
        "sandbox",
        "for-each",
        "defaults",
        "macros",
        "test-assets",
    ),
    "Check data": ("contracts", "drift", "checks", "quarantine"),
    "Change and recompute": (
        "validate",
        "editor",
        "select",
        "plan-and-apply",
        "environments",
        "pull-requests",
        "backfill",
        "optimize",
    ),
    "Schedule and operate": (
        "schedule",
        "operate",
        "incidents",
        "notify",
        "figures",
        "document",
        "diagrams",
        "board",
        "simplify",
        "what-if",
        "badges",
        "sign-in",
        "access",
        "approve",
        "mask",
        "agents",
        "erase",
        "audit",
    ),
    "Deploy": ("deploy", "postgresql", "backup", "dask", "metrics", "traces"),
    "Deliver data": ("exports", "openlineage"),
    "Extend": ("extend",),
}
"""Task → the pages of docs/how-to. `make docs` fails for a page that is missing here."""


def sections(root: Path) -> list[Section]:
    """All sections of the navigation."""
    return [
        Section("Overview", ("docs/tutorial.md", "docs/why.md", "docs/limits.md")),
        *(
            Section(title, tuple(f"docs/how-to/{name}.md" for name in names))
            for title, names in HOW_TO.items()
        ),
        Section(
            "Reference", tuple(f"docs/reference/{path.name}" for path in _folder(root, "reference"))
        ),
        Section(
            "Explanation",
            tuple(f"docs/explanation/{path.name}" for path in _folder(root, "explanation")),
        ),
        Section(
            "Examples",
            tuple(
                path.relative_to(root).as_posix()
                for path in sorted(root.glob("examples/*/README.md"))
            ),
        ),
        Section(
            "Project",
            (
                "CHANGELOG.md",
                "benchmarks/RESULTS.md",
                "docs/decisions/README.md",
                "CONTRIBUTING.md",
            ),
        ),
    ]


def decisions(root: Path) -> list[Path]:
    """The pages of docs/decisions, without the one that lists them."""
    return [path for path in _folder(root, "decisions") if path.name != "README.md"]


def page(root: Path, generated: Mapping[str, str]) -> str:
    """Every page but the decisions, by its title.

    Raises ValueError where HOW_TO and docs/how-to differ.
    """
    listed = {name for names in HOW_TO.values() for name in names}
    folder = root / "docs/how-to"
    written_pages = {
        path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.md")
    }
    if listed != written_pages:
        raise ValueError(
            f"HOW_TO in {__name__} and docs/how-to differ: {sorted(listed ^ written_pages)}"
        )
    parts = []
    for section in sections(root):
        links = [
            f"- [{_title(root, path, generated)}]({_from_docs(path)})" for path in section.paths
        ]
        parts.append([f"## {section.title}", "", *links])
    return written("Headrace's documentation", LEAD, *parts)


LEAD = (
    "Headrace is a data pipeline orchestrator. You declare who needs which data by when; it works"
    " out what must run, runs it, and publishes nothing that fails a blocking check. Start with the"
    " [tutorial](tutorial.md)."
)


def _folder(root: Path, name: str) -> list[Path]:
    return sorted((root / "docs" / name).glob("*.md"))


def _from_docs(path: str) -> str:
    return path.removeprefix("docs/") if path.startswith("docs/") else f"../{path}"


def _title(root: Path, path: str, generated: Mapping[str, str]) -> str:
    text = generated.get(path.removeprefix("docs/")) or (root / path).read_text(encoding="utf-8")
    return text.splitlines()[0].lstrip("# ").strip()
