"""What the writers of requests share, whatever the protocol."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote_to_bytes

from llmspell.errors import InvalidArguments
from llmspell.providers.messages import File, Image, Text
from llmspell.providers.strict_json import write_json

if TYPE_CHECKING:
    from llmspell.providers.messages import Block, Message, ModelRequest, ToolCall

Medium = TypeVar("Medium", bound=Image | File)


def misplaced(block: Block, role: str) -> InvalidArguments:
    kind = block.as_plain().get("type")
    problem = f"a message of the role {role} cannot hold a block of the type {kind}"
    return InvalidArguments("model.request", [problem])


def instructions(request: ModelRequest) -> tuple[list[str], tuple[Message, ...]]:
    """What stands before the conversation, and the conversation.

    System messages at its beginning belong to the instructions.

    Raises:
        InvalidArguments: One of them is not of text.
    """
    messages = request.messages
    first = next((n for n, m in enumerate(messages) if m.role != "system"), len(messages))
    texts = [request.system or "", *map(_system_text, messages[:first])]
    return [text for text in texts if text.strip()], messages[first:]


def told_by_the_system(message: Message) -> str:
    """A system message where only the user has a say; told apart by tags, as models know them."""
    return f"<system>\n{_system_text(message)}\n</system>"


def _system_text(message: Message) -> str:
    for block in message.content:
        if not isinstance(block, Text):
            raise misplaced(block, "system")
    return message.text


def json_text(value: Any, what: str) -> str:
    """It as JSON. Raises InvalidArguments, which says `what` it is."""
    try:
        return write_json(value)
    except ValueError as error:
        raise InvalidArguments("model.request", [f"{what} cannot be sent: {error}"]) from None


def call_arguments(call: ToolCall) -> str:
    """Those of an earlier turn. Some servers read them, and fail when they are not JSON."""
    arguments = call.arguments if call.raw is None else {"not_json": call.raw}
    return json_text(arguments, f"the call of {call.name}")


def call_id(id: str, longest: int) -> str:  # noqa: A002 - it is the id
    """The id of a call; where it is too long, as another provider's may be, what stands for it."""
    return id if len(id) <= longest else f"call_{digest(id)[:32]}"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def data_url(data: bytes | None, media_type: str | None) -> str:
    return f"data:{media_type};base64,{base64_text(data)}"


def file_as_text(file: File) -> str | None:
    """A file of text as one, with its name; None when it is none."""
    if file.data is None or not (file.media_type or "").startswith("text/"):
        return None
    return f"{file.name}:\n{file.data.decode('utf-8', 'replace')}"


def with_data(block: Medium) -> Medium:
    """The picture or file with what its URL holds, if that is a `data:` URL; as it is otherwise."""
    if block.url is None or not block.url.startswith("data:"):
        return block
    head, _, text = block.url.removeprefix("data:").partition(",")
    media_type, *parameters = head.split(";")
    try:
        plain = unquote_to_bytes(text)
        data = base64.b64decode(plain, validate=True) if "base64" in parameters else plain
    except ValueError:
        raise InvalidArguments("model.request", ["a data: URL is not base64"]) from None
    return replace(block, data=data, media_type=media_type or block.media_type, url=None)


def base64_text(data: bytes | None) -> str:
    return base64.b64encode(data or b"").decode()


def senseless(schema: dict[str, Any]) -> InvalidArguments:
    """For a schema that is none, such as a hook may have made of one."""
    from llmspell.schema import check_schema

    try:
        check_schema(schema)
        problem = "no model can be given it"
    except ValueError as error:
        problem = str(error)
    return InvalidArguments("model.request", [f"a schema in it is none: {problem}"])


def schema_in_words(schema: dict[str, Any]) -> str:
    """For models that cannot be held to a schema: what the system message says of it."""
    text = json_text(schema, "the output schema")
    return f"Answer with nothing but a JSON object that fits this JSON Schema: {text}"
