"""Refusing schemas that no answer can be held to, before anything is queued."""

from tasks import errors
from tasks.kinds.generation import Generation
from webapi import service


def refuse_bad_schemas(asked: Generation, shape_path: str, tools_path: str) -> None:
    """Has all schemas of a request compiled, as its worker will. `tools_path` is where the tools are, as in `tools`.

    Raises `InvalidField` naming the place in the first that is refused, `Unavailable`.
    """
    serving = service.current()
    wanted = [(tool.parameters, f"{tools_path}.{place}.function.parameters") for place, tool in enumerate(asked.tools)]
    if asked.shape is not None and asked.shape.schema is not None:
        wanted.append((asked.shape.schema, shape_path))
    for schema, path in wanted:
        if not schema:
            continue
        try:
            serving.shaper.compile(schema, path)
        except errors.SchemaRefused as error:
            raise errors.InvalidField(error.path[:200], str(error)) from error
