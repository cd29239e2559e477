"""The catalogue: read whole or refused with the entry's name."""

from pathlib import Path

import pytest

from tasks import errors
from tasks.models import catalog

GOOD = '[m]\nengine = "echo"\ncontext = 8\nslots = 1\ntypes = ["chat"]\n'


def load(tmp_path: Path, text: str) -> catalog.Catalog:
    path = tmp_path / "catalog.toml"
    path.write_text(text)
    return catalog.load(path)


def test_shipped_catalogue_loads_and_its_files_exist() -> None:
    """What is in the repository can be served."""
    models = catalog.load(Path(__file__).parents[3] / "models" / "catalog.toml")
    assert all(model.file is None or model.file.is_file() or model.missing for model in models.values())
    assert all(catalog.for_type(models, type) for type in ("generate", "chat", "embed"))


def test_relative_file_is_beside_the_catalogue(tmp_path: Path) -> None:
    """The folder can be moved as a whole."""
    assert load(tmp_path, GOOD + 'file = "x.gguf"\n')["m"].file == tmp_path / "x.gguf"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names no model"),
        ("[m", "catalog.toml"),
        ("m = 1", "m: is not a table"),
        (GOOD + "colour = 1\n", "m: unknown key 'colour'"),
        (GOOD.replace('"chat"', '"generate", "infill"'), "m: echo can't infill"),
        (GOOD.replace('"echo"', '"llamacpp"').replace('"chat"', '"chat", "infill"'), "m: infill goes with generate"),
        (GOOD.replace("slots = 1", "slots = 0"), "m: slots must be"),
        (GOOD.replace("slots = 1", "slots = true"), "m: slots must be"),
        (GOOD.replace("context = 8\n", ""), "m: context is missing"),
        (GOOD.replace('"chat"', '"sing"'), "m: unknown type 'sing'"),
        (GOOD.replace('["chat"]', "[]"), "m: types must be"),
        (GOOD.replace('["chat"]', "5"), "m: types must be"),
        (GOOD + "file = 5\n", "m: file must be"),
        (GOOD + 'default = "no"\n', "m: default must be"),
        (GOOD + "options = 1\n", "m: options must be"),
        (GOOD.replace("[m]", '["a b"]'), "a name begins"),
        (GOOD.replace('"echo"', '"ecko"'), "m: unknown engine 'ecko'"),
        (GOOD.replace('"echo"', '["echo"]'), "m: unknown engine"),
        (GOOD + 'file = "x\\u0000y"\n', "m: "),
        (GOOD.replace("echo", "ctransformers").replace('"chat"', '"embed"'), "ctransformers gives no embeddings"),
        (GOOD.replace('"chat"', '"embed"') + "query_prefix = 1\n", "m: query_prefix must be a text"),
        (GOOD + 'passage_prefix = "passage: "\n', "m: passage_prefix is of models of the type embed"),
        (GOOD.replace("echo", "ctransformers").replace('"chat"', '"rerank"'), "ctransformers can't rerank"),
        (GOOD.replace('"chat"', '"rerank", "embed"'), "m: a model of the type embed serves no other; a model of the"),
    ],
)
def test_mistake_is_named(tmp_path: Path, text: str, told: str) -> None:
    """A catalogue with a mistake is refused, saying where and what."""
    with pytest.raises(errors.CatalogError) as refused:
        load(tmp_path, text)
    assert told in str(refused.value)


def test_prefixes_are_told_by_what_a_text_is(tmp_path: Path) -> None:
    model = load(tmp_path, GOOD.replace('"chat"', '"embed"') + 'query_prefix = "query: "\n')["m"]
    assert model.prefixes == {"query": "query: ", "passage": ""}


def test_optional_model_whose_file_can_have_no_such_name_is_missing(tmp_path: Path) -> None:
    """Like one whose file isn't here: it breaks nothing of the others."""
    assert load(tmp_path, GOOD + f'optional = true\nfile = "{"x" * 5000}"\n')["m"].missing


def test_missing_catalogue_is_named(tmp_path: Path) -> None:
    """The path that isn't there is in the message."""
    with pytest.raises(errors.CatalogError, match=r"nowhere\.toml"):
        catalog.load(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("name", ["llama3.2:1b", "acme/tiny_llama-2"])
def test_names_are_those_that_models_have_elsewhere(tmp_path: Path, name: str) -> None:
    """As clients of other servers know them."""
    assert list(load(tmp_path, GOOD.replace("[m]", f'["{name}"]'))) == [name]
