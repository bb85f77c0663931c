"""Determines a provider's endpoint from the catalogue, the settings and the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields, replace
from importlib import import_module
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llmspell.errors import ConfigError, UnknownEffect
from llmspell.providers.catalogue import CATALOGUE, KINDS, Listed
from llmspell.providers.quirks import NO_QUIRKS, Quirks
from llmspell.providers.redaction import secrets_in
from llmspell.providers.settings import ProviderSettings, RequestSettings
from llmspell.suggestions import similar

if TYPE_CHECKING:
    import httpx2

    from llmspell.providers.provider import Provider


class Endpoint(RequestSettings):
    """A provider's address, key and request settings. The repr omits the key too.

    Attributes:
        key_env: The environment variable of the key, set or not; None if no key is needed.
    """

    name: str
    base_url: str
    key_env: str | None = None
    key: str | None = field(default=None, repr=False)
    kind: str = "openai"
    quirks: Quirks = NO_QUIRKS

    @property
    def secrets(self) -> list[str]:
        """The values that must not be shown."""
        return secrets_in(self.key, {**self.headers, **self.query})


def check_known(name: str, settings: Mapping[str, ProviderSettings]) -> None:
    """Raise UnknownEffect if neither the settings nor the catalogue have a provider `name`."""
    if name in CATALOGUE or name in settings:
        return
    error = UnknownEffect("provider", name, similar(name, sorted({*CATALOGUE, *settings})))
    if error.hint is None:
        error.hint = "list them with: llmspell providers"
    raise error


def endpoint(
    name: str, settings: Mapping[str, ProviderSettings], environ: Mapping[str, str]
) -> Endpoint:
    """Return the endpoint of a provider, from config, the environment and the catalogue.

    `[providers.NAME] base_url` takes precedence over the variable `NAME_BASE_URL`, and that over
    the catalogue; `OLLAMA_HOST` also works for ollama, and `AZURE_OPENAI_ENDPOINT` for azure. If
    `openai` has a base URL that is not OpenAI's, it is asked by chat completions with `max_tokens`,
    which all compatible servers know, unless the settings say otherwise.

    Raises:
        UnknownEffect: Neither config nor the catalogue has that name.
        ConfigError: The base URL, key or headers cannot be used.
    """
    listed = CATALOGUE.get(name)
    own = settings.get(name)
    check_known(name, settings)
    own = own or ProviderSettings()
    elsewhere = own.base_url or environ.get(_variable(name)) or _own_variable(name, environ)
    listed = listed or Listed("")
    base_url = (elsewhere or listed.base_url).rstrip("/")
    key_env, key = _key((own.api_key_env,) if own.api_key_env else listed.keys, environ)
    kind, quirks = listed.kind, listed.quirks
    if name == "openai" and not _is_openais(base_url):
        kind, quirks = "openai", replace(quirks, max_tokens_field="max_tokens")
    _check(name, base_url, key_env, key, own)
    asked = {setting.name: getattr(own, setting.name) for setting in fields(RequestSettings)}
    return Endpoint(
        name,
        base_url,
        key_env,
        key,
        kind=own.kind or kind,
        quirks=quirks.changed(own.quirks),
        **asked,
    )


def open_provider(
    name: str,
    settings: Mapping[str, ProviderSettings],
    environ: Mapping[str, str],
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> Provider:
    """Create the provider of that name. See `endpoint` for how its address is determined."""
    found = endpoint(name, settings, environ)
    module, _, name = KINDS[found.kind].partition(":")
    provider: Provider = getattr(import_module(module), name)(found, transport=transport)
    return provider


def _is_openais(base_url: str) -> bool:
    try:
        host = urlsplit(base_url).hostname or ""
    except ValueError:
        return False
    return f".{host}".endswith(".api.openai.com")  # eu.api.openai.com keeps data in the EU


def _variable(name: str) -> str:
    return f"{name.upper().replace('-', '_')}_BASE_URL"


def _key(variables: tuple[str, ...], environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return the key's variable and the key; without a key, the preferred variable and None."""
    for variable in variables:
        if key := environ.get(variable, "").strip():
            return variable, key
    return (variables[0] if variables else None), None


def _own_variable(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the base URL in the variable that the provider's own tools read."""
    if name == "ollama":
        return _ollama_host(environ.get("OLLAMA_HOST", "").strip().rstrip("/"))
    if name == "azure" and (resource := environ.get("AZURE_OPENAI_ENDPOINT", "").strip()):
        return resource.rstrip("/") + "/openai/v1"
    return None


def _ollama_host(host: str) -> str | None:
    """Return `OLLAMA_HOST` as a base URL. Like Ollama, accept it without scheme, host or port."""
    if not host:
        return None
    if "://" not in host:
        host = f"http://{host}"
        if not _port(host):
            host += ":11434"
    # Servers may listen on 0.0.0.0, but not every system lets clients connect to it.
    host = host.replace("://0.0.0.0", "://localhost", 1).replace("://:", "://localhost:", 1)
    return f"{host}/v1"


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return None


def _check(
    name: str, base_url: str, key_env: str | None, key: str | None, own: ProviderSettings
) -> None:
    """Raise ConfigError for unusable settings. The message shows none of the values."""
    missing = "base_url is required" + (", or AZURE_OPENAI_ENDPOINT" if name == "azure" else "")
    problems = _url_problems(base_url) if base_url else [missing]
    hint = _HINT_ON_URLS if problems else None
    # Checked here because the HTTP library quotes an invalid header value in its error.
    if key and not _printable(key):
        problems.append(f"the key in {key_env} has characters that are not allowed in a key")
    problems += [
        f"the header {header!r} has characters that are not allowed in a header"
        for header, text in own.headers.items()
        if not _printable(header) or not _printable(text)
    ]
    problems += [
        f"{n} must be more than {zero}" for n, zero in _MUST_EXCEED.items() if _is_too_low(own, n)
    ]
    if own.max_retries < 0:
        problems.append("max_retries must be 0 or more")
    if own.kind is not None and own.kind not in KINDS:
        problems.append(f"kind must be {' or '.join(KINDS)}")
    if problems:
        raise ConfigError(f"[providers.{name}]", problems, hint=hint)


_HINT_ON_URLS = "a base URL looks like https://api.example.com/v1; put keys into api_key_env"
_MUST_EXCEED = dict.fromkeys(
    ("timeout", "connect_timeout", "first_timeout", "total_timeout"), "0 seconds"
) | dict.fromkeys(("concurrency", "requests_per_minute"), "0")


def _is_too_low(own: ProviderSettings, name: str) -> bool:
    value = getattr(own, name)
    return value is not None and not value > 0


def _url_problems(url: str) -> list[str]:
    not_a_url = ["the base URL is not a URL"]
    if " " in url or not url.isprintable():  # urlsplit removes some of these characters
        return not_a_url
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return not_a_url
    problems = [] if usable else ["the base URL must begin with http:// or https:// and a host"]
    if "@" in parts.netloc:
        problems.append("the base URL must not contain a user or password")
    if parts.query or parts.fragment:
        problems.append("the base URL must not contain a query")
    return problems


def _printable(text: str) -> bool:
    return text.isascii() and text.isprintable()
