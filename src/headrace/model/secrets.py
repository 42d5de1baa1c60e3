"""Secrets, notification services, environment variables, parameters, and the local user.

Secrets are references, never values: `secret://env/NAME`, `secret://file/…`, `secret://keyring/…`,
or `${NAME}`. Messages about a literal secret never repeat it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from headrace.model.errors import Report, shown
from headrace.model.fields import Fields, LocatedMapping, kind_of, plain
from headrace.model.nodes import Body, SqlBody
from headrace.model.plugins import SECRETS, missing_package, plugin_state

# URL schemes of notification services. The list is copied from apprise, because importing apprise
# takes more than a second, too long for `validate`; a test compares the two.

BUILT_IN_SERVICES = frozenset(("file", "http", "https", "mailto", "mailtos", "smtp", "smtps"))
"""Services that Headrace supports without apprise."""
APPRISE_SERVICES = frozenset((
    "46elks", "amqp", "amqps", "apprise", "apprises", "aprs", "atalk", "azure", "bark", "barks",
    "betterstack", "blink1", "bluesky", "brevo", "bsky", "bulksms", "bulkvs", "burstsms",
    "chanify", "clickatell", "clicksend", "cliq", "cm", "d7sms", "dapnet", "dbus", "deltachat",
    "deltachats", "dingtalk", "discord", "dot", "eight00com", "elks", "emby", "embys",
    "enigma2", "enigma2s", "evolution", "evolutions", "exotel", "fcm", "feishu", "firehydrant",
    "flock", "flowtriq", "flowtriqs", "fluxer", "fluxers", "form", "forms", "freemobile",
    "gchat", "gio", "github", "glib", "gnome", "goalert", "goalerts", "gorush", "gorushs",
    "gotify", "gotifys", "groundmail", "groupme", "growl", "guilded", "gupshup", "hassio",
    "hassios", "httpsms", "humhub", "humhubs", "ifttt", "ilert", "incidentio", "infobip", "irc",
    "ircs", "jellyfin", "jellyfins", "jira", "join", "json", "jsons", "kakao", "kakaotalk",
    "kaleyra", "kavenegar", "kde", "klr", "kodi", "kodis", "kook", "kudosity", "kumulos",
    "lametric", "lametrics", "lark", "lauther", "lfg", "line", "macosx", "mailersend",
    "mailgun", "mailto", "mailtos", "mastodon", "mastodons", "matrix", "matrixs", "misskey",
    "misskeys", "mmost", "mmosts", "mobilemessage", "mobilemsg", "mqtt", "mqtts", "msg91",
    "msgbird", "ncloud", "nclouds", "nctalk", "nctalks", "nexmo", "nostr", "notica", "noticas",
    "notifiarr", "notifico", "notificos", "notifyre", "ntfy", "ntfys", "o365", "octopush",
    "onebot", "onebots", "onesignal", "opsgenie", "pagerduty", "pagertree", "parsep", "parseps",
    "pbul", "pinglet", "pinglets", "pingram", "pjet", "pjets", "plivo", "postmark", "pover",
    "prowl", "psafer", "psafers", "push", "pushdeer", "pushdeers", "pushed", "pushme",
    "pushplus", "pushward", "pushy", "qq", "qt", "reddit", "resend", "revolt", "ringc",
    "rocket", "rockets", "rsyslog", "ryver", "schan", "sendgrid", "sendpulse", "serwersms",
    "ses", "session", "sessions", "seven", "sfr", "signal", "signalgrid", "signals", "signl4",
    "simplepush", "sinch", "slack", "smpp", "smpps", "smsc", "smseagle", "smseagles",
    "smsmanager", "smsmgr", "smstunnel", "smtp2go", "sns", "sogs", "sparkpost", "spike",
    "splunk", "spugpush", "spush", "squadcast", "stackfield", "strmlabs", "synology",
    "synologys", "syslog", "telesign", "telnyx", "tgram", "threema", "toot", "toots", "trigv",
    "trigvs", "tweet", "twilio", "twist", "twitter", "vapid", "viber", "victorops", "voipms",
    "vonage", "webex", "wechat", "wecom", "wecombot", "whapi", "whatsapp", "windows",
    "workflow", "workflows", "wpush", "wxpusher", "wxteams", "x", "xbmc", "xbmcs", "xmatters",
    "xml", "xmls", "xmpp", "xmpps", "youlmk", "zalo", "zcliq", "zohocliq", "zoom", "zulip",
))  # fmt: skip
_URL_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


def unknown_service(url: str) -> str | None:
    """Return the scheme of a channel's URL if no service has it.

    Returns None for known schemes, and for URLs whose scheme is part of a secret reference.
    """
    match = _URL_SCHEME.match(url)
    if match is None or match[1].lower() in BUILT_IN_SERVICES | APPRISE_SERVICES:
        return None
    return match[1]


# Secret references, and detection of literal secrets in connections, channels, headers and URLs.

_REFERENCE = re.compile(r"secret://([a-z]{1,20})/\S+", re.ASCII)
_REFERENCE_SCHEME = "secret://"
_KIND = re.compile(r"secret://([a-z]{1,20})/", re.ASCII)
_KINDS = ("env", "file", "keyring")
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_SECRET_WORDS = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "accountkey",
    "sharedkey",
    "credential",
    "authorization",
    "connectionstring",
    "cookie",
    "webhook",
)
_SECRET_NAMES = frozenset({"pass", "pwd", "key", "sas", "dsn"})
_ABOUT_SECRETS = ("path", "file", "name", "type", "ttl", "uri", "endpoint", "env")
"""Endings of fields that describe a secret without containing it, such as `private_key_file`."""
_PASSWORD_IN_URL = re.compile(
    r"[a-z][a-z0-9+.-]*://[^/@\s]*:[^@/\s]+@"
    r"|[?&;](password|passwd|pwd|token|api_?key|access_?key|secret|sig|signature)=[^&\s]",
    re.IGNORECASE,
)
_PUBLIC_SCHEMES = ("mailto:", "mailtos:", "smtp:", "smtps:", "file:")
_REFERENCES = (
    "write secret://env/NAME, secret://file/PATH or secret://keyring/SERVICE/NAME as the whole"
    " value; inside a text write ${NAME}"
)
_HINT = (
    'write "secret://env/NAME", "secret://file/PATH" or "${NAME}", and keep the value out of the'
    " project"
)


def is_reference(value: str) -> bool:
    """Return whether a text is or contains a secret reference."""
    return _REFERENCE.fullmatch(value.strip()) is not None or _VARIABLE.search(value) is not None


def is_address(contact: str) -> bool:
    """Return whether a contact is a URL or an address, rather than the name of a channel."""
    return "://" in contact or contact.startswith(_PUBLIC_SCHEMES)


def is_secret_name(name: str) -> bool:
    """Return whether a field of that name usually contains a secret."""
    word = re.sub(r"[^a-z0-9]", "", name.lower())
    if word.endswith(_ABOUT_SECRETS) or (word.endswith("url") and "webhook" not in word):
        return False
    return word in _SECRET_NAMES or any(secret in word for secret in _SECRET_WORDS)


def is_password_name(name: str) -> bool:
    """Return whether even a number in a field of that name is a secret.

    That holds for a `password`, but not for a `key`, which may mean many things.
    """
    word = re.sub(r"[^a-z0-9]", "", name.lower())
    return is_secret_name(name) and any(part in word for part in ("pass", "pwd", "secret", "token"))


def check_connection(
    where: str, values: Mapping[str, Any], line_of: Mapping[str, int], line: int, report: Report
) -> None:
    """Report literal secrets in a connection and nested tables. `where` names it in messages."""
    for name, value in values.items():
        at = line_of.get(name, line)
        if isinstance(value, Mapping):
            check_connection(f"{where}.{name}", value, getattr(value, "lines", {}), at, report)
        elif isinstance(value, list):
            for item in value:
                check_connection(where, {name: item}, {name: at}, at, report)
        elif isinstance(value, str):
            _check(f"{where}.{name}", name, value, at, report)
        elif (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and is_password_name(name)
        ):
            _refuse(f"{where}.{name}", at, report)


def check_channel(
    where: str, values: Mapping[str, Any], line_of: Mapping[str, int], line: int, report: Report
) -> None:
    """Report literal secrets and unknown services in a notification channel.

    The URL itself is a secret, because anyone who knows it can write to the channel.
    """
    check_connection(where, values, line_of, line, report)
    url = values.get("url")
    if isinstance(url, str) and not _REFERENCE.fullmatch(url) and (scheme := unknown_service(url)):
        report.error(
            "unknown_service",
            line_of.get("url", line),
            f"{shown(where)}: there is no notification service {shown(scheme)}",
            "write https://… for a webhook, smtp://…, file:…, or a URL that apprise knows:"
            " slack://…",
        )
        return
    if (
        isinstance(url, str)
        and not is_reference(url)
        and not url.startswith(_PUBLIC_SCHEMES)
        and not _has_password(url)
    ):
        _refuse(f"{where}.url", line_of.get("url", line), report)


def check_headers(http: LocatedMapping, report: Report) -> None:
    """Report literal secrets in a source's `http:`, in headers, parameters and its URL."""
    check_connection("http", http, http.lines, http.line, report)


def check_url(where: str, url: str, line: int, report: Report) -> None:
    """Report a password or a token in a URL."""
    if _has_password(url):
        _refuse(where, line, report)


def _check(where: str, name: str, value: str, line: int, report: Report) -> None:
    if _REFERENCE_SCHEME in value and not _is_readable(value, report):
        _refuse_reference(where, value, line, report)
    elif value and not is_reference(value) and (_has_password(value) or is_secret_name(name)):
        _refuse(where, line, report)


def _has_password(url: str) -> bool:
    return _PASSWORD_IN_URL.search(url) is not None and not is_reference(url)


def _refuse(where: str, line: int, report: Report) -> None:
    report.error("literal_secret", line, f"{shown(where)} holds a secret itself", _HINT)


def _is_readable(value: str, report: Report) -> bool:
    """Return whether a text is one reference, of a kind that is built in or installed."""
    match = _REFERENCE.fullmatch(value.strip())
    if match is None or match[1] in _KINDS:
        return match is not None
    report.uses_plugin(SECRETS, match[1])
    return bool(plugin_state(SECRETS, match[1]))


def _refuse_reference(where: str, value: str, line: int, report: Report) -> None:
    """Report an invalid reference; the message only repeats its kind: the rest may be a secret."""
    kind = _KIND.match(value.strip())
    text, hint = "a reference to a secret can't be read", _REFERENCES
    if kind is not None and kind[1] not in _KINDS and not plugin_state(SECRETS, kind[1]):
        text = f"there is no kind of secret {kind[1]!r}"
        if package := missing_package(SECRETS, kind[1]):
            text, hint = f"secret://{kind[1]}/ is in another package", f"pip install {package}"
    report.error("literal_secret", line, f"{shown(where)}: {text}", hint)


# Environment variables of asset code: `secrets:` and `environment:` of the asset, and
# `[run] pass_environment`.

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}", re.ASCII)
VARIABLES_MAX = 200
VALUE_CHARACTERS_MAX = 32_000
_RESERVED_PREFIX = "HEADRACE_"


def read_secrets(fields: Fields) -> dict[str, str]:
    """Return the asset's secrets as references by name of the environment variable.

    `secrets:` is `[NAME, …]`, variables of Headrace's own environment, or `{NAME: reference}`.
    """
    written = fields.raw("secrets")
    if not isinstance(written, LocatedMapping):
        return _own_variables(fields)
    inner = Fields(written, fields.report, tuple(written), what="`secrets`")
    results = {}
    for name in written:
        reference = inner.text(name)
        if not _is_variable(fields, "secrets", name) or reference is None:
            continue
        if _VARIABLE.fullmatch(reference.strip()) or _is_readable(reference, fields.report):
            results[name] = reference.strip()
        elif reference.startswith(_REFERENCE_SCHEME):
            _refuse_reference(f"secrets.{name}", reference, inner.line(name), fields.report)
        else:
            inner.refuse(
                name,
                f"the secret {shown(name)} isn't a reference",
                "write secret://env/NAME, secret://file/PATH or secret://keyring/SERVICE/NAME",
                code="literal_secret",
            )
    return results


def read_environment(fields: Fields) -> dict[str, str]:
    """Return environment variables with their values, which are texts or integers, as text."""
    block = fields.block_of("environment")
    if block is None:
        return {}
    if len(block) > VARIABLES_MAX:
        fields.refuse(
            "environment", f"{len(block):,} variables are too many", f"at most {VARIABLES_MAX}"
        )
        return {}
    inner = Fields(block, fields.report, tuple(block), what="`environment`")
    return {
        name: str(value)
        for name, value in block.items()
        if _is_variable(inner, name, name) and _is_variable_value(inner, name, value)
    }


def read_pass_environment(fields: Fields) -> tuple[str, ...]:
    """Return names of environment variables that are passed to all asset code."""
    names = fields.texts("pass_environment")
    return tuple(
        dict.fromkeys(name for name in names if _is_variable(fields, "pass_environment", name))
    )


def _own_variables(fields: Fields) -> dict[str, str]:
    """Return references to variables of Headrace's own environment."""
    names = [_bare(name) for name in fields.texts("secrets")]
    return {name: f"secret://env/{name}" for name in names if _is_variable(fields, "secrets", name)}


_INSTEAD_IN_SQL = {
    "secrets": "bind values as parameters",
    "environment": "bind values as parameters",
    "sandbox": "it reads the lake and nothing else: declare other data as a source",
    "requirements": "it runs in DuckDB: a Python asset can use packages",
}
"""Fields that a SQL asset can't have, with what it does instead."""


def check_environment(fields: Fields, body: Body) -> None:
    """Report an environment of a SQL asset, and names in both `environment` and `secrets`."""
    refused = _INSTEAD_IN_SQL if isinstance(body, SqlBody) else ()
    for name in refused:
        if name in fields:
            message = f"a SQL asset has no {shown(name)}: it runs no code"
            fields.refuse(name, message, _INSTEAD_IN_SQL[name], code="conflicting_fields")
    environment, secrets = fields.raw("environment"), fields.raw("secrets")
    if isinstance(environment, dict) and isinstance(secrets, dict | list):
        for name in [name for name in environment if name in secrets]:
            fields.refuse(
                "environment",
                f"{shown(name)} is in `secrets`, too",
                "keep one of them",
                code="conflicting_fields",
            )


def _is_variable(fields: Fields, field: str, name: str) -> bool:
    if not VARIABLE.fullmatch(name):
        fields.refuse(
            field,
            f"{shown(name)} can't be an environment variable",
            "letters, digits and `_`, no digit first",
            code="bad_name",
        )
    elif name.startswith(_RESERVED_PREFIX):
        message = f"names that begin with {_RESERVED_PREFIX} are Headrace's own"
        fields.refuse(
            field, message, f"choose another name than {shown(name)}", code="reserved_name"
        )
    else:
        return True
    return False


def _is_variable_value(fields: Fields, name: str, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int):
        fields.refuse(
            name,
            f"the variable {shown(name)} can't be {kind_of(value)}",
            f'put it in quotes: {name}: "…"',
            code="wrong_type",
        )
    elif isinstance(value, str) and is_reference(value):
        hint = f"move {name} to `secrets`, which hands over its value and keeps it out of logs"
        fields.refuse(name, f"the variable {shown(name)} refers to a secret", hint)
    elif is_password_name(name) or (isinstance(value, str) and value and is_secret_name(name)):
        hint = f"move {name} to `secrets`, and keep the value out of the project"
        fields.refuse(
            name, f"the variable {shown(name)} holds a secret itself", hint, code="literal_secret"
        )
    elif "\0" in str(value) or len(str(value)) > VALUE_CHARACTERS_MAX:
        fields.refuse(
            name,
            f"the variable {shown(name)} is too long, or has a NUL in it",
            f"at most {VALUE_CHARACTERS_MAX:,} characters",
        )
    else:
        return True
    return False


def _bare(name: str) -> str:
    """Return NAME for `${NAME}`, and other texts unchanged."""
    return name[2:-1] if name.startswith("${") and name.endswith("}") else name


# `parameters:`: values that are bound as `$name`. They are never inserted into a statement's text.

PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
PARAMETERS_MAX = 1_000
_RESERVED_PARAMETERS = frozenset({"partition_start", "partition_end", "partition_key", "self"})


def read_parameters(fields: Fields) -> dict[str, Any]:
    """Return the parameters: texts, numbers, booleans, and lists of those."""
    block = fields.block_of("parameters")
    if block is None:
        return {}
    if len(block) > PARAMETERS_MAX:
        fields.refuse(
            "parameters", f"{len(block):,} parameters are too many", f"at most {PARAMETERS_MAX:,}"
        )
        return {}
    inner = Fields(block, fields.report, tuple(block), what="`parameters`")
    return {
        name: plain(value)
        for name, value in block.items()
        if _is_parameter_value(inner, name, value)
    }


def _is_parameter_value(fields: Fields, name: str, value: Any) -> bool:
    if not PARAMETER_NAME.fullmatch(name):
        fields.refuse(
            name,
            f"{shown(name)} can't be a parameter",
            "letters, digits and `_`, because it is bound as $name",
            code="bad_name",
        )
    elif name.lower() in _RESERVED_PARAMETERS:
        fields.refuse(
            name, f"`${name}` means something already", "choose another name", code="reserved_name"
        )
    elif (
        value is None
        or isinstance(value, dict)
        or (isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value))
    ):
        fields.refuse(
            name,
            f"the parameter {shown(name)} can't be {kind_of(value)}",
            "a text, a number, true or false, or a list of those",
            code="wrong_type",
        )
    else:
        return True
    return False
