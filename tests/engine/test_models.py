"""The global Model, over a provider that makes vectors of the lengths of texts."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmspell import Budget
from llmspell.config import Project, Settings
from llmspell.errors import LimitExceeded, PermissionDenied, ProviderError, SpellRuntimeError
from llmspell.permissions import Grants
from llmspell.providers.embedding import Embeddings
from llmspell.providers.messages import Usage
from llmspell.providers.scripted import ScriptedProvider
from llmspell.providers.settings import ProviderSettings
from llmspell.runtime import Runtime
from llmspell.spending.prices import Price
from llmspell.state import MemoryStore

pytestmark = pytest.mark.anyio


class Measuring(ScriptedProvider):
    def __init__(self):
        super().__init__(
            lambda request: f"{request.system}: {request.messages[-1].text}", name="fake"
        )
        self.embedded = []

    async def embed(self, request):
        self.embedded.append(request)
        vectors = [[float(len(text)), 1.0] for text in request.texts]
        return Embeddings(vectors, Usage(input_tokens=1_000_000), request.model)

    async def list_models(self):
        return ["small", "large"]


@pytest.fixture
def fake():
    return Measuring()


@pytest.fixture
def lua(tmp_path, isolate, fake):
    async def run(source, *, embedder="fake/vectors", **options):
        prices = {"fake/vectors": Price(0.5)}
        project = Project(tmp_path, Settings(prices=prices, embedder=embedder))
        async with Runtime(
            project=project,
            providers=[fake],
            model="fake/small",
            store=MemoryStore(),
            isolate=isolate,
            **options,
        ) as runtime:
            run.runtime = runtime
            return await runtime.execute(source, name="test.lua")

    return run


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{dimension = 2}", "dimension is not a parameter"),
        ("{modle = 'fake/other'}", "modle is not a parameter"),
        ("'fake/other'", "the options must be a table, not a string"),
    ],
)
async def test_options_of_vectors_that_are_none_are_refused(lua, fake, options, said):
    with pytest.raises(SpellRuntimeError, match=said) as caught:
        await lua(f"local x = Model.embed('a', {options})")
    assert caught.value.value["code"] == "invalid_arguments"
    assert fake.embedded == []


async def test_no_texts_are_no_call(lua):
    source = """
        local none, response = Model.embed({})
        Model.embed({})
        Model.embed("a")
        return {none, response.usage.usd}
    """
    assert await lua(source, budget=Budget(calls=1)) == [[], 0.0]
    assert lua.runtime.spent["fake/vectors"].calls == 1


async def test_many_texts_and_one(lua, fake):
    source = """
        local many, response = Model.embed({"a", "bcd"}, {dimensions = 2, model = "fake/other"})
        return {many, (Model.embed("four")), response.model, (Model.embed({}))}
    """
    assert await lua(source) == [[[1.0, 1.0], [3.0, 1.0]], [4.0, 1.0], "fake/other", []]
    first, second, third = fake.embedded
    assert (first.model, first.texts, first.dimensions) == ("fake/other", ("a", "bcd"), 2)
    assert (second.model, second.dimensions, third.texts) == ("fake/vectors", None, ())
    assert first.key != second.key


async def test_they_are_paid_for(lua, fake):
    source = "local _, r = Model.embed({'a'}) return r.usage.usd"
    assert await lua(source) == 0.5
    assert lua.runtime.spent["fake/vectors"].usd == 0.5
    with pytest.raises(LimitExceeded):
        await lua("for i = 1, 5 do pcall(Model.embed, {'a'}) end", budget=Budget(usd=1))
    assert len(fake.embedded) == 3


async def test_hooks_see_them_and_grants_judge_them(lua, fake):
    source = """
        local seen
        Hook.before("model.embed", function(call) seen = call.args.texts[1] end)
        Model.embed("secret")
        return seen
    """
    assert await lua(source) == "secret"
    with pytest.raises(SpellRuntimeError) as caught:
        await lua("local x = Model.embed('x')", denied=Grants(llm=("fake/vectors",)))
    assert isinstance(caught.value.cause, PermissionDenied)
    assert len(fake.embedded) == 1


@pytest.mark.parametrize("texts", ["5", "{1}", "{{}}", "print"])
async def test_what_is_no_text(lua, fake, texts):
    with pytest.raises(SpellRuntimeError) as caught:
        await lua(f"local x = Model.embed({texts})")
    assert caught.value.value["code"] == "invalid_arguments"
    assert fake.embedded == []


async def test_a_thousand_vectors_come_across(lua):
    source = (
        "local v = Model.embed({('x '):rep(3)}) local t = {} for i = 1, 1000 do t[i] = 'x' end "
    )
    assert await lua(source + "return #Model.embed(t)") == 1000


async def test_requests_without_an_agent(lua, fake):
    source = """
        local text, response = Model.request{
          system = "S", messages = {{role = "user", content = "Hi"}}, max_tokens = 7,
        }
        return {text, response.finish_reason, (Model.request("Hello"))}
    """
    text, reason, other = await lua(source)
    assert (text, reason, other) == ("S: Hi", "stop", "None: Hello")
    assert [request.model for request in fake.requests] == ["fake/small"] * 2
    assert fake.requests[0].max_tokens == 7


async def test_a_list_of_what_there_is(lua):
    assert await lua("return Model.list()") == ["fake/small", "fake/large"]
    with pytest.raises(SpellRuntimeError) as caught:
        await lua("local x = Model.list('nobody')")
    assert caught.value.cause.code == "unknown_effect"


async def test_who_keeps_no_list(lua, fake):
    fake.list_models = None
    with pytest.raises(SpellRuntimeError) as caught:
        await lua("local x = Model.list('fake')")
    assert isinstance(caught.value.cause, ProviderError)


numbers = st.floats(-1e3, 1e3, allow_subnormal=False)


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8))
async def test_similarity_is_the_cosine(lua, pairs):
    a, b = [list(side) for side in zip(*pairs, strict=True)]
    shown = [f"{{{', '.join(map(repr, side))}}}" for side in (a, b)]
    found = await lua(f"return Model.similarity({shown[0]}, {shown[1]})")
    lengths = math.hypot(*a) * math.hypot(*b)
    if lengths > 1e-100:
        dot = math.fsum(x * y for x, y in pairs)
        assert found == pytest.approx(dot / lengths, abs=1e-9)
    assert -1.000001 <= found <= 1.000001


async def test_nothing_is_nearer_than_the_same(lua):
    same = "{0.1, 0.1, 0.3}"
    assert await lua(f"return Model.similarity({same}, {same})") == 1.0
    assert await lua(f"return Model.similarity({same}, {{-0.1, -0.1, -0.3}})") == -1.0


@pytest.mark.parametrize("vectors", ["{1}, {1, 2}", "{1}", "1, 2", "{}, 'x'"])
async def test_what_are_no_two_vectors(lua, vectors):
    with pytest.raises(SpellRuntimeError) as caught:
        await lua(f"return (Model.similarity({vectors}))")
    assert caught.value.value["code"] == "invalid_arguments"


async def test_nothing_is_near_to_nothing(lua):
    assert await lua("return Model.similarity({0, 0}, {1, 0}) + Model.similarity({}, {})") == 0


@pytest.mark.parametrize(
    "source",
    [
        "Agent.create{model = 'gpu/x'}:prompt('Hi')",
        "Model.request{model = 'gpu/x', messages = {{role = 'user', content = 'Hi'}}}",
        "Model.embed('Hi', {model = 'gpu/x'})",
        "Model.list('gpu')",
    ],
)
async def test_settings_of_a_provider_that_cannot_be_used(new_runtime, tmp_path, source):
    settings = Settings(providers={"gpu": ProviderSettings(base_url="gpu:9000")})
    async with new_runtime(project=Project(tmp_path, settings)) as runtime:
        with pytest.raises(SpellRuntimeError) as caught:
            await runtime.execute(source)
    assert isinstance(caught.value.cause, ProviderError)
    assert "[providers.gpu]: the base URL must begin with http://" in caught.value.message
    assert caught.value.hint.startswith("a base URL looks like")


async def test_a_fallback_stands_in_for_a_provider_that_cannot_be_used(new_runtime, tmp_path):
    settings = Settings(providers={"gpu": ProviderSettings()})
    providers = [ScriptedProvider(["Hello."])]
    async with new_runtime(project=Project(tmp_path, settings), providers=providers) as runtime:
        source = "return (Agent.create{model = 'gpu/x', fallback = {'scripted/y'}}:prompt('Hi'))"
        assert await runtime.execute(source) == "Hello."


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: "text", "own: complete returned 'text', which is no ModelResponse"),
        (lambda: None, "own: complete returned None, which is no ModelResponse"),
        (lambda: {}["tea"], "own: KeyError: 'tea'"),
    ],
)
async def test_what_a_provider_of_ones_own_does_wrong_is_told(new_runtime, answer, said):
    class Own:
        name = "own"

        async def complete(self, request):
            return answer()

        async def close(self): ...

    async with new_runtime(providers=[Own()], model="own/m") as runtime:
        seen = "local _, e = pcall(function() Agent.create{}:prompt('x') end) return {e.code, e.message}"
        assert await runtime.execute(seen) == ["provider_error", said]
