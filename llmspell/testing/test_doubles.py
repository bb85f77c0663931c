"""Test doubles for tools, standard input and people."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

from llmspell.console import Console
from llmspell.effects import Effect
from llmspell.errors import InvalidArguments, NobodyToAsk
from llmspell.human import Approval, Decision, Question
from llmspell.tools.registry import Tools
from llmspell.tools.tool import Tool, check_tool_name
from llmspell.values import Value

ToolFunction: TypeAlias = Callable[[dict[str, Any]], Value | Awaitable[Value]]
"""Called with a tool call's arguments, in place of the tool."""


class ToolStub(Tool):
    """A tool with a test's function, and the parameters of the tool it replaces."""

    declares = True  # it touches nothing

    def __init__(self, name: str, function: ToolFunction, tool: Tool | None) -> None:
        self.name, self._function, self._tool = check_tool_name(name), function, tool
        self.description = tool.description if tool else "A tool of a test."
        self.timeout = tool.timeout if tool else None

    @property
    def schema(self) -> dict[str, Any]:
        return self._tool.schema if self._tool else {"type": "object"}

    def bind(self, arguments: dict[str, Value]) -> dict[str, Any]:
        if self._tool:
            self._tool.bind(arguments)
        return arguments

    async def invoke(self, effect: Effect, bound: dict[str, Any]) -> Value:  # noqa: ARG002
        answer = self._function(bound)
        return await answer if inspect.isawaitable(answer) else answer


def stub_tools(tools: Tools, functions: dict[str, ToolFunction]) -> None:
    """Replace tools by functions, by name; a new name adds a tool."""
    for name, function in functions.items():
        tool = tools.get(name)
        tools.register(name, ToolStub(name, function, tool), replace=True)


class ScriptedInput(Console):
    """Standard input with the given lines."""

    def __init__(self, lines: Iterable[str]) -> None:
        super().__init__()
        self._lines = iter(list(lines))

    async def read_line(self, prompt: str = "") -> str | None:  # noqa: ARG002
        return next(self._lines, None)


PersonAnswer: TypeAlias = str | bool | Decision | None
"""An answer to a question, or a decision on an approval."""


class ScriptedPerson:
    """A `Person` with scripted answers, in turn or from a function.

    Attributes:
        asked: Every question and approval so far.
    """

    def __init__(
        self,
        answers: Iterable[PersonAnswer]
        | Callable[[Question | Approval], PersonAnswer | Awaitable[PersonAnswer]],
    ) -> None:
        self._function = answers if callable(answers) else None
        self._answers = iter(()) if callable(answers) else iter(list(answers))
        self.asked: list[Question | Approval] = []

    async def answer(self, question: Question) -> str | None:
        answer = await self._next(question)
        if answer is None or isinstance(answer, str):
            return answer
        problem = f"{question.text!r} was asked, and {answer!r} is not an answer to that"
        raise InvalidArguments("the test's answers", [problem])

    async def decide(self, approval: Approval) -> Decision:
        answer = await self._next(approval)
        if isinstance(answer, Decision):
            return answer
        if isinstance(answer, bool):
            return Decision(approved=answer)
        problem = f"approval of {approval.what} was asked for, and {answer!r} decides nothing"
        raise InvalidArguments("the test's answers", [problem])

    async def _next(self, asked: Question | Approval) -> PersonAnswer:
        self.asked.append(asked)
        if self._function:
            answer = self._function(asked)
            return await answer if inspect.isawaitable(answer) else answer
        for answer in self._answers:
            return answer
        what = asked.text if isinstance(asked, Question) else asked.what
        raise NobodyToAsk(
            f"the test has no answer for: {what}",
            hint="give the run its answers: Test.run(SPELL, {answers = {…}}), or in Python answers=[…]",
        )
