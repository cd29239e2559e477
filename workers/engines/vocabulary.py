"""A SentencePiece vocabulary as its GGUF header has it: what each token writes, and where special ones stand."""

import re
from collections.abc import Callable, Sequence
from typing import Self

from workers.engines.gguf import Header

# Types of tokens: llama.cpp, include/llama.h, `llama_token_type`.
_UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 2, 3, 4, 5, 6
_SPACE = "\u2581".encode()
# Names that end an answer in models whose header names only one end: llama.cpp, src/llama-vocab.cpp.
_ENDS = (b"<|im_end|>", b"<|eot_id|>", b"<|end|>", b"<end_of_turn>", b"<|endoftext|>", b"<|eom_id|>", b"<EOT>")


class Vocabulary:
    """Made of a header that `ctransformers_fit` has found good. Ids are below `size`."""

    def __init__(self, texts: Sequence[bytes], types: Sequence[int], header: Header) -> None:
        self.size = len(texts)
        self._pieces = [_piece(text, kind) for text, kind in zip(texts, types, strict=True)]
        self._texts = texts
        bos, eos = (header.whole(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos"))
        self.bos, self.eos = 1 if bos is None else bos, 2 if eos is None else eos
        self._before = [self.bos] * header.flag("tokenizer.ggml.add_bos_token", True)
        self._after = [self.eos] * header.flag("tokenizer.ggml.add_eos_token", False)
        named = {header.whole(f"tokenizer.ggml.{name}_token_id") for name in ("eot", "eom")}
        told = {number for number, text in enumerate(texts) if text in _ENDS and types[number] != 1}
        self.ends = frozenset({self.eos, *told, *(end for end in named if end is not None)})
        marks = {
            text.decode("utf-8", "replace"): number
            for number, text in enumerate(texts)
            if text and types[number] in (_UNKNOWN, _CONTROL, _USER_DEFINED)
        }
        self._marks = marks
        self._split = re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))) or r"(?!)")

    @classmethod
    def of(cls, header: Header) -> Self:
        texts = [item for item in header.arrays["tokenizer.ggml.tokens"].items if isinstance(item, bytes)]
        types = [item for item in header.arrays["tokenizer.ggml.token_type"].items if isinstance(item, int)]
        return cls(texts, types, header)

    def name(self, token: int) -> str:
        """The token as templates write it."""
        return self._texts[token].decode("utf-8", "replace")

    def piece(self, token: int) -> bytes:
        """What the token adds to an answer: bytes, perhaps a part of a character; nothing for control tokens."""
        return self._pieces[token]

    def encode(self, text: str, plain: Callable[[str], Sequence[int]], *, special: bool) -> list[int]:
        """The text's tokens, `special` ones where their names stand, `plain` giving those of what lies between."""
        ids, at = list(self._before), 0
        for mark in self._split.finditer(text) if special else ():
            ids += [*(plain(text[at : mark.start()]) if mark.start() > at else ()), self._marks[mark[0]]]
            at = mark.end()
        return [*ids, *(plain(text[at:]) if at < len(text) else ()), *self._after]


def _piece(text: bytes, kind: int) -> bytes:
    if kind in (_UNKNOWN, _CONTROL, _UNUSED):
        return b""
    if kind == _BYTE:
        return bytes([int(text[3:5], 16)]) if re.fullmatch(rb"<0x[0-9A-F]{2}>", text) else b""
    return text if kind == _USER_DEFINED else text.replace(_SPACE, b" ")
