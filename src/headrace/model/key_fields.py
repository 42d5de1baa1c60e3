"""`[keys]` of headrace.toml: where the root key of masks is, and how Vault is reached."""

from __future__ import annotations

import re
from typing import NamedTuple

from headrace.model.fields import Fields
from headrace.model.secrets import is_reference

ROOT_FIELDS = ("root", "previous")
_SECRET_FIELDS = ("vault_token", "vault_secret_id")
KEY_FIELDS = (
    *ROOT_FIELDS,
    "vault_address",
    "vault_ca",
    "vault_namespace",
    *_SECRET_FIELDS,
    "vault_role_id",
    "vault_auth",
)
_VAULT = "vault://"
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-fA-F:.]+\]|[\w.-]+)(?::[1-9]\d{0,4})?(?:/[\w./-]*)?",
    re.ASCII,
)
_LOOPBACK = ("127.0.0.1", "[::1]", "localhost")
_REFERENCE = re.compile(
    r"vault://(?P<mount>[\w.-]+)/(?P<path>[\w.-]+(?:/[\w.-]+)*)"
    r"(?:\?version=(?P<version>[1-9]\d{0,8}))?#(?P<field>[\w.-]+)",
    re.ASCII,
)


class VaultKey(NamedTuple):
    """A field of a secret of Vault's KV engine; `version` is None for the newest one."""

    mount: str
    path: str
    field: str
    version: int | None


def is_vault_key(text: str) -> bool:
    """Return whether a reference names a key in Vault, rightly or not."""
    return text.strip().startswith(_VAULT)


def parse_vault_key(text: str) -> VaultKey | None:
    """Return the key that `vault://MOUNT/PATH#FIELD` names; None if it can't be read."""
    match = _REFERENCE.fullmatch(text.strip())
    if match is None or {".", ".."} & {match["mount"], *match["path"].split("/")}:
        return None
    version = match["version"]
    return VaultKey(
        match["mount"], match["path"], match["field"], None if version is None else int(version)
    )


def read_keys(fields: Fields) -> dict[str, str] | None:
    """Return `[keys]`; report a value that isn't a reference: it may be the key itself."""
    results = {name: text for name in KEY_FIELDS if (text := _field_text(fields, name)) is not None}
    if "previous" in results and "root" not in results:
        fields.refuse(
            "previous", "[keys] has `previous` and no `root`", "name the new key as `root`"
        )
    _check_vault(fields, results)
    return results or None


def _field_text(fields: Fields, name: str) -> str | None:
    """Return one field; report what it can't be."""
    text = fields.text(name) if name in fields else None
    if text is None:
        return None
    if name == "vault_address":
        return text if _is_safe(fields, text) else None
    if name in ROOT_FIELDS and is_vault_key(text):
        if parse_vault_key(text) is not None:
            return text
        fields.refuse(
            name,
            f"`{name}` of [keys] names no field of a secret in Vault",
            "write vault://MOUNT/PATH#FIELD, or vault://MOUNT/PATH?version=3#FIELD",
        )
    elif name in (*ROOT_FIELDS, *_SECRET_FIELDS) and not is_reference(text):
        fields.refuse(
            name,
            f"`{name}` of [keys] must be a reference: keys never stand in files of the project",
            'write root = "secret://file//etc/headrace/root.key", or secret://env/NAME',
        )
    else:
        return text
    return None


def _is_safe(fields: Fields, text: str) -> bool:
    """Whether an address is one of HTTPS, or of this machine; report it if not."""
    match = _ADDRESS.fullmatch(text)
    if match is not None and (match["scheme"] == "https" or match["host"] in _LOOPBACK):
        return True
    fields.refuse(
        "vault_address",
        "`vault_address` of [keys] must be an address of HTTPS",
        "write https://HOST:8200; http:// is only for Vault on this machine",
    )
    return False


def _check_vault(fields: Fields, results: dict[str, str]) -> None:
    """Report what is missing to read a key in Vault."""
    used = [name for name in ROOT_FIELDS if is_vault_key(results.get(name, ""))]
    if not used:
        return
    if "vault_address" not in results and "vault_address" not in fields:
        fields.refuse(
            used[0], "[keys] has no `vault_address`", 'vault_address = "https://HOST:8200"'
        )
    approle = {"vault_role_id", "vault_secret_id"}
    given = {name for name in (*approle, "vault_token") if name in fields}
    if given not in ({"vault_token"}, approle):
        fields.refuse(
            used[0],
            "[keys] must have `vault_token`, or both `vault_role_id` and `vault_secret_id`",
            'vault_token = "secret://env/VAULT_TOKEN"',
        )
