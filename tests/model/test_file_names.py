"""Names of files as they are shown: what a vendor chose isn't, where values are classified."""

from __future__ import annotations

import pytest
from modellab import Load

from headrace.model.file_names import visible_name, visible_text

COLUMNS = "columns: {name: {personal: true}}\n"


@pytest.mark.parametrize(
    ("files", "path", "expected"),
    [
        ("in/*_{date:%Y-%m-%d}.csv", "in/ada_2025-03-01.csv", "in/*_2025-03-01.csv"),
        ("in/*_{date:%Y-%m-%d}.csv", "in/a_b_2025.csv", "in/*_2025.csv"),
        ("in/g_{date:%Y-%m-%d}_*.csv", "in/g_2025-03-01_ada_x.csv", "in/g_2025-03-01_*.csv"),
        ("in/g_{date:%Y-%m-%d}.csv", "in/g_2025-03-01.csv", "in/g_2025-03-01.csv"),
        ("in/g_{date:%Y-%m-%d}_?.csv", "in/g_2025-03-01_7.csv", "in/g_2025-03-01_*.csv"),
        ("in/*/{date:%Y-%m-%d}.csv", "elsewhere/ada.csv", "in/*/{date:%Y-%m-%d}.csv"),
    ],
)
def test_what_files_leaves_open_is_not_shown(
    load: Load, files: str, path: str, expected: str
) -> None:
    """Would catch: a person's name in the name of a file, a name whose date is lost, and names of
    sources without classified columns that are hidden."""
    source = f"source: guests\nowner: acme\npartition: day\nfiles: {files}\n"
    project, problems = load(**{"sources/guests.yaml": source + COLUMNS})
    assert problems == []
    assert visible_name(project, "guests", path) == expected
    project, _ = load(**{"sources/guests.yaml": source})
    assert visible_name(project, "guests", path) == path


def test_a_classified_key_is_refused(load: Load) -> None:
    """Would catch: values of a classified column as keys of partitions, which everybody sees."""
    source = (
        "source: guests\nowner: acme\npartition: [day, {key: name}]\n"
        "files: in/{key}_{date:%Y-%m-%d}.csv\n"
    )
    _, problems = load(**{"sources/guests.yaml": source + COLUMNS})
    assert [problem.code for problem in problems] == ["classified_key"]
    _, problems = load(**{"sources/guests.yaml": source})
    assert problems == []


def test_names_in_messages(load: Load) -> None:
    """Would catch: a name in a warning about files that aren't taken."""
    source = "source: guests\nowner: acme\npartition: day\nfiles: in/*_{date:%Y-%m-%d}.csv\n"
    project, _ = load(**{"sources/guests.yaml": source + COLUMNS})
    assert project is not None
    text = "2 files match: in/ada l_2025-03-02.csv, in/eve_2025-03-02.csv; none is taken"
    hidden = "2 files match: in/*_2025-03-02.csv, in/*_2025-03-02.csv; none is taken"
    assert visible_text(project, "guests", text) == hidden
    project, _ = load(**{"sources/guests.yaml": source})
    assert project is not None
    assert visible_text(project, "guests", text) == text
