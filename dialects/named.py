"""What has an id of ours: how a path or a field names it, and what is said of one that can't be."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import marshmallow as ma
from marshmallow import fields

from tasks import errors, ids


@dataclass(frozen=True, slots=True)
class Named:
    """A noun whose ids begin with `prefix`."""

    noun: str
    prefix: str

    @property
    def in_path(self) -> dict[str, Any]:
        """How its id as a part of a path is documented."""
        schema = {"type": "string", "pattern": self.pattern}
        return {"in": "path", "name": f"{self.noun.replace(' ', '_')}_id", "required": True, "schema": schema}

    @property
    def pattern(self) -> str:
        return f"^{self.prefix}[0-9a-f]{{32}}$"

    def parse(self, shown: str) -> uuid.UUID:
        """The id in a path. Raises `NotFound`, worded as for one that isn't there."""
        parsed = ids.parse(shown, self.prefix)
        if parsed is None:
            raise errors.NotFound(f"no {self.noun} {shown[:64]}")
        return parsed

    @contextmanager
    def sought(self, shown: str) -> Iterator[uuid.UUID]:
        """The id in a path, for a block that may not find it: `NotFound`, whoever raises it, is worded alike."""
        parsed = self.parse(shown)
        try:
            yield parsed
        except errors.NotFound as error:
            raise errors.NotFound(f"no {self.noun} {shown[:64]}") from error

    def show(self, id: uuid.UUID) -> str:
        return ids.show(id, self.prefix)

    def field(self, description: str, **options: Any) -> "Id":
        """A field of a request that names one."""
        return Id(self, description, **options)


class Id(fields.String):
    """An id of ours; a UUID inside."""

    def __init__(self, named: Named, description: str, **options: Any) -> None:
        super().__init__(metadata={"description": description, "pattern": named.pattern}, **options)
        self._named = named

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        parsed = ids.parse(str(super()._deserialize(value, *args, **kwargs)), self._named.prefix)
        if parsed is None:
            raise ma.ValidationError(f"must be a {self._named.noun}'s id")
        return parsed


JOB = Named("job", ids.JOB)
DOCUMENT = Named("document", ids.DOCUMENT)
SUMMARY = Named("summary", ids.JOB)
WEBHOOK = Named("webhook", ids.WEBHOOK)
DELIVERY = Named("delivery", ids.DELIVERY)
FILE = Named("file", ids.FILE)
UPLOAD = Named("upload", ids.UPLOAD)
PART = Named("part", ids.PART)
BATCH = Named("batch", ids.BATCH)
MESSAGE_BATCH = Named("message_batch", ids.MESSAGE_BATCH)
VECTOR_STORE = Named("vector store", ids.VECTOR_STORE)
FILE_BATCH = Named("file batch", ids.FILE_BATCH)
CONVERSATION = Named("conversation", ids.CONVERSATION)
RESPONSE = Named("response", ids.RESPONSE)
