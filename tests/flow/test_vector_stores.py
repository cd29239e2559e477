"""Vector stores from files to what is found, by OpenAI's own client on the demo models."""

import io
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.support.catalogs import without_embedding_model
from tests.support.platform import Stack

PUMP = b"The pump P-200 weighs 40 kilograms.\n\nIt was built in Ghent."
BOAT = b"# Boats\n\nThe green boat is near the tower. The boat costs 42 coins."
SOURCE = b"def harbour() -> int:\n    return 19  # the code of the harbour\n"

pytestmark = without_embedding_model


@pytest.fixture(scope="module")
def sdk(stack: Stack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key, max_retries=0, timeout=70) as client:
        yield client


def kept(sdk: OpenAI, name: str, raw: bytes) -> str:
    return sdk.files.create(file=(name, raw), purpose="assistants").id


@pytest.fixture(scope="module")
def store(sdk: OpenAI) -> str:
    """A store with three files, one of which can't be read, and one of which is the source of a program."""
    made = sdk.vector_stores.create(name="Things", metadata={"of": "tests"})
    assert (made.status, made.file_counts.total, made.usage_bytes) == ("completed", 0, 0)
    files: list[Any] = [
        {"file_id": kept(sdk, "pump.txt", PUMP), "attributes": {"year": 2026, "filename": "x", "heavy": True}},
        {"file_id": kept(sdk, "boat.md", BOAT), "attributes": {"year": 2020}},
        {"file_id": kept(sdk, "harbour.py", SOURCE)},
        {"file_id": kept(sdk, "broken.pdf", b"%PDF-1.7 and nothing more")},
        {"file_id": kept(sdk, "box.zip", b"PK")},
        {"file_id": kept(sdk, "song.mp3", b"ID3")},
    ]
    batch = sdk.vector_stores.file_batches.create_and_poll(made.id, files=files, poll_interval_ms=100)
    counts = batch.file_counts
    assert (batch.status, counts.completed, counts.failed, counts.total) == ("completed", 3, 3, 6)
    return made.id


def found(sdk: OpenAI, store: str, query: str, **more: Any) -> list[tuple[str, str]]:
    page = sdk.vector_stores.search(store, query=query, **more)
    return [(one.filename, one.content[0].text) for one in page]


def test_files_of_a_batch_are_told_truly(sdk: OpenAI, store: str) -> None:
    shown = sdk.vector_stores.retrieve(store)
    assert (shown.status, shown.file_counts.completed, shown.file_counts.failed) == ("completed", 3, 3)
    assert shown.usage_bytes == len(PUMP) + len(BOAT) + len(SOURCE)
    failed = {one.id: one.last_error for one in sdk.vector_stores.files.list(store, filter="failed")}
    names = {sdk.files.retrieve(id).filename: error.code for id, error in failed.items() if error}
    assert names == {"broken.pdf": "invalid_file", "box.zip": "unsupported_file", "song.mp3": "unsupported_file"}
    done = list(sdk.vector_stores.files.list(store, filter="completed", order="asc", limit=1))  # page by page
    assert [one.attributes for one in done] == [{"year": 2026, "filename": "x", "heavy": True}, {"year": 2020}, {}]
    text = sdk.vector_stores.files.content(done[0].id, vector_store_id=store)
    assert text.data[0].text == PUMP.decode()


@pytest.mark.parametrize(
    ("query", "name"),
    [("How heavy is the pump?", "pump.txt"), ("price of the boat", "boat.md"), ("code of the harbour", "harbour.py")],
)
def test_search_finds_the_file_that_says_it(sdk: OpenAI, store: str, query: str, name: str) -> None:
    assert found(sdk, store, query, max_num_results=1)[0][0] == name


def test_search_is_narrowed_by_attributes_only(sdk: OpenAI, store: str) -> None:
    """An attribute that is called like a field of documents is the attribute."""
    year: Any = {"type": "gte", "key": "year", "value": 2021}
    assert {name for name, _ in found(sdk, store, "the boat", filters=year)} == {"pump.txt"}
    both: Any = {"type": "or", "filters": [year, {"type": "eq", "key": "year", "value": 2020}]}
    assert {name for name, _ in found(sdk, store, "the boat", filters=both)} == {"pump.txt", "boat.md"}
    assert {name for name, _ in found(sdk, store, "boat", filters={"type": "eq", "key": "filename", "value": "x"})} == {
        "pump.txt"
    }
    assert found(sdk, store, "boat", filters={"type": "eq", "key": "filename", "value": "boat.md"}) == []
    assert found(sdk, store, "the boat", ranking_options={"score_threshold": 0.99}) == []


def test_scores_are_of_meaning_or_of_words_as_they_are_weighed(sdk: OpenAI, store: str) -> None:
    """By words alone, what has none of the query's words scores nothing."""
    words: Any = {"hybrid_search": {"embedding_weight": 0, "text_weight": 1}}
    scores = {one.filename: one.score for one in sdk.vector_stores.search(store, query="coins", ranking_options=words)}
    assert scores["boat.md"] > 0
    assert scores.get("pump.txt", 0) == 0


def test_several_queries_are_searched_as_one(sdk: OpenAI, store: str) -> None:
    page = sdk.vector_stores.search(store, query=["pump", "boat"])
    assert {one.filename for one in page.data} >= {"pump.txt", "boat.md"}
    assert page.search_query == ["pump", "boat"]  # type: ignore[attr-defined]


def test_file_is_in_two_stores_and_goes_from_each_by_itself(sdk: OpenAI) -> None:
    """Taken out of one store it is in the other; deleted, it is in none."""
    file_id = kept(sdk, "owl.txt", b"The owl lives in the tower.")
    stores = [sdk.vector_stores.create(file_ids=[file_id]).id for _ in range(2)]
    for store in stores:
        shown = sdk.vector_stores.files.poll(file_id, vector_store_id=store, poll_interval_ms=100)
        assert shown.status == "completed"
    assert sdk.vector_stores.files.delete(file_id, vector_store_id=stores[0]).deleted
    assert [len(found(sdk, store, "Who lives in the tower?")) for store in stores] == [0, 1]
    assert sdk.files.retrieve(file_id).id == file_id
    assert sdk.files.delete(file_id).deleted
    assert [len(found(sdk, store, "Who lives in the tower?")) for store in stores] == [0, 0]
    assert sdk.vector_stores.retrieve(stores[1]).file_counts.total == 0
    with pytest.raises(openai.NotFoundError):
        sdk.vector_stores.files.retrieve(file_id, vector_store_id=stores[1])


def test_files_are_cut_as_each_is_wanted(sdk: OpenAI) -> None:
    """The text of two files is the same, and one of them has more and smaller pieces."""
    text = "\n\n".join(f"Number {number} is the {number}th of the numbers, and has a sentence." for number in range(60))
    ids = [kept(sdk, f"{name}.txt", text.encode()) for name in ("usual", "large")]
    store = sdk.vector_stores.create().id
    sdk.vector_stores.files.create_and_poll(ids[0], vector_store_id=store, poll_interval_ms=100)
    static: Any = {"type": "static", "static": {"max_chunk_size_tokens": 250, "chunk_overlap_tokens": 0}}
    large = sdk.vector_stores.files.create_and_poll(
        ids[1], vector_store_id=store, chunking_strategy=static, poll_interval_ms=100
    )
    assert large.chunking_strategy.to_dict() == static  # type: ignore[union-attr]
    pieces = {"usual.txt": [], "large.txt": []}
    for name, piece in found(sdk, store, "sentence of the numbers", max_num_results=50):
        pieces[name].append(piece)
    assert max(map(len, pieces["large.txt"])) > 1.5 * max(map(len, pieces["usual.txt"]))


def test_attributes_are_changed_and_searched_by_at_once(sdk: OpenAI, store: str) -> None:
    file_id = kept(sdk, "cat.txt", b"The cat sleeps.")
    sdk.vector_stores.files.create_and_poll(file_id, vector_store_id=store, poll_interval_ms=100)
    sdk.vector_stores.files.update(file_id, vector_store_id=store, attributes={"animal": True})
    animals: Any = {"type": "eq", "key": "animal", "value": True}
    assert found(sdk, store, "Who sleeps?", filters=animals) == [("cat.txt", "The cat sleeps.")]
    again = sdk.vector_stores.files.create_and_poll(file_id, vector_store_id=store, poll_interval_ms=100)
    assert (again.status, again.attributes) == ("completed", {"animal": True})
    sdk.vector_stores.files.delete(file_id, vector_store_id=store)


def test_upload_and_poll_does_both(sdk: OpenAI) -> None:
    made = sdk.vector_stores.create(name="Uploads")
    raw = io.BytesIO(b"Clara works as a nurse.")
    raw.name = "clara.txt"
    shown = sdk.vector_stores.files.upload_and_poll(vector_store_id=made.id, file=raw, poll_interval_ms=100)
    assert shown.status == "completed"
    assert sdk.vector_stores.delete(made.id).deleted
    assert sdk.files.retrieve(shown.id).filename == "clara.txt"
    with pytest.raises(openai.NotFoundError):
        sdk.vector_stores.retrieve(made.id)
