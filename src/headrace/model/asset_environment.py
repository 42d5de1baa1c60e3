"""What an asset's code is given of its environment: `secrets:` and `environment:`, and `[run] pass_environment`."""

from __future__ import annotations

import re
from typing import Any

from headrace.model.documents import LocatedMapping, kind_of
from headrace.model.fields import Fields
from headrace.model.nodes import Body, SqlBody
from headrace.model.reporting import shown
from headrace.model.secrets import is_password_name, is_reference, is_secret_name

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}", re.ASCII)
VARIABLES_MAX = 200
VALUE_CHARACTERS_MAX = 32_000
_OURS = "HEADRACE_"
_ONE_REFERENCE = re.compile(r"secret://(env|file|keyring)/\S+|\$\{[A-Za-z_][A-Za-z0-9_]*\}", re.ASCII)


def read_secrets(fields: Fields) -> dict[str, str]:
    """`[NAME, …]`: secrets of these names of Headrace's own environment; or `{NAME: reference}`. Name → reference."""
    written = fields.raw("secrets")
    if not isinstance(written, LocatedMapping):
        names = [_bare(name) for name in fields.texts("secrets")]
        return {name: f"secret://env/{name}" for name in names if _is_variable(fields, "secrets", name)}
    inner = Fields(written, fields.report, tuple(written), what="`secrets`")
    results = {}
    for name in written:
        reference = inner.text(name)
        if not _is_variable(fields, "secrets", name) or reference is None:
            continue
        if _ONE_REFERENCE.fullmatch(reference.strip()):
            results[name] = reference.strip()
        else:
            inner.refuse(
                name, f"the secret {shown(name)} isn't a reference",
                "write secret://env/NAME, secret://file/PATH or secret://keyring/SERVICE/NAME", code="literal_secret",
            )  # fmt: skip
    return results


def read_environment(fields: Fields) -> dict[str, str]:
    """Variables with their values: texts and whole numbers."""
    block = fields.block_of("environment")
    if block is None:
        return {}
    if len(block) > VARIABLES_MAX:
        fields.refuse("environment", f"{len(block):,} variables are too many", f"at most {VARIABLES_MAX}")
        return {}
    inner = Fields(block, fields.report, tuple(block), what="`environment`")
    return {
        name: str(value) for name, value in block.items() if _is_variable(inner, name, name) and _is_value(inner, name, value)
    }  # fmt: skip


def read_pass_environment(fields: Fields) -> tuple[str, ...]:
    """Names of variables that all asset code gets."""
    names = fields.texts("pass_environment")
    return tuple(dict.fromkeys(name for name in names if _is_variable(fields, "pass_environment", name)))


def check_environment(fields: Fields, body: Body) -> None:
    """Report what can't be meant: a SQL asset has no environment, and one name has one value."""
    if isinstance(body, SqlBody):
        for name in ("secrets", "environment"):
            if name in fields:
                message = f"a SQL asset has no {shown(name)}: it runs no code"
                fields.refuse(name, message, "bind values as parameters", code="conflicting_fields")
    environment, secrets = fields.raw("environment"), fields.raw("secrets")
    if isinstance(environment, dict) and isinstance(secrets, dict | list):
        for name in [name for name in environment if name in secrets]:
            fields.refuse("environment", f"{shown(name)} is in `secrets`, too", "keep one of them", code="conflicting_fields")


def _is_variable(fields: Fields, field: str, name: str) -> bool:
    if not VARIABLE.fullmatch(name):
        fields.refuse(field, f"{shown(name)} can't be an environment variable", "letters, digits and `_`, no digit first", code="bad_name")
    elif name.startswith(_OURS):
        message = f"names that begin with {_OURS} are Headrace's own"
        fields.refuse(field, message, f"choose another name than {shown(name)}", code="reserved_name")
    else:
        return True
    return False


def _is_value(fields: Fields, name: str, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int):
        fields.refuse(
            name, f"the variable {shown(name)} can't be {kind_of(value)}", f'put it in quotes: {name}: "…"', code="wrong_type"
        )  # fmt: skip
    elif isinstance(value, str) and is_reference(value):
        hint = f"move {name} to `secrets`, which hands over its value and keeps it out of logs"
        fields.refuse(name, f"the variable {shown(name)} refers to a secret", hint)
    elif is_password_name(name) or (isinstance(value, str) and value and is_secret_name(name)):
        hint = f"move {name} to `secrets`, and keep the value out of the project"
        fields.refuse(name, f"the variable {shown(name)} holds a secret itself", hint, code="literal_secret")
    elif "\0" in str(value) or len(str(value)) > VALUE_CHARACTERS_MAX:
        fields.refuse(name, f"the variable {shown(name)} is too long, or has a NUL in it", f"at most {VALUE_CHARACTERS_MAX:,} characters")
    else:
        return True
    return False


def _bare(name: str) -> str:
    """`${NAME}` means NAME."""
    return name[2:-1] if name.startswith("${") and name.endswith("}") else name
