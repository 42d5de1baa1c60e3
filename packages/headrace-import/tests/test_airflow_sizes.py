"""DAG files that compute very large values: each import ends soon, and with little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MIB = 1024 * 1024
SECONDS_MAX = 300
MEMORY_MAX = 900 * MIB
READ = """
import resource, sys
from pathlib import Path
from headrace_import.importers.airflow import read_project
print(*(item.id for item in read_project(Path(sys.argv[1])).items))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
HEAD = """from airflow import DAG
from airflow.datasets import Dataset
from airflow.operators.empty import EmptyOperator
"""
DAG = "with DAG('d{0}'):\n    EmptyOperator(task_id='a')\n"
AGAIN = "\nfor i in range(60): {}"
BODIES = {
    "text + text": "x = 'ab'" + AGAIN.format("x = x + x"),
    "list + list": "x = [1]" + AGAIN.format("x = x + x"),
    "tuple + tuple": "x = (1,)" + AGAIN.format("x += x"),
    "unknown text": "x = f'{who()}-'" + AGAIN.format("x = x + x"),
    "f-string": "x = f'{who()}-'" + AGAIN.format("x = f'{x}{x}'"),
    "nested list": "x = [1]" + AGAIN.format("x = [x, x]") + "\nz = x == x\nz = str(x)",
    "nested tuple": "x = (1,)" + AGAIN.format("x = (x, x)") + "\nz = '%s' % (x,)",
    "nested dict": "x = {}" + AGAIN.format("x = {'a': x, 'b': x}") + "\nz = f'{x}'",
    "list in itself": "x = []\nx.append(x)\nx.append(x)\nz = x == x\nz = str(x)",
    "nested call": "x = Dataset('a')" + AGAIN.format("x = Dataset(x, x)"),
    "starred": "x = [1]" + AGAIN.format("x = [*x, *x]"),
    "extend": "x = [1]" + AGAIN.format("x.extend(x)"),
    "product": "x = [[1] * 1000] * 1000 * 1000\nz = 'ab' * 10 ** 12\nz = [0] * 10 ** 12",
    "numbers": "x = 9" + AGAIN.format("x = x * x") + "\ny = 9 ** 9 ** 9\nz = 1 << 10 ** 12",
    "added numbers": "x = 1\nfor i in range(20000): x = x + x\nz = str(x)",
    "bytes": "x = b'%999999999d' % 1",
    "join": "x = ('a' * 1000).join(['b' * 1000] * 1000)" + AGAIN.format("x = x.join([x] * 9)"),
    "format": "x = '{0}' * 100\nfor i in range(60): x = x.format(x)",
    "format with width": "x = '{a:5}' * 9000\ny = 'b' * 100000\nz = x.format(a=y)",
    "percent": "x = '%(a)5s' * 9000\ny = 'b' * 100000\nz = x % {'a': y}",
    "replace": "x = 'aa'" + AGAIN.format("x = x.replace('a', x)"),
    "many texts": "x = 'a' * 200000\ny = [x + str(i) for i in range(20000)]",
    "sum": "x = sum([[1]] * 60000, [])",
    "chain": "import itertools\nx = [1] * 20000\ny = itertools.chain(%s)" % ("x, " * 5000),
    "paths": "import os\nx = 'a' * 100000\ny = os.path.join(%s)" % ("x, " * 9000),
}


@pytest.mark.system
@pytest.mark.long
def test_very_large_values_are_not_computed(tmp_path: Path) -> None:
    """Would catch: a few lines that need gigabytes or hours, with which the import is lost."""
    for number, (name, body) in enumerate(BODIES.items()):
        (tmp_path / f"f{number}.py").write_text(f"{HEAD}# {name}\n{body}\n{DAG.format(number)}")
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=SECONDS_MAX,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    items, peak = done.stdout.splitlines()
    for number, name in enumerate(BODIES):
        assert f"d{number}.a" in items.split() or f"f{number}.py" in items.split(), name
    assert "d0.a" in items.split()
    assert int(peak) * 1024 < MEMORY_MAX
