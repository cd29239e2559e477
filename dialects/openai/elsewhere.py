"""What OpenAI's own service may answer and this one never does: described, so that a client made from our page reads
either. Sounds, searches of the web, and tools that aren't functions need models that nobody has here."""

from typing import Literal, TypedDict


class UrlCitation(TypedDict):
    url: str
    title: str
    start_index: int
    end_index: int


class Annotation(TypedDict):
    """What an answer was found by, where the web was searched."""

    type: Literal["url_citation"]
    url_citation: UrlCitation


class SpokenAnswer(TypedDict):
    """An answer as a sound."""

    id: str
    data: str
    expires_at: int
    transcript: str


class CustomCall(TypedDict):
    """A call of a tool that isn't a function."""

    name: str
    input: str


class ModeratedText(TypedDict):
    type: Literal["moderation_result"]
    model: str
    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[str]]


class ModeratedSide(TypedDict, total=False):
    """What was found in a request, or in its answer, or why nothing could be."""

    type: Literal["moderation_results", "error"]
    model: str
    results: list[ModeratedText]
    code: str
    message: str


class ModeratedChat(TypedDict):
    input: ModeratedSide
    output: ModeratedSide


class Image(TypedDict):
    """What a message shows, where models see."""

    url: str
    detail: Literal["auto", "low", "high"]


class Breakpoint(TypedDict):
    """Up to where a prompt is kept for the next."""

    mode: Literal["explicit"]
