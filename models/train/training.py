"""Training, in stages of growing length, for a given time; it can be interrupted and goes on from its checkpoint."""

import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.nn import functional

from . import batches, evaluation
from .batches import Batch
from .documents import Stage
from .muon import Muon
from .network import Network, Shape
from .tokenizer import Tokenizer

TOKENS_A_STEP = 4096
WARM_UP_STEPS = 60
MATRIX_RATE = 0.02
VECTOR_RATE = 4e-3
REPORT_S = 60
MEASURE_S = 900


@dataclass(frozen=True, slots=True)
class Lesson:
    """A stage, the length of its rows in tokens, and the share of the time at which it ends."""

    stage: Stage
    length: int
    until: float


LESSONS = (
    Lesson(Stage(letters=120, copying=0.4), 128, 0.12),
    Lesson(Stage(letters=200, copying=0.05, drills=0.8), 192, 0.45),
    Lesson(Stage(letters=500, copying=0.04, drills=0.35), 384, 0.65),
    Lesson(Stage(letters=1150, copying=0.03, drills=0.25), 512, 1.0),
)


class Trainer:
    """A network, its optimisers and how long it has learnt, kept in one checkpoint file."""

    def __init__(self, file: Path, tokens: Tokenizer, budget_s: float) -> None:
        self.file = file
        self.tokens = tokens
        self.budget_s = budget_s
        self.network = Network(Shape())
        matrices = [value for value in self.network.blocks.parameters() if value.ndim == 2]
        others = [value for value in self.network.parameters() if value.ndim < 2]
        self.muon = Muon(matrices, MATRIX_RATE)
        self.adam = torch.optim.AdamW([self.network.embedding, *others], VECTOR_RATE, betas=(0.9, 0.98), weight_decay=0)
        self.spent_s = 0.0
        self.steps = 0
        if self.file.exists():
            self.load()

    def load(self) -> None:
        kept = torch.load(self.file, weights_only=True)
        self.network.load_state_dict(kept["network"])
        self.muon.load_state_dict(kept["muon"])
        self.adam.load_state_dict(kept["adam"])
        self.spent_s, self.steps = kept["spent_s"], kept["steps"]

    def save(self) -> None:
        new = self.file.with_suffix(".new")
        parts = {"network": self.network, "muon": self.muon, "adam": self.adam}
        kept = {name: part.state_dict() for name, part in parts.items()}
        torch.save({**kept, "shape": asdict(self.network.shape), "spent_s": self.spent_s, "steps": self.steps}, new)
        new.replace(self.file)

    def run(self) -> None:
        """Trains for what is left of the time."""
        rows = batches.Rows(random.Random(self.steps), self.tokens)
        losses: list[float] = []
        reported = measured = self.spent_s
        while self.spent_s < self.budget_s:
            began = time.monotonic()
            lesson = next(one for one in LESSONS if self.spent_s / self.budget_s < one.until)
            losses.append(self.step(rows.batch(lesson.stage, TOKENS_A_STEP // lesson.length, lesson.length)))
            self.spent_s += time.monotonic() - began
            self.steps += 1
            if self.spent_s - reported > REPORT_S:
                print(f"{self.spent_s:.0f} s, step {self.steps}, loss {sum(losses) / len(losses):.4f}", flush=True)
                reported, losses = self.spent_s, []
                self.save()
            if self.spent_s - measured > MEASURE_S:
                print(evaluation.quick(self.network, self.tokens), flush=True)
                measured = self.spent_s
        self.save()

    def step(self, batch: Batch) -> float:
        self.pace()
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network(batch.ids, batch.positions, batch.seen, batch.wanted)
        loss = functional.cross_entropy(logits.float(), batch.targets[batch.wanted])
        self.network.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.muon.step()
        self.adam.step()
        return float(loss.detach())

    def pace(self) -> None:
        """Both rates: a short warm-up, level for 60 % of the time, then straight down."""
        done = self.spent_s / self.budget_s
        fall = max(0.02, min(1.0, (1 - done) / 0.4))
        share = min(1.0, (self.steps + 1) / WARM_UP_STEPS) * fall
        for optimiser, rate in ((self.muon, MATRIX_RATE), (self.adam, VECTOR_RATE)):
            for group in optimiser.param_groups:
                group["lr"] = rate * share
