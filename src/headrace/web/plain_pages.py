"""HTML pages without any script: to sign in, and where there is no page of the web UI."""

from __future__ import annotations

import base64
import hashlib
from html import escape

PAGE_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0"
    " 1rem;color-scheme:light"
    " dark}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .8rem"
    " .3rem 0;vertical-align:top;border-bottom:1px solid #8884}code{font:14px"
    " ui-monospace,monospace}.served{color:#197a3b}.late,.wrong,.never{color:#c0281c}"
)
STYLE_SOURCE = (
    "'sha256-" + base64.b64encode(hashlib.sha256(PAGE_STYLE.encode()).digest()).decode() + "'"
)
"""The source of this style for a content security policy."""


def html_page(title: str, body: str, head: str = "") -> str:
    """Return a page; `body` and `head` are HTML, in which text from outside must be escaped."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} ·'
        " Headrace</title>"
        f'<meta name="viewport" content="width=device-width">{head}'
        f"<style>{PAGE_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )
