"""A small network for coloured digits, and its training by the average loss."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chinspect.datasets import ColouredDigits


class DigitNet(nn.Module):
    """Three convolutions and a pooled embedding of 64 numbers: (N, 3, 28, 28) -> logits (N, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = (3, 16, 32, 64)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, 64), nn.ReLU())
        self.classifier = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        logits: Tensor = self.classifier(self.features(x))
        return logits


def inputs(split: ColouredDigits) -> Tensor:
    """Images as the network's input, (N, 3, 28, 28) in [0, 1]."""
    return torch.from_numpy(split.images).permute(0, 3, 1, 2).float() / 255


def trained(split: ColouredDigits, classes: int, *, epochs: int, seed: int) -> DigitNet:
    """A network trained by Adam on the average loss over all images."""
    torch.manual_seed(seed)
    network = DigitNet(classes)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    x, y = inputs(split), torch.from_numpy(split.labels)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for batch in torch.randperm(len(y), generator=generator).split(128):
            loss = nn.functional.cross_entropy(network(x[batch]), y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return network.eval()


def answers(network: DigitNet, split: ColouredDigits) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Embeddings (N, 64) and logits (N, classes)."""
    with torch.no_grad():
        batches = [network.features(x) for x in inputs(split).split(1000)]
        embeddings = torch.cat(batches)
        return embeddings.numpy(), network.classifier(embeddings).numpy()
