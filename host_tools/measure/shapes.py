# SPDX-License-Identifier: MIT
"""Small networks of many structures, whose steps are counted beside those of the zoo: step_counts.py."""

from ttzo.exporter.readers.nn import TTLinear, torch

INPUTS = {
    "dense_8_6_3": 8,
    "dense_64_32_10": 64,
    "dense_30_20_20_5": 30,
    "linear_100_4": 100,
    "tt_64_64_10_rank_6": 64,
    "tt_32_32_6_tanh": 32,
    "tt_256_128_8": 256,
    "conv_1_4": 64,
    "conv_2_6_8": 128,
    "conv_line_3_8": 90,
    "residual_24": 24,
    "gru_6_8": 36,
    "lstm_4_10": 32,
    "rnn_5_12": 40,
    "normed_20": 20,
    "pooled_1_6": 144,
}  # numbers of a row, by the network's function below


def dense_8_6_3():
    return torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3))


def dense_64_32_10():
    return torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))


def dense_30_20_20_5():
    return torch.nn.Sequential(
        torch.nn.Linear(30, 20), torch.nn.Tanh(), torch.nn.Linear(20, 20), torch.nn.Tanh(), torch.nn.Linear(20, 5)
    )


def linear_100_4():
    return torch.nn.Sequential(torch.nn.Linear(100, 4))


def tt_64_64_10_rank_6():
    return torch.nn.Sequential(
        TTLinear(64, 64, (8, 8), (8, 8), 6), torch.nn.ReLU(), TTLinear(64, 10, (8, 8), (2, 5), 6)
    )


def tt_32_32_6_tanh():
    return torch.nn.Sequential(TTLinear(32, 32, (4, 8), (8, 4), 2), torch.nn.Tanh(), torch.nn.Linear(32, 6))


def tt_256_128_8():
    return torch.nn.Sequential(
        TTLinear(256, 128, (8, 8, 4), (4, 8, 4), 4), torch.nn.ReLU(), TTLinear(128, 8, (4, 8, 4), (2, 2, 2), 3)
    )


def conv_1_4():
    return torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, 8, 8)),
        torch.nn.Conv2d(1, 4, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(144, 5),
    )


def conv_2_6_8():
    return torch.nn.Sequential(
        torch.nn.Unflatten(1, (2, 8, 8)),
        torch.nn.Conv2d(2, 6, 3),
        torch.nn.ReLU(),
        torch.nn.Conv2d(6, 8, 3, stride=2),
        torch.nn.Tanh(),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 3),
    )


def conv_line_3_8():
    return torch.nn.Sequential(
        torch.nn.Unflatten(1, (3, 30)),
        torch.nn.Conv1d(3, 8, 5, stride=2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(104, 4),
    )


class Residual(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = torch.nn.Linear(24, 24), torch.nn.Linear(24, 24), torch.nn.Linear(24, 4)

    def forward(self, x):
        return self.last(x + torch.relu(self.second(torch.relu(self.first(x)))))


class Cell(torch.nn.Module):
    def __init__(self, kind, n, hidden, out):
        super().__init__()
        self.n, self.cell, self.last = n, kind(n, hidden, batch_first=True), torch.nn.Linear(hidden, out)

    def forward(self, x):
        return self.last(self.cell(x.reshape(x.shape[0], -1, self.n))[0][:, -1])


class Normed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = torch.nn.Linear(20, 16), torch.nn.LayerNorm(16), torch.nn.Linear(16, 5)

    def forward(self, x):
        return self.last(torch.nn.functional.gelu(self.norm(self.first(x))))


def residual_24():
    return Residual()


def gru_6_8():
    return Cell(torch.nn.GRU, 6, 8, 3)


def lstm_4_10():
    return Cell(torch.nn.LSTM, 4, 10, 5)


def rnn_5_12():
    return Cell(torch.nn.RNN, 5, 12, 4)


def normed_20():
    return Normed()


def pooled_1_6():
    return torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, 12, 12)),
        torch.nn.Conv2d(1, 6, 3),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(150, 4),
    )
