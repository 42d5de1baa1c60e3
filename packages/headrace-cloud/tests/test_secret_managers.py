"""Secrets of secret managers, read from servers on the loopback address (`secret_servers.py`)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from secret_servers import TOKEN, Bao, answering, google, microsoft

from headrace.model.errors import Report
from headrace.model.fields import load_toml
from headrace.model.settings import read_settings
from headrace.security.secrets import SecretMissing, Secrets, SecretUnreachable
from headrace_cloud import secret_lookups, secret_managers

moto_server = pytest.importorskip("moto.server")
boto3 = pytest.importorskip("boto3")

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning",
    "ignore::DeprecationWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
VARIABLES = ("VAULT_ADDR", "VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_SECRET_ID", "VAULT_NAMESPACE",
             "VAULT_CACERT", "AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "GOOGLE_APPLICATION_CREDENTIALS",
             "IDENTITY_ENDPOINT", "AZURE_CLIENT_ID")  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HOME", str(tmp_path))
    forget()
    yield
    forget()


def forget() -> None:
    secret_lookups._lookups.clear()
    secret_lookups._silent_since.clear()
    secret_managers._tokens.clear()
    secret_managers._clients.clear()


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    server = Bao(tmp_path_factory.mktemp("bao"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def vault(bao: Bao, monkeypatch: pytest.MonkeyPatch) -> Bao:
    monkeypatch.setenv("VAULT_ADDR", bao.address)
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    bao.put("bank/db", password="first-canary-1", port=5432)
    return bao


@pytest.fixture(scope="module")
def aws_url() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


def read(reference: str) -> str:
    return str(Secrets(Path()).resolved(reference))


def refused(reference: str) -> SecretMissing:
    with pytest.raises(SecretMissing) as caught:
        read(reference)
    assert reference.partition("#")[0] in str(caught.value)
    assert "canary" not in f"{caught.value} {caught.value.hint}"
    return caught.value


# Vault


def test_a_field_of_vault_and_its_rotation(vault: Bao, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a path that isn't that of KV version 2, a value that is asked for at each use,
    or one that is kept for as long as the process lives."""
    assert read("secret://vault/secret/bank/db#password") == "first-canary-1"
    vault.put("bank/db", password="second-canary-2")
    assert read("secret://vault/secret/bank/db#password") == "first-canary-1"
    monkeypatch.setattr(secret_lookups, "CACHE_SECONDS", 0.0)
    assert read("secret://vault/secret/bank/db#password") == "second-canary-2"
    assert read("secret://vault/secret/bank/db?version=1#password")


def test_what_vault_doesnt_have(vault: Bao) -> None:
    """Would catch: a refusal that is retried, without the secret's name, or with another's value."""
    assert "404" in str(refused("secret://vault/secret/bank/none#password"))
    assert "no text user" in str(refused("secret://vault/secret/bank/db#user"))
    assert "MOUNT/PATH#FIELD" in str(refused("secret://vault/secret/bank/db").hint)
    assert not refused("secret://vault/secret/bank/db#user").transient


def test_vault_by_approle(vault: Bao, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a login for each secret, which leaves thousands of tokens, and a revoked token
    that is used until it would have expired."""
    policy = 'path "secret/data/bank/*" { capabilities = ["read"] }'
    vault.ask("POST", "sys/policies/acl/bank", policy=policy)
    vault.ask("POST", "sys/auth/approle", type="approle")
    vault.ask("POST", "auth/approle/role/headrace", token_policies=["bank"], token_ttl="1h")
    role = vault.ask("GET", "auth/approle/role/headrace/role-id").json()["data"]["role_id"]
    secret = vault.ask("POST", "auth/approle/role/headrace/secret-id").json()["data"]["secret_id"]
    monkeypatch.delenv("VAULT_TOKEN")
    monkeypatch.setenv("VAULT_ROLE_ID", role)
    monkeypatch.setenv("VAULT_SECRET_ID", secret)
    assert read("secret://vault/secret/bank/db#password") == "first-canary-1"
    [(_, token)] = secret_managers._tokens.values()
    assert "403" in str(refused("secret://vault/secret/other/x#password"))
    secret_managers._tokens[vault.address, role] = (float("inf"), token)
    vault.ask("POST", "auth/token/revoke", token=token)
    assert "403" in str(refused("secret://vault/secret/bank/db?version=1#password"))
    secret_lookups._lookups.clear()
    assert read("secret://vault/secret/bank/db#password") == "first-canary-1"
    [(_, renewed)] = secret_managers._tokens.values()
    assert renewed != token


def test_vault_by_the_token_of_its_login(vault: Bao, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: `vault login` that isn't enough, or nothing that says what is missing."""
    monkeypatch.delenv("VAULT_TOKEN")
    assert "VAULT_ROLE_ID" in str(refused("secret://vault/secret/bank/db#password").hint)
    Path("~/.vault-token").expanduser().write_text(TOKEN)
    secret_lookups._lookups.clear()
    assert read("secret://vault/secret/bank/db#password") == "first-canary-1"


@pytest.mark.long
def test_a_vault_that_is_sealed_or_away_may_come_back(
    vault: Bao, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Would catch: an outage that fails the attempts until somebody changes something."""
    own = Bao(tmp_path)
    monkeypatch.setenv("VAULT_ADDR", own.address)
    monkeypatch.setattr(secret_lookups, "CACHE_SECONDS", 0.0)
    own.start()
    try:
        own.put("bank/db", password="first-canary-1")
        own.ask("POST", "sys/seal")
        sealed = refused("secret://vault/secret/bank/db#password")
        assert isinstance(sealed, SecretUnreachable) and "sealed" in str(sealed)
    finally:
        own.stop()
    away = refused("secret://vault/secret/bank/db#password")
    assert isinstance(away, SecretUnreachable) and "can't be reached" in str(away)


@pytest.mark.parametrize("address", ["", "http://vault.example:8200", "vault.example", "file:///x"])
def test_no_token_goes_out_in_the_clear(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a token that is sent over a network without TLS."""
    monkeypatch.setenv("VAULT_ADDR", address)
    assert "https://" in str(refused("secret://vault/secret/bank/db#password").hint)


# AWS


@pytest.mark.long
def test_aws(aws_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a name with slashes, a key of JSON or the region of an ARN that is misread, and
    a secret that was deleted in the middle of the day."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setattr(secret_lookups, "CACHE_SECONDS", 0.0)
    client = boto3.client("secretsmanager")
    client.create_secret(
        Name="prod/db", SecretString=json.dumps({"password": "p-canary", "port": 5432})
    )
    arn = client.create_secret(Name="prod/token", SecretString="t-canary")["ARN"]
    client.create_secret(Name="prod/binary", SecretBinary=b"b-canary")
    assert read("secret://aws/prod/db#password") == "p-canary"
    assert read("secret://aws/prod/db#port") == "5432"
    assert read("secret://aws/prod/token") == "t-canary"
    client.put_secret_value(SecretId="prod/token", SecretString="u-canary")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    secret_managers._clients.clear()
    assert read(f"secret://aws/{arn}") == "u-canary"
    assert "region" in str(refused("secret://aws/prod/token"))
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert "isn't a JSON object" in str(refused("secret://aws/prod/token#x"))
    assert "isn't a JSON object" in str(refused("secret://aws/prod/db#none"))
    assert "binary" in str(refused("secret://aws/prod/binary"))
    client.delete_secret(SecretId="prod/token", ForceDeleteWithoutRecovery=True)
    gone = refused("secret://aws/prod/token")
    assert "ResourceNotFoundException" in str(gone) and not gone.transient
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert isinstance(refused("secret://aws/prod/db#password"), SecretUnreachable)


# Google Cloud and Azure


@pytest.fixture
def private_key() -> str:
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.long
def test_gcp(private_key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Would catch: a request that isn't `versions:access`, data that stays in base64."""
    pytest.importorskip("google.auth")
    secrets = {"projects/acme/secrets/db": '{"password": "g-canary"}'}
    with answering(google(secrets)) as url:
        account = {"type": "service_account", "client_email": "headrace@acme.example",
                   "private_key": private_key, "token_uri": f"{url}/token"}  # fmt: skip
        (tmp_path / "account.json").write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
        monkeypatch.setattr(secret_managers, "GCP_URL", url)
        assert read("secret://gcp/acme/db#password") == "g-canary"
        assert read("secret://gcp/acme/db") == secrets["projects/acme/secrets/db"]
        assert "404" in str(refused("secret://gcp/acme/none"))
        assert "PROJECT/NAME" in str(refused("secret://gcp/acme").hint)
        assert "PROJECT/NAME" in str(refused("secret://gcp/acme/db/../other").hint)
    secret_lookups._lookups.clear()
    assert isinstance(refused("secret://gcp/acme/db#password"), SecretUnreachable)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    secret_lookups._lookups.clear()
    assert "gcloud auth" in str(refused("secret://gcp/acme/db").hint)


def test_azure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: another audience than Key Vault's, a path that isn't that of a secret."""
    pytest.importorskip("azure.identity")
    with answering(microsoft({"db-password": "z-canary"})) as url:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}/identity")
        monkeypatch.setenv("IDENTITY_HEADER", "x")
        monkeypatch.setattr(secret_managers, "AZURE_URL", url)
        assert read("secret://azure/acme/db-password") == "z-canary"
        assert "404" in str(refused("secret://azure/acme/none"))
        assert "names no vault" in str(refused("secret://azure/evil.example:1/x"))


# What all have in common


def test_a_manager_that_says_nothing_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a leader that waits for each of twenty secrets until its lease is gone, and an
    answer that comes late and is thrown away."""
    answer, asked = threading.Event(), []

    def slow(name: str) -> str:
        asked.append(name)
        answer.wait()
        return f"{name}-canary"

    manager = secret_lookups.Manager("slow", "Slow", "secret://slow/NAME", slow)
    monkeypatch.setattr(secret_lookups, "WAIT_SECONDS", 0.01)
    for name in ("a", "b", "a"):
        with pytest.raises(SecretUnreachable, match=f"secret://slow/{name} .* 0.01 s"):
            secret_lookups.looked_up(manager, name)
    assert asked == ["a", "b"]
    answer.set()
    for lookup in secret_lookups._lookups.values():
        lookup.answer(30)
    assert secret_lookups.looked_up(manager, "a") == "a-canary"
    assert asked == ["a", "b"]


def test_words_of_a_library_are_nobodys_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a value in the message of an exception that nobody expected."""
    manager = secret_lookups.Manager("odd", "Odd", "secret://odd/NAME", lambda name: str(1 / 0))
    with pytest.raises(SecretMissing, match=r"secret://odd/x can't be read from Odd: ZeroDivision"):
        secret_lookups.looked_up(manager, "x")


def test_validate_knows_the_kinds() -> None:
    """Would catch: `secret://vault/…` that is refused, or a kind that nobody has."""
    text = '[project]\nname = "x"\n[connections.a]\npassword = "secret://{}/x/y#z"\n'
    for kind, count in (("vault", 0), ("aws", 0), ("gcp", 0), ("azure", 0), ("chest", 1)):
        report = Report("headrace.toml")
        document = load_toml(text.format(kind), report)
        assert document is not None
        read_settings(document, report)
        assert len(report.problems) == count, report.problems
