"""How the network does on held-out questions while it is trained. The real measure is `measure`, on the file."""

from collections import Counter

import torch

from . import probes, tokenizer
from .network import Network
from .tokenizer import Tokenizer

LONGEST_ANSWER = 40
LONGEST = 512


def quick(network: Network, tokens: Tokenizer, count: int = 10) -> str:
    """The share of exact answers by kind and form, on few questions."""
    right = Counter[tuple[str, str]]()
    for probe in probes.drawn(1, count):
        prompt = [tokenizer.BOS, *tokens.encode(f"User: {probe.message}\nAssistant:")]
        said = tokens.decode(greedy(network, prompt)).strip()
        right[probe.kind, probe.form] += said == probe.answer
    return ", ".join(f"{kind} in {form} {right[kind, form]}/{count}" for kind in probes.KINDS for form in probes.FORMS)


@torch.no_grad()
def greedy(network: Network, prompt: list[int]) -> list[int]:
    """The likeliest continuation, without a cache: slow, and right."""
    ids = list(prompt)
    while len(ids) < min(LONGEST, len(prompt) + LONGEST_ANSWER):
        seen = torch.ones(1, 1, len(ids), len(ids), dtype=torch.bool).tril()
        last = torch.zeros(1, len(ids), dtype=torch.bool)
        last[0, -1] = True
        best = int(network(torch.tensor([ids]), torch.arange(len(ids))[None], seen, last).argmax())
        if best == tokenizer.EOS:
            break
        ids.append(best)
    return ids[len(prompt) :]
