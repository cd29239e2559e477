"""The catalogue: which models there are and how each is run."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from tasks import errors
from tasks.models.capabilities import ENGINES, Capability

# What stands where a model's name would, for work that needs none.
CONTROL = "control"

# What a model serves: types of jobs, and beside `generate` also `infill`, where its vocabulary has tokens for what
# stands between two texts.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:-]{0,199}")

# What a text is to a model that embeds: some want to be told, by words before it.
Role = Literal["query", "passage"]

TYPES = ("generate", "chat", "embed", "rerank", "moderate", "infill")

# A model of one of these serves nothing else. What it must be able to do, and what is said where its engine can't.
_ALONE = {
    "embed": (Capability.EMBEDS, "gives no embeddings"),
    "rerank": (Capability.RERANKS, "can't rerank"),
}


@dataclass(frozen=True, slots=True)
class Model:
    """One entry. `context` is in tokens, for each slot; `options` are the engine's own, as written.

    `template` is a Jinja file that takes the place of the model's own chat template.
    Of an `optional` model nothing is started where its file is missing. `dimensions` are the sizes that its vectors may
    have: their own, and those to which they may be cut, where the model was made for it (Matryoshka, arXiv 2205.13147).
    `query_prefix` and `passage_prefix` stand before what is embedded to search and to be found.
    """

    name: str
    engine: str
    context: int
    slots: int
    types: tuple[str, ...]
    file: Path | None = None
    template: Path | None = None
    default: bool = False
    optional: bool = False
    dimensions: tuple[int, ...] = ()
    query_prefix: str = ""
    passage_prefix: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def missing(self) -> bool:
        """Whether it is to be left out because its file isn't here."""
        try:
            return self.optional and self.file is not None and not self.file.is_file()
        except OSError:  # a name that no file can have
            return True

    @property
    def embeds(self) -> bool:
        """Whether its answers are vectors: then it gives nothing else."""
        return self.types == ("embed",)

    @property
    def prefixes(self) -> Mapping[Role, str]:
        """What stands before a text, by what it is."""
        return {"query": self.query_prefix, "passage": self.passage_prefix}

    @property
    def reranks(self) -> bool:
        """Whether it tells how well documents answer a query: then it gives nothing else."""
        return self.types == ("rerank",)

    @property
    def pools(self) -> bool:
        """Whether it reads a text in one go and answers with what it made of the whole, instead of writing."""
        return self.embeds or self.reranks

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do on its engine."""
        able = ENGINES.get(self.engine, frozenset())
        if self.embeds:
            return able & {Capability.EMBEDS, Capability.READS_IDS}
        if self.reranks:
            return able & {Capability.RERANKS}
        lacking = {capability for capability, _ in _ALONE.values()}
        return able - (lacking if "infill" in self.types else lacking | {Capability.INFILLS})


Catalog = Mapping[str, Model]


def load(path: Path) -> Catalog:
    """Reads the catalogue; a relative `file` is beside it. Raises `CatalogError` naming the entry and the mistake."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise errors.CatalogError(f"{path}: {error}") from error
    models = {name: _entry(path, name, entry) for name, entry in entries.items()}
    if not models:
        raise errors.CatalogError(f"{path}: names no model")
    return models


def for_type(catalog: Catalog, type: str) -> Model | None:
    """The model that serves a type when the client names none: the one marked `default`, else the first."""
    able = [model for model in catalog.values() if type in model.types]
    return next((model for model in able if model.default), able[0] if able else None)


def _entry(path: Path, name: str, entry: Any) -> Model:
    if not isinstance(entry, dict):
        raise errors.CatalogError(f"{path}: {name}: is not a table")
    known = {"name", *(f.name for f in fields(Model))}
    wrong = [f"unknown key {key!r}" for key in entry if key not in known - {"name"}]
    wrong += [f"{key} is missing" for key in ("engine", "context", "slots", "types") if key not in entry]
    wrong += [f"{key} must be a whole number above 0" for key in ("context", "slots") if not _counts(entry.get(key, 1))]
    wrong += _wrong_engine(entry.get("engine"))
    wrong += _wrong_types(entry.get("types", ["generate"]), entry.get("engine"))
    wrong += [f"{key} must be a path" for key in ("file", "template") if not isinstance(entry.get(key, ""), str)]
    wrong += [
        f"{key} must be true or false" for key in ("default", "optional") if not isinstance(entry.get(key, False), bool)
    ]
    wrong += _wrong_prefixes(entry)
    sizes = entry.get("dimensions", [])
    if not isinstance(sizes, list) or not all(map(_counts, sizes)):
        wrong.append("dimensions must be a list of whole numbers above 0")
    wrong += ["options must be a table"] * (not isinstance(entry.get("options", {}), dict))
    if not _NAME.fullmatch(name):
        wrong.append("a name begins with a letter or a digit, and has these, '-', '_', '.', '/' and ':' only")
    if name == CONTROL:
        wrong.append("the name is taken: it is the queue of work without a model")
    if wrong:
        raise errors.CatalogError(f"{path}: {name}: {'; '.join(wrong)}")
    try:
        paths = {key: (path.parent / entry[key]).resolve() for key in ("file", "template") if entry.get(key)}
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in it, a name too long, a loop of links
        raise errors.CatalogError(f"{path}: {name}: {error}") from error
    others = {key: value for key, value in entry.items() if key not in ("types", "file", "template", "dimensions")}
    return Model(name=name, types=tuple(entry["types"]), dimensions=tuple(sizes), **paths, **others)


def _wrong_engine(engine: Any) -> list[str]:
    if engine is None or (isinstance(engine, str) and engine in ENGINES):
        return []
    return [f"unknown engine {str(engine)[:40]!r}; known: {', '.join(ENGINES)}"]


def _wrong_types(types: Any, engine: Any) -> list[str]:
    if not isinstance(types, list) or not types:
        return ["types must be a list with at least one type"]
    unknown = [f"unknown type {type!r}" for type in types if type not in TYPES]
    together = [f"a model of the type {type} serves no other" for type in _ALONE if type in types and len(types) > 1]
    alone = ["infill goes with generate"] * ("infill" in types and "generate" not in types)
    able = ENGINES.get(engine, frozenset(Capability)) if isinstance(engine, str) else frozenset(Capability)
    unable = [f"{engine} {told}" for type, (wanted, told) in _ALONE.items() if type in types and wanted not in able]
    unable += [f"{engine} can't infill"] * ("infill" in types and Capability.INFILLS not in able)
    return unknown + together + alone + unable


def _wrong_prefixes(entry: Mapping[str, Any]) -> list[str]:
    given = [key for key in ("query_prefix", "passage_prefix") if key in entry]
    wrong = [f"{key} must be a text" for key in given if not isinstance(entry[key], str)]
    return wrong + [f"{key} is of models of the type embed" for key in given if entry.get("types") != ["embed"]]


def _counts(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
