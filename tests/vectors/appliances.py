# SPDX-License-Identifier: MIT
"""What is reached on PLAID (eleven appliances by their current, in sktime), and by which split: writes appliances.json.

    python tests/vectors/appliances.py

126 features of a case: its last and first period of 20 numbers, rolled to their largest one, harmonics and their phases, the
course of the effective value, and ten single numbers. Forests on the published split and on ten random folds of all cases; a
network of 48 units in torch on the published split.
"""

import json
from pathlib import Path

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score

from ttzo.host_tools.data import series, time_series, wheel_files

PERIOD, CLASSES, STEPS, UNITS = 20, 11, 3000, 48
SHA256 = {
    "TRAIN": "40deb3bc6bd1e1aa0e6db6e6bfd3cecc4a23bf57f6a6d6ab90fb75e4a2c72344",
    "TEST": "aa6da0dc1461e8d374e068a940ce37d1b0bb1a9844596d818920c8af696d656d",
}


def read(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Features (537, 126) and classes of the published part."""
    path = f"datasets/data/PLAID/PLAID_{part}.ts"
    cases, words = time_series.parse(wheel_files.read("sktime", path, SHA256[part], series.INSTALL).decode(), path)
    return np.array([features(case[0]) for case in cases]), np.array(words, int)


def features(current: np.ndarray) -> np.ndarray:
    n = len(current) // PERIOD
    periods = current[: n * PERIOD].reshape(n, PERIOD)
    last, first = periods[-min(3, n) :].mean(0), periods[0]
    largest = np.abs(last).max() + 1e-9
    rolled = np.roll(last, -int(np.argmax(last)))
    begun = np.roll(first, -int(np.argmax(first))) / (np.abs(first).max() + 1e-9)
    harmonics = np.fft.rfft(periods, axis=1) / 10
    size = np.median(np.abs(harmonics[:, :10]), 0)
    phase = np.angle(harmonics[-1, 1:8] * np.exp(-1j * np.angle(harmonics[-1, 1]) * np.arange(1, 8)))
    effective = np.sqrt((periods**2).mean(1))
    course = np.interp(np.linspace(0, n - 1, 12), np.arange(n), effective)
    end = effective[-1] + 1e-9
    single = [effective.max(), effective[-1], effective.max() / end, largest / end, current.mean(), current.min()]
    single += [current.max(), len(current), np.log(end), last.max() + last.min()]
    shapes = [rolled, rolled / largest, begun, np.log1p(size), size[2:] / (size[1] + 1e-9)]
    return np.concatenate([*shapes, np.cos(phase), np.sin(phase), course, course / (course[-1] + 1e-9), single])


def squashed(train: np.ndarray, test: np.ndarray) -> list[torch.Tensor]:
    """Features as a network likes them: logarithms, normalised by the training cases, clipped at eight deviations."""
    train, test = (np.sign(x) * np.log1p(np.abs(x)) for x in (train, test))
    centre, spread = train.mean(0), train.std(0) + 1e-9
    return [torch.tensor(np.clip((x - centre) / spread, -8, 8), dtype=torch.float32) for x in (train, test)]


def network(train: np.ndarray, y: np.ndarray, test: np.ndarray, y_test: np.ndarray, seed: int) -> float:
    """Accuracy on the test cases after SGD with momentum, a linear schedule and jitter of 0.3 deviations."""
    torch.manual_seed(seed)
    x, x_test = squashed(train, test)
    model = torch.nn.Sequential(torch.nn.Linear(x.shape[1], UNITS), torch.nn.ReLU(), torch.nn.Linear(UNITS, CLASSES))
    rule = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LinearLR(rule, 1.0, 0.0, STEPS)
    classes = torch.tensor(y)
    for _ in range(STEPS):
        chosen = torch.randint(0, len(x), (16,))
        rule.zero_grad()
        jittered = x[chosen] + 0.3 * torch.randn(16, x.shape[1])
        torch.nn.functional.cross_entropy(model(jittered), classes[chosen]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        rule.step()
        schedule.step()
    return float((model(x_test).argmax(1).numpy() == y_test).mean())


def main() -> None:
    (train, y), (test, y_test) = read("TRAIN"), read("TEST")
    forests = [ExtraTreesClassifier(300, random_state=seed).fit(train, y) for seed in range(3)]
    shares = forests[0].predict_proba(test)
    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    together = np.vstack([train, test]), np.concatenate([y, y_test])
    page = {
        "features": train.shape[1],
        "published_split": [float((forest.predict(test) == y_test).mean()) for forest in forests],
        "among_the_two_likeliest": float((np.argsort(-shares, 1)[:, :2] == y_test[:, None]).any(1).mean()),
        "ten_random_folds": float(
            cross_val_score(ExtraTreesClassifier(300, random_state=0), *together, cv=folds).mean()
        ),
        "network_published_split": [network(train, y, test, y_test, seed) for seed in range(3)],
    }
    print(json.dumps(page, indent=1))
    Path(__file__).with_suffix(".json").write_text(json.dumps(page, indent=1) + "\n")


if __name__ == "__main__":
    main()
