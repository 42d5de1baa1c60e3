"""`[keys]` of headrace.toml: what names a root key, and what is missing to read one in Vault."""

from __future__ import annotations

import pytest
from modellab import Parse, told

HEAD = '[project]\nname = "bank"\n[keys]\n'
ADDRESS = 'vault_address = "https://vault.example.com:8200"\n'
TOKEN = 'vault_token = "secret://env/VAULT_TOKEN"\n'
ROOT = 'root = "vault://secret/headrace/root#key"\n'
ROLE = 'vault_role_id = "r-1"\nvault_secret_id = "secret://file//run/id"\nvault_auth = "hr"\n'


@pytest.mark.parametrize(
    "text",
    [
        'root = "secret://env/ROOT"\nprevious = "secret://file/old.key"\n',
        ROOT + ADDRESS + TOKEN,
        ROOT + ADDRESS + ROLE + 'vault_namespace = "team"\nvault_ca = "/etc/ssl/vault.pem"\n',
        'root = "vault://kv/a/b?version=3#k"\nprevious = "vault://kv/a/b?version=2#k"\n'
        'vault_address = "http://127.0.0.1:8200"\n' + TOKEN,
    ],
)
def test_keys_that_are_understood(text: str, parse: Parse) -> None:
    """Would catch: a source of root keys that is documented and refused."""
    assert parse("headrace.toml", HEAD + text).problems == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('root = "0123456789abcdef"\n', 4),
        ('previous = "secret://env/OLD"\n', 4),
        ('root = "vault://secret#key"\n' + ADDRESS + TOKEN, 4),
        (ROOT + TOKEN, 4),
        (ROOT + ADDRESS, 4),
        (ROOT + ADDRESS + 'vault_role_id = "r"\n', 4),
        (ROOT + ADDRESS + TOKEN + ROLE, 4),
        (ROOT + TOKEN + 'vault_address = "http://vault.example.com"\n', 6),
        (ROOT + TOKEN + 'vault_address = "https://u:p@vault.example.com"\n', 6),
        (ROOT + TOKEN + 'vault_address = "https://vault.example.com:x"\n', 6),
        (ROOT + ADDRESS + 'vault_token = "hvs.canary"\n', 6),
    ],
)
def test_keys_that_are_refused(text: str, line: int, parse: Parse) -> None:
    """Would catch: a key or token in a file of the project, a key that is sent in the clear, or a
    message that repeats one of them."""
    problems = parse("headrace.toml", HEAD + text).problems
    assert f"wrong_value headrace.toml:{line}" in told(problems), problems
    said = " ".join(f"{problem.message} {problem.hint}" for problem in problems)
    assert "hvs.canary" not in said and "0123456789abcdef" not in said
