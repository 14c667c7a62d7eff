"""The four objectives of the small encoders, each a module from a batch of images to a loss.

Each takes the encoder, a batch (N, 3, H, W) in [-1, 1], the rows of its images in the data set, and the random numbers
of the step. Clip and Supervised look at full images, the other two at pairs of smaller views.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chinspect.encoders.tiny import TinyResNet

Generator = torch.Generator
WIDTH = TinyResNet.dimension


class Clip(nn.Module):
    """Contrast images with captions, encoded by a bag of words; the same caption twice is not a negative.

    Radford et al. 2021, arXiv:2103.00020; soft targets for repeated captions as in Yang et al. 2022, arXiv:2204.03610.
    """

    paper = "Radford et al. 2021, arXiv:2103.00020"

    def __init__(self, captions: Sequence[str], size: int) -> None:
        super().__init__()
        self.size = size
        words = sorted({word for caption in captions for word in caption.split()})
        bags = torch.tensor([[float(word in caption.split()) for word in words] for caption in captions])
        self.register_buffer("bags", bags, persistent=False)
        self.text = nn.Sequential(nn.Linear(len(words), WIDTH), nn.ReLU(), nn.Linear(WIDTH, 128))
        self.image = nn.Linear(WIDTH, 128, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(2.6))

    def forward(self, encoder: nn.Module, images: Tensor, rows: Tensor, rng: Generator) -> Tensor:
        bags = self.bags[rows]
        views = random_crop(images, (0.8, 1.0), self.size, rng)
        image = F.normalize(self.image(encoder(views).float()), dim=1)
        text = F.normalize(self.text(bags), dim=1)
        logits = self.log_scale.exp().clamp(max=100) * image @ text.T
        same = (bags[:, None] == bags[None]).all(2).float()
        targets = same / same.sum(1, keepdim=True)
        return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


class SimClr(nn.Module):
    """NT-Xent between two augmented views (Chen et al. 2020, arXiv:2002.05709)."""

    paper = "Chen et al. 2020, arXiv:2002.05709"
    temperature = 0.2

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.head = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, 128))

    def forward(self, encoder: nn.Module, images: Tensor, rows: Tensor, rng: Generator) -> Tensor:
        n = len(rows)
        z = F.normalize(self.head(encoder(two_views(images, self.size, rng)).float()), dim=1)
        logits = (z @ z.T / self.temperature).fill_diagonal_(-torch.inf)
        return F.cross_entropy(logits, torch.arange(2 * n, device=z.device).roll(n))


class BarlowTwins(nn.Module):
    """Cross-correlation of two augmented views towards the identity (Zbontar et al. 2021, arXiv:2103.03230)."""

    paper = "Zbontar et al. 2021, arXiv:2103.03230"
    redundancy = 0.005

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.head = nn.Sequential(
            nn.Linear(WIDTH, 512),
            nn.BatchNorm1d(512),
            nn.ReLU(),
            nn.Linear(512, 512),
            nn.BatchNorm1d(512, affine=False),
        )

    def forward(self, encoder: nn.Module, images: Tensor, rows: Tensor, rng: Generator) -> Tensor:
        embeddings = encoder(two_views(images, self.size, rng)).float()
        first, second = (self.head(half) for half in embeddings.chunk(2))
        correlation = first.T @ second / len(rows)
        agreement = correlation.diagonal()
        off_diagonal = correlation.square().sum() - agreement.square().sum()
        return ((1 - agreement).square().sum() + self.redundancy * off_diagonal) / 50


class Supervised(nn.Module):
    """Cross-entropy on the class, with crops and flips (He et al. 2016, arXiv:1512.03385)."""

    paper = "He et al. 2016, arXiv:1512.03385"

    def __init__(self, labels: Sequence[int], size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("labels", torch.tensor(labels), persistent=False)
        self.head = nn.Linear(WIDTH, max(labels) + 1)

    def forward(self, encoder: nn.Module, images: Tensor, rows: Tensor, rng: Generator) -> Tensor:
        views = random_crop(images, (0.35, 1.0), self.size, rng, mirror=True)
        return F.cross_entropy(self.head(encoder(views).float()), self.labels[rows])


def two_views(images: Tensor, size: int, rng: Generator) -> Tensor:
    """SimCLR's augmentation, twice: (N, 3, H, W) in [-1, 1] -> (2 N, 3, size, size)."""
    crops = [random_crop(images, (0.35, 1.0), size, rng, mirror=True) for _ in range(2)]
    return jitter_colour(torch.cat(crops), rng)


def random_crop(
    images: Tensor, area: tuple[float, float], size: int, rng: Generator, *, mirror: bool = False
) -> Tensor:
    """Crops of a random fraction of the area and aspect ratio 3/4 to 4/3, resized to `size` x `size`, half mirrored."""
    size_of_crop, aspect, x, y, chance = uniform(len(images), 5, rng, images)
    side = (area[0] + size_of_crop * (area[1] - area[0])).sqrt()
    ratio = torch.exp((2 * aspect - 1) * 0.144)  # width over side: the root of an aspect of up to 4/3
    width = (side * ratio).clamp(max=1)
    height = (side / ratio).clamp(max=1)
    shift_x = (2 * x - 1) * (1 - width)
    shift_y = (2 * y - 1) * (1 - height)
    across = torch.where(chance < 0.5, -width, width) if mirror else width
    zero = torch.zeros_like(width)
    affine = torch.stack([across, zero, shift_x, zero, height, shift_y], dim=1).reshape(-1, 2, 3)
    grid = F.affine_grid(affine, [len(images), 3, size, size], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def jitter_colour(images: Tensor, rng: Generator) -> Tensor:
    """Random brightness, contrast, saturation and hue for 80 % of the images, grey for 20 %."""
    brightness, contrast, saturation, hue, jittered, greyed = uniform(len(images), 6, rng, images)
    active = jittered < 0.8
    strength = [torch.where(active, 0.6 + 0.8 * value, torch.ones_like(value)) for value in (brightness, contrast)]
    saturation = torch.where(active, 0.4 + 1.2 * saturation, torch.ones_like(saturation))
    saturation = torch.where(greyed < 0.2, torch.zeros_like(saturation), saturation)
    angle = torch.where(active, (2 * hue - 1) * 0.63, torch.zeros_like(hue))
    to_yiq = images.new_tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    turn = torch.zeros(len(images), 3, 3, device=images.device)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = saturation * angle.cos()
    turn[:, 1, 2] = -saturation * angle.sin()
    turn[:, 2, 1] = saturation * angle.sin()
    mix = to_yiq.inverse() @ turn @ to_yiq * (strength[0] * strength[1])[:, None, None]
    mixed = torch.einsum("nij,njhw->nihw", mix, images + 1)
    grey = strength[0][:, None, None, None] * (images + 1).mean((1, 2, 3), keepdim=True)
    return (mixed + grey * (1 - strength[1])[:, None, None, None] - 1).clamp(-1, 1)


def uniform(n: int, rows: int, rng: Generator, like: Tensor) -> Tensor:
    """`rows` x `n` numbers in [0, 1), drawn on the CPU so that every device sees the same ones."""
    return torch.rand(rows, n, generator=rng).to(like.device)


def objectives(captions: Sequence[str], labels: Sequence[int], size: int) -> dict[str, Callable[[], nn.Module]]:
    """Constructors for images of `size` pixels; pairs of views have 5/8 of it, which saves most of the time."""
    return {
        "clip": lambda: Clip(captions, size),
        "simclr": lambda: SimClr(size * 5 // 8),
        "barlowtwins": lambda: BarlowTwins(size * 5 // 8),
        "supervised": lambda: Supervised(labels, size),
    }
