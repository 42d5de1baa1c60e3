"""What to do about a module that can't be found; an unknown name is never named to be installed.

A misspelt name may be that of somebody's package.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from difflib import SequenceMatcher
from importlib.util import find_spec

from headrace.model.errors import did_you_mean, shown

LETTERS = 4
"""Of names with as many letters or fewer, two that differ in one are two words."""
_PACKAGES = {
    **dict.fromkeys(
        [
            "boto3",
            "catboost",
            "dagster",
            "dask",
            "duckdb",
            "fsspec",
            "gcsfs",
            "geopandas",
            "httpx",
            "lightgbm",
            "lxml",
            "matplotlib",
            "msgspec",
            "networkx",
            "nltk",
            "numpy",
            "openpyxl",
            "oracledb",
            "orjson",
            "pandas",
            "paramiko",
            "polars",
            "prophet",
            "psycopg",
            "psycopg2",
            "pyarrow",
            "pydantic",
            "pymongo",
            "pymssql",
            "pyodbc",
            "pyspark",
            "pytz",
            "redis",
            "requests",
            "s3fs",
            "scipy",
            "seaborn",
            "shapely",
            "spacy",
            "statsmodels",
            "tensorflow",
            "torch",
            "tqdm",
            "transformers",
            "xgboost",
        ]
    ),
    "PIL": "pillow",
    "airflow": "apache-airflow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "ibis": "ibis-framework",
    "jinja2": "Jinja2",
    "pymysql": "PyMySQL",
    "sklearn": "scikit-learn",
    "sqlalchemy": "SQLAlchemy",
    "xlsxwriter": "XlsxWriter",
    "yaml": "PyYAML",
}
"""Modules that data code often imports → what pip calls them, if that is another name."""


def found_modules(names: Iterable[str]) -> dict[str, bool]:
    """Return whether each top-level module can be found here, without importing any."""
    return {name: _is_found(name) for name in names}


def _is_found(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # it is loaded already, without a specification
        return name in sys.modules


def hint_for_package(name: str) -> str:
    """Return what to do about a distribution that isn't installed; an unknown one isn't named."""
    if _PACKAGES.get(name):
        return f"write `{_PACKAGES[name]}`, as pip calls it"
    known = {pip or module for module, pip in _PACKAGES.items()}
    if name in known:
        return f"pip install {name}"
    return did_you_mean(name, known).removesuffix("?") or "install it"


def hint_for_module(name: str) -> str:
    """Return what to do about a missing module: install a known package, or correct the name."""
    from importlib.metadata import packages_distributions  # slower than most commands

    top = name.partition(".")[0]
    installed = {*sys.stdlib_module_names, *packages_distributions()}
    if top in installed:
        return f"{shown(top)} is installed, and has no such module: correct the import"
    if top in _PACKAGES:
        return f"install it where Headrace runs: pip install {_PACKAGES[top] or top}"
    for names in (_PACKAGES, installed):
        if other := did_you_mean(top, [name for name in names if _is_typo(top, name)]):
            return f"{other} Correct the import"
    return "correct the import, or install where Headrace runs what it is of"


def _is_typo(name: str, other: str) -> bool:
    """Whether letters are in another order, or one of five or more is wrong, missing or too many.

    Among all modules, some resemble any other word.
    """
    blocks = SequenceMatcher(None, name, other).get_matching_blocks()
    wrong = max(len(name), len(other)) - sum(block.size for block in blocks)
    return sorted(name) == sorted(other) or (len(name) > LETTERS and wrong <= 1)
