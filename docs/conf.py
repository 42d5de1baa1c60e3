"""How Sphinx builds the site of these pages: `make docs`.

The source folder is the repository's root, so that links between docs/, CHANGELOG.md and examples/
work in the site as they work on disk.
"""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

from scripts.reference_pages import index

ROOT = Path(__file__).parents[1]

project = "Headrace"
html_title = "Headrace"
root_doc = "docs/index"
include_patterns = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/RESULTS.md",
    "docs/**",
    "examples/*/README.md",
]
exclude_patterns = ["build", "deploy", "src", "tests", "ui", "**/.*", "**/node_modules"]

extensions = ["myst_parser"]
myst_heading_anchors = 4
# `$partition_start` isn't SQL, and csv has no lexer.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_additional_pages = {"index": "to_first_page.html"}
templates_path = ["site"]
html_search_scorer = str(ROOT / "docs/site/search_scorer.js")


def add_navigation(_app: Sphinx, page: str, source: list[str]) -> None:
    """Append the table of contents, which Markdown viewers would show as code, to its two pages."""
    if page == root_doc:
        source[0] += "".join(
            toctree(section.title, section.paths) for section in index.sections(ROOT)
        )
    elif page == "docs/decisions/README":
        source[0] += toctree(
            "Decisions", tuple(f"docs/decisions/{path.name}" for path in index.decisions(ROOT))
        )


def toctree(caption: str, paths: tuple[str, ...]) -> str:
    """A table of contents that only the side bar shows."""
    entries = "\n".join(f"/{path.removesuffix('.md')}" for path in paths)
    return f"\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n"


def setup(app: Sphinx) -> None:
    """Register the navigation with Sphinx."""
    app.connect("source-read", add_navigation)
