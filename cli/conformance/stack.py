"""The platform that the tests are run against, and what they need to be there."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from cli.conformance.asked import CHAT, CREATES, RESPONSES
from cli.conformance.ids import Within
from cli.launcher import lineup
from cli.launcher.tour.launched import launched

# What OpenAI's tests call models, in one place: its newest suite decides.
CHAT_MODEL = "gpt-6-astra"
COMPLETION_MODEL = "gpt-3.5-turbo-instruct"
EMBEDDING_MODEL = "text-embedding-3-small"
MODERATION_MODEL = "omni-moderation-2024-09-26"

_MODELS = lineup.ROOT / "models"
_PAGE = 100
_BYTES = b"the bytes of a file"
_READ_S, _LOOK_S = 60.0, 0.05  # so long a file may take to be read, and so often it is looked at
_SAID = {"role": "user", "content": "string"}


@dataclass(slots=True)
class Platform:
    """A platform that runs. `seeded` counts the jobs that were made to have something there."""

    url: str
    key: str
    seeded: int = field(default=0)

    def store(self) -> str:
        """Makes a stored completion; its id.

        It was asked with a message of the assistant: the client's type for what was asked knows no other role.
        """
        asked = {
            "model": CHAT_MODEL,
            "messages": [{"role": "assistant", "content": "string"}],
            "max_tokens": 2,
            "store": True,
            "metadata": {"foo": "string"},
        }
        made = self._ask("POST", CHAT, asked)
        self.seeded += 1
        return str(made["id"])

    def file(self) -> str:
        """Makes a file; its id."""
        return str(self._send("/v1/files", "file", {"purpose": "assistants"})["id"])

    def upload(self) -> tuple[str, str, str]:
        """Makes an upload of one part: its id, the part's, and the MD5 of its bytes."""
        given = {"bytes": len(_BYTES), "filename": "one.txt", "mime_type": "text/plain", "purpose": "assistants"}
        upload_id = self._ask("POST", "/v1/uploads", given)["id"]
        part = self._send(f"/v1/uploads/{upload_id}/parts", "data", {})
        return upload_id, part["id"], hashlib.md5(_BYTES, usedforsecurity=False).hexdigest()

    def lines(self) -> str:
        """Makes a file that a batch of responses can be made of; its id."""
        body = {"model": CHAT_MODEL, "input": "string", "max_output_tokens": 2}
        line = {"custom_id": "one", "method": "POST", "url": RESPONSES, "body": body}
        raw = json.dumps(line).encode()
        return str(self._send("/v1/files", "file", {"purpose": "batch"}, raw)["id"])

    def batch(self) -> str:
        asked = {"input_file_id": self.lines(), "endpoint": RESPONSES, "completion_window": "24h"}
        return str(self._ask("POST", "/v1/batches", asked)["id"])

    def response(self, *, background: bool = False) -> Within:
        """Makes a response that was asked one item."""
        asked = {"model": CHAT_MODEL, "input": "string", "max_output_tokens": 2, "background": background}
        made = self._ask("POST", RESPONSES, asked)
        self.seeded += 1
        items = self._ask("GET", f"{RESPONSES}/{made['id']}/input_items")
        return Within(made["id"], items["data"][0]["id"])

    def conversation(self) -> Within:
        made = self._ask("POST", "/v1/conversations", {"items": [_SAID]})
        items = self._ask("GET", f"/v1/conversations/{made['id']}/items")
        return Within(made["id"], items["data"][0]["id"])

    def vector_store(self) -> str:
        return str(self._ask("POST", "/v1/vector_stores", {"name": "string"})["id"])

    def vector_store_file(self) -> Within:
        """Makes a vector store with a file, which has been read."""
        whole, file_id = self.vector_store(), self.file()
        file = self._ask("POST", f"/v1/vector_stores/{whole}/files", {"file_id": file_id})
        until = time.monotonic() + _READ_S
        while file["status"] == "in_progress" and time.monotonic() < until:
            time.sleep(_LOOK_S)
            file = self._ask("GET", f"/v1/vector_stores/{whole}/files/{file_id}")
        return Within(whole, file_id)

    def vector_store_batch(self) -> tuple[Within, str]:
        whole, file_id = self.vector_store(), self.file()
        made = self._ask("POST", f"/v1/vector_stores/{whole}/file_batches", {"file_ids": [file_id]})
        return Within(whole, made["id"]), file_id

    def jobs(self) -> int:
        """How many jobs there are of the types that the create calls make, as their tenant is told."""
        return sum(self._jobs(type) for type in CREATES.values())

    def _jobs(self, type: str) -> int:
        listed = f"/v1/jobs?limit={_PAGE}&type={type}"
        count, page = 0, self._ask("GET", listed)
        while page["data"]:
            count += len(page["data"])
            if page["next"] is None:
                break
            page = self._ask("GET", f"{listed}&after={page['next']}")
        return count

    def _send(self, path: str, name: str, fields: dict[str, str], raw: bytes = _BYTES) -> dict[str, Any]:
        headers, file = {"Authorization": f"Bearer {self.key}"}, {name: ("one.txt", raw)}
        response = httpx.post(self.url + path, data=fields, files=file, headers=headers, timeout=120)
        response.raise_for_status()
        return dict(response.json())

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.key}"}
        response = httpx.request(method, self.url + path, json=body, headers=headers, timeout=120)
        response.raise_for_status()
        return dict(response.json())


@contextmanager
def running(folder: Path, port: int, say: Callable[[str], None]) -> Iterator[Platform]:
    """A platform with its data in the folder, whose models have the names that the tests use."""
    catalog = folder / "models.toml"
    catalog.write_text(models())
    with launched(folder / "data", port, 0, say, {"FOREBAY_CATALOG": str(catalog)}) as platform:
        yield Platform(platform.url, platform.key)


def models() -> str:
    """The catalogue: the demo model under OpenAI's names, and what it has no model for by the echo."""
    demo = {"engine": "llamacpp", "file": str(_MODELS / "demo-Q8_0.gguf"), "context": 512, "slots": 4}
    embedder = _MODELS / "demo-embed-Q8_0.gguf"
    embeds: dict[str, Any] = {"engine": "echo", "context": 512, "slots": 4}
    if embedder.is_file():
        embeds |= {"engine": "llamacpp", "file": str(embedder), "dimensions": [384]}
    served: dict[str, dict[str, Any]] = {
        CHAT_MODEL: {**demo, "types": ["generate", "chat"], "default": True},
        COMPLETION_MODEL: {**demo, "types": ["generate"]},
        EMBEDDING_MODEL: {**embeds, "types": ["embed"]},
        MODERATION_MODEL: {**demo, "types": ["moderate"]},
    }
    return "\n".join(_table(name, entry) for name, entry in served.items())


def _table(name: str, entry: dict[str, Any]) -> str:
    """One model's part; strings, numbers, lists and true are written alike in TOML and in JSON."""
    return "\n".join((f'["{name}"]', *(f"{key} = {json.dumps(value)}" for key, value in entry.items()), ""))
