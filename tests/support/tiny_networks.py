# SPDX-License-Identifier: MIT
"""The four reference architectures of MLPerf Tiny as torch modules with a forward of their own, at random parameters.

Sizes after the benchmark's description: keyword spotting (DS-CNN on 49 x 10 coefficients, 12 words), image classification
(ResNet-8 on 32 x 32 colours, 10 classes), visual wake words (MobileNet v1 of width 0.25 on 96 x 96 colours, 2 classes),
anomaly detection (an autoencoder of 640 numbers).
"""

import torch
from torch import nn
from torch.nn import functional as F


def with_statistics(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module in evaluation mode, its batch norms with statistics as after training."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.3, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
            with torch.no_grad():
                part.weight.uniform_(0.7, 1.3, generator=generator)
                part.bias.normal_(0, 0.2, generator=generator)
    return module.eval()


class Separable(nn.Module):
    """A depthwise convolution and a pointwise one, each with batch norm and relu."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1):
        super().__init__()
        self.depthwise = nn.Conv2d(n_in, n_in, 3, stride, 1, groups=n_in, bias=False)
        self.norm1 = nn.BatchNorm2d(n_in)
        self.pointwise = nn.Conv2d(n_in, n_out, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.norm2(self.pointwise(F.relu(self.norm1(self.depthwise(x))))))


class DsCnn(nn.Module):
    """[1, 49, 10] -> 12."""

    SHAPE = (1, 49, 10)

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 64, (10, 4), 2, (5, 1), bias=False)
        self.norm = nn.BatchNorm2d(64)
        self.blocks = nn.ModuleList(Separable(64, 64) for _ in range(4))
        self.out = nn.Linear(64, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.conv(x)))
        for block in self.blocks:
            x = block(x)
        return self.out(x.mean((2, 3)))


class Residual(nn.Module):
    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(n_in, n_out, 3, stride, 1), nn.BatchNorm2d(n_out)
        self.conv2, self.norm2 = nn.Conv2d(n_out, n_out, 3, 1, 1), nn.BatchNorm2d(n_out)
        self.skip = nn.Conv2d(n_in, n_out, 1, stride) if stride != 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.skip(x))


class ResNet8(nn.Module):
    """[3, 32, 32] -> 10."""

    SHAPE = (3, 32, 32)

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 16, 3, 1, 1), nn.BatchNorm2d(16)
        self.stacks = nn.Sequential(Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2))
        self.out = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stacks(F.relu(self.norm(self.conv(x))))
        return self.out(F.avg_pool2d(x, 8).flatten(1))


class MobileNet(nn.Module):
    """Version 1 of width 0.25: [3, 96, 96] -> 2."""

    SHAPE = (3, 96, 96)

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        sizes = [(8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2)]
        sizes += [(128, 128, 1)] * 5 + [(128, 256, 2), (256, 256, 1)]
        self.blocks = nn.Sequential(*(Separable(*size) for size in sizes))
        self.out = nn.Linear(256, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(F.relu(self.norm(self.conv(x))))
        return self.out(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Autoencoder(nn.Module):
    """640 -> 640: each hidden layer with batch norm and relu, 128 wide, 8 in the middle."""

    SHAPE = (640,)

    def __init__(self, widths: tuple[int, ...] = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128)):
        super().__init__()
        pairs = zip(widths, widths[1:], strict=False)
        self.layers = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(n_out) for n_out in widths[1:])
        self.out = nn.Linear(widths[-1], 640)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = F.relu(norm(layer(x)))
        return self.out(x)


def short_autoencoder() -> nn.Module:
    """640-128-8-128-640."""
    return Autoencoder((640, 128, 8, 128))


NETWORKS = {"ds-cnn": DsCnn, "resnet-8": ResNet8, "mobilenet": MobileNet, "autoencoder": Autoencoder, "640-128-8-128-640": short_autoencoder}  # fmt: skip


def network(name: str) -> nn.Module:
    torch.manual_seed(5)
    return with_statistics(NETWORKS[name]())
