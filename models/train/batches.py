"""Documents as rows of token ids, each with what it may see, where it stands, and what is learnt."""

import random
from dataclasses import dataclass, field

import torch
from torch import Tensor

from . import documents, tokenizer
from .documents import Document, Stage
from .tokenizer import Tokenizer

# How often a token of the prompt is learnt: a little helps the language along, the answers are what matters.
PROMPT_CHANCE = 0.01
SHARED = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one length. `targets` are the ids that follow; `wanted` says which of them are learnt."""

    ids: Tensor
    positions: Tensor
    seen: Tensor
    targets: Tensor
    wanted: Tensor


@dataclass(slots=True)
class Row:
    """Token by token: id, the id to be learnt after it (-1: none), position, document, and branch of the document."""

    ids: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    branches: list[int] = field(default_factory=list)

    def extend(self, ids: list[int], targets: list[int], first: int, owner: int, branch: int) -> None:
        self.ids += ids
        self.targets += targets
        self.positions += range(first, first + len(ids))
        self.owners += [owner] * len(ids)
        self.branches += [branch] * len(ids)


class Rows:
    """An endless supply of filled rows."""

    def __init__(self, chance: random.Random, tokens: Tokenizer) -> None:
        self.chance = chance
        self.tokens = tokens

    def batch(self, stage: Stage, rows: int, length: int) -> Batch:
        filled = [self.row(stage, length) for _ in range(rows)]
        owners, branches = square(filled, "owners"), square(filled, "branches")
        same = (owners[:, :, None] == owners[:, None, :]) & (
            (branches[:, None, :] == SHARED) | (branches[:, :, None] == branches[:, None, :])
        )
        targets = square(filled, "targets")
        return Batch(
            square(filled, "ids"),
            square(filled, "positions"),
            (same & torch.ones(length, length, dtype=torch.bool).tril())[:, None],
            targets,
            targets >= 0,
        )

    def row(self, stage: Stage, length: int) -> Row:
        """Documents one after another until nothing more fits; the rest is filled with ends of sequence."""
        row, owner, misses = Row(), 1, 0
        while misses < 3 and len(row.ids) < length - 24:
            if self.place(documents.document(self.chance, stage), row, owner, length):
                owner += 1
            else:
                misses += 1
        rest = length - len(row.ids)
        row.extend([tokenizer.EOS] * rest, [-1] * rest, 0, 0, SHARED)
        return row

    def place(self, document: Document, row: Row, owner: int, length: int) -> bool:
        """Adds the document with as many branches as there is room for; false if there is none for even one."""
        shared = [tokenizer.BOS, *(self.tokens.encode(document.shared) if document.shared else ())]
        branches = [self.branch(branch.texts, bool(document.shared)) for branch in document.branches]
        room = length - len(row.ids) - len(shared)
        fitting = [one for one in branches if (room := room - len(one[0])) >= 0]
        if not fitting:
            return False
        # The token before a branch is shared by all, so what follows it is not learnt.
        row.extend(shared, self.now_and_then([*shared[1:], -1]), 0, owner, SHARED)
        for number, (ids, targets) in enumerate(fitting, 1):
            row.extend(ids, targets, len(shared), owner, number)
        return True

    def branch(self, texts: tuple[str, ...], continues: bool) -> tuple[list[int], list[int]]:
        """Ids and targets of a branch: the assistant's texts and the ends after them are learnt."""
        ids: list[int] = []
        learnt: list[bool] = []
        for place, text in enumerate(texts):
            answers = place % 2 == 1
            told = self.tokens.encode_after_line(text) if place == 0 and continues else self.tokens.encode(text)
            told = [*told, tokenizer.EOS] if answers else told
            ids += told
            learnt += [answers] * len(told)
        sometimes = self.now_and_then(ids[1:])
        return ids, [ids[at + 1] if learnt[at + 1] else sometimes[at] for at in range(len(ids) - 1)] + [-1]

    def now_and_then(self, ids: list[int]) -> list[int]:
        return [one if self.chance.random() < PROMPT_CHANCE else -1 for one in ids]


def square(rows: list[Row], name: str) -> Tensor:
    return torch.tensor([getattr(row, name) for row in rows])
