"""The functions there are: ours, and those in the modules that an operator names."""

import asyncio
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from tasks.errors import SettingsError
from tasks.functions import docstrings, parameters
from tasks.functions.parameters import Parameters
from tasks.functions.signature import Signature

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Function:
    """A Python function that may be called as a tool. Called in Python it is what it was before."""

    name: str
    description: str
    parameters: Parameters
    call: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)

    def run(self, arguments: Mapping[str, Any]) -> Any:
        """What the function returns, awaited where it is one of asyncio's. Raises what the function raises."""
        returned = self.call(**arguments)
        return asyncio.run(_awaited(returned)) if inspect.isawaitable(returned) else returned

    @property
    def signature(self) -> Signature:
        return Signature(self.name, self.description, self.parameters.schema)


def function(call: Callable[..., Any]) -> Function:
    """Makes a function a tool, for use as a decorator.

    Its name is the tool's; its docstring tells the model what it does, a section `Args:` what each parameter is, which
    a text in the parameter's `Annotated` may do too. Annotations become the schema of its arguments. It may raise
    `ToolFailed`, whose text the model and the client are told. Raises `ValueError` where one of these is missing.
    """
    description, described = docstrings.read(call)
    if not _NAME.fullmatch(call.__name__):
        raise ValueError(f"{call.__name__}: a name is 1 to 64 of A-Z, a-z, 0-9, _ and -")
    if not description:
        raise ValueError(f"{call.__name__} has no docstring, from which models learn what it does")
    return Function(call.__name__, description, parameters.of(call, described), call)


def collect(own: Iterable[Function], modules: Iterable[str]) -> dict[str, Function]:
    """Ours and those of the modules, by name. Raises `SettingsError` with the module and what is wrong with it."""
    found = {each.name: each for each in own}
    for name in modules:
        for each in _within(_imported(name)):
            if found.setdefault(each.name, each) is not each:
                raise SettingsError(f"{name}: there is a function {each.name} already")
    return found


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # whatever its author has it raise
        raise SettingsError(f"{name}: {type(error).__name__}: {error}") from error


def _within(module: ModuleType) -> list[Function]:
    found = [each for each in vars(module).values() if isinstance(each, Function)]
    if not found:
        raise SettingsError(f"{module.__name__}: it has no function under @function")
    return found


async def _awaited(returned: Any) -> Any:
    return await returned
