"""What functions in the group `headrace.secrets` use: errors of secrets, and a client of Vault.

    from headrace.extension.secrets import SecretMissing, SecretUnreachable

Nothing here imports DuckDB, or a library of a network.
"""

from headrace.model.key_fields import parse_vault_key
from headrace.security.key_problems import KeyProblem, KeyUnreachable
from headrace.security.secrets import SecretMissing, SecretUnreachable
from headrace.security.vault import Vault

__all__ = [
    "KeyProblem",
    "KeyUnreachable",
    "SecretMissing",
    "SecretUnreachable",
    "Vault",
    "parse_vault_key",
]
