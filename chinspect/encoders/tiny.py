"""TinyResNet: the one small residual network that all bundled encoders share; only their training objective differs."""

from torch import Tensor, nn


class TinyResNet(nn.Module):
    """Residual network of 1.2 million parameters for images of 128 x 128 pixels; its output is the embedding.

    A stem of stride 2 and four stages of one basic block each (32, 64, 128, 256 channels, each of stride 2), then the
    global average pool: `(N, 3, 128, 128)` -> `(N, 256)`. About 74 million multiply-adds an image.

    Every convolution is followed by its own batch norm and every sum by a ReLU, so that batch norm folds into the
    convolution and relevance is conserved through the network. Source: He et al. 2016, arXiv:1512.03385, section 4.
    """

    dimension = 256

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.stages = nn.Sequential(Block(32, 32), Block(32, 64), Block(64, 128), Block(128, self.dimension))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Embed a batch of preprocessed images: `(N, 3, H, W)` -> `(N, 256)`."""
        embedding: Tensor = self.pool(self.stages(self.stem(images)))
        return embedding


class Block(nn.Module):
    """Two 3 x 3 convolutions of total stride 2 beside a 1 x 1 projection: `relu(residual(x) + shortcut(x))`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=2, bias=False), nn.BatchNorm2d(outputs))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C, H, W)` -> `(N, C', H / 2, W / 2)`."""
        result: Tensor = self.relu(self.residual(x) + self.shortcut(x))
        return result
