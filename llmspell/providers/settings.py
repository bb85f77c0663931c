"""What llmspell.toml may say of a provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, field
from typing import Any

from llmspell.frozen import Frozen
from llmspell.providers.quirks import NO_QUIRKS


class RequestSettings(Frozen):
    """How a provider is asked: the settings that its requests are made by.

    The repr shows no headers, query or `extra_body`, which may hold secrets.

    Attributes:
        headers: Sent with every request.
        query: Added to the URL of every request, such as Azure's `api-version`.
        timeout: Seconds to wait for the server's next byte; a whole answer may take longer.
        connect_timeout: Seconds that connecting may take.
        first_timeout: Seconds until the first piece of a streamed answer; by default `timeout`.
        total_timeout: Seconds that a request may take with all its attempts; by default any time.
        max_retries: How often a request no answer began for is sent again.
        concurrency: Requests that may be under way at once; by default any number.
        requests_per_minute: How many may begin in a minute; by default any number.
        extra_body: Put into every request.
    """

    _: KW_ONLY
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 600.0
    connect_timeout: float = 10.0
    first_timeout: float | None = None
    total_timeout: float | None = None
    max_retries: int = 2
    concurrency: int | None = None
    requests_per_minute: float | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict, repr=False)


class ProviderSettings(RequestSettings):
    """`[providers.NAME]` in llmspell.toml: another provider, or changes to a listed one.

    Attributes:
        base_url: What stands before the paths of the protocol, such as `/chat/completions`.
        api_key_env: The environment variable that holds the key.
        share: Whether identical requests that are under way at once are sent only once.
        kind: The wire protocol, one of `llmspell.providers.catalogue.KINDS`.
        quirks: Those of `llmspell.providers.quirks.Quirks` in which it differs from the listed.
    """

    base_url: str | None = None
    api_key_env: str | None = None
    share: bool = False
    kind: str | None = None
    quirks: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        NO_QUIRKS.changed(self.quirks)
