"""The reader of GGUF headers, on the demo model's and on hostile ones."""

import os
import struct
from collections.abc import Sequence
from pathlib import Path

import gguf as library
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import errors
from tests.workers.files import foreign
from workers.engines import ctransformers_fit, gguf

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "models" / "demo-Q8_0.gguf"
WHOLE = DEMO.read_bytes()
TENSORS_AT = WHOLE.index(b"token_embd.weight") - 8
HEADER_END = TENSORS_AT + 2000
TRAINED = gguf.read(DEMO).size("context_length") or 0


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def file(keys: Sequence[bytes] = (), tensors: Sequence[bytes] = (), counts: tuple[int, int] | None = None) -> bytes:
    count = counts or (len(tensors), len(keys))
    return b"GGUF" + struct.pack("<IQQ", 3, *count) + b"".join([*keys, *tensors]) + bytes(64)


def key(name: str, kind: int, value: bytes) -> bytes:
    return string(name.encode()) + struct.pack("<I", kind) + value


def array(kind: int, count: int, items: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + items


def tensor(name: bytes = b"t", shape: tuple[int, ...] = (4,), kind: int = 0, offset: int = 0) -> bytes:
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def test_demo_model_is_read_as_the_library_reads_it() -> None:
    """Every key that is kept has the library's value, and every tensor lies where the library finds it."""
    ours, theirs = gguf.read(DEMO), library.GGUFReader(DEMO)
    for name, field in theirs.fields.items():
        if name in ours.values:
            assert ours.values[name] == field.contents()
    tokens = ours.arrays["tokenizer.ggml.tokens"]
    assert [str(item, "utf-8") for item in tokens.items if isinstance(item, bytes)] == (
        theirs.fields["tokenizer.ggml.tokens"].contents()
    )
    assert [(t.name, list(t.shape), t.kind, t.bytes) for t in ours.tensors] == [
        (t.name, t.shape.tolist(), int(t.tensor_type), t.n_bytes) for t in theirs.tensors
    ]
    assert set(ours.values) | set(ours.arrays) == {name for name in theirs.fields if not name.startswith("GGUF.")}


def test_sizes_of_all_types_are_the_librarys() -> None:
    """A type's block is as long as ggml says."""
    for kind, (block, each) in library.GGML_QUANT_SIZES.items():
        assert gguf._TYPES[int(kind)] == (kind.name, block, each)


def test_cache_is_two_numbers_a_layer_a_token() -> None:
    """Keys and values, of two bytes, for each head that has its own."""
    sizes = {"embedding_length": 192, "block_count": 4, "attention.head_count": 6, "attention.head_count_kv": 3}
    values: dict[str, gguf.Scalar] = {f"llama.{name}": size for name, size in sizes.items()}
    header = gguf.Header(3, {"general.architecture": "llama", **values}, {}, (), 0)
    assert header.cache_bytes(512) == 512 * 4 * (2 * 3 * 32) * 2


@pytest.mark.parametrize(
    ("key", "recurrent"),
    [("mamba.ssm.conv_kernel", True), ("rwkv6.wkv.head_size", True), ("llama.attention.head_count", False)],
)
def test_models_of_which_no_token_can_be_taken_back_are_known(key: str, recurrent: bool) -> None:
    """As llama.cpp names what they have, in its table of keys."""
    assert gguf.Header(3, {key: 4}, {}, (), 0).recurrent is recurrent


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not a GGUF"),
        (b"GGUF", "not a GGUF"),
        (b"a text that goes on for a while", "not a GGUF"),
        (b"GGUF" + bytes(range(256)), "version"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "byte order"),
        (WHOLE[:5000], "cut off within its header"),
        (WHOLE[:-1], f"cut off: {len(WHOLE) - 1} bytes, of {len(WHOLE)}"),
        (file(counts=(1 << 63, 0)), "claims 9223372036854775808 tensors"),
        (file(counts=(0, 1 << 40)), "claims 1099511627776 keys"),
        (file([struct.pack("<Q", 1 << 62)]), "claims a string of"),
        (file([key("k", 8, struct.pack("<Q", 1 << 40))]), "claims a string of"),
        (file([key("k", 8, struct.pack("<Q", 1 << 20))]), "cut off within its header"),
        (file([key("k", 9, array(4, 1 << 60))]), "cut off within its header"),
        (file([key("k", 9, array(8, 1 << 60))]), "strings in arrays"),
        (file([key("k", 9, array(9, 1, array(9, 1, array(9, 1))))]), "array of arrays"),
        (file([key("k", 77, b"")]), "unknown value type 77"),
        (file([key("k", 0, b"a"), key("k", 0, b"b")]), "comes twice"),
        (file([], [tensor(), tensor()]), "same name"),
        (file([], [tensor(shape=(1,) * 5)]), "5 dimensions"),
        (file([], [tensor(shape=(1 << 40, 1 << 40))]), "impossible shape"),
        (file([], [tensor(shape=(0, 4))]), "impossible shape"),
        (file([], [tensor(shape=(33,), kind=8)]), "impossible shape"),
        (file([], [tensor(offset=1 << 40)]), "cut off: .* bytes, of"),
        (file([], [tensor(offset=(1 << 64) - 32)]), "cut off: .* bytes, of"),
        (file([], [tensor(offset=4)]), "between two boundaries"),
        (file([key("general.alignment", 4, struct.pack("<I", 0))]), "alignment of 0"),
        (file([key("general.alignment", 4, struct.pack("<I", 1 << 31))]), "alignment of"),
        (file([key("general.alignment", 4, struct.pack("<I", 48))]), "alignment of 48"),
    ],
)
def test_damaged_header_is_an_error_that_says_how(tmp_path: Path, content: bytes, told: str) -> None:
    """Nothing is allocated or followed because a file says so."""
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(errors.EngineUnusable, match=rf"bad\.gguf: .*({told})"):
        gguf.read(path)


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    """A folder, nothing at all, a pipe that nobody writes to."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "none", tmp_path / "pipe"):
        with pytest.raises(errors.EngineUnusable, match=path.name):
            gguf.read(path)


@settings(max_examples=100)
@given(changes=st.lists(st.tuples(st.integers(0, HEADER_END), st.integers(0, 255)), min_size=1, max_size=12))
def test_header_changed_anywhere_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    """Whatever the bytes, the answer is a header or our error."""
    _read_or_refused(tmp_path_factory, changes)


@settings(max_examples=100)
@given(
    places=st.lists(
        st.tuples(
            st.one_of(st.integers(4, 400), st.integers(TENSORS_AT, HEADER_END)),
            st.sampled_from([0, 1, 255, 1 << 16, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1]),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_header_with_extreme_numbers_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[int, int]]
) -> None:
    """Eight bytes at a time: counts, lengths, shapes and offsets as large as they get."""
    bytes_of = ((at, value.to_bytes(8, "little")) for at, value in places)
    _read_or_refused(
        tmp_path_factory, [(at + place, byte) for at, number in bytes_of for place, byte in enumerate(number)]
    )


def _read_or_refused(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]) -> None:
    content = bytearray(WHOLE)
    for at, value in changes:
        content[at] = value
    path = tmp_path_factory.getbasetemp() / "mutated.gguf"
    path.write_bytes(content)
    try:
        ctransformers_fit.check(gguf.read(path), 512)
    except errors.EngineUnusable:
        return


def test_demo_model_fits_ctransformers() -> None:
    """And not with more context than it was made for."""
    header = gguf.read(DEMO)
    ctransformers_fit.check(header, TRAINED)
    with pytest.raises(errors.EngineUnusable, match=f"a context of {TRAINED + 1} tokens is asked for, it was made for"):
        ctransformers_fit.check(header, TRAINED + 1)


@pytest.mark.parametrize(
    ("architecture", "tokenizer", "told"),
    [
        ("qwen2", "gpt2", "architecture is 'qwen2'.*tokenizer is 'gpt2'"),
        ("bert", "bert", "architecture is 'bert'"),
        ("llama", "gpt2", "tokenizer is 'gpt2', not 'llama'"),
        ("llama", "llama", "tokenizer has no scores"),
    ],
)
def test_foreign_model_is_refused_with_the_reason(tmp_path: Path, architecture: str, tokenizer: str, told: str) -> None:
    """What ctransformers would crash on, or refuse without a word."""
    header = gguf.read(foreign(tmp_path / "foreign.gguf", architecture, tokenizer))
    with pytest.raises(errors.EngineUnusable, match=told):
        ctransformers_fit.check(header, 512)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"<0x41>", b"<0x?1>", "can't write every byte"),
        (b"llama.block_count", b"llama.block_cOUNT", "doesn't tell block_count"),
        (b"tokenizer.ggml.scores", b"tokenizer.ggml.scoreZ", "no scores"),
    ],
)
def test_vocabulary_and_sizes_must_be_whole(tmp_path: Path, old: bytes, new: bytes, told: str) -> None:
    """Its loader looks for them without asking whether they are there."""
    path = tmp_path / "model.gguf"
    path.write_bytes(WHOLE.replace(old, new, 1))
    with pytest.raises(errors.EngineUnusable, match=told):
        ctransformers_fit.check(gguf.read(path), 512)
