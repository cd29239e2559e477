"""The network: a llama in plain torch, which `export` writes as GGUF tensor by tensor under the same names."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-5
ROPE_BASE = 10000.0
# What is added to the score of a place that must not be looked at.
UNSEEN = -1e4


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a network. `heads` all have keys of their own; `width` is a multiple of 32 (a Q8_0 block)."""

    vocabulary: int = 2048
    width: int = 192
    layers: int = 5
    heads: int = 6
    hidden: int = 512


class Block(nn.Module):
    """Attention, then a gated feed-forward, each on a normalised copy and added back."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.attn_norm = nn.Parameter(torch.ones(width))
        self.attn_qkv = matrix(3 * width, width)
        self.attn_output = matrix(width, width, 1 / math.sqrt(2 * shape.layers))
        self.ffn_norm = nn.Parameter(torch.ones(width))
        self.ffn_gate_up = matrix(2 * shape.hidden, width)
        self.ffn_down = matrix(width, shape.hidden, 1 / math.sqrt(2 * shape.layers))

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], hidden: Tensor) -> Tensor:
        x = x + self.attend(normalised(x, self.attn_norm), turn, hidden)
        gate, up = functional.linear(normalised(x, self.ffn_norm), self.ffn_gate_up).chunk(2, dim=-1)
        return x + functional.linear(functional.silu(gate) * up, self.ffn_down)

    def attend(self, x: Tensor, turn: tuple[Tensor, Tensor], hidden: Tensor) -> Tensor:
        rows, length, width = x.shape
        qkv = functional.linear(x, self.attn_qkv).view(rows, length, 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        # Written out, since this is twice as fast in bfloat16 on a CPU as torch's own attention with a mask.
        scores = rotated(query, turn) @ rotated(key, turn).mT / math.sqrt(query.shape[-1]) + hidden.to(query.dtype)
        mixed = torch.softmax(scores, -1) @ value
        return functional.linear(mixed.transpose(1, 2).reshape(rows, length, width), self.attn_output)


class Network(nn.Module):
    """Token ids to the logits of the next ones. The embedding is also the output matrix."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Parameter(torch.randn(shape.vocabulary, shape.width) * 0.02)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.ones(shape.width))

    def forward(self, ids: Tensor, positions: Tensor, seen: Tensor, wanted: Tensor | None = None) -> Tensor:
        """
        :param ids: token ids, [rows, length]
        :param positions: each token's place in its own document, [rows, length]
        :param seen: which tokens each may look at, bool [rows, 1, length, length]
        :param wanted: the places whose logits are wanted, bool [rows, length]; all when None
        :return: logits, [rows, length, vocabulary] or [wanted places, vocabulary]
        """
        x = functional.embedding(ids, self.embedding)
        turn = angles(positions, self.shape.width // self.shape.heads)
        hidden = torch.where(seen, 0.0, UNSEEN)
        for block in self.blocks:
            x = block(x, turn, hidden)
        if wanted is not None:
            x = x[wanted]
        return functional.linear(normalised(x, self.norm), self.embedding)


def matrix(rows: int, columns: int, scale: float = 1.0) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, columns) * scale / math.sqrt(columns))


def normalised(x: Tensor, weight: Tensor) -> Tensor:
    return functional.rms_norm(x, weight.shape, weight, EPSILON)


def angles(positions: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every rotation, [rows, 1, length, size / 2]."""
    frequencies = ROPE_BASE ** (-torch.arange(0, size, 2) / size)
    angle = positions[:, None, :, None] * frequencies
    return angle.cos(), angle.sin()


def rotated(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turns neighbouring pairs: llama.cpp's order for llama files, so nothing is permuted on export."""
    cosine, sine = turn
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), -1).flatten(-2)
