# SPDX-License-Identifier: MIT
"""Rows in the shape of MNIST's that a network learns at once: a bright pixel tells the class."""

import numpy as np
import torch

from ttzo.host_tools.research.reproduce.mnist_work import Rows


def rows(n):
    rng = np.random.default_rng(2)
    y = torch.from_numpy(np.arange(n) % 10)
    x = torch.from_numpy(rng.random((n, 784), np.float32)) * 0.1
    x[torch.arange(n), 70 * y + 5] = 1.0  # what tells the class
    return Rows(x, y, x, y)
