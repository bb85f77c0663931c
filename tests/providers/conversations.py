"""Hypothesis strategies for arbitrary conversations, to test the requests made from them."""

from hypothesis import strategies as st

from llmspell.providers.messages import (
    File,
    Image,
    Message,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)

texts = st.text(max_size=4)
ids = st.sampled_from(["a", "b", "functions.now:0"])
tables = st.dictionaries(texts, texts | st.integers() | st.none(), max_size=2)
given_blocks = (
    st.builds(Text, texts)
    | st.builds(Image, data=st.binary(max_size=4), media_type=st.just("image/png"))
    | st.builds(Image, url=st.just("https://example.com/a.png"))
    | st.builds(File, st.binary(max_size=4), st.sampled_from(["application/pdf", "text/x"]), texts)
)
results = st.builds(ToolResult, ids, st.lists(given_blocks, max_size=2).map(tuple), st.booleans())


def conversations(provider):
    """Return tuples of messages, with reasoning from this provider's models and from others."""
    said_blocks = (
        st.builds(Text, texts)
        | st.builds(Refusal, texts)
        | st.builds(Reasoning, st.sampled_from([provider, "x"]), texts)
        | st.builds(ToolCall, ids, st.just("now"), tables)
    )
    blocks = {"user": given_blocks, "assistant": said_blocks, "tool": results}
    turns = [
        st.builds(Message, st.just(role), st.lists(kinds, max_size=3).map(tuple))
        for role, kinds in blocks.items()
    ]
    system = st.builds(lambda text: Message.of("system", text), texts)
    return st.lists(st.one_of(system, *turns), max_size=5).map(tuple)
