"""The server's own functions as tools of a request."""

from collections.abc import Sequence

from tasks.errors import InvalidField, NotFound
from tasks.functions.toolbox import Toolbox
from tasks.kinds.generation import Tool


def tools(toolbox: Toolbox, names: Sequence[str], field: str = "server_functions") -> tuple[Tool, ...]:
    """The functions of these names, each once, in their order.

    Raises `InvalidField` with the path of a name that no function has, and what `Toolbox.functions` raises.
    """
    return tuple(_tool(toolbox, name, f"{field}.{names.index(name)}") for name in dict.fromkeys(names))


def _tool(toolbox: Toolbox, name: str, path: str) -> Tool:
    try:
        found = toolbox.find(name)
    except NotFound as error:
        raise InvalidField(path, str(error)) from error
    return Tool(found.name, found.description, found.parameters)
