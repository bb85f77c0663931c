"""Derives a name, docs, a JSON Schema and argument checks from a typed Python function."""

from __future__ import annotations

import inspect
import re
from contextlib import suppress
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, Required, cast, get_type_hints

from llmspell.errors import InvalidArguments, ToolError
from llmspell.suggestions import similar

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import TypeAdapter, ValidationError
    from pydantic.json_schema import GenerateJsonSchema


_FEW = 10  # parameters that a hint can list


class Signature:
    """A function read as a specification.

    Parameters annotated with one of the `injected` types are supplied by the host: they are
    neither in the schema nor accepted from Lua, and are listed in `injections`. Parameters keep
    their declaration order. The Google-style docstring provides the descriptions.

    Type hints are resolved, and pydantic imported, only when a schema or a check is needed.
    """

    def __init__(self, function: Callable[..., Any], *, injected: tuple[type, ...] = ()) -> None:
        self.function = function
        self.name: str = function.__name__
        self.summary, self.description, self._parameter_docs = _read_docstring(function)
        self._injected = injected

    @cached_property
    def _hints(self) -> dict[str, Any]:
        """The types of the parameters. The result's type may be imported for type checkers only."""
        function = inspect.unwrap(self.function)
        annotations = getattr(function, "__annotations__", {})
        parameters = SimpleNamespace(
            __annotations__={n: t for n, t in annotations.items() if n != "return"},
            __globals__=getattr(function, "__globals__", {}),
        )
        try:
            return get_type_hints(parameters, include_extras=True)
        except NameError as error:
            raise TypeError(
                f"{self.name}: its types name {error.name!r}, which its module does not define at run "
                "time; define it there, and import it outside `if TYPE_CHECKING`"
            ) from error
        except (AttributeError, SyntaxError, TypeError) as error:
            raise TypeError(f"{self.name}: its types cannot be read: {error}") from error

    @cached_property
    def injections(self) -> dict[str, type]:
        """The parameters that the host fills in: name to type."""
        return {n: t for n, t in self._hints.items() if t in self._injected}

    @cached_property
    def injected_first(self) -> type | None:
        """The type of the first parameter if it is injected, else None.

        Raises:
            TypeError: Another parameter is injected.
        """
        first = next(iter(inspect.signature(self.function).parameters), None)
        if self.injections.keys() - {first}:
            raise TypeError(f"{self.name}: only the first parameter can be filled in by the host")
        return self.injections.get(first) if first else None

    @cached_property
    def parameters(self) -> list[inspect.Parameter]:
        """The parameters that a caller may pass, with resolved annotations.

        Raises:
            TypeError: A parameter cannot be passed by name, or its type cannot be resolved.
        """
        parameters = []
        for parameter in inspect.signature(self.function).parameters.values():
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise TypeError(f"{self.name}: {parameter.name!r} cannot be passed by name")
            if parameter.name not in self.injections:
                annotation = self._hints.get(parameter.name, Any)
                parameters.append(parameter.replace(annotation=annotation))
        return parameters

    @cached_property
    def needs_arguments(self) -> bool:
        """Whether there are required arguments."""
        return any(p.default is p.empty for p in self.parameters)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of the arguments, as an object."""
        schema = self._adapter.json_schema(schema_generator=_lenient_generator())
        schema.pop("title", None)
        properties = schema.setdefault("properties", {})
        for parameter in self.parameters:
            field = properties[parameter.name]
            field.pop("title", None)
            if parameter.default is not parameter.empty and parameter.default is not None:
                from llmspell.values import NotPlain, plain

                with suppress(NotPlain):  # it stands for nothing that a caller could pass
                    field.setdefault("default", plain(parameter.default))
        return schema

    @cached_property
    def _adapter(self) -> TypeAdapter[dict[str, Any]]:
        from pydantic import ConfigDict, Field, PydanticUserError, TypeAdapter
        from typing_extensions import TypedDict

        fields: dict[str, Any] = {}
        for parameter in self.parameters:
            annotation = parameter.annotation
            if doc := self._parameter_docs.get(parameter.name):
                annotation = Annotated[annotation, Field(description=doc)]
            required = parameter.default is parameter.empty
            fields[parameter.name] = Required[annotation] if required else NotRequired[annotation]
        make_type: Any = TypedDict
        arguments = make_type("Arguments", fields)
        arguments.__pydantic_config__ = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
        try:
            return TypeAdapter(arguments)
        except PydanticUserError as error:
            unusable = f"{self.name}: pydantic cannot use its types: {error.message}"
            raise ToolError(unusable) from error

    @cached_property
    def _checked(self) -> Callable[[dict[str, Any]], dict[str, Any]]:
        return self._adapter.validator.validate_python

    def bind(self, arguments: dict[str, Any], *, target: str | None = None) -> dict[str, Any]:
        """Check arguments and convert them to the declared types.

        Lua has a single empty table, so an empty list is accepted wherever a table is expected.

        Raises:
            InvalidArguments: There is one problem per invalid field. `target` names the callee.
        """
        if not arguments and not self.needs_arguments:
            return {}
        try:
            return self._checked(arguments)
        except ValueError as error:
            problems = cast("ValidationError", error)  # pydantic's only ValueError
            repaired = _with_empty_tables(arguments, problems)
        if repaired is not None:
            try:
                return self._checked(repaired)
            except ValueError as error:
                problems = cast("ValidationError", error)
        raise InvalidArguments(
            target or self.name,
            [_problem(e, arguments) for e in problems.errors()],
            hint=self._meant(problems) or self._usage(self._concerned(problems)),
        )

    def _meant(self, error: ValidationError) -> str | None:
        """Return a hint with the parameters that misspelled names are similar to, or None."""
        names = [parameter.name for parameter in self.parameters]
        unknown = [str(e["loc"][0]) for e in error.errors() if e["type"] == "extra_forbidden"]
        suggestions = [one for name in unknown for one in similar(name, names, most=1)]
        return f"did you mean {' and '.join(dict.fromkeys(suggestions))}?" if suggestions else None

    def _concerned(self, error: ValidationError) -> list[inspect.Parameter]:
        """Return the parameters that a hint lists: of many, only those that are wrong."""
        wrong = {e["loc"][:1] for e in error.errors()}
        concerned = [p for p in self.parameters if (p.name,) in wrong]
        few = len(self.parameters) <= _FEW or len(concerned) < len(wrong)
        return self.parameters if few else concerned

    @property
    def usage(self) -> str:
        """A one-line usage: `takes path (string), limit (integer, optional)`."""
        return self._usage(self.parameters)

    def _usage(self, parameters: list[inspect.Parameter]) -> str:
        if not parameters:
            return "takes no arguments"
        parts = []
        for parameter in parameters:
            field = self.schema["properties"][parameter.name]
            kind = type_in_words(field, self.schema.get("$defs", {}))
            optional = "" if parameter.default is parameter.empty else ", optional"
            parts.append(f"{parameter.name} ({kind}{optional})")
        return f"takes {', '.join(parts)}"


def _lenient_generator() -> type[GenerateJsonSchema]:
    from pydantic.json_schema import GenerateJsonSchema

    class Lenient(GenerateJsonSchema):
        """Accepts types that have no JSON form, such as a function of the spell."""

        def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:  # noqa: ARG002
            return {}

    return Lenient


def type_in_words(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return a JSON Schema's type in Lua's words, such as `table` or `'a' or 'b'`.

    `definitions` are the `$defs` of the schema it is part of.
    """
    schema = definitions.get(schema.get("$ref", "").removeprefix("#/$defs/"), schema)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            kinds = [
                type_in_words(s, definitions) for s in schema[union] if s.get("type") != "null"
            ]
            return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema:
        return " or ".join(repr(v) for v in schema["enum"])
    names = {"object": "table", "array": "list"}
    kind: str = schema.get("type", "any value")
    return names.get(kind, kind)


_MESSAGES = {
    "sequence_str": "input should be a valid list",
    "string_unicode": "the text is not valid UTF-8",
}


def _problem(error: Any, arguments: Any) -> str:
    where = _place(error, arguments)
    if error["type"] == "missing":
        return f"{where} is required"
    if error["type"] == "extra_forbidden":
        return f"{where} is not a parameter"
    message = _MESSAGES.get(error["type"]) or error["msg"][0].lower() + error["msg"][1:]
    return f"{where}: {message}" if where else message


def _place(error: Any, arguments: Any) -> str:
    """Return the path of an error without pydantic's union members: `x.list[int].0`."""
    parts, here = [], arguments
    for part in error["loc"]:
        if (
            part in here
            if isinstance(here, dict)
            else isinstance(here, list) and part in range(len(here))
        ):
            parts.append(part)
            here = here[part]
    if error["type"] == "missing":
        parts.append(error["loc"][-1])
    return ".".join(map(str, parts))


_WANTS_TABLE = {
    "dict_type",
    "mapping_type",
    "model_type",
    "model_attributes_type",
    "dataclass_type",
}


def _with_empty_tables(arguments: Any, error: ValidationError) -> Any | None:
    """Replace rejected empty lists with empty dicts; return None when there are none."""
    refused = {
        id(e["input"]) for e in error.errors() if e["type"] in _WANTS_TABLE and e["input"] == []
    }
    return _replaced(arguments, refused) if refused else None


def _replaced(value: Any, refused: set[int]) -> Any:
    if id(value) in refused:
        return {}
    if isinstance(value, dict):
        return {key: _replaced(item, refused) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, refused) for item in value]
    return value


_SECTION = re.compile(r"^(Args|Arguments|Returns|Yields|Raises|Examples?|Notes?):\s*$")
_PARAMETER = re.compile(r"^(\s+)(\w+)(?:\s*\([^)]*\))?:\s*(.*)$")


def _read_docstring(function: Callable[..., Any]) -> tuple[str, str, dict[str, str]]:
    """Return the summary, the text before the first section, and the descriptions in `Args:`."""
    text = inspect.cleandoc(function.__doc__ or "")
    before: list[str] = []
    parameters: dict[str, str] = {}
    section = current = indent = ""
    for line in text.splitlines():
        if match := _SECTION.match(line):
            section, current, indent = match[1], "", ""
        elif not section or (line and not line[0].isspace()):
            section = ""
            before.append(line)
        elif section in ("Args", "Arguments"):
            match = _PARAMETER.match(line)
            if match and match[1] == (indent or match[1]):
                indent, current = match[1], match[2]
                parameters[current] = match[3]
            elif current and line.strip():
                parameters[current] += " " + line.strip()
    description = "\n".join(before).strip()
    summary = " ".join(description.split("\n\n", 1)[0].split())
    return summary, description, parameters
