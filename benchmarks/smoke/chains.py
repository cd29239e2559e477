"""LangChain on OpenAI's words: run with its own Python, with OPENAI_BASE_URL and OPENAI_API_KEY set."""

import json
from collections.abc import Callable
from typing import Literal

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openai import OpenAI
from pydantic import BaseModel

STORY = "Tell me a story about Anna."


class Weather(BaseModel):
    """How it is somewhere."""

    place: Literal["Bern", "Basel"]
    warm: bool


@tool
def look(where: Literal["up", "down"]) -> str:
    """To look somewhere."""
    return where


def check(name: str, act: Callable[[], object]) -> None:
    try:
        act()
        told = {"check": name, "ok": True}
    except Exception as error:  # noqa: BLE001 whatever went wrong is what is told
        told = {"check": name, "ok": False, "error": f"{type(error).__name__}: {error}"[:300]}
    print(json.dumps(told), flush=True)


def model(most: int) -> ChatOpenAI:
    return ChatOpenAI(model="demo-chat", temperature=0, max_completion_tokens=most)


def chat() -> None:
    assert model(12).invoke(STORY).usage_metadata["output_tokens"] == 12


def stream() -> None:
    assert "".join(chunk.content for chunk in model(12).stream(STORY)) == model(12).invoke(STORY).content


def tools() -> None:
    called = model(100).bind_tools([look], tool_choice="look").invoke(STORY).tool_calls
    assert called[0]["name"] == "look"
    assert called[0]["args"]["where"] in ("up", "down")


def structured() -> None:
    for method in ("json_schema", "function_calling"):
        assert isinstance(model(100).with_structured_output(Weather, method=method).invoke(STORY), Weather)


def embeddings() -> None:
    # It would send token ids of OpenAI's own tokenizer otherwise, which mean something else to any other model.
    embedder = OpenAIEmbeddings(model="demo-embed", check_embedding_ctx_length=False)
    assert [len(vector) for vector in embedder.embed_documents(["one", "two"])] == [384, 384]
    assert len(embedder.embed_query("one")) == 384


class StoreRetriever(BaseRetriever):
    """Over a vector store, for which LangChain has none: as docs/vector-stores.md shows it."""

    client: OpenAI
    store: str
    k: int = 5

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        del run_manager
        page = self.client.vector_stores.search(self.store, query=query, max_num_results=self.k)
        return [
            Document(found.content[0].text, metadata={"file_id": found.file_id, "score": found.score}) for found in page
        ]


def retriever() -> None:
    client = OpenAI()
    store = client.vector_stores.create(name="chains")
    file = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("owl.txt", b"The owl lives in the tower."), poll_interval_ms=200
    )
    found = StoreRetriever(client=client, store=store.id).invoke("Who lives in the tower?")
    assert [document.page_content for document in found] == ["The owl lives in the tower."]
    assert found[0].metadata["file_id"] == file.id
    client.vector_stores.delete(store.id)


for act in (chat, stream, tools, structured, embeddings, retriever):
    check(act.__name__, act)
