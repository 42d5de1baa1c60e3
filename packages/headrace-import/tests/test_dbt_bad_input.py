"""Projects that are broken, hostile or large: an item for each fault, and everything else goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dbt_lab import SETTINGS, dbt_project, imported

from headrace.project.session import Silent
from headrace_import.importers import Verdict
from headrace_import.importers.dbt import read_project
from headrace_import.services.project import import_project

GOOD = {"models/good.sql": "select id from {{ ref('raw_orders') }}"}


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("models/s.yml", b"models: [{name: good", "its YAML can't be read"),
        ("models/s.yml", b"models: !!python/object/apply:os.system [id]", "YAML can't be read"),
        ("models/bad.sql", b"select '\xff\xfe'", "it isn't UTF-8 text"),
        ("models/bad.sql", b"select \0", "it has null characters"),
        ("seeds/bad.csv", b"id\n\xe4\n", "it isn't UTF-8 text"),
        ("macros/bad.sql", b"{% macro a( %}", "its Jinja can't be parsed"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_item(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    """Would catch: an import that stops, or a file that is passed over in silence."""
    found = imported(tmp_path, {**GOOD, name: content})
    assert found.items[name].verdict is Verdict.PERSON
    assert why in found.items[name].why
    assert found.model("good").verdict is Verdict.CARRIED


def test_the_last_value_of_a_repeated_key_counts(tmp_path: Path) -> None:
    """Would catch: a file that dbt reads with a warning, of which nothing is imported."""
    text = "sources: [{name: erp, tables: [{name: t, description: a, description: b}]}]"
    found = imported(tmp_path, {**GOOD, "models/s.yml": text})
    assert "description: b" in found.files["sources/t.yaml"]


DOUBLING = (
    "{% set x = namespace(t='ab') %}{% for i in range(99) %}{% set x.t = x.t ~ x.t %}{% endfor %}"
)
DEEP = "(" * 40 + "1" + ")" * 40


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("select {% for %}", Verdict.PERSON),
        ("select {{ nothing_like_this() }}", Verdict.COMMAND),
        ("select {{ ref('nowhere') }}", Verdict.PERSON),
        ("select {{ ''.__class__.__mro__ }}", Verdict.COMMAND),
        ("select {{ ref.__globals__ }}", Verdict.COMMAND),
        ("select {{ '{0.__class__}'.format(1) }}", Verdict.COMMAND),
        ("{% for i in range(10 ** 9) %}{% endfor %}", Verdict.COMMAND),
        ("{{ 'a' * 10 ** 9 }}", Verdict.COMMAND),
        ("{{ 10 ** 10 ** 10 }}", Verdict.COMMAND),
        (DOUBLING, Verdict.COMMAND),
        ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", Verdict.COMMAND),
        (f"select {{{{ {DEEP} }}}} as one", Verdict.CARRIED),
        (f"select {{{{ {'(' * 5000}1{')' * 5000} }}}}", Verdict.COMMAND),
        (f"select {'(' * 5000}1{')' * 5000}", Verdict.COMMAND),
        ("drop table orders", Verdict.COMMAND),
        ("select 1; select 2", Verdict.COMMAND),
        ("", Verdict.COMMAND),
    ],
)
def test_a_template_that_cannot_be_known_is_not_carried(
    tmp_path: Path, text: str, verdict: Verdict
) -> None:
    """Would catch: Jinja that reaches Python, exhausts memory, or stops the import."""
    found = imported(tmp_path, {**GOOD, "models/bad.sql": text})
    assert found.model("bad").verdict is verdict
    assert found.model("good").verdict is Verdict.CARRIED


def test_circles_and_duplicates_are_named(tmp_path: Path) -> None:
    """Would catch: an import that runs for ever, or that drops the second of two models."""
    found = imported(
        tmp_path,
        {
            **GOOD,
            "models/a.sql": "select * from {{ ref('b') }}",
            "models/b.sql": "select * from {{ ref('a') }}",
            "models/c.sql": "select * from {{ ref('b') }}",
            "models/x/good.sql": "select 2 as id",
        },
    )
    verdicts = {name: item.verdict for name, item in found.items.items() if "model." in name}
    assert [name for name, verdict in verdicts.items() if verdict is Verdict.CARRIED] == [
        "model.shop.good"
    ]
    assert "model.shop.good (models/x/good.sql:1)" in verdicts
    assert "computed from itself" in found.model("a").why
    assert "isn't imported" in found.model("c").why


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    """Would catch: a name that leaves the folder, or closes the front matter."""
    found = imported(
        tmp_path,
        {
            "models/weird name; drop.sql": "{{ config(group='../../x', tags=['*/ select 1']) }}"
            " select 1 as id",
            "models/s.yml": "exposures: [{name: '../../etc/passwd', depends_on: [ref('raw_orders')],"
            ' owner: {name: "x: {y"}}]',
        },
    )
    assert "assets/weird_name_drop.sql" in found.files
    assert found.files["assets/weird_name_drop.sql"].count("*/") == 1
    assert not any(".." in name for name in found.files)


def test_a_folder_outside_of_the_project_is_not_read(tmp_path: Path) -> None:
    """Would catch: `model-paths` that leads an import to other people's files."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key.sql").write_text("select 1 as id")
    root = dbt_project(
        tmp_path / "p", {"dbt_project.yml": f"{SETTINGS}model-paths: [../secret, /etc]\n"}
    )
    project = read_project(root)
    assert {item.id for item in project.items} == {"seed.shop.raw_orders"}


def test_nothing_of_the_project_is_run(tmp_path: Path) -> None:
    """Would catch: a template or a Python model that runs while it is read."""
    planted = tmp_path / "planted"
    text = f"open({str(planted)!r}, 'w')"
    imported(
        tmp_path / "p",
        {
            "models/m.py": f"{text}\ndef model(dbt, session): ...",
            "models/t.sql": f"select {{{{ {text} }}}}",
            "macros/m.sql": f"{{% macro m() %}}{{% do {text} %}}{{% endmacro %}}",
            "models/u.sql": "{{ m() }} select 1",
        },
    )
    assert not planted.exists()


def test_an_empty_folder_says_that_it_is_no_project(tmp_path: Path) -> None:
    """Would catch: an import of the wrong folder that looks like a success."""
    (item,) = read_project(tmp_path).items
    assert (item.id, item.verdict) == ("dbt_project.yml", Verdict.PERSON)


def test_secrets_are_named_and_not_copied(tmp_path: Path) -> None:
    """Would catch: a password of profiles.yml in the new project or in the report."""
    profile = (
        "shop: {outputs: {dev: {type: postgres, password: hunter2, token: \"{{ env_var('T') }}\"}}}"
    )
    project = imported(tmp_path, {"profiles.yml": profile}).project
    assert [(found.file, found.line, found.name) for found in project.secrets] == [
        ("profiles.yml", 1, "password")
    ]
    assert "hunter2" not in repr(project)


def test_the_default_of_a_variable_is_a_secret(tmp_path: Path) -> None:
    """Would catch: a password that isn't listed, because a variable may replace it."""
    profile = (
        "shop: {outputs: {dev: {type: postgres, password: \"{{ env_var('P', 'hunter2key') }}\","
        " token: \"{{ env_var('T') }}\"}}}"
    )
    project = imported(tmp_path, {"profiles.yml": profile}).project
    assert [found.name for found in project.secrets] == ["password"]


def _file_of_its_own(root: Path, name: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.mark.parametrize(
    "name", ["seeds/pw.csv", "models/pw.sql", "models/pw.yml", "macros/pw.sql"]
)
def test_a_link_out_of_the_project_is_not_followed(tmp_path: Path, name: str) -> None:
    """Would catch: a file of the machine that an import copies into the new project."""
    outside = tmp_path / "outside"
    outside.write_text("select 'hidden' as id\n", encoding="utf-8")
    root = tmp_path / "shop"
    _file_of_its_own(root, name).symlink_to(outside)
    found = imported(root, GOOD)
    assert found.items[name].verdict is Verdict.PERSON
    assert "a link out of the folder" in found.items[name].why
    assert not any("hidden" in text for text in found.files.values())
    assert found.model("good").verdict is Verdict.CARRIED


def test_a_link_within_the_project_is_followed(tmp_path: Path) -> None:
    """Would catch: a model that is left out because dbt reads it through a link."""
    _file_of_its_own(tmp_path, "models/again.sql").symlink_to(tmp_path / "models/good.sql")
    assert imported(tmp_path, GOOD).model("again").verdict is Verdict.CARRIED


@pytest.mark.parametrize("name", ["models/f.sql", "models/f.yml", "seeds/f.csv"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    """Would catch: an import that waits for ever for somebody to write into a pipe."""
    os.mkfifo(_file_of_its_own(tmp_path, name))
    found = imported(tmp_path, GOOD)
    assert "regular file" in found.items[name].why
    assert found.model("good").verdict is Verdict.CARRIED


def test_a_device_is_not_read(tmp_path: Path) -> None:
    """Would catch: an import that reads an endless device until memory is full."""
    _file_of_its_own(tmp_path, "models/z.sql").symlink_to("/dev/zero")
    _file_of_its_own(tmp_path, "models/loop.sql").symlink_to("loop.sql")
    found = imported(tmp_path, GOOD)
    assert found.items["models/z.sql"].verdict is Verdict.PERSON
    assert found.items["models/loop.sql"].verdict is Verdict.PERSON


def test_a_file_whose_name_is_not_text_is_an_item(tmp_path: Path) -> None:
    """Would catch: an import that stops where it writes the name of a file."""
    (tmp_path / "models").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/models/\xff\xfe.sql")).write_bytes(b"select 1 as a")
    dbt_project(tmp_path, GOOD)
    result = import_project("dbt", tmp_path, tmp_path.parent / "out", "ana", Silent())
    item = next(row for row in result.items if row.file.endswith(".sql") and "udcff" in row.file)
    assert (item.verdict, item.why[:26]) == ("person", "its name isn't UTF-8 text,")
    assert any(row.id == "model.shop.good" and row.verdict == "carried" for row in result.items)


BIG = "{% set n = namespace(x=2, t='ab', l=[1]) %}{% for i in range(20) %}"
BIG_TEXT = BIG + "{% set n.t = n.t ~ n.t %}{% endfor %}"


@pytest.mark.parametrize(
    "text",
    [
        BIG.replace("20", "60") + "{% set n.x = n.x * n.x %}{% endfor %}select '{{ n.x }}' as a",
        BIG.replace("20", "60") + "{% set n.x = n.x ** 60 %}{% endfor %}select '{{ n.x }}' as a",
        BIG + "{% set n.l = n.l + n.l %}{% endfor %}select '{{ n.l * 9 }}' as a",
        BIG_TEXT + "select '{{ n.t | replace('a', n.t) }}' as a",
        BIG_TEXT + "select '{{ n.t.replace('', n.t) }}' as a",
        BIG_TEXT + "select '{{ range(9999) | join(n.t) }}' as a",
        BIG_TEXT + "select '{{ n.t.join(n.t) }}' as a",
        BIG_TEXT + "select '{{ [n.t, n.t, n.t, n.t] | tojson }}' as a",
        BIG_TEXT + "select '{{ [[n.t, n.t], [n.t, n.t]] }}' as a",
        BIG_TEXT + "select '{{ '%s%s%s' % (n.t, n.t, n.t) }}' as a",
        BIG_TEXT + "select '{{ " + "n.t ~ " * 5000 + "'' }}' as a",
        BIG_TEXT + "{% for a in n.t %}{% for b in n.t %}{% endfor %}{% endfor %}select 1 as a",
        BIG_TEXT + "{% for a in range(9999) %}{% set b = n.t[1:] | upper %}{% endfor %}select 1",
        "select '{{ '%999999999d' % 1 }}' as a",
        "select '{{ '%*d' % (999999999, 1) }}' as a",
        "select '{{ '%.999999999f' % 1.5 }}' as a",
        "select {{ 5 | round(-999999999) }} as a",
        "select '{{ \"\\ud800\" }}' as a",
    ],
)
def test_a_value_that_grows_without_end_is_left_to_dbt(tmp_path: Path, text: str) -> None:
    """Would catch: an import that computes for hours, or fills memory, because of one model."""
    start = time.monotonic()
    found = imported(tmp_path, {**GOOD, "models/bad.sql": text})
    assert found.model("bad").verdict is Verdict.COMMAND
    assert found.model("good").verdict is Verdict.CARRIED
    assert time.monotonic() - start < 20


DEEP_SQL = {
    "subqueries": "select * from " + "(select * from " * 10_000 + "(select 1 as a)" + ")" * 10_000,
    "joins": "select 1 as a from x " + "join y " * 20_000 + "on 1=1 " * 20_000,
    "joined queries": "select 1 from x " + "join (select 1) y " * 20_000 + "on 1=1 " * 20_000,
    "sources": "from " * 20_000 + "x",
    "types": "select cast(1 as " + "struct(a " * 20_000 + "int" + ")" * 20_000 + ")",
    "negations": "select " + "not " * 20_000 + "true as a",
    "macro": "select {{ date_trunc('day', '" + "(" * 20_000 + " 1" + ")" * 20_000 + "') }} as a",
}


@pytest.mark.parametrize("dialect", ["duckdb", "snowflake"])
def test_sql_that_is_nested_too_deeply_does_not_end_the_import(
    tmp_path: Path, dialect: str
) -> None:
    """Would catch: a process that ends without a message, because the parser's stack is full."""
    script = (
        "import sys; from pathlib import Path; from headrace_import.importers.dbt import read_project\n"
        "print(*{i.verdict for i in read_project(Path(sys.argv[1])).items if '.deep' in i.id})"
    )
    models = {f"models/deep_{name}.sql": text for name, text in DEEP_SQL.items()}
    root = dbt_project(tmp_path, models, dialect=dialect)
    done = subprocess.run(
        [sys.executable, "-c", script, str(root)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "command"), done.stderr[-500:]
