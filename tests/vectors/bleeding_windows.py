# SPDX-License-Identifier: MIT
"""Which windows `bleeding` has: prints, for each way to make them, how well autoencoders (torch, exact gradients) find faults
that were put into the validation part. The part with the labelled anomaly is not read.

    python tests/vectors/bleeding_windows.py
"""

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from ttzo.host_tools.data import recordings

FAULTS = ("bump", "hold", "line", "noise", "warp")
COPIES = 8  # of the validation part, for each fault
# rows of a window, rows whose mean is one number, what is done to the window
WAYS = [
    *((184, 4, "raw"), (92, 2, "raw"), (46, 1, "raw"), (24, 1, "raw"), (24, 1, "centred"), (46, 1, "centred")),
    *((92, 2, "centred"), (184, 4, "centred"), (46, 1, "differences"), (24, 1, "differences"), (16, 1, "centred")),
    *((12, 1, "centred"), (16, 1, "raw"), (12, 1, "raw"), (32, 1, "centred"), (32, 1, "raw")),
]


def with_fault(signal: np.ndarray, fault: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A copy with 8 to 24 faulty rows, and which they are."""
    made, marks = signal.copy(), np.zeros(len(signal), bool)
    rows = int(rng.integers(8, 25))
    first = int(rng.integers(0, len(made) - rows))
    at = slice(first, first + rows)
    marks[at] = True
    if fault == "bump":
        made[at] += np.hanning(rows + 2)[1:-1] * rng.choice([-1, 1]) * rng.uniform(0.3, 1)
    elif fault == "hold":
        made[at] = made[first]
    elif fault == "line":
        made[at] = np.linspace(made[first], made[first + rows - 1], rows)
    elif fault == "noise":
        made[at] += rng.normal(0, 0.2, rows)
    else:
        time = np.linspace(0, 1, rows) ** rng.choice([0.6, 1.7])
        made[at] = np.interp(first + time * (rows - 1), np.arange(len(made)), made)
    return made, marks


def windows(signal: np.ndarray, way: tuple[int, int, str]) -> tuple[np.ndarray, np.ndarray]:
    """Windows from every row, and their rows."""
    rows, mean_of, done = way
    places = np.arange(0, len(signal) - rows + 1)[:, None] + np.arange(rows)
    x = signal[places].reshape(len(places), -1, mean_of).mean(2)
    if done == "centred":
        x = x - x.mean(1, keepdims=True)
    return (np.diff(x, axis=1) if done == "differences" else x), places


def autoencoder(x: np.ndarray, hidden: int = 9, code: int = 4, steps: int = 5000) -> torch.nn.Module:
    torch.manual_seed(0)
    nn, n = torch.nn, x.shape[1]
    sides = (nn.Linear(n, hidden), nn.Tanh(), nn.Linear(hidden, code)), (nn.Linear(code, hidden), nn.Tanh())
    model = nn.Sequential(*sides[0], *sides[1], nn.Linear(hidden, n))
    rows = torch.tensor(x, dtype=torch.float32)
    rule = torch.optim.Adam(model.parameters(), 0.01)
    schedule = torch.optim.lr_scheduler.LinearLR(rule, 1.0, 0.0, steps)
    for _ in range(steps):
        batch = rows[torch.randint(0, len(rows), (16,))]
        rule.zero_grad()
        ((model(batch) - batch) ** 2).mean().backward()
        rule.step()
        schedule.step()
    return model


def errors(model: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    rows = torch.tensor(x, dtype=torch.float32)
    with torch.no_grad():
        return ((model(rows) - rows) ** 2).mean(1).numpy()


def main() -> None:
    torch.set_num_threads(1)
    good, _ = recordings._read(recordings.RECORDINGS["bleeding"], 0)
    held = len(good) - len(good) // recordings.VALIDATION_SHARE
    signal = (good - good[:held].mean()) / good[:held].std()
    rng = np.random.default_rng(0)
    cases = {fault: [with_fault(signal[held:], fault, rng) for _ in range(COPIES)] for fault in FAULTS}
    for way in WAYS:
        x, _ = windows(signal[:held], way)
        deviation = x.std()
        model, areas = autoencoder(x / deviation), []
        for copies in cases.values():
            made = [(windows(copy, way), marks) for copy, marks in copies]
            found = np.concatenate([errors(model, tested / deviation) for (tested, _), _ in made])
            areas.append(roc_auc_score(np.concatenate([marks[places].any(1) for (_, places), marks in made]), found))
        print(*way, f"{np.mean(areas):.3f}", [f"{area:.2f}" for area in areas], flush=True)


if __name__ == "__main__":
    main()
