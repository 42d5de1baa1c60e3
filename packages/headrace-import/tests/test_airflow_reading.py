"""Which tasks and links an Airflow file has, found without running it."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow_projects import by_id, imported, one_dag, verdicts

from headrace_import.importers import DependencyKind
from headrace_import.importers.airflow import read_project

# body of `with DAG`, then ids without `d.`
IDS = [
    ("for r in ['eu', 'us']:\n    BashOperator(task_id=f'load_{r}', bash_command='x')",
     "load_eu load_us"),
    ("for i in range(2):\n    BashOperator(task_id='t_%02d' % i, bash_command='x')", "t_00 t_01"),
    ("[EmptyOperator(task_id='-'.join(['a', str(n)])) for n in (1, 2) if n > 1]", "a-2"),
    (("with TaskGroup('g'):\n    with TaskGroup('h', prefix_group_id=False):\n"
     "        EmptyOperator(task_id='a')\n    EmptyOperator(task_id='b')"), "g.a g.b"),
    (("def make(name, **kw):\n    return EmptyOperator(task_id='m_' + name, **kw)\n"
     "for n, kw in {'x': {}, 'y': {'retries': 1}}.items():\n    make(n, **kw)"), "m_x m_y"),
    ("@task\ndef f(x=1):\n    print(x)\nf()\nf()\nf.override(task_id='other')()",
     "f f__1 other"),
    ("@task_group\ndef tg():\n    EmptyOperator(task_id='a')\ntg()", "tg.a"),
    (("for x in Variable.get('names').split(','):\n"
     "    BashOperator(task_id=f'load_{x}_end', bash_command='x')"), "load_*_end"),
    ("class Mine(BashOperator):\n    pass\nMine(task_id='mine', bash_command='x')", "mine"),
    (("class Maker:\n    def __init__(self, n):\n        self.n = n\n    def make(self):\n"
     "        return EmptyOperator(task_id=self.n)\nMaker('made').make()"), "made"),
    ("BashOperator.partial(task_id='m').expand(bash_command=['a', 'b'])", "m"),
    (("if __name__ == '__main__':\n    EmptyOperator(task_id='never')\nelse:\n"
     "    EmptyOperator(task_id='always')"), "always"),
    ("names = []\nnames.append('a')\nnames += ['b']\nfor n in names:\n    EmptyOperator(task_id=n)",
     "a b"),
    ("a, *rest = EmptyOperator(task_id='a'), 1", "a"),
    ("(lambda n: EmptyOperator(task_id=n))('l')", "l"),
    (("from functools import partial\nmake = partial(EmptyOperator, retries=1)\n"
     "make(task_id='p')\nunknown_maker().build(task_id='u')"), "p u"),
    (("from airflow.models import DagModel\nfrom airflow.utils.trigger_rule import TriggerRule\n"
     "EmptyOperator(task_id='clean_' + str(DagModel.__name__))\n"
     "EmptyOperator(task_id='x_' + str(DagModel))\n"
     "EmptyOperator(task_id=TriggerRule.ALL_DONE)"), "clean_DagModel x_* all_done"),
    ("n = 0\nwhile n < 2:\n    EmptyOperator(task_id=f'w{n}')\n    n += 1", "w0 w1"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "ids"), IDS)
def test_tasks_are_found_once_each(tmp_path: Path, body: str, ids: str) -> None:
    project = one_dag(tmp_path, body)
    assert sorted(by_id(project)) == sorted(f"d.{name}" for name in ids.split())


LINKS = [
    ("a >> [b, c]", "a>b a>c"),
    ("[a, b] << c", "c>a c>b"),
    ("a >> b >> c", "a>b b>c"),
    ("a.set_upstream(b); a.set_downstream([c])", "b>a a>c"),
    ("chain(a, [b, c])", "a>b a>c"),
    ("cross_downstream([a], [b, c])", "a>b a>c"),
    (("with TaskGroup('g') as g:\n    x = EmptyOperator(task_id='x')\n"
     "    y = EmptyOperator(task_id='y')\n    x >> y\na >> g >> b"), "a>g.x g.x>g.y g.y>b"),
    ("with c.as_teardown(setups=a):\n    EmptyOperator(task_id='w')\nb", "a>c a>w w>c"),
    (("with c.as_teardown(setups=a):\n    w = EmptyOperator(task_id='w')\n"
      "    w >> EmptyOperator(task_id='x')\n    EmptyOperator(task_id='y') << b"),
     "a>c a>w w>x x>c b>y y>c"),
    (("with a.as_setup():\n    EmptyOperator(task_id='w') >> b"), "a>w w>b"),
    (("@task_group\ndef g():\n    with c.as_teardown(setups=a):\n"
      "        return EmptyOperator(task_id='w')\ng()"), "a>c a>g.w g.w>c"),
    (("with a >> c.as_teardown(setups=a):\n    d = EmptyOperator(task_id='d')\n"
      "    with d.as_teardown(setups=b):\n        EmptyOperator(task_id='w')"),
     "a>c b>d b>w w>d a>b d>c"),
    (("with TaskGroup('g') as g:\n    s, w, t = (EmptyOperator(task_id=n) for n in 'swt')\n"
      "    s >> w >> t.as_teardown(setups=s)\na >> g >> b"),
     "a>g.s g.s>g.w g.w>g.t g.s>g.t g.w>b"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "links"), LINKS)
def test_links_are_those_of_the_file(tmp_path: Path, body: str, links: str) -> None:
    tasks = "a, b, c = (EmptyOperator(task_id=n) for n in 'abc')\n"
    project = one_dag(tmp_path, tasks + body)
    found = {
        f"{link.origin.removeprefix('d.')}>{link.target.removeprefix('d.')}"
        for link in project.dependencies
    }
    assert found == set(links.split())


def test_dags_of_all_styles(tmp_path: Path) -> None:
    """`dag=`, `@dag`, factories and `globals()` in a helper of the project."""
    project = imported(
        tmp_path,
        {
            "dags/helper.py": "def build(name):\n    d = DAG(f'f_{name}', start_date=START)\n"
            "    EmptyOperator(task_id='t', dag=d)\n    return d\n",
            "dags/all.py": "from helper import build\nold = DAG('old', start_date=START)\n"
            "EmptyOperator(task_id='t', dag=old)\n"
            "@dag(schedule=None, start_date=START)\ndef new():\n    EmptyOperator(task_id='t')\n"
            "new()\nfor n in ['x', 'y']:\n    globals()[f'f_{n}'] = build(n)\n",
        },
    )
    assert sorted(by_id(project)) == ["f_x.t", "f_y.t", "new.t", "old.t"]
    assert {item.file for item in project.items} == {"dags/all.py"}


def test_a_subdag_stands_between_the_tasks_around_it(tmp_path: Path) -> None:
    body = (
        "from airflow.operators.subdag import SubDagOperator\n"
        "def sub(parent, child):\n    s = DAG(f'{parent}.{child}', start_date=START)\n"
        "    EmptyOperator(task_id='in', dag=s)\n    return s\n"
        "a = EmptyOperator(task_id='a')\n"
        "a >> SubDagOperator(task_id='s', subdag=sub('d', 's')) >> EmptyOperator(task_id='z')"
    )
    project = one_dag(tmp_path, body)
    links = {(link.origin, link.target) for link in project.dependencies}
    assert {("d.a", "d.s.in"), ("d.s.in", "d.s"), ("d.s", "d.z")} <= links


def test_kinds_of_dependencies(tmp_path: Path) -> None:
    project = imported(
        tmp_path,
        {
            "dags/a.py": "with DAG('a', schedule='@daily', start_date=START):\n"
            "    BashOperator(task_id='make', bash_command='x', outlets=[Dataset('s3://x')])\n"
            "    TriggerDagRunOperator(task_id='go', trigger_dag_id='t')\n",
            "dags/b.py": "with DAG('b', schedule=[Dataset('s3://x')], start_date=START):\n"
            "    BashOperator(task_id='use', bash_command='x')\n",
            "dags/c.py": "with DAG('c', schedule='@daily', start_date=START):\n"
            "    w = ExternalTaskSensor(task_id='w', external_dag_id='a', external_task_id='make')\n"
            "with DAG('t', schedule=None, start_date=START):\n"
            "    BashOperator(task_id='first', bash_command='x')\n",
        },
    )
    found = {(link.origin, link.target, link.how) for link in project.dependencies}
    assert found == {
        ("a.make", "b.use", DependencyKind.DATASET),
        ("a.make", "c.w", DependencyKind.SENSOR),
        ("a.go", "t.first", DependencyKind.TRIGGER),
    }


def test_nothing_of_a_file_runs(tmp_path: Path) -> None:
    """A planted file that writes on import, in a decorator, a default and a class body."""
    mark = tmp_path / "ran"
    project = imported(
        tmp_path / "p",
        {
            "dags/evil.py": f"import os\nopen({str(mark)!r}, 'w').write('x')\n"
            f"os.system('touch {mark}')\nclass X:\n    open({str(mark)!r}, 'w')\n"
            f"def f(x=open({str(mark)!r}, 'w')):\n    pass\n"
            f"__import__('pathlib').Path({str(mark)!r}).write_text('x')\nexec('1')\n"
            "with DAG('e', start_date=START):\n"
            "    BashOperator(task_id='t', bash_command=\"{{ ''.__class__.__mro__ }}\")\n"
        },
    )
    assert verdicts(project) == {"e.t": "command"}
    assert not mark.exists()


@pytest.mark.parametrize(
    ("data", "known"),
    [
        (b"def x(:\n", False),
        (b"# -*- coding: latin-1 -*-\nfrom airflow import DAG\nx = '\xe9'\n", True),
        (b"# -*- coding: nonsense -*-\nx = 1\n", False),
        (b"\xff\xfe\x00", False),
        (b"x = 1\x00\n", False),
        (b"from airflow import DAG\nx = " + b"(" * 3000 + b")" * 3000, False),
        (b"\xef\xbb\xbffrom airflow import DAG\n", True),
    ],
)
def test_a_file_that_cannot_be_parsed_is_one_item(
    tmp_path: Path, data: bytes, *, known: bool
) -> None:
    project = imported(tmp_path, {"dags/x.py": data})
    assert verdicts(project) == ({} if known else {"dags/x.py": "person"})


@pytest.mark.parametrize(
    "body",
    [
        "def f(n):\n    return f(n + 1)\nf(0)",
        "x = " + "[" * 100 + "]" * 100,
        "x = " + " + ".join(["1"] * 800),
        "x = 'a' * 10 ** 9\ny = 10 ** 10 ** 10\nz = [0] * 10 ** 9\nq = '{:>999999999}'.format(1)",
        "for i in range(10 ** 9):\n    pass\nwhile True:\n    pass",
        "x = []\nx.append(x)\nprint(x == x, str(x))",
        "d = {}\nd['d'] = d\nEmptyOperator(task_id='y', params=d)",
        "from utils_that_are_not_there import *\nsomething(task)",
        "x = 'ab'.replace('', 'c' * 100000).replace('c', 'd' * 100000)",
        "@task\ndef f():\n    pass\nf.partial().expand()\nf[0]\nf.x.y()\n-f\nnot f",
        "dag >> dag\n[] >> []\nNone >> EmptyOperator(task_id='n')\nchain()\ncross_downstream([])",
        "TaskGroup()\nDAG()\nEmptyOperator()\nlen()\n'%s %s' % 1\n'{}'.format()\n[][0]\n{}['x']",
    ],
)
def test_hostile_code_is_read_without_hanging(tmp_path: Path, body: str) -> None:
    project = one_dag(tmp_path, f"EmptyOperator(task_id='known')\n{body}")
    assert "d.known" in by_id(project)


def test_modules_that_import_each_other_end(tmp_path: Path) -> None:
    project = imported(
        tmp_path,
        {
            "dags/a.py": "from b import *\nwith DAG('a', start_date=START):\n"
            "    EmptyOperator(task_id='t')\n",
            "dags/b.py": "from a import *\nimport a\n",
        },
    )
    assert sorted(by_id(project)) == ["a.t"]


def test_two_files_with_one_dag_id(tmp_path: Path) -> None:
    """Airflow keeps one; the import loses none of the tasks, and says which file it follows."""
    text = "with DAG('same', start_date=START):\n    EmptyOperator(task_id='t')\n"
    more = "    EmptyOperator(task_id='u')\n"
    project = imported(tmp_path, {"dags/a.py": text, "dags/b.py": text + more})
    assert verdicts(project) == {
        "same.t": "carried", "same.u": "person", "dags/b.py": "person",
    }  # fmt: skip
    kept, other, second = by_id(project).values()
    assert "the DAG same, and so does dags/a.py" in second.why
    assert "dags/b.py builds the DAG same with this task too" in kept.todo
    assert "dags/a.py builds the DAG same too" in other.why


def test_a_link_out_of_the_project_is_not_followed(tmp_path: Path) -> None:
    """A SQL file or module outside the folder would be copied into the new project."""
    (tmp_path / "secret.sql").write_text("select 1 as leaked")
    (tmp_path / "p/dags").mkdir(parents=True)
    (tmp_path / "p/dags/q.sql").symlink_to(tmp_path / "secret.sql")
    project = one_dag(
        tmp_path / "p",
        "for f in ['q.sql', '../../secret.sql', '/etc/hostname.sql']:\n"
        "    PostgresOperator(task_id='t' + str(len(f)), sql=f)",
    )
    assert set(verdicts(project).values()) == {"person"}
    assert not any("leaked" in text for text in project.files.values())


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_project(tmp_path / "nowhere")
