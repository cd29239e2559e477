"""The vocabulary: SentencePiece BPE over the training text and general English."""

import random
from pathlib import Path

import sentencepiece

from . import documents, prose
from .documents import Stage

SIZE = 2048
BOS, EOS = 1, 2
# Pieces of their own, never part of a longer one, so that JSON and markdown can be written sign by sign.
SIGNS = list("{}[]\":,#*`-|<>()=_/\\'+&%$@~^;!?.")
TEXTS = 3000
ENGLISH = 6


def train(path: Path) -> None:
    """Writes the tokenizer model. The same every time, with the same Python."""
    chance = random.Random(0)
    stage = Stage(600, 0.2)
    lines: list[str] = []
    for _ in range(TEXTS):
        drawn = documents.document(chance, stage)
        lines += drawn.shared.split("\n")
        lines += [line for branch in drawn.branches for text in branch.texts for line in text.split("\n")]
    # A sign before a line lets the pieces of line beginnings, which have no space before them, be learnt too.
    lines = [f"({line}" if chance.random() < 0.15 else line for line in lines + ENGLISH * list(prose.sentences(False))]
    corpus = path.with_suffix(".txt")
    corpus.write_text("\n".join(line for line in lines if line.strip()))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(path.with_suffix("")),
        vocab_size=SIZE,
        model_type="bpe",
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        user_defined_symbols=SIGNS,
        unk_id=0,
        bos_id=BOS,
        eos_id=EOS,
        pad_id=-1,
        character_coverage=1.0,
        num_threads=1,
        minloglevel=2,
    )


class Tokenizer:
    """Text to token ids as llama.cpp makes them of the exported file."""

    def __init__(self, path: Path) -> None:
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
        self._line = self.encode("\n")

    def encode(self, text: str) -> list[int]:
        """The ids of a text at the start of a sequence (a space goes before it)."""
        return list(self.pieces.encode(text))

    def encode_after_line(self, text: str) -> list[int]:
        """The ids of a text that follows a line break, which no piece crosses."""
        return self.encode("\n" + text)[len(self._line) :]

    def decode(self, ids: list[int]) -> str:
        return str(self.pieces.decode(ids))
