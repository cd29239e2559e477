"""A SentencePiece vocabulary as its GGUF header has it: what each token writes, and where special ones stand."""

import re
from collections.abc import Callable, Iterable, Sequence

from tasks import errors
from workers.engines.gguf import Header
from workers.engines.marks import CONTROL, ENDS, UNKNOWN, USER_DEFINED, Marks, Piece

_UNUSED, _BYTE = 5, 6
_SPACE = "\u2581".encode()


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

    def within(self, pieces: Sequence[Piece], plain: Callable[[str], Sequence[int]]) -> list[int]:
        """The tokens without what stands around them. Tokens that users defined are found in every text."""
        parts = [
            part for piece in pieces for part in (self._defined.split(piece) if isinstance(piece, str) else [piece])
        ]
        return [number for part in parts for number in (plain(part) if isinstance(part, str) else [part])]


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
