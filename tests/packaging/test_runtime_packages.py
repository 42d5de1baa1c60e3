"""What a user installs suffices: features that use no extra run without the packages of the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ONLY_LOCKED = """
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from tests.packaging.test_requirements import names

locked = names(Path("requirements/runtime.txt").read_text(encoding="utf-8")) | {"headrace"}
missing = {
    module
    for module, packages in packages_distributions().items()
    if not {package.lower().replace("_", "-").replace(".", "-") for package in packages} & locked
}


class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing - {"tests"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


for name in [name for name in sys.modules if name.partition(".")[0] in missing]:
    del sys.modules[name]
sys.meta_path.insert(0, Finder())
"""
MASKED = """
import tempfile

import duckdb
import msgspec

from headrace.lake.masked_queries import masked_query
from headrace.lake.tables import LakeColumn
from headrace.model.masks import DeclaredMask
from headrace.security.keys import KeyStore
from headrace.security.masks import column_mask

mask, kind, value = sys.argv[1:]
folder = Path(tempfile.mkdtemp())
column = LakeColumn("c", kind, 1)
made = column_mask(
    DeclaredMask(mask, "finance", "people", "c"),
    column,
    {"c": column},
    KeyStore(folder, folder, {}).data_key,
)
with duckdb.connect() as connection:
    query = masked_query(connection, f"SELECT '{value}'::{kind} AS c", [column], {"c": made})
    assert connection.execute(query).fetchone() != (value,)
"""


@pytest.mark.parametrize(
    ("mask", "kind", "value"),
    [
        ('{"method": "redact"}', "VARCHAR", "Ada"),
        ('{"method": "truncate", "keep": 1}', "VARCHAR", "Ada"),
        ('{"method": "generalise", "to": "year"}', "DATE", "1815-12-10"),
        ('{"method": "hash"}', "VARCHAR", "Ada"),
        ('{"method": "token"}', "VARCHAR", "Ada"),
        ('{"method": "date_shift", "days": 9, "by": "c"}', "DATE", "1815-12-10"),
    ],
)
def test_each_mask_works_with_the_runtime_packages(mask: str, kind: str, value: str) -> None:
    """Would catch: a method that works in the tests' environment only, because pandas brings NumPy
    there, and makes every read and export of a user fail.
    """
    result = subprocess.run(
        [sys.executable, "-c", ONLY_LOCKED + MASKED, mask, kind, value],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
