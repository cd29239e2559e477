"""What a search answers."""

from typing import Literal, TypedDict

from tasks.documents.ranking import PassageObject


class SearchResults(TypedDict):
    object: Literal["list"]
    results: list[PassageObject]
