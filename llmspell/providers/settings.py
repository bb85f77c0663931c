"""What llmspell.toml may say of a provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ProviderSettings:
    """`[providers.NAME]` in llmspell.toml: another provider, or changes to a listed one.

    Its repr shows neither headers nor `extra_body`, which may hold secrets.

    Attributes:
        base_url: What stands before the paths of the protocol, such as `/chat/completions`.
        api_key_env: The environment variable that holds the key.
        headers: Sent with every request.
        timeout: Seconds to wait for the server's next byte; a whole answer may take longer.
        extra_body: Put into every request.
        max_tokens_field: See `llmspell.providers.catalogue.Listed`.
        kind: The wire protocol, one of `llmspell.providers.catalogue.KINDS`.
    """

    base_url: str | None = None
    api_key_env: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 600.0
    extra_body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    max_tokens_field: str | None = None
    kind: str | None = None
