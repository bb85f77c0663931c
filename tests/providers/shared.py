"""What the tests of several protocols share."""

from collections.abc import Iterable

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
PNG, PDF, WAV = b"\x89PNG", b"%PDF-1.7", b"RIFF"


async def answer_of(provider, request, *, stream):
    """Ask a provider that is needed no more; return its response, and the deltas before that."""
    try:
        if not stream:
            return await provider.complete(request), []
        *deltas, response = [part async for part in provider.stream(request)]
        return response, deltas
    finally:
        await provider.close()


def drained(value):
    """Pydantic checks an Iterable only as far as it is read."""
    if isinstance(value, dict):
        return {name: drained(item) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [drained(item) for item in value]
    return value
