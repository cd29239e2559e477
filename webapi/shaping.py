"""Refusing schemas that no answer can be held to, before anything is queued."""

import time

from tasks import errors
from tasks.kinds.generation import Generation
from webapi import auth, service

TOGETHER_S = 10.0


def refuse_bad_schemas(
    asked: Generation, shape_path: str, tools_path: str, within_tool: str = "function.parameters"
) -> None:
    """Has all schemas of a request compiled, as its worker will. `tools_path` is where the tools are, as in `tools`,
    and `within_tool` where each has its schema.

    Together they may take as long as two that are slow. Raises `InvalidField` naming the place in the first that is
    refused, and what `Turns.take` and `Shaper.compile` raise.
    """
    serving, tenant = service.current(), auth.caller().tenant_id
    due = time.monotonic() + TOGETHER_S
    wanted = [(tool.parameters, f"{tools_path}.{place}.{within_tool}") for place, tool in enumerate(asked.tools)]
    if asked.shape is not None and asked.shape.schema is not None:
        wanted.append((asked.shape.schema, shape_path))
    for schema, path in wanted:
        if not schema:
            continue
        if time.monotonic() > due:
            raise errors.InvalidField(path, "the schemas before it take too much time")
        try:
            serving.shaper.compile(schema, path, serving.shaping.held(tenant))
        except errors.SchemaRefused as error:
            raise errors.InvalidField(error.path[:200], str(error)) from error
