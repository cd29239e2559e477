"""The models whose speed is measured: `--model demo`, or `gemma` once `make gemma` has fetched it."""

import re
from dataclasses import dataclass
from pathlib import Path

from benchmarks.stacks import ROOT
from models.gemma import weights


@dataclass(frozen=True, slots=True)
class Subject:
    """`name` is what its catalogue calls it, `share` how much of what the demo model is asked is asked of it.

    `turn` is a user's message as its template writes it, with the beginning of an answer.
    """

    name: str
    catalog: Path
    file: Path
    context: int
    share: float
    turn: str

    def shipped(self) -> str:
        """Its catalogue, to be read anywhere."""
        text = self.catalog.read_text(encoding="utf-8")
        return re.sub(r'^(file|template) = "', rf'\1 = "{self.catalog.parent}/', text, flags=re.MULTILINE)

    def part(self, number: int) -> int:
        """Its share of so many jobs or tokens, at least one."""
        return max(1, round(number * self.share))


SUBJECTS = {
    "demo": Subject(
        name="demo-chat",
        catalog=ROOT / "models" / "catalog.toml",
        file=ROOT / "models" / "demo-Q8_0.gguf",
        context=512,
        share=1.0,
        turn="User: {}\nAssistant:",
    ),
    "gemma": Subject(
        name="gemma",
        catalog=weights.FOLDER / "catalog.toml",
        file=weights.FOLDER / weights.FILE,
        context=2048,
        share=0.2,
        turn="<start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n",
    ),
}
