"""Secrets in Vault, AWS Secrets Manager, Google Cloud Secret Manager and Azure Key Vault.

    secret://vault/MOUNT/PATH#FIELD      secret://aws/NAME, secret://aws/NAME#KEY
    secret://gcp/PROJECT/NAME            secret://azure/VAULT/NAME

`#KEY` is one text of a secret that is a JSON object. Each function is an entry point in the group
`headrace.secrets`. The clouds' own libraries find the credentials, as their command lines do. TLS
is verified, redirects aren't followed, and no message has a part of a response.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import threading
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from headrace.extension.secrets import (
    KeyProblem,
    KeyUnreachable,
    SecretMissing,
    SecretUnreachable,
    Vault,
    parse_vault_key,
)
from headrace_cloud.secret_lookups import Manager, looked_up

ASK_SECONDS = 10.0
"""Time limit of each connection and read."""
GCP_URL = "https://secretmanager.googleapis.com"
AZURE_URL = "https://{vault}.vault.azure.net"
_AZURE_SCOPE = "https://vault.azure.net/.default"
_GCP_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_PLACE = re.compile(r"([\w.:-]+)/([\w-]+)", re.ASCII)
_AZURE_VAULT = re.compile(r"[a-z0-9-]+", re.ASCII | re.IGNORECASE)
_ARN = re.compile(r"arn:[\w-]+:secretsmanager:([\w-]+):.+", re.ASCII)
_LATER = frozenset({"ThrottlingException", "InternalServiceError", "RequestTimeout"})
"""Codes of AWS after which the same request may succeed."""


def vault(name: str) -> str:
    """Return the field of a secret of Vault's KV engine. Raises SecretMissing."""
    return looked_up(VAULT, name)


def aws(name: str) -> str:
    """Return a secret of AWS Secrets Manager. Raises SecretMissing."""
    return looked_up(AWS, name)


def gcp(name: str) -> str:
    """Return a secret of Google Cloud Secret Manager. Raises SecretMissing."""
    return looked_up(GCP, name)


def azure(name: str) -> str:
    """Return a secret of an Azure Key Vault. Raises SecretMissing."""
    return looked_up(AZURE, name)


# Vault: the variables are those of its command line.

_tokens: dict[tuple[str, str], tuple[float, str]] = {}
"""Address and role → until when a token of AppRole is used, by the monotonic clock, and the token.
"""


def _of_vault(name: str) -> str:
    settings = _vault_settings()
    key = parse_vault_key(f"vault://{name}")
    if key is None:
        raise SecretMissing("can't be read", hint=f"write {VAULT.form}")
    server = Vault(settings)
    try:
        return server.read(key, _vault_token(server, settings))
    except KeyProblem as error:
        _tokens.clear()  # a token may be refused because it was revoked
        kind = SecretUnreachable if isinstance(error, KeyUnreachable) else SecretMissing
        raise kind(f"can't be read: {error}", hint=error.hint) from None


def _vault_settings() -> dict[str, str]:
    """Return the settings of a server of Vault. Raises SecretMissing."""
    address = os.environ.get("VAULT_ADDR", "")
    parts = urlsplit(address)
    if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in _LOOPBACK):
        raise SecretMissing(
            "can't be read: VAULT_ADDR names no server",
            hint="set VAULT_ADDR to https://HOST:8200 where headrace runs; http:// is only for"
            " this machine",
        )
    variables = {
        "vault_address": "VAULT_ADDR",
        "vault_ca": "VAULT_CACERT",
        "vault_namespace": "VAULT_NAMESPACE",
        "vault_role_id": "VAULT_ROLE_ID",
    }
    return {field: value for field, name in variables.items() if (value := os.environ.get(name))}


def _vault_token(server: Vault, settings: dict[str, str]) -> str:
    """Return VAULT_TOKEN, the token of an AppRole login, or that of `vault login`."""
    if token := os.environ.get("VAULT_TOKEN"):
        return token
    if "vault_role_id" in settings and (secret_id := os.environ.get("VAULT_SECRET_ID")):
        login = (settings["vault_address"], settings["vault_role_id"])
        until, token = _tokens.get(login, (0.0, ""))
        if time.monotonic() >= until:
            token, seconds = server.sign_in(secret_id)
            _tokens[login] = (time.monotonic() + seconds / 2, token)
        return token
    with contextlib.suppress(OSError, UnicodeDecodeError, RuntimeError):
        return (Path.home() / ".vault-token").read_text("utf-8").strip()
    raise SecretMissing(
        "can't be read: nothing signs in to Vault",
        hint="set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID, where headrace runs",
    )


# AWS Secrets Manager.

_clients: dict[str | None, Any] = {}
"""Region → client, which renews its credentials."""
_clients_lock = threading.Lock()


def _of_aws(name: str) -> str:
    try:
        from botocore import exceptions
    except ImportError:
        raise _not_installed("boto3", "aws") from None
    identity, _, key = name.partition("#")
    try:
        response = _aws_client(identity).get_secret_value(SecretId=identity)
    except exceptions.ClientError as error:
        _clients.clear()  # other credentials may be there since
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        kind = SecretUnreachable if code in _LATER or status >= 500 else SecretMissing
        raise kind(
            f"can't be read: AWS Secrets Manager answers {code}",
            hint=f"aws secretsmanager describe-secret --secret-id {identity}",
        ) from None
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise _unreachable(AWS, error) from None
    except exceptions.BotoCoreError as error:  # no region, no credentials, a broken profile
        _clients.clear()
        raise SecretMissing(
            f"can't be read: {error}", hint="aws sts get-caller-identity; set AWS_REGION"
        ) from None
    text = response.get("SecretString")
    if text is None:
        raise SecretMissing("is binary", hint="keep it as text, in base64")
    return _part(str(text), key)


def _aws_client(identity: str) -> Any:
    """Return the client for a secret; an ARN names its region."""
    import boto3
    from botocore.config import Config

    arn = _ARN.fullmatch(identity)
    # containers of AWS have AWS_REGION, which boto3 doesn't read
    region = arn[1] if arn else os.environ.get("AWS_REGION")
    with _clients_lock:
        if region not in _clients:
            config = Config(
                connect_timeout=ASK_SECONDS, read_timeout=ASK_SECONDS, retries={"max_attempts": 0}
            )
            _clients[region] = boto3.session.Session().client(
                "secretsmanager", region_name=region, config=config
            )
        return _clients[region]


# Google Cloud Secret Manager and Azure Key Vault: one request each, with a token of their library.


def _of_gcp(name: str) -> str:
    try:
        import google.auth
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.auth.transport.requests import Request
    except ImportError:
        raise _not_installed("google-auth", "gcp") from None
    project, secret, key = _place(GCP, name)
    try:
        credentials, _ = google.auth.default(scopes=[_GCP_SCOPE])
        credentials.refresh(Request())
    except TransportError as error:
        raise _unreachable(GCP, error) from None
    except GoogleAuthError as error:
        raise _not_signed_in(GCP, error, "gcloud auth application-default login") from None
    url = f"{GCP_URL}/v1/projects/{project}/secrets/{secret}/versions/latest:access"
    answer = _answer(GCP, url, str(credentials.token))
    payload = answer.get("payload")
    data = payload.get("data") if isinstance(payload, dict) else None
    try:
        return _part(base64.b64decode(str(data), validate=True).decode(), key)
    except ValueError:
        raise SecretMissing("is binary", hint="keep it as text, in base64") from None


def _of_azure(name: str) -> str:
    try:
        from azure.core.exceptions import AzureError, ServiceRequestError
        from azure.identity import DefaultAzureCredential
    except ImportError:
        raise _not_installed("azure-identity", "azure") from None
    vault_name, secret, key = _place(AZURE, name)
    if not _AZURE_VAULT.fullmatch(vault_name):
        raise SecretMissing("names no vault", hint=f"write {AZURE.form}")
    try:
        with DefaultAzureCredential() as credential:
            token = credential.get_token(_AZURE_SCOPE).token
    except ServiceRequestError as error:
        raise _unreachable(AZURE, error) from None
    except AzureError as error:
        raise _not_signed_in(AZURE, error, "az login") from None
    url = f"{AZURE_URL.format(vault=vault_name)}/secrets/{secret}?api-version=7.4"
    return _part(str(_answer(AZURE, url, token).get("value")), key)


def _place(manager: Manager, name: str) -> tuple[str, str, str]:
    """Return the two names before `#`, and the key behind it."""
    place, _, key = name.partition("#")
    match = _PLACE.fullmatch(place)
    if match is None:
        raise SecretMissing("can't be read", hint=f"write {manager.form}")
    return match[1], match[2], key


def _answer(manager: Manager, url: str, token: str) -> dict[str, Any]:
    """Return the JSON object of a response."""
    try:
        response = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=ASK_SECONDS)
    except httpx.TransportError as error:
        raise _unreachable(manager, error) from None
    with contextlib.suppress(ValueError):
        answer = response.json()
        if response.status_code == HTTPStatus.OK and isinstance(answer, dict):
            return answer
    later = response.status_code == HTTPStatus.TOO_MANY_REQUESTS or response.is_server_error
    kind = SecretUnreachable if later else SecretMissing
    raise kind(
        f"can't be read: {manager.title} answers {response.status_code}",
        hint="check that it is there, and that the identity that headrace runs as may read it",
    )


# What all have in common.


def _part(text: str, key: str) -> str:
    """Return a secret, or one text of it if it is a JSON object and a key is given."""
    if not key:
        return text
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    value = content.get(key) if isinstance(content, dict) else None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise SecretMissing(
            "isn't a JSON object with a text of that key",
            hint="write the reference without #KEY for the whole secret",
        )
    return str(value)


def _not_installed(library: str, extra: str) -> SecretMissing:
    return SecretMissing(
        f"needs the package {library}", hint=f"pip install 'headrace-cloud[{extra}]'"
    )


def _unreachable(manager: Manager, error: Exception) -> SecretUnreachable:
    return SecretUnreachable(
        f"can't be read now: {manager.title} can't be reached ({type(error).__name__})",
        hint=f"check the network between this machine and {manager.title}",
    )


def _not_signed_in(manager: Manager, error: Exception, command: str) -> SecretMissing:
    return SecretMissing(
        f"can't be read: nothing signs in to {manager.title} ({type(error).__name__})", hint=command
    )


VAULT = Manager("vault", "Vault", "secret://vault/MOUNT/PATH#FIELD", _of_vault)
AWS = Manager("aws", "AWS Secrets Manager", "secret://aws/NAME#KEY", _of_aws)
GCP = Manager("gcp", "Google Cloud Secret Manager", "secret://gcp/PROJECT/NAME#KEY", _of_gcp)
AZURE = Manager("azure", "Azure Key Vault", "secret://azure/VAULT/NAME#KEY", _of_azure)
