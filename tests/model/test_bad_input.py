"""Each declaration file can be anything at all; each gets a clear problem at its place, and
everything else goes on.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modellab import KINDS, Load, Parse, Write, parse_file, sql, told

from headrace.compiler.project_files import find_root, scan
from headrace.model import FileKind, ProblemLevel, ProjectError, ProjectFile
from headrace.model.asset_fields import ASSET_FIELDS
from headrace.model.errors import FIELDS, hint_of_field
from headrace.model.files import FILE_BYTES_MAX
from headrace.model.source_fields import SOURCE_FIELDS

GOOD_TEXT = "owner: core\n"


def _good(path: str) -> str:
    """A file of each kind without problems."""
    return (Path(__file__).parent / "cases/good" / path).read_text()


@pytest.mark.parametrize("path", KINDS)
@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (b"", "file_empty", 1),
        (b" \n\t\n", "file_empty", 1),
        (b"\x00\x01\x02\xff", "not_text", 1),
        (b"a\nb\x00c\n", "not_text", 2),
        (b"\x7fELF\x02\x01\x01\x00\x00\xff", "not_text", 1),
        (b"a\n\xe9t\xe9\n", "not_utf8", 2),
        ("a: 1\n".encode("utf-16"), "not_utf8", 1),
        ("a: 1\n".encode("utf-32"), "not_utf8", 1),
        (b"a\n\x1b[31mred\n", "not_text", 2),
    ],
)
def test_what_is_no_text_is_said_to_be_none(
    parse: Parse, path: str, content: bytes, code: str, line: int
) -> None:
    if path.endswith(".py") and code == "file_empty":
        assert parse(path, content).problems == ()  # a package's `__init__.py` is usually empty
        return
    """Whatever the kind of file, bytes that aren't UTF-8 text must not end in a traceback."""
    assert told(parse(path, content).problems) == [f"{code} {path}:{line}"]


@pytest.mark.parametrize("path", KINDS)
def test_an_enormous_file_is_refused_without_reading_it_all(parse: Parse, path: str) -> None:
    """A dump that landed in the project must not fill the memory."""
    declared = parse(path, b"x" * (FILE_BYTES_MAX[KINDS[path]] + 1))
    assert told(declared.problems) == [f"file_too_large {path}:1"]
    assert "bytes" in declared.problems[0].message


@pytest.mark.long
@pytest.mark.parametrize(
    ("path", "mebibytes"),
    [
        ("assets/orders.sql", 4),
        ("macros/orders.sql", 4),
        ("assets/orders.py", 4),
        ("tests/orders.yaml", 4),
        ("owners.yaml", 1),
        ("headrace.toml", 1),
    ],
)
def test_files_may_have_their_documented_size(parse: Parse, path: str, mebibytes: int) -> None:
    """Catches a large query that is refused, or a limit that nobody documented."""
    mark = "--" if path.endswith(".sql") else "#"
    line = f"{mark} ".ljust(1023, "x") + "\n"
    assert len(line) == 1024
    text = line * (1024 * mebibytes)
    assert "file_too_large" not in {item.code for item in parse(path, text).problems}
    assert told(parse(path, f"{text}\n").problems) == [f"file_too_large {path}:1"]


@pytest.mark.parametrize("path", KINDS)
def test_a_byte_order_mark_is_read_past_and_said(parse: Parse, path: str) -> None:
    """Editors on Windows write one; the first key must not be called `\\ufeffowner`."""
    declared = parse(path, b"\xef\xbb\xbf" + GOOD_TEXT.encode())
    assert declared.problems[0].code == "byte_order_mark"
    assert declared.problems[0].level is ProblemLevel.WARNING
    assert "\ufeff" not in str(declared)


@pytest.mark.parametrize("path", [path for path in KINDS if path.endswith(".yaml")])
@pytest.mark.parametrize(
    "text",
    [
        "just text\n",
        "12\n",
        "null\n",
        "- 1\n- [2]\n",
        "true\n",
        "# only a comment\n",
        "--- \n...\n",
    ],
)
def test_yaml_of_the_wrong_shape_is_a_problem_with_a_hint(
    parse: Parse, path: str, text: str
) -> None:
    """A list where a mapping belongs, a number where a list belongs."""
    problems = parse(path, text).problems
    assert problems
    assert all(problem.hint and problem.place.line >= 1 for problem in problems)


@pytest.mark.parametrize("path", KINDS)
def test_a_file_that_went_away_is_a_problem(tmp_path: Path, path: str) -> None:
    """Between the look and the reading somebody may delete it."""
    declared = parse_file(
        tmp_path, ProjectFile(path=path, kind=KINDS[path], size=1, mtime_ns=0, ctime_ns=0, inode=0)
    )
    assert told(declared.problems) == [f"file_unreadable {path}:1"]


def test_links_pipes_and_sockets_arent_followed(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link must not let a project read what lies outside; a pipe must not make it
    wait for ever.
    """
    write("headrace.toml", "[project]\nname = 'x'\n")
    secret = write("../secret.sql", "select 1")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets/link.sql").symlink_to(secret)
    (tmp_path / "assets/folder").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "assets/pipe.sql")
    (tmp_path / "sources").symlink_to(tmp_path)
    seen = scan(tmp_path)
    assert [file.path for file in seen.files] == ["headrace.toml"]
    expected = ["assets/folder:1", "assets/link.sql:1", "assets/pipe.sql:1", "sources:1"]
    assert told(seen.problems) == [f"file_not_read {place}" for place in expected]
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # a socket's path has to be short
        listener.bind("assets/s.sql")
        assert "file_not_read assets/s.sql:1" in told(scan(tmp_path).problems)
    declared = parse_file(
        tmp_path,
        ProjectFile(
            path="assets/pipe.sql", kind=FileKind.SQL, size=0, mtime_ns=0, ctime_ns=0, inode=0
        ),
    )
    assert told(declared.problems) == ["file_unreadable assets/pipe.sql:1"]


def test_names_of_files_that_cant_be_printed_are_problems(tmp_path: Path, write: Write) -> None:
    """A name that isn't UTF-8 can't be kept; one with an escape would write to the terminal of who
    reads the message.
    """
    write("headrace.toml", "[project]\nname = 'x'\n")
    (tmp_path / "assets").mkdir()
    for name in (b"\xff\xfe.sql", b"a\x1b[31m.sql", b"a\nb.sql"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/assets/" + name)).write_text("select 1")
    seen = scan(tmp_path)
    assert len(seen.files) == 1
    assert [problem.code for problem in seen.problems] == ["file_name"] * 3
    assert all(problem.place.file.isprintable() for problem in seen.problems)


def test_lookalikes_are_said_not_to_be_read(write: Write, tmp_path: Path) -> None:
    """`owners.yml` beside `owners.yaml` would be ignored, and its reader would wonder
    for an hour.
    """
    for path in (
        "owners.yml",
        "sources/a.yml",
        "contracts/a.yaml",
        "assets/x.yml",
        "assets/readme.md",
        "assets/.hidden.sql",
        "assets/__pycache__/a.py",
    ):
        write(path, "a: 1")
    assert sorted(told(scan(tmp_path).problems)) == sorted(
        [
            "file_not_read assets/x.yml:1",
            "file_not_read contracts/a.yaml:1",
            "file_not_read owners.yml:1",
            "file_not_read sources/a.yml:1",
            "no_settings headrace.toml:1",
        ]
    )


def test_the_root_is_found_from_below_and_its_absence_is_an_error(
    tmp_path: Path, write: Write
) -> None:
    write("headrace.toml", "")
    (tmp_path / "a/b").mkdir(parents=True)
    assert find_root(tmp_path / "a/b") == tmp_path
    with pytest.raises(ProjectError) as missing:
        find_root(tmp_path.parent)
    assert missing.value.hint
    with pytest.raises(ProjectError):
        scan(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "path",
    [
        "../landing/o.csv",
        "/etc/passwd",
        "~/o.csv",
        "landing/../../o.csv",
        "landing/..",
        "C:\\o.csv",
        "landing\\..\\o.csv",
        "file:///etc/passwd",
        "s3://bucket/o.csv",
        "landing/o\x07.csv",
        "landing/{date:../%Y-%m-%d}.csv",
        "landing/{date:%Y}{date:%m}.csv",
        "landing/{env:HOME}.csv",
        "landing/{date}.csv",
        "landing/{date:%Y-%m}.csv",
        "landing/{date:%c}.csv",
        "landing/o.csv",
        "a*b*c*d*e_{date:%Y-%m-%d}.csv",
    ],
)
def test_a_source_cant_name_files_outside_or_of_an_unknown_day(parse: Parse, path: str) -> None:
    """B10. What a vendor's pattern can reach stays in the project, and each file says which
    day it is for."""
    text = path.encode("unicode_escape").decode().replace('"', "")
    declared = parse(
        "sources/orders.yaml", f'source: orders\nowner: acme\npartition: day\nfiles: "{text}"\n'
    )
    assert told(declared.problems) == ["bad_path sources/orders.yaml:4"]
    assert declared.problems[0].hint
    assert declared.sources[0].files is None


@pytest.mark.parametrize(
    "name",
    [
        "a'b",
        'a"b',
        "a;drop table x",
        "a b",
        "é",
        "1a",
        "",
        "a" * 64,
        "a.b",
        "../a",
        "a-b",
        "-a",
        "a\x1b[31m",
    ],
)
@pytest.mark.parametrize("field", ["source", "name", "consumer"])
def test_hostile_names_are_refused(parse: Parse, name: str, field: str) -> None:
    """B9. Names reach SQL, paths and shells of others; only letters, digits and
    `_` ever do."""
    if field == "consumer" and name == "a-b":
        return
    written = '"' + name.encode("unicode_escape").decode().replace('"', '\\"') + '"'
    path, text = {
        "source": (
            "sources/orders.yaml",
            f"source: {written}\nowner: acme\nfiles: landing/a.csv\n",
        ),
        "name": ("assets/orders.sql", sql(name=written)),
        "consumer": (
            "consumers.yaml",
            f"- consumer: {written}\n  owner: core\n  reads: [a]\n  due: '07:00'\n",
        ),
    }[field]
    declared = parse(path, text)
    assert declared.problems
    assert {problem.code for problem in declared.problems} <= {"bad_name", "wrong_type"}
    assert all(problem.message.isprintable() for problem in declared.problems)
    if name:
        assert not declared.sources
        assert not declared.assets
        assert not declared.consumers


@pytest.mark.parametrize(
    "name",
    [
        "run",
        "STATUS",
        "accept",
        "what_if",
        "self",
        "_partition",
        "__x",
        "Main",
        "ducklake_x",
        "information_schema",
    ],
)
def test_names_that_mean_something_already_are_refused(parse: Parse, name: str) -> None:
    """Names of tables that DuckDB or Headrace has itself; commands are decided by position and
    reserve none.
    """
    declared = parse(f"assets/{name}.sql", sql())
    free = name in ("run", "STATUS", "accept", "what_if")
    assert [problem.code for problem in declared.problems] == ([] if free else ["reserved_name"])


def test_one_bad_file_doesnt_hide_the_others(load: Load) -> None:
    """All problems at once: who mends one at a time runs validate twenty times."""
    project, problems = load(
        **{
            "assets/a.sql": sql(),
            "assets/b.sql": "\x00",
            "sources/c.yaml": "source: c\nownr: acme\nfiles: /x\n",
            "consumers.yaml": "- consumer: c1\n  owner: cor\n  reads: [a, aa]\n  due: 7am\n",
        }
    )
    assert project is not None
    assert list(project.assets) == ["a"]
    assert told(problems) == [
        "not_text assets/b.sql:1",
        "unknown_owner consumers.yaml:2",
        "unknown_node consumers.yaml:3",
        "bad_time consumers.yaml:4",
        "missing_field sources/c.yaml:1",
        "unknown_field sources/c.yaml:2",
        "bad_path sources/c.yaml:3",
    ]


words = st.sampled_from(["core", "day", "7d", "05:00", "*", "landing/a.csv"])
nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | words,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "source",
                    "asset",
                    "consumer",
                    "test",
                    "owner",
                    "partition",
                    "by",
                    "key",
                    "values",
                    "files",
                    "http",
                    "url",
                    "headers",
                    "expect",
                    "rows",
                    "complete",
                    "checks",
                    "unique",
                    "range",
                    "column",
                    "min",
                    "max",
                    "sql",
                    "query",
                    "inputs",
                    "lookback",
                    "columns",
                    "reads",
                    "writes",
                    "trigger",
                    "cron",
                    "command",
                    "parameters",
                    "export",
                    "to",
                    "given",
                    "on_drift",
                    "added",
                    "dates",
                    "contact",
                    "manager",
                    "kind",
                    "merge",
                    "keys",
                    "tags",
                    "timezone",
                    "due",
                    "per",
                    "severity",
                    "where",
                    "name",
                    "apiVersion",
                    "version",
                    "id",
                    "status",
                    "schema",
                    "properties",
                    "customProperties",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)


@given(st.sampled_from(list(KINDS)), st.binary(max_size=400))
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_random_bytes_are_problems_with_a_place(parse: Parse, path: str, content: bytes) -> None:
    """Fuzz (TRUST F13): nothing that a file holds may raise."""
    _holds(parse(path, content).problems, path)


@pytest.mark.long
@given(st.sampled_from([path for path in KINDS if path.endswith((".yaml", ".sql", ".py"))]), nested)
@settings(
    max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_random_documents_are_problems_with_a_place(
    parse: Parse, path: str, document: object
) -> None:
    """Known fields with values of any type: the combinations that nobody thinks of."""
    import json

    written = json.dumps(document)
    if path.endswith(".sql"):
        written = f"/* headrace\n{written.replace('*/', '')}\n*/ select 1"
    elif path.endswith(".py"):
        arguments = (
            ", ".join(f"{key}={value!r}" for key, value in document.items() if key.isidentifier())
            if isinstance(document, dict)
            else ""
        )
        written = f"from headrace import asset\n@asset({arguments})\ndef f(ctx, a): pass\n".replace(
            "nan", "None"
        ).replace("inf", "None")
    _holds(parse(path, written.encode("utf-8", "surrogatepass")).problems, path)


@given(st.sampled_from(list(KINDS)), st.data())
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damaged_declarations_are_problems_with_a_place(
    parse: Parse, path: str, data: st.DataObject
) -> None:
    """A good file with a piece cut out, doubled or replaced."""
    text = _good(path)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    piece = data.draw(
        st.sampled_from(
            [
                "",
                text[start:end] * 2,
                ":",
                "\n",
                "\t",
                "- ",
                "{",
                "]",
                '"',
                "'",
                "*/",
                "&a ",
                "*a",
                "null",
                "1",
                "é",
                "\x00",
            ]
        )
    )
    _holds(parse(path, text[:start] + piece + text[end:]).problems, path)


def _holds(problems: tuple[object, ...], path: str) -> None:
    from headrace.model import Problem

    for problem in problems:
        assert isinstance(problem, Problem)
        assert problem.place.file == path
        assert problem.place.line >= 1
        assert problem.message
        assert problem.message.isprintable()


@pytest.mark.parametrize("path", KINDS)
def test_the_good_ones_are_good(parse: Parse, path: str) -> None:
    """Else the damaged ones would prove nothing."""
    assert parse(path, _good(path)).problems == ()


@pytest.mark.parametrize(
    ("url", "usable"),
    [
        ("s3://bucket/in/o_{date:%Y-%m-%d}.csv", True),
        ("gs://bucket/o_{date:%Y-%m-%d}.csv", True),
        ("sftp://host/in/o_{date:%Y-%m-%d}.csv", True),
        ("s3://bucket/../o_{date:%Y-%m-%d}.csv", False),
        ("s3://bucket/a..b/o_{date:%Y-%m-%d}.csv", True),
        ("s3://bucket/in\\\\o_{date:%Y-%m-%d}.csv", False),
        ("s3://bucket/in\\to_{date:%Y-%m-%d}.csv", False),
        ("s3://bucket/in/o.csv", False),
        ("s3://bucket/", False),
        ("s3:///o_{date:%Y-%m-%d}.csv", False),
        ("s3://b*t/o_{date:%Y-%m-%d}.csv", False),
        ("s3://user@bucket/o_{date:%Y-%m-%d}.csv", False),
        ("https://example.com/o_{date:%Y-%m-%d}.csv", False),
        ("zip://a.csv::s3://bucket/o_{date:%Y-%m-%d}.zip", False),
        ("ftp2://host/o_{date:%Y-%m-%d}.csv", False),
    ],
)
def test_files_elsewhere_are_those_of_one_bucket(parse: Parse, url: str, usable: bool) -> None:
    """Catches a pattern that leaves its folder, names another host, or can't be a path."""
    declared = parse(
        "sources/orders.yaml", f'source: orders\nowner: acme\npartition: day\nfiles: "{url}"\n'
    )
    assert ([problem.code for problem in declared.problems] == []) is usable, declared.problems
    assert (declared.sources[0].files is not None) is usable


FIELDS_OF = {"asset": ASSET_FIELDS, "source": SOURCE_FIELDS}


@pytest.mark.parametrize("kind", FIELDS_OF)
def test_a_hint_proposes_only_what_is_known_there(kind: str) -> None:
    """Would catch: `trigger:` or `depends:` proposed in a source, which knows neither."""
    known = FIELDS_OF[kind]
    hints = {name: hint_of_field(name, known) for name in (*FIELDS, "schedule", "trigger")}
    for name, hint in hints.items():
        written = re.findall(r"write ([a-z_]+):", hint)
        assert known.issuperset(written) or "consumers.yaml" in hint, (name, hint)
    assert hints["schedule"] and hints["sla"]
    assert ("every" in hints["schedule"]) == (kind == "source")
