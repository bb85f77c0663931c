"""A calculator that is safe for untrusted expressions."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from llmspell.errors import ToolError
from llmspell.spending.spent import counted
from llmspell.suggestions import did_you_mean
from llmspell.tools.tool import tool

Number = int | float

MAX_BITS = 1024
"""Larger integers are an error: no float can hold them, and arithmetic with them is slow."""

MAX_COUNT = 1000
"""The largest argument of functions whose running time grows with it."""


@tool(category="math", pure=True)
async def calculate(
    expression: Annotated[str, Field(max_length=1000)],
    variables: dict[str, int | float] | None = None,
) -> Number | bool:
    """Calculate an arithmetic expression such as "2 * pi * r ** 2".

    Operators: + - * / // (rounded down) % ** and comparisons. Functions: abs, acos, asin, atan,
    atan2, cbrt, ceil, comb, cos, cosh, degrees, exp, factorial, floor, gcd, hypot, lcm, log (to a
    base, or natural), log10, log2, max, min, pow, radians, round (to some digits), sin, sinh,
    sqrt, tan, tanh, trunc. Constants: e, pi, tau. Angles are in radians. Integers are exact up
    to 64 bits; a larger result is rounded.

    Args:
        expression: The expression.
        variables: The values of names in the expression.
    """
    tree = _parsed(expression)
    try:
        result = _value(tree, variables or {})
        if not -(2**63) <= result < 2**63:
            result = float(result)
    except ZeroDivisionError as error:
        raise ToolError("division by zero", details={"expression": expression}) from error
    except RecursionError as error:
        raise ToolError("too deeply nested", details={"expression": expression}) from error
    except (ValueError, OverflowError) as error:
        raise ToolError(
            f"cannot calculate this: {error}", details={"expression": expression}
        ) from error
    if not math.isfinite(result):
        raise ToolError("the result is not a finite number", details={"expression": expression})
    return result


_NUMBER_THEN_NAME = re.compile(r"(?<!\w)(\d[\d_.]*+(?:[eE][+-]?\d++)?+)([A-Za-z_])")


def _parsed(expression: str) -> ast.expr:
    # Python's parser would accept some of these, with a warning.
    if match := _NUMBER_THEN_NAME.search(expression):
        raise ToolError(
            f"{match[0]!r} is not a number",
            hint="put an operator between a number and a name: 2 * pi",
            details={"expression": expression},
        )
    try:
        return ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ToolError(
            "this is not an arithmetic expression",
            hint='write it like "2 * (3 + x) ** 2"',
            details={"expression": expression},
        ) from error


def _value(node: ast.expr, variables: dict[str, Number]) -> Number:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _bounded(number)
        case ast.Name(id=name):
            return _named(name, variables)
        case ast.UnaryOp(op=operation, operand=inner) if type(operation) in _UNARY:
            return _UNARY[type(operation)](_value(inner, variables))
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _BINARY:
            a, b = _value(left, variables), _value(right, variables)
            return _bounded(_BINARY[type(operation)](a, b))
        case ast.Compare(left=left, ops=operations, comparators=others):
            return _compared(left, operations, others, variables)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            values = [_value(argument, variables) for argument in arguments]
            return _bounded(_called(name, values))
    raise _unsupported(node)


def _bounded(number: Number) -> Number:
    if isinstance(number, int) and number.bit_length() > MAX_BITS:
        raise OverflowError("a number in it is too large")
    if isinstance(number, complex):
        raise ValueError("a negative number has no real power of that kind")  # noqa: TRY004
    return number


def _named(name: str, variables: dict[str, Number]) -> Number:
    known = _CONSTANTS | variables
    if name in known:
        return _bounded(known[name])
    hint = did_you_mean(name, known, otherwise="pass its value in variables")
    raise ToolError(f"no number named {name!r}", hint=hint, details={"name": name})


def _called(name: str, values: list[Number]) -> Number:
    if name in _FUNCTIONS:
        try:
            return _FUNCTIONS[name](*values)
        except TypeError as error:
            raise ToolError(f"{name} does not take {counted(len(values), 'value')}") from error
    hint = did_you_mean(name, _FUNCTIONS, otherwise=f"available: {', '.join(_FUNCTIONS)}")
    raise ToolError(f"no function named {name!r}", hint=hint, details={"name": name})


def _compared(
    left: ast.expr,
    operations: list[ast.cmpop],
    others: list[ast.expr],
    variables: dict[str, Number],
) -> bool:
    values = [_value(node, variables) for node in (left, *others)]
    for operation, a, b in zip(operations, values, values[1:], strict=False):
        compare = _COMPARISONS.get(type(operation))
        if compare is None:
            raise _unsupported(operation)
        if not compare(a, b):
            return False
    return True


def _unsupported(node: ast.AST) -> ToolError:
    hint = "the operators are + - * / // % ** and comparisons"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor):
        hint = "a power is written **"
    return ToolError(f"a calculation cannot contain {_NAMES.get(type(node), 'this')}", hint=hint)


_NAMES: dict[type[ast.AST], str] = {
    ast.BinOp: "this operator",
    ast.UnaryOp: "this operator",
    ast.BoolOp: "and or or",
    ast.Call: "this kind of call",
    ast.Attribute: "a dot",
    ast.Constant: "anything but numbers",
    ast.List: "a list",
    ast.Tuple: "a comma outside of a call",
}


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int):
        # Checked before calculating; the powers of -1, 0 and 1 are always small.
        if abs(base) > 1 and base.bit_length() * exponent > 2 * MAX_BITS:
            raise OverflowError("a power in it is too large")
        if abs(base) > 1 and exponent < -MAX_BITS:
            return 0.0
    result: Number = base**exponent
    return result


def _round(number: Number, digits: Number = 0) -> Number:
    places = _count(abs(digits))
    return round(number, places if digits >= 0 else -places) if digits else round(number)


def _count(number: Number) -> int:
    """Return an argument that determines the running time, as a checked integer."""
    whole = _whole(number)
    if whole > MAX_COUNT:
        raise OverflowError(f"{number} is more than {MAX_COUNT}")
    return whole


def _whole(number: Number) -> int:
    if number != int(number):
        raise ValueError(f"{number} is not an integer")
    return int(number)


_UNARY: dict[type[ast.unaryop], Callable[[Number], Number]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Number, Number], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_CONSTANTS: dict[str, Number] = {"e": math.e, "pi": math.pi, "tau": math.tau}
_FUNCTIONS: dict[str, Callable[..., Number]] = {
    "abs": abs,
    "acos": math.acos,
    "asin": math.asin,
    "atan": math.atan,
    "atan2": math.atan2,
    "cbrt": math.cbrt,
    "ceil": math.ceil,
    "comb": lambda n, k: math.comb(_count(n), _count(k)),
    "cos": math.cos,
    "cosh": math.cosh,
    "degrees": math.degrees,
    "exp": math.exp,
    "factorial": lambda n: math.factorial(_count(n)),
    "floor": math.floor,
    "gcd": lambda *numbers: math.gcd(*map(_whole, numbers)),
    "hypot": math.hypot,
    "lcm": lambda *numbers: math.lcm(*map(_whole, numbers)),
    "log": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "max": max,
    "min": min,
    "pow": _power,
    "radians": math.radians,
    "round": _round,
    "sin": math.sin,
    "sinh": math.sinh,
    "sqrt": math.sqrt,
    "tan": math.tan,
    "tanh": math.tanh,
    "trunc": math.trunc,
}
