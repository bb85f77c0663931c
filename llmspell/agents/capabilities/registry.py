from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from llmspell.agents.capabilities.capability import Capability
from llmspell.errors import InvalidArguments
from llmspell.factory import signature_of
from llmspell.importing import load_object
from llmspell.registry import Loading, Registry
from llmspell.values import Value

BUILTIN = {
    "hooks": "llmspell.agents.capabilities.agent_hooks:AgentHooks",
    "memory": "llmspell.agents.capabilities.memory:Memory",
    "model": "llmspell.agents.capabilities.model:Model",
    "state": "llmspell.agents.capabilities.variables:Variables",
    "tools": "llmspell.agents.capabilities.toolset:Toolset",
}


class CapabilityTypes(Registry[type[Capability]]):
    """The capabilities that spells can ask for, by type."""

    def __init__(self) -> None:
        super().__init__("capability", _BuiltIn())

    def add(self, kind: type[Capability]) -> None:
        """Register a class by its type. Raises ValueError if that is taken, TypeError if no class."""
        if not (isinstance(kind, type) and issubclass(kind, Capability)):
            raise TypeError(f"{kind!r} is not a subclass of Capability")
        if not getattr(kind, "type", None):
            raise TypeError(f'{kind.__name__} has no type; give the class a type = "…"')
        if kind.type in BUILTIN:
            raise ValueError(f"the capability {kind.type!r} is built in; choose another type")
        self.register(kind.type, kind)

    def make(self, kind: str, given: Value) -> Capability:
        """Create a capability of a type.

        Args:
            kind: The type.
            given: Its settings: a table of constructor arguments; or a single value or list, which
                is the first argument; or true for none.

        Raises:
            UnknownEffect: There is no such type.
            InvalidArguments: A setting is wrong.
        """
        capability_type = self.find(kind)
        signature = signature_of(capability_type)
        if given is True or given == []:
            given = {}
        if not isinstance(given, Mapping):
            if signature is None or not signature.parameters:
                raise InvalidArguments(kind, ["it takes no settings"])
            given = {signature.parameters[0].name: given}
        if signature is None:
            if given:
                raise InvalidArguments(kind, [f"{name} is not a setting" for name in given])
            return capability_type()
        try:
            return capability_type(**signature.bind(dict(given), target=kind))
        except ValueError as error:
            raise InvalidArguments(kind, [str(error)]) from error


class _BuiltIn(Registry[type[Capability]]):
    """The built-in capabilities; a module is imported when its capability is first used."""

    def __init__(self) -> None:
        super().__init__("capability")
        self._own = Loading(BUILTIN, partial(load_object, what="a capability"))
