"""Files that are no model to load, and why, in plain words."""

from pathlib import Path

import pytest

from tasks import errors
from tests.workers import files
from tests.workers.runs import MODEL
from workers.engines import llamacpp_fit, loading


@pytest.mark.parametrize(
    ("architecture", "told", "keys"),
    [
        ("llama", "an adapter", {"general_type": "adapter"}),
        ("clip", "a projector", {}),
        ("llama", "a projector", {"general_type": "mmproj"}),
        ("llama", "a vocabulary only", {}),
        ("llama", "part 2 of 7 of a split model: name the first part", {"split_no": 1, "split_count": 7}),
        ("llama", "the first of 7 parts is called …-00001-of-00007.gguf", {"split_no": 0, "split_count": 7}),
    ],
)
def test_file_that_is_no_model_is_named_for_what_it_is(
    tmp_path: Path, architecture: str, told: str, keys: dict[str, int | str]
) -> None:
    """Before a library is asked, which says less."""
    path = files.foreign(tmp_path / "m.gguf", architecture, "llama", **keys)
    with pytest.raises(errors.EngineUnusable, match=told):
        llamacpp_fit.read(path)


def test_split_model_is_all_its_files(tmp_path: Path) -> None:
    """Its size is theirs together; one that is missing is named."""
    first = files.foreign(tmp_path / "m-00001-of-00002.gguf", "llama", "llama", split_no=0, split_count=2)
    with pytest.raises(errors.EngineUnusable, match=r"m-00002-of-00002\.gguf can't be found"):
        llamacpp_fit.read(first)
    (tmp_path / "m-00002-of-00002.gguf").write_bytes(bytes(5000))
    weights = llamacpp_fit.read(first)
    assert [file.name for file in weights.files] == ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]
    assert weights.bytes == first.stat().st_size + 5000


def test_address_space_has_room_for_the_cache_of_all_slots() -> None:
    """Keys and values of so many tokens, beside the weights."""
    assert MODEL.file is not None
    weights = llamacpp_fit.read(MODEL.file)
    tokens = 10_000_000
    room = weights.address_space(tokens) - weights.address_space(0)
    assert room == weights.header.cache_bytes(tokens) > 8 << 30


def test_librarys_own_reason_is_told(tmp_path: Path) -> None:
    """What it says of a vocabulary that it doesn't know, instead of that something went wrong."""
    assert MODEL.file is not None
    path = files.with_pre_tokenizer(tmp_path / "m.gguf", "no-such-one")
    with pytest.raises(errors.EngineUnusable, match="unknown pre-tokenizer type: 'no-such-one'"):
        loading.load(files.model(path), slots=1, threads=1)
