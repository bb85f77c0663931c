"""What the embedded models cannot be asked, which is said before one is fetched or started."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from llmspell.errors import ProviderError
from llmspell.providers import local_provider
from llmspell.providers.local_provider import LocalProvider
from llmspell.providers.messages import File, Image, Message, ModelRequest, ToolResult

pytestmark = pytest.mark.anyio

PNG = Image(b"\x89PNG", "image/png")


class Started(Exception):
    """A model would be fetched and run now."""


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    def start(*_, **__):
        raise Started

    monkeypatch.setattr(local_provider, "LocalServer", start)


@pytest.mark.parametrize(
    "message",
    [
        Message.of("user", "Look.", PNG),
        Message.of("user", "Look.", Image(url="https://example.com/a.png")),
        Message.of("user", "Read.", File(b"%PDF-1.7", "application/pdf")),
        Message.of("tool", ToolResult("a", (PNG,))),
    ],
)
async def test_pictures_and_documents_are_refused(message):
    request = ModelRequest("local/smollm2", (message,))
    with pytest.raises(ProviderError, match="local/smollm2 reads only text") as caught:
        await LocalProvider().complete(request)
    assert (caught.value.retryable, caught.value.hint) == (False, "ask another model")
    with pytest.raises(ProviderError, match="reads only text"):
        [part async for part in LocalProvider().stream(request)]


async def test_whoever_is_cancelled_closes_all_servers(monkeypatch):
    closed = []

    class Server:
        api_key = "secret"

        def __init__(self, model, **_):
            self.model = model

        async def start(self):
            return "http://127.0.0.1:1/v1"

        async def close(self):
            closed.append(self.model)
            await checkpoint()

    monkeypatch.setattr(local_provider, "LocalServer", Server)
    provider = LocalProvider()
    for model in ("smollm2", "other"):
        with pytest.raises(ProviderError):
            await provider.complete(ModelRequest(f"local/{model}", (Message.of("user", "Hi"),)))
    with anyio.CancelScope() as scope:
        scope.cancel()
        await provider.close()
    assert sorted(closed) == ["other", "smollm2"]


async def test_text_in_a_file_is_text():
    request = ModelRequest("local/smollm2", (Message.of("user", File(b"x = 1", "text/x-python")),))
    with pytest.raises(Started):
        await LocalProvider().complete(request)
