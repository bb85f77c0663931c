import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.hooks import LIFE_CYCLE, PHASES, Hook, Hooks, parse_point
from llmspell.hooks.hook_call import ReentrancyGuard

WRITES = tuple(
    f"state.{verb}" for verb in ("set", "update", "delete", "increment", "compare_and_set")
)


def nothing(call): ...


@pytest.mark.parametrize(
    ("point", "phase", "patterns"),
    [
        ("before:tool.call", "before", ("tool.call",)),
        ("after:agent.*", "after", ("agent.*",)),
        ("error:*", "error", ("*",)),
        ("before:tool_call", "before", ("tool.call",)),
        ("pre_agent_execution", "before", ("agent.run",)),
        ("post_agent_execution", "after", ("agent.run",)),
        ("pre_tool_call", "before", ("tool.call",)),
        ("post_tool_call", "after", ("tool.call",)),
        ("pre_state_update", "before", WRITES),
        ("post_state_update", "after", WRITES),
        ("BeforeToolExecution", "before", ("tool.call",)),
        ("afterAgentExecution", "after", ("agent.run",)),
        ("PRE_TOOL_CALL", "before", ("tool.call",)),
        ("error_tool_call", "error", ("tool.call",)),
        ("on_model_request", "error", ("model.request",)),
        ("BeforeAgentInit", "before", ("agent.create",)),
        ("AfterToolDiscovery", "after", ("tool.list", "tool.get")),
        ("BeforeStateRead", "before", ("state.get", "state.keys")),
        ("AfterStateWrite", "after", WRITES),
        ("AgentError", "error", ("agent.run",)),
        ("ToolError", "error", ("tool.call",)),
        ("SystemStartup", "at", ("runtime.start",)),
        ("SystemShutdown", "at", ("runtime.stop",)),
        ("ConfigurationChange", "at", ("config.change",)),
        ("ResourceLimitExceeded", "at", ("limit.exceeded",)),
        ("SecurityViolation", "at", ("permission.denied",)),
        ("at:run.*", "at", ("run.*",)),
        *((name, "at", (name,)) for name in LIFE_CYCLE),
    ],
)
def test_points_that_say_their_phase(point, phase, patterns):
    assert parse_point(point) == (phase, patterns)


@pytest.mark.parametrize("phase", ["before", "after", "error"])
def test_points_with_the_phase_given(phase):
    assert parse_point("tool.call", phase) == (phase, ("tool.call",))
    assert parse_point("tool_call", phase) == (phase, ("tool.call",))
    assert parse_point(f"{phase}:tool.call", phase) == (phase, ("tool.call",))


@pytest.mark.parametrize(
    ("point", "phase"),
    [
        ("", None),
        ("", "before"),
        ("tool.call", None),
        ("before:", None),
        ("before:", "before"),
        (":tool.call", None),
        ("during:tool.call", None),
        ("during:tool.call", "before"),
        ("before:tool.call", "after"),
        ("pre_lunch", None),
        ("run.start", "before"),
        ("at:tool.call", None),
        ("tool.call", "at"),
    ],
)
def test_what_is_no_point(point, phase):
    with pytest.raises(ValueError, match="hook point") as caught:
        parse_point(point, phase)
    assert repr(point) in str(caught.value)


@pytest.mark.parametrize("point", ["before:human.approve", "after:human.approve"])
def test_approvals_have_no_hooks(point):
    with pytest.raises(ValueError, match=r"human\.approve has no hooks"):
        parse_point(point)


@given(st.text(max_size=20), st.sampled_from([None, *PHASES]))
def test_any_text_is_a_point_or_none(point, phase):
    try:
        found, patterns = parse_point(point, phase)
    except ValueError:
        return
    assert found in PHASES
    assert patterns
    assert all(patterns)


# Registration


def ids(hooks):
    return [hook.id for hook in hooks]


def test_higher_priorities_run_first_and_ties_in_order():
    hooks = Hooks()
    for name, priority in [("a", 0), ("b", 10), ("c", 0), ("d", -5), ("e", 10)]:
        hooks.register("before:tool.call", nothing, priority=priority, id=name)
    assert ids(hooks.matching("tool.call")["before"]) == ["b", "e", "a", "c", "d"]
    assert ids(hooks.all()) == ["b", "e", "a", "c", "d"]
    assert ids(hooks.own()) == ["a", "b", "c", "d", "e"]


def test_a_runs_hooks_stand_among_those_of_its_runtime():
    host = Hooks()
    host.register("before:x", nothing, id="host 1")
    spell = Hooks(host)
    spell.register("before:x", nothing, id="spell")
    spell.register("before:x", nothing, id="urgent", priority=1)
    host.register("before:x", nothing, id="host 2")
    assert ids(spell.matching("x")["before"]) == ["urgent", "host 1", "host 2", "spell"]
    assert ids(host.matching("x")["before"]) == ["host 1", "host 2"]


def test_only_phases_with_hooks_are_there():
    hooks = Hooks()
    hooks.register("after:agent.*", nothing, id="all of agent")
    hooks.register("error:*", nothing, id="all")
    assert hooks.matching("agent.run").keys() == {"after", "error"}
    assert hooks.matching("state.get").keys() == {"error"}
    assert hooks.matching("agentx.run").keys() == {"error"}
    assert Hooks().matching("agent.run") == {}


def test_several_points_of_one_phase():
    hooks = Hooks()
    hook = hooks.register(["pre_tool_call", "before:state.*"], nothing)
    assert hook.patterns == ("tool.call", "state.*")
    assert [hook.matches(e) for e in ("tool.call", "state.get", "agent.run")] == [True, True, False]
    with pytest.raises(ValueError, match="the same phase"):
        hooks.register(["pre_tool_call", "post_tool_call"], nothing)
    with pytest.raises(ValueError, match="phase"):
        hooks.register([], nothing)
    assert hooks.own() == [hook]


def test_what_is_no_hook_is_refused_when_it_is_registered():
    hooks = Hooks()
    for wrong in (None, 5):
        with pytest.raises(TypeError, match=f"must be a function, not {wrong}"):
            hooks.register("before:x", wrong)
    with pytest.raises(TypeError, match="priority must be a number, not 'high'"):
        hooks.register("before:x", nothing, priority="high")
    with pytest.raises(ValueError, match="NaN"):
        hooks.register("before:x", nothing, priority=float("nan"))
    with pytest.raises(TypeError, match="takes a point"):
        hooks.before(nothing)
    with pytest.raises(TypeError, match="pass an instance"):
        hooks.add(Hook)
    with pytest.raises(TypeError, match="'retry' is not a Hook"):
        hooks.add("retry")
    assert hooks.all() == ()


def test_a_hook_has_a_name():
    hooks = Hooks()
    assert hooks.register("before:x", nothing).id == "nothing"
    assert hooks.register("before:x", nothing, id="mine").id == "mine"
    assert hooks.register("before:x", type("F", (), {"__call__": nothing})()).id == "hook-2"


def test_decorators():
    hooks = Hooks()

    @hooks.before("tool.call", priority=3, required=True)
    def first(call): ...

    @hooks.after("tool.call")
    def second(call): ...

    @hooks.on_error("tool.call", timeout=1)
    def third(call): ...

    matching = hooks.matching("tool.call")
    assert [(h.phase, h.priority, h.required, h.timeout) for [h] in matching.values()] == [
        ("before", 3, True, 30.0),
        ("after", 0, False, 30.0),
        ("error", 0, False, 1),
    ]
    assert matching["before"][0].function is first


def test_removing():
    hooks = Hooks()
    kept = hooks.register("before:x", nothing)
    hook = hooks.register("before:x", nothing)
    hooks.remove(hook)
    hooks.remove(hook)
    assert hooks.own() == [kept]


def test_listeners_hear_of_every_change_also_of_the_parents():
    host = Hooks()
    spell = Hooks(host)
    heard = []
    spell.listen(lambda: heard.append(1))
    hook = host.register("before:x", nothing)
    own = spell.register("before:x", nothing)
    host.remove(hook)
    spell.remove(own)
    assert len(heard) == 4
    spell.close()
    host.register("before:x", nothing)
    assert len(heard) == 4


@pytest.mark.parametrize(
    ("path", "own"),
    [("0/1", True), ("0/1/0", True), ("0/1.0/2", True), ("0/10", False), ("0", False)],
)
def test_a_hook_knows_the_effects_of_its_own_work(path, own):
    guard, owner = ReentrancyGuard(), object()
    assert not guard.includes(owner, path)
    guard.add((id(owner), "0/1"))
    assert guard.includes(owner, path) == own
    assert not guard.includes(object(), path)
