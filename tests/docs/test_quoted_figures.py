"""A figure that a page quotes says when, and at which commit, it was measured, unless it is of this
code.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from page_lab import ROOT, Section, pages, sections

from benchmarks import freshness, results

MEASURED_ON = re.compile(
    r"\bon (?P<date>\d{4}-\d\d-\d\d)\s+at\s+commit\s+`?(?P<commit>[0-9a-f]{10})`?"
    r"(?P<of>\s+\([^)]*\))?"
)
SPEAKS_OF_MEASURING = re.compile(
    r"\bp(50|95|99)\b|\b(was|were|been) measured\b|\bmeasured (with|in)\b|processor time|µs\b"
    r"|`make (bench|lab) |python -m benchmarks\.|×\s+as\b|\d\.\d+ times as\b"
    r"|\b(takes?|took)\b[^.|]{0,40}?\b\d[\d.,]* (ms|s|minutes?|MB|kB|GiB)\b"
)
"""Words of a section that quotes what somebody measured, or the way to measure it."""
NO_FIGURES = {
    (
        "docs/explanation/performance.md",
        "Performance: what Headrace costs on top of your tasks",
    ): "says that figures are older, and gives none",
    ("docs/explanation/performance.md", "How it is measured"): "says how, and gives no figure",
    ("docs/tutorial.md", "5. Ingest the corrected file"): (
        "its availability, 92.3 %, is the status of its own example; a benchmark has that figure, too"
    ),
}
"""Sections that speak of measuring and quote nothing, with what they do instead."""


def all_sections() -> list[Section]:
    return [section for page in pages() for section in sections(page)]


SECTIONS = all_sections()
IDS = [f"{section.page}:{section.title}" for section in SECTIONS]
DOCUMENTS = results.documents()


@pytest.mark.parametrize("section", SECTIONS, ids=IDS)
def test_figures_say_when_they_were_measured(section: Section) -> None:
    """Would catch: a page that gives a figure as today's which nobody measured on this code."""
    if (section.page, section.title) in NO_FIGURES or not quotes_a_figure(section.text):
        return
    assert MEASURED_ON.search(section.text), (
        f"{section.page}, section {section.title!r} quotes a measurement: {quoted(section.text)}\n"
        "Say `Measured on DATE at commit HASH`, or quote none."
    )


def test_a_kept_benchmark_is_quoted_with_its_own_commit() -> None:
    """Would catch: a benchmark that was measured anew, and a page that gives its old figures under
    its name.
    """
    quoted_benchmarks = 0
    for section in SECTIONS:
        for mark in MEASURED_ON.finditer(section.text):
            for name in set(re.findall(r"[a-z_]+", mark["of"] or "")) & set(DOCUMENTS):
                quoted_benchmarks += 1
                kept = DOCUMENTS[name]["commit"].rstrip("+")
                assert mark["commit"] == kept, (
                    f"{section.page} quotes {name} at {mark['commit']}, kept is {kept}"
                )
    assert quoted_benchmarks >= 5


def test_the_rule_would_notice_a_figure() -> None:
    """Would catch: a rule that lets every page pass."""
    assert quotes_a_figure("A no-op takes 200 µs of the leader.")
    assert quotes_a_figure("The best pass takes 17 ms; `status` takes 0.27 s.")
    assert quotes_a_figure(f"Hops take {a_kept_figure()} here.")
    assert not quotes_a_figure("At most 60 s; 93.1 % of 30 days; 500 rows a transaction.")
    assert measured_on("Measured on 2026-11-21 at\ncommit `079b4b53c4`.") == [
        ("2026-11-21", "079b4b53c4")
    ]


def test_sections_without_figures_are_there() -> None:
    """Would catch: an exemption that outlived its section."""
    assert set(NO_FIGURES) <= {(section.page, section.title) for section in SECTIONS}


def test_commits_that_pages_name_are_of_the_days_that_they_say() -> None:
    """Would catch: a made-up commit, or the date of another one."""
    if not freshness.has_history():
        pytest.skip("git has no whole history here")
    for section in SECTIONS:
        for date, commit in measured_on(section.text):
            done = subprocess.run(
                ["git", "show", "--no-patch", "--format=%cs", commit],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, (
                f"{section.page} names commit {commit}, which git doesn't have"
            )
            assert done.stdout.strip() <= date, (
                f"{section.page} says {date} of commit {commit}, which is of {done.stdout.strip()}"
            )


def quotes_a_figure(text: str) -> bool:
    return bool(quoted(text))


def quoted(text: str) -> list[str]:
    """What of a section is, or speaks of, a measurement."""
    return [
        *(match[0] for match in SPEAKS_OF_MEASURING.finditer(text)),
        *(figure for _, figure in kept_figures_in(text)),
    ]


def measured_on(text: str) -> list[tuple[str, str]]:
    return [(match["date"], match["commit"]) for match in MEASURED_ON.finditer(text)]


def kept_figures_in(text: str) -> Iterator[tuple[str, str]]:
    """Benchmark and figure, of each figure of RESULTS.md that stands in a text with its unit."""
    for name, document in DOCUMENTS.items():
        for figure in telling_figures(document):
            if re.search(rf"(?<![\d.,]){re.escape(figure)}(?!\w)", text):
                yield name, figure


def telling_figures(document: Mapping[str, Any]) -> Iterator[str]:
    """A document's figures as pages write them; not round ones, which are limits as often."""
    for figure in [*document["figures"], *document.get("observed", [])]:
        written = results.number(figure["value"])
        digits = re.sub(r"\D", "", written).strip("0")
        if len(digits) >= 3 and figure["unit"] in {"ms", "s", "×", "x", "/s", "MB", "GiB", "%"}:
            yield f"{written} {figure['unit']}"


def a_kept_figure() -> str:
    return next(figure for document in DOCUMENTS.values() for figure in telling_figures(document))


def test_marks_of_the_page_of_results_hold() -> None:
    """Would catch: a section of RESULTS.md that passes for today's though its code has changed
    since.
    """
    stale = {name for name, document in DOCUMENTS.items() if freshness.age(name, document).stale}
    assert stale <= set(freshness.kept_marks().stale), (
        "write the marks anew: make bench ARGS=--page"
    )


@pytest.mark.parametrize("name", results.ORDER)
def test_a_benchmark_depends_on_what_it_imports(name: str) -> None:
    """Would catch: a package whose changes leave figures of it marked as today's."""
    text = (results.HERE / f"{name}.py").read_text(encoding="utf-8")
    imported = set(re.findall(r"^\s*(?:from|import) headrace\.(\w+)", text, re.MULTILINE))
    assert imported <= set(freshness.PACKAGES[name])
    for folder in freshness.folders(name):
        assert (ROOT / folder).is_dir(), folder


def test_code_that_changed_makes_figures_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: figures that stay today's whatever happens to the code; and that count a change
    of a page.
    """
    package = tmp_path / "src/headrace/lake"
    package.mkdir(parents=True)
    (package / "merging.py").write_text("a = 1\n", encoding="utf-8")
    monkeypatch.setattr(freshness, "ROOT", tmp_path)
    document = {"commit": "0123456789", "folders": freshness.hashes("materialise")}
    (package / "notes.md").write_text("changed", encoding="utf-8")
    assert not freshness.age("materialise", document).stale
    (package / "merging.py").write_text("a = 2\n", encoding="utf-8")
    age = freshness.age("materialise", document)
    assert age.stale
    assert (
        age.since == "the code has changed since, in lake"
    )  # nothing counts commits where there is no git
    (package / "merging.py").write_text("a = 1\n", encoding="utf-8")
    assert not freshness.age("materialise", document).stale


def test_hashes_of_a_commit_and_of_its_checkout_agree() -> None:
    """Would catch: figures that are stale as soon as they are measured, since files are hashed in
    two ways."""
    head = subprocess.run(
        ["git", "status", "--porcelain", "--", "src"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if head.returncode != 0 or head.stdout:
        pytest.skip("no git here, or src differs from the commit")
    for name in ("materialise", "startup"):
        assert freshness.hashes(name) == freshness.hashes_at(name, "HEAD")


def test_figures_are_listed_by_age(capsys: pytest.CaptureFixture[str]) -> None:
    """Would catch: a list that leaves out a benchmark."""
    results.main(["--stale"])
    listed = capsys.readouterr().out
    assert all(f"  {name} " in listed for name in DOCUMENTS)
    assert all(name in listed for name in results.ORDER)


GROUPS = {
    "in the delivery, day: right in the first incident": "fault in the delivery of one day",
    "in the delivery, week: right in the first incident": "fault in the deliveries of a week",
    "in the delivery, month: right in the first incident": "fault in the deliveries of March",
    "in a model: right in the first incident": "fault in a model, March",
    "controls left in peace": "controls without an incident",
}
"""Figure of the benchmark → its line of the page on diagnosis."""


def test_a_peer_is_quoted_as_it_was_measured() -> None:
    """Would catch: the figures of a peer that suit, without the others; or a first incident of one
    beside any of another."""
    document = DOCUMENTS["upstrace"]
    figures = {figure["name"]: figure for figure in [*document["figures"], *document["observed"]]}
    page = (ROOT / "docs/explanation/diagnosis.md").read_text(encoding="utf-8")
    for name, line in GROUPS.items():
        figure = figures[name]
        of = figure["unit"].removeprefix("of ")
        theirs = [figure["against"][f"upstrace {way}"] for way in ("frozen", "rolling")]
        row = f"| {line} | " + " | ".join(
            f"{value:.0f} of {of}" for value in (figure["value"], *theirs)
        )
        assert row in page, f"{row}: measured at {document['commit']}"
        if "first" in name:
            anyhow = figures[name.replace("the first incident", "any incident")]
            same = (figure["value"], figure["against"]) == (anyhow["value"], anyhow["against"])
            assert same, "the page says that both countings give the same"


FAULTS = {
    "half of a column null": ("null 50 %",),
    "a quarter": ("null 25 %",),
    "a tenth": ("null 10 %",),
    "× 100, × 0.01": ("× 100",),
    "× 1.6": ("× 1.6",),
    "× 1.2": ("× 1.2",),
    "sign, two categories swapped": ("sign", "categories swapped"),
    "the clock 5 hours off": ("clock + 5 h",),
    "the end cut by 45 %": ("cut by 45 %",),
    "by 20 %": ("cut by 20 %",),
    "by 10 %": ("cut by 10 %",),
    "70 % of the rows lost all day long": ("70 % lost",),
    "50 %": ("50 % lost",),
    "20 %": ("20 % lost",),
    "every row twice": ("doubled",),
}
"""Line of the page on anomalies → the benchmark's faults whose shares stand there."""


def test_shares_of_faults_are_quoted_as_they_were_measured() -> None:
    """Would catch: a share that was rounded up, or is of another measurement."""
    document = DOCUMENTS["anomalies"]
    shares = {
        figure["name"]: figure["value"] for figure in [*document["figures"], *document["observed"]]
    }
    page = (ROOT / "docs/explanation/anomalies.md").read_text(encoding="utf-8")
    for line, faults in FAULTS.items():
        held = ", ".join(f"{shares[f'held: {fault}']:.2f}" for fault in faults)
        cell = f"| {line} | {held} ({shares[f'seen: {faults[-1]}']:.2f}) |"
        assert cell in page, cell
    sentence = (
        f"**{shares['false_holds_a_month']:.2f} false holds** and"
        f" {shares['warnings_a_month']:.0f} warnings a project"
    )
    assert sentence in " ".join(page.split())


CELLS = {
    "no-ops": ("overhead", "{tasks_per_second:,.0f} /s"),
    "no-ops on PostgreSQL": ("overhead", "{tasks_per_second_postgresql:,.0f} /s"),
    "a hop, p50": ("overhead", "{hop_p50_ms:.2f} ms"),
    "a hop, p95": ("overhead", "{hop_p95_ms:.2f} ms"),
    "a small day, checked and published": ("overhead", "{partition_ms:.1f} ms"),
    "bookkeeping of tasks of 100 ms": ("overhead", "{bookkeeping_percent:.1f} %"),
    "from the command to ready": ("overhead", "{ready_seconds:.2f} s"),
    "a server that has nothing to do, processor": ("overhead", "{idle_cpu_percent:.2f} %"),
    "the same, memory (PSS)": ("overhead", "{idle_pss_mb:.0f} MB"),
    "1,000 assets loaded, cold": ("overhead", "{load_1000_seconds:.2f} s"),
    "10,000 assets loaded, cold": ("overhead", "{load_10000_seconds:.2f} s"),
    "the first answer of a server that just started": ("api", "{first_answer_ms:.0f} ms"),
    "`status`, p95, also right after a change": ("api", "{status_p95_ms:.0f} ms"),
    "`why` of a consumer that waits": ("api", "{why_p95_ms:.0f} ms"),
    "a contract, which is made of the files": ("api", "{contract_p95_ms:.0f} ms"),
    "frames a second: panning; a table of 100,000 rows": (
        "ui",
        "{graph_pan_fps:.0f}; {table_100k_scroll_fps:.0f}",
    ),
    "JavaScript for Today, compressed": ("ui", "{today_script_kb:.0f} kB"),
    "memory that an hour of events leaves": ("ui", "{memory_grown_in_an_hour_mb:.1f} MB, no node"),
}
"""Line of the page on performance → the benchmark, and its cell."""


@pytest.mark.parametrize("line", CELLS)
def test_the_page_on_performance_quotes_what_was_measured(line: str) -> None:
    """Would catch: a figure that was typed wrongly, or stayed when the benchmark was
    measured anew.
    """
    name, cell = CELLS[line]
    document = DOCUMENTS[name]
    values = {
        figure["name"]: figure["value"] for figure in [*document["figures"], *document["observed"]]
    }
    page = (ROOT / "docs/explanation/performance.md").read_text(encoding="utf-8")
    assert f"| {line} | {cell.format(**values)} |" in page
