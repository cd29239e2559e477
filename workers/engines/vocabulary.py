"""A SentencePiece vocabulary as its GGUF header has it: what each token writes, and where special ones stand."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import cast

from tasks import errors
from workers.engines.gguf import Header
from workers.engines.marks import CONTROL, ENDS, UNKNOWN, USER_DEFINED, Marks, Piece

_UNUSED, _BYTE = 5, 6
_SPACE = "\u2581".encode()
_UNKNOWN_IDS = {"llama": 0, "bert": 100, "t5": 2}

Between = tuple[int, int, int]

_SPECIAL = (CONTROL, USER_DEFINED)
_BETWEEN = (("fim_pre", "prefix"), ("fim_suf", "suffix"), ("fim_mid", "middle"))  # keys, newer and older
_BETWEEN_NAMES = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen and others
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder, Granite
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>"),  # DeepSeek
    ("\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>"),  # Code Llama
)


class Vocabulary:
    """Made of a header that `ctransformers_fit` has found good, and the chat template. Ids are below `size`."""

    def __init__(self, header: Header, template: str | None) -> None:
        texts = header.items("tokenizer.ggml.tokens", bytes)
        types = header.items("tokenizer.ggml.token_type", int)
        self.size = len(texts)
        self.marks = Marks.of(header, template)
        self._pieces = [_piece(text, kind) for text, kind in zip(texts, types, strict=True)]
        self._texts = texts
        bos, eos = (header.whole(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos"))
        self.bos, self.eos = 1 if bos is None else bos, 2 if eos is None else eos
        self._before = [self.bos] * header.flag("tokenizer.ggml.add_bos_token", True)
        self._after = [self.eos] * header.flag("tokenizer.ggml.add_eos_token", False)
        named = {header.whole(f"tokenizer.ggml.{name}_token_id") for name in ("eot", "eom")}
        told = {number for number, text in enumerate(texts) if text.decode("utf-8", "replace") in ENDS}
        told = {number for number in told if types[number] != 1}
        self.ends = frozenset({self.eos, *told, *(end for end in named if end is not None)})
        defined = {self.name(number): number for number, kind in enumerate(types) if kind == USER_DEFINED}
        self.between = between(header)
        self._defined = Marks.named({name: number for name, number in defined.items() if name})

    def name(self, token: int) -> str:
        """The token as templates write it."""
        return self._texts[token].decode("utf-8", "replace")

    def piece(self, token: int) -> bytes:
        """What the token adds to an answer: bytes, perhaps a part of a character; nothing for control tokens."""
        return self._pieces[token]

    def encode(self, pieces: Sequence[Piece], plain: Callable[[str], Sequence[int]]) -> list[int]:
        """Tokens and the texts between them as tokens, `plain` giving those of a text, with what stands around all."""
        found = list(pieces[1:] if pieces[:1] == self._before else pieces)
        return [*self._before, *self.within(found, plain), *self._after]

    def infilled(
        self, prompt: str, suffix: str, plain: Callable[[str], Sequence[int]], reread: Callable[[str], Sequence[int]]
    ) -> list[int]:
        """The tokens of two texts, so that what stands between them follows. Raises `EngineRefused` without tokens."""
        return infilled(self.between, self._before, self.within([prompt], plain), reread(suffix))

    def within(self, pieces: Sequence[Piece], plain: Callable[[str], Sequence[int]]) -> list[int]:
        """The tokens without what stands around them. Tokens that users defined are found in every text."""
        parts = [
            part for piece in pieces for part in (self._defined.split(piece) if isinstance(piece, str) else [piece])
        ]
        return [number for part in parts for number in (plain(part) if isinstance(part, str) else [part])]


def unknown(header: Header) -> int | None:
    """The token for what has none of its own; as llama.cpp finds it (src/llama-vocab.cpp): by the header, or usual."""
    told = header.whole("tokenizer.ggml.unknown_token_id")
    return _UNKNOWN_IDS.get(header.tokenizer) if told is None else told


def between(header: Header) -> Between | None:
    """The tokens that a model was taught to fill in by: before the prompt, before its suffix, before what stands
    between them; None where it has none. As llama.cpp finds them (src/llama-vocab.cpp): by the header, or by names.
    """
    told = [[header.whole(f"tokenizer.ggml.{name}_token_id") for name in names] for names in _BETWEEN]
    ids = tuple(next((id for id in pair if id is not None), -1) for pair in told)
    names = header.items("tokenizer.ggml.tokens", bytes)
    if min(ids) >= 0 and max(ids) < len(names) and len(set(ids)) == len(_BETWEEN):
        return cast(Between, ids)
    types = header.items("tokenizer.ggml.token_type", int)
    special = {name: id for id, (name, kind) in enumerate(zip(names, types, strict=False)) if kind in _SPECIAL}
    known = (tuple(special.get(name.encode(), -1) for name in three) for three in _BETWEEN_NAMES)
    return next((cast(Between, three) for three in known if min(three) >= 0), None)


def infilled(between: Between | None, start: Sequence[int], prompt: Sequence[int], suffix: Sequence[int]) -> list[int]:
    """The order is that of llama.cpp's `/infill` (tools/server/server-common.cpp, `format_prompt_infill`), where its
    `spm_infill` is off. Raises `EngineRefused` without tokens."""
    if between is None:
        raise errors.EngineRefused("the model's vocabulary has no tokens to fill in by")
    return [*start, between[0], *prompt, between[1], *suffix, between[2]]


def require_known(ids: Iterable[int], size: int) -> None:
    """Raises `EngineRefused` for the first id that a vocabulary of that size doesn't have."""
    for token in ids:
        if not 0 <= token < size:
            raise errors.EngineRefused(f"the model has no token {token}: its vocabulary has {size}")


def _piece(text: bytes, kind: int) -> bytes:
    if kind in (UNKNOWN, CONTROL, _UNUSED):
        return b""
    if kind == _BYTE:
        return bytes([int(text[3:5], 16)]) if re.fullmatch(rb"<0x[0-9A-F]{2}>", text) else b""
    return text if kind == USER_DEFINED else text.replace(_SPACE, b" ")
