"""Keeping secrets out of an answer in pieces, however it is cut."""

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from llmspell.providers.messages import ReasoningDelta, TextDelta, ToolCallDelta
from llmspell.providers.redaction import REDACTED
from llmspell.providers.stream_redaction import StreamRedactor
from llmspell.providers.strict_json import write_json

KEY = "aab-aab-aaaab"  # its beginnings are many, which is what makes it hard
SECRETS = [KEY, "Bearer 0123456789"]


def shown(deltas, secrets=SECRETS):
    redactor = StreamRedactor(secrets)
    passed = [part for delta in deltas for part in redactor.feed(delta)]
    return [*passed, *redactor.rest()]


def cut(text, places):
    """The text in pieces that end at these places."""
    ends = sorted({min(place, len(text)) for place in places} | {len(text)})
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


harmless = st.text(alphabet="ab- ", max_size=5)
texts = st.text(alphabet="ab-0 ", max_size=20)
pieces_of_text = st.lists(
    texts | st.sampled_from([KEY, KEY[:-1], KEY[1:], "0123456789"]), max_size=6
)
places = st.lists(st.integers(0, 80), max_size=40)


@given(pieces_of_text, places)
def test_however_a_text_is_cut_no_secret_is_shown_and_nothing_else_changes(parts, at):
    text = "".join(parts)
    deltas = shown([TextDelta(piece) for piece in cut(text, at)])
    together = "".join([delta.text for delta in deltas])
    assert together == text.replace(KEY, REDACTED).replace("0123456789", REDACTED)
    assert KEY not in together
    assert "0123456789" not in together


@given(texts, places)
def test_text_without_secrets_is_all_there_in_the_end_and_mostly_at_once(text, at):
    pieces = cut(text, at)
    redactor = StreamRedactor(["x" * 20])
    passed = [p.text for piece in pieces for p in redactor.feed(TextDelta(piece))]
    assert passed == pieces
    assert list(redactor.rest()) == []


@given(st.text(min_size=8, max_size=12).filter(lambda s: s.split() == [s]), places)
def test_a_secret_is_found_as_json_writes_it(key, at):
    written = write_json({"key": key})
    deltas = shown([ToolCallDelta(0, arguments=piece) for piece in cut(written, at)], [key])
    together = "".join([delta.arguments for delta in deltas])
    assert write_json(key)[1:-1] not in together.replace(REDACTED, "\0")


CALL = [ToolCallDelta(0, "a", "w"), ToolCallDelta(0, arguments="{}"), ToolCallDelta(1, "b", "v")]


@given(
    st.lists(
        st.one_of(
            st.builds(TextDelta, harmless),
            st.builds(ReasoningDelta, harmless),
            st.builds(ToolCallDelta, st.integers(0, 2), arguments=harmless),
        )
    )
)
def test_what_is_held_back_stays_in_its_place(deltas):
    """Joined with its neighbours of the same sort, as whoever shows it does, all is as it was."""

    def joined(parts):
        rows = []
        for part in parts:
            text = said(part)
            place = (type(part), getattr(part, "index", None))
            if not text:
                continue
            if rows and rows[-1][0] == place:
                rows[-1] = (place, rows[-1][1] + text)
            else:
                rows.append((place, text))
        return [(place, text.replace(KEY, REDACTED)) for place, text in rows]

    assert joined(shown(deltas, [KEY])) == joined(deltas)


@given(st.lists(st.tuples(st.integers(0, 3), harmless | st.just(KEY[:5]) | st.just(KEY[5:]))))
def test_texts_that_are_written_in_turns_show_no_secret(pieces):
    """Each of them, put together, whatever came in between; its harmless parts are all there."""
    kinds = [TextDelta, ReasoningDelta, partial(call, 0), partial(call, 1)]
    parts = shown([kinds[which](text) for which, text in pieces], [KEY])
    for which, kind in enumerate(kinds):
        place = (type(kind("")), getattr(kind(""), "index", None))
        together = "".join(
            [said(part) for part in parts if (type(part), getattr(part, "index", None)) == place]
        )
        told = "".join([text for index, text in pieces if index == which])
        assert KEY not in together
        if KEY not in told:
            assert together == told


def call(index, arguments):
    return ToolCallDelta(index, arguments=arguments)


def said(part):
    return part.arguments if isinstance(part, ToolCallDelta) else part.text


def test_the_rest_of_a_secret_is_not_shown_when_its_beginning_was():
    head, tail = KEY[:6], KEY[6:]
    deltas = [TextDelta(f"it is {head}"), ReasoningDelta("Hm."), TextDelta(f"{tail}, they say.")]
    assert shown(deltas, [KEY]) == [
        TextDelta("it is "),
        TextDelta(head),
        ReasoningDelta("Hm."),
        TextDelta(f"{REDACTED}, they say."),
    ]


def test_names_and_ids_of_calls_come_once():
    deltas = [ToolCallDelta(0, "id", "w", "aab-a"), ToolCallDelta(0, arguments="ab-aaaab!")]
    first, *others = shown(deltas)
    assert (first.id, first.name) == ("id", "w")
    assert all((other.id, other.name) == ("", "") for other in others)
    assert "".join([d.arguments for d in [first, *others]]) == f"{REDACTED}!"
    assert shown(CALL) == CALL


def test_without_secrets_pieces_pass_as_they_are():
    delta = TextDelta("sk-")
    assert shown([delta], [])[0] is delta


def test_a_whole_answer_is_cleaned_too():
    redactor = StreamRedactor(SECRETS)
    answer = {"text": f"it is {KEY}", "deep": [{"n": 1, KEY: "x"}]}
    assert redactor.cleaned(answer) == {
        "text": f"it is {REDACTED}",
        "deep": [{"n": 1, REDACTED: "x"}],
    }
    assert StreamRedactor([]).cleaned(answer) is answer
