"""A request of OpenAI's tests."""

from dataclasses import dataclass

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
MODERATIONS = "/v1/moderations"
RESPONSES = "/v1/responses"
# The types of jobs that the create calls make, by their paths.
CREATES = {
    CHAT: "chat",
    COMPLETIONS: "generate",
    EMBEDDINGS: "embed",
    MODERATIONS: "moderate",
    RESPONSES: "response",
}

COMPLETION_ID = "completion_id"  # what the tests call a stored completion


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its path without the query, its query as it is sent, its body as bytes."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def creates(self) -> bool:
        """True where a good answer means that a job was made."""
        return self.method == "POST" and self.path in CREATES

    @property
    def erases(self) -> bool:
        """True where a stored completion is gone afterwards."""
        return self.method == "DELETE" and self.path == f"{CHAT}/{COMPLETION_ID}"
