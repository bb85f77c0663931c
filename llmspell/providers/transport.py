"""The way to one endpoint: connections that are kept, and the proxy that leads there."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from llmspell.providers.failures import is_local

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint


def open_transport(endpoint: Endpoint) -> httpx2.AsyncHTTPTransport:
    encrypted = endpoint.base_url.startswith("https:")
    return httpx2.AsyncHTTPTransport(
        # With each request, every connection that is kept is looked at.
        limits=httpx2.Limits(
            max_connections=256, max_keepalive_connections=32, keepalive_expiry=60.0
        ),
        # Reading the system's certificates takes longer than a local answer does.
        verify=httpx2.create_ssl_context() if encrypted else False,
        http2=encrypted and _speaks_http2(),
        proxy=_proxy(endpoint),
    )


def _speaks_http2() -> bool:
    """Whether the extra `http2` is installed."""
    return find_spec("h2") is not None


def _proxy(endpoint: Endpoint) -> str | None:
    """That of the environment; a proxy has no way to this machine."""
    url = urlsplit(endpoint.base_url)
    if is_local(endpoint) or proxy_bypass(url.hostname or ""):
        return None
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy
