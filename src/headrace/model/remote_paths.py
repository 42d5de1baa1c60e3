"""`files:` that are elsewhere: URLs of file systems that fsspec knows."""

from __future__ import annotations

import re

from headrace.model.fields import Fields
from headrace.model.nodes import PartitionSpec
from headrace.model.reporting import shown
from headrace.model.secrets import check_url

SCHEMES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "sftp", "ssh", "ftp", "smb", "hdfs", "webhdfs", "oss", "oci")
"""Those that lead elsewhere; `file:`, archives, caches and chains (`zip::s3://…`) would lead back to this machine."""
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def scheme_of(path: str) -> str | None:
    """The scheme of a URL; None for a path."""
    match = _URL.match(path)
    return match[1].lower() if match else None


def is_usable_url(fields: Fields, name: str, url: str, partition: PartitionSpec) -> bool:
    """Report what keeps files from being found at a URL."""
    scheme = scheme_of(url)
    host, _, path = url.partition("://")[2].partition("/")
    check_url(name, url, fields.line(name), fields.report)
    if "::" in url or scheme not in SCHEMES:
        web = scheme in ("http", "https")
        problem = "can't be read from"
        hint = "write http: with the URL" if web else "known: s3, gs, abfs, sftp and their like; a path of the project needs no scheme"
    elif not host or any(sign in host for sign in "{}*@ "):
        problem, hint = "doesn't say which bucket or host", "s3://bucket/folder/name_{date:%Y-%m-%d}.csv; who asks stands in a connection"
    elif not path or ".." in path.split("/") or "\\" in url or not url.isprintable():
        problem, hint = "has characters that a path can't have, or no path", "s3://bucket/folder/name_{date:%Y-%m-%d}.csv"
    elif partition.grain is not None and "{date:" not in url:
        problem, hint = f"doesn't say which {partition.grain} a file holds", "put {date:%Y-%m-%d} into the name, or partition: '*'"
    else:
        return True
    fields.refuse(name, f"{shown(url)} {problem}", hint, code="bad_path")
    return False
