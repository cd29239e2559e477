"""`python -m models.train`: vocabulary, training, export, measurement. Goes on where an earlier run was stopped."""

import argparse
from pathlib import Path

import torch

from . import evaluation, export, tokenizer, training
from .tokenizer import Tokenizer

MINUTES = 110.0
FOLDER = Path(__file__).parents[2] / "build" / "demo-model"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of training, on one core (%(default)s)")
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="for checkpoint, vocabulary and model (%(default)s)"
    )
    told = parser.parse_args()
    told.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    vocabulary, file = told.folder / "tokenizer.model", told.folder / "demo-Q8_0.gguf"
    if not vocabulary.exists():
        tokenizer.train(vocabulary)
    tokens = Tokenizer(vocabulary)
    trainer = training.Trainer(told.folder / "checkpoint.pt", tokens, 60 * told.minutes)
    trainer.run()
    export.write(trainer.file, tokens, file)
    print(f"{file}: {evaluation.quick(trainer.network, tokens)}")


main()
