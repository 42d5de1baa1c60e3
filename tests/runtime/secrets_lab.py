"""Asset code that tells the secrets that it was given, and a search for them through all that is
left.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from urllib.parse import quote, quote_plus

from runlab import Lab

CANARY = 'c4nary/"p@ss w0rd%+7391'
OTHER = "another-canary-of-5512"
IN_A_FILE = "canary-kept-in-a-file-8243"
TELLS = """import base64, json, logging, os, sys, time
from pathlib import Path
from urllib.parse import quote, quote_plus
from headrace import asset, Context


def forms(value):
    yield value
    yield from (quote(value, safe=""), quote(value), quote_plus(value), json.dumps(value), repr(value))
    for before in ("", "u", "us"):
        yield base64.b64encode((before + value).encode()).decode()
        yield base64.urlsafe_b64encode((before + value).encode()).decode()


@asset(owner="core", materialize="none", secrets=["CANARY"], environment={"MODE": "loud"})
def tells(ctx: Context):
    secret = os.environ["CANARY"]
    file = Path(__FILE__).read_text().strip()
    print("mode", os.environ["MODE"], "length", len(secret))
    for said in (secret, file):
        for form in forms(said):
            print("say", form)
            print("x" * 8_175 + form)  # across the cut of long lines
            logging.getLogger("own").warning("log %s", form)
            sys.stderr.write(form + "\\n")
            ctx.log(form)
        for half in (said[:5], said[5:]):  # across two reads of the pipe
            os.write(1, half.encode())
            time.sleep(0.05)
        os.write(1, b"\\n")
    raise ValueError(" ".join(forms(secret)) + file + "y" * 1_990 + secret)
"""
ENDS = """import os
from headrace import asset

@asset(owner="core", materialize="none", secrets=["CANARY"])
def ends():
    os.write(1, os.environ["CANARY"].encode() + b" last words\\n")
    os.kill(os.getpid(), 9)
"""


def lines(lab: Lab, target: str) -> list[str]:
    return [line["text"] for line in lab.headrace("logs", target)]


def everything_kept(lab: Lab) -> dict[str, bytes]:
    """The data folder's files, and what commands say, each with its bytes."""
    result = {
        str(path): path.read_bytes()
        for path in (lab.root / ".headrace").rglob("*")
        if path.is_file()
    }
    for command in (
        ["status"],
        ["runs", "--failed"],
        ["incidents"],
        ["logs", "tells"],
        ["logs", "ends"],
        ["audit"],
        ["ls"],
    ):
        result[" ".join(command)] = json.dumps(
            lab.headrace(*command, code=None), ensure_ascii=False
        ).encode()
    return result


def leaks(lab: Lab, *secrets: str) -> list[tuple[str, str]]:
    return leaked(everything_kept(lab), *secrets)


def leaked(result: Mapping[str, bytes], *secrets: str) -> list[tuple[str, str]]:
    """(part of a secret, where) for each that stands in a text, or in its name."""
    parts = [part for secret in secrets for part in written(secret)]
    texts = {
        where: where.encode(errors="surrogateescape") + b"\n" + data
        for where, data in result.items()
    }
    return [
        (part, where) for where, data in texts.items() for part in parts if part.encode() in data
    ]


def written(secret: str) -> set[str]:
    """How a secret is looked for: its ends, in URLs, in JSON, and what all three alignments of
    base64 share."""
    coded = set()
    for offset in range(3):
        whole = base64.b64encode(b"x" * offset + secret.encode()).decode()
        inner = whole[4 if offset else 0 : 16]  # as long as no neighbour has a part in it
        coded |= {inner, inner.replace("+", "-").replace("/", "_")}
    urls = {
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        quote(secret, safe="").lower(),
    }
    return {secret, json.dumps(secret)[1:-1], secret[:8], secret[-8:], *urls, *coded}
