"""The fixtures, and tests in Lua as tests of pytest: in a pytest of their own."""

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def passes(pytester):
    """Runs a file of tests that have to pass."""

    def run(source, *names, **files):
        if files:
            pytester.makefile(".lua", **files)
        pytester.makepyfile(source)
        done = pytester.runpytest_subprocess("-q", "-p", "no:randomly", "-W", "error")
        assert done.ret == 0, done.outlines
        return done

    return run


def test_a_spell_on_a_scripted_model(passes):
    passes(
        """
        import pytest
        from llmspell.errors import LlmspellError

        def test_spell(run_spell):
            run = run_spell("joke.lua", script=["A cup walks in."], state={"n": 2})
            assert run.result == "A cup walks in."
            assert run.printed == ["one more"]
            assert run.state() == {"n": 3}
            assert run.requests[0].messages[0].text == "A joke"

        def test_failing(run_spell):
            with pytest.raises(LlmspellError, match="no reply for request 1"):
                run_spell("joke.lua")
            run = run_spell("joke.lua", catch=True)
            assert "no reply" in run.error.message

        def test_time(run_spell):
            run = run_spell("week.lua")
            assert 604800 <= run.result < 604810
        """,
        joke='print("one more") State.increment("n") return (Agent.create{}:prompt("A joke"))',
        week="local t = os.time() Task.sleep(7 * 86400) return os.time() - t",
    )


def test_the_other_fixtures(passes):
    passes(
        """
        import asyncio
        from llmspell import Runtime

        def test_virtual_time(virtual_time, spell_runtime):
            async def main():
                async with spell_runtime(script=["Hi."]) as (runtime, run):
                    await asyncio.sleep(86400)
                    return await runtime.execute("return (Agent.create{}:prompt('?'))")

            assert virtual_time(main()) == "Hi."

        def test_scripted_model(virtual_time, scripted_model):
            model = scripted_model("Hi.", "Bye.")

            async def main():
                async with Runtime(providers=[model], model="scripted/m", record=False) as runtime:
                    return await runtime.execute("return (Agent.create{}:prompt('?'))")

            assert virtual_time(main()) == "Hi."
            assert model.remaining == 1

        def test_fake_openai(fake_openai):
            server = fake_openai(["Hello."])

            async def main():
                async with Runtime(model="openai/gpt-5.4-mini", record=False) as runtime:
                    return await runtime.execute("return (Agent.create{}:prompt('?'))")

            assert asyncio.run(main()) == "Hello."
            assert server.requests[0].bearer == "sk-fake"
            assert server.requests[0].json["model"] == "gpt-5.4-mini"

        def test_a_spell_asks_a_fake_server(fake_openai, run_spell):
            server = fake_openai(["Hello."])
            run = run_spell("ask.lua", model="openai/gpt-5.4-mini", script=None)
            assert run.result == "Hello."
            assert run.requests == []
            assert len(server.requests) == 1

        def test_fake_server(fake_server):
            import httpx2

            url = fake_server(["Hello."]).url
            body = {"model": "m", "messages": []}
            assert "Hello." in httpx2.post(f"{url}/v1/chat/completions", json=body).text
        """,
        ask="return (Agent.create{}:prompt('?'))",
    )


LUA = """describe("tea", function()
  it("is hot", function() expect(1):to_be(1) end)
  it("is cheap", function()
    expect({price = 3}):to_equal({price = 2})
  end)
  it("is red")
end)
"""


@pytest.fixture
def lua(pytester):
    """Runs pytest where there are tests in Lua."""

    def run(*arguments, source=LUA, setting="true"):
        pytester.makeini(f"[pytest]\nllmspell_lua = {setting}\n")
        pytester.makefile(".lua", tea_test=source)
        return pytester.runpytest_subprocess("-p", "no:randomly", *arguments)

    return run


def test_tests_in_lua_are_tests(lua):
    done = lua("-v")
    done.assert_outcomes(passed=1, failed=1, skipped=1)
    done.stdout.fnmatch_lines(
        [
            "*tea_test.lua::tea > is hot PASSED*",
            "*tea_test.lua::tea > is cheap FAILED*",
            "*tea_test.lua::tea > is red SKIPPED*",
            "tea_test.lua:4: .price: expected 2, got 3",
            "  | expect({price = 3}):to_equal({price = 2})",
        ]
    )


def test_only_those_that_were_chosen_are_run(lua):
    source = LUA + 'it("never", function() print("was run") end)'
    done = lua("-s", "-k", "hot", source=source)
    done.assert_outcomes(passed=1, deselected=3)
    assert "was run" not in done.stdout.str()


def test_a_file_that_cannot_be_read(lua):
    done = lua(source="\nlocal =")
    assert done.ret == 2
    done.stdout.fnmatch_lines(["tea_test.lua:1: <name> expected near*"])


def test_a_file_that_fails_as_it_runs(lua):
    done = lua(source='it("a", function() while true do end end) it("b", function() end)')
    done.assert_outcomes(failed=2)
    done.stdout.fnmatch_lines(["*instruction limit exceeded*"])


def test_they_are_left_alone_unless_they_are_wanted(lua):
    lua(setting="false").assert_outcomes()
