"""The settings of providers in llmspell.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, field
from typing import Any

from llmspell.frozen import Frozen
from llmspell.limits import Seconds
from llmspell.providers.quirks import NO_QUIRKS


class RequestSettings(Frozen):
    """How requests to a provider are made.

    The repr omits headers, query and `extra_body`, which may hold secrets.

    Attributes:
        headers: Headers sent with every request.
        query: Parameters added to every URL, such as Azure's `api-version`.
        timeout: Seconds to wait for the server's next byte; a whole answer may take longer.
        connect_timeout: Seconds that connecting may take.
        first_timeout: Seconds until the first piece of a streamed answer; by default `timeout`.
        total_timeout: Seconds that a request may take, including retries; by default unlimited.
        max_retries: How often a request is retried if no answer to it began.
        concurrency: Requests that may run at once; by default unlimited.
        requests_per_minute: Attempts that may start per minute; by default unlimited.
        extra_body: Fields added to the body of every request.
    """

    _: KW_ONLY
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: Seconds = 600.0
    connect_timeout: Seconds = 10.0
    first_timeout: Seconds | None = None
    total_timeout: Seconds | None = None
    max_retries: int = 2
    concurrency: int | None = None
    requests_per_minute: float | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict, repr=False)


class ProviderSettings(RequestSettings):
    """`[providers.NAME]` in llmspell.toml: another provider, or changes to a listed one.

    Attributes:
        base_url: Prefix of the protocol's paths, such as `/chat/completions`.
        api_key_env: The environment variable that holds the key.
        share: Whether identical concurrent requests are sent only once.
        kind: The wire protocol, one of `llmspell.providers.catalogue.KINDS`.
        quirks: Changes to the provider's `llmspell.providers.quirks.Quirks`.
    """

    base_url: str | None = None
    api_key_env: str | None = None
    share: bool = False
    kind: str | None = None
    quirks: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        NO_QUIRKS.changed(self.quirks)
