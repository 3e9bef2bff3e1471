# SPDX-License-Identifier: MIT
"""What is reached on the features of `appliances` by which method and split: writes appliances.json.

    python tests/vectors/appliances.py

Forests and networks of 64 units (torch, exact gradients, the zoo's settings), on sktime's published split (537 cases train,
537 test) and on five random folds of all 1,074 cases (four train, one tests). Networks see the training cases and their
variants, as the zoo's model does, or (`network_without_variants`) the cases alone. What the features were chosen by, five
folds of the training cases, is not measured here.
"""

import json
from pathlib import Path

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedKFold

from ttzo.host_tools.data import appliances

CLASSES, UNITS, STEPS, BATCH, RATE, JITTER = 11, 64, 4000, 32, 0.05, 0.6


def features_of(cases: list[np.ndarray]) -> np.ndarray:
    return np.array([appliances.features(case) for case in cases])


def network(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, seed: int) -> float:
    """Accuracy on the test cases at the last step."""
    torch.manual_seed(seed)
    quantiles = np.quantile(x, np.linspace(0, 1, appliances.QUANTILES), axis=0)
    rows, tested = (
        torch.tensor(appliances.spread_evenly(part, quantiles) / appliances.STEPS_OF_ONE, dtype=torch.float32)
        for part in (x, x_test)
    )
    model = torch.nn.Sequential(torch.nn.Linear(x.shape[1], UNITS), torch.nn.ReLU(), torch.nn.Linear(UNITS, CLASSES))
    rule = torch.optim.SGD(model.parameters(), RATE, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LinearLR(rule, 1.0, 0.0, STEPS)
    classes = torch.tensor(y)
    for _ in range(STEPS):
        chosen = torch.randint(0, len(rows), (BATCH,))
        rule.zero_grad()
        jittered = rows[chosen] + JITTER * torch.randn(BATCH, rows.shape[1])
        torch.nn.functional.cross_entropy(model(jittered), classes[chosen]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        rule.step()
        schedule.step()
    return float((model(tested).argmax(1).numpy() == y_test).mean())


def forest(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, seed: int) -> float:
    return float((ExtraTreesClassifier(300, random_state=seed).fit(x, y).predict(x_test) == y_test).mean())


def with_variants(x: np.ndarray, cut: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cases, then their variants (cases, variants, features)."""
    return np.vstack([x, cut.reshape(-1, x.shape[1])]), np.concatenate([y, np.repeat(y, cut.shape[1])])


def main() -> None:
    torch.set_num_threads(1)
    (cases, y), (tested, y_test) = (appliances._cases(part) for part in appliances.SHA256)
    rng = np.random.default_rng(0)
    everything, classes = [*cases, *tested], np.concatenate([y, y_test])
    x = features_of(everything)
    cut = np.array([features_of([appliances.varied(case, rng) for _ in range(8)]) for case in everything])
    n, parts = len(cases), list(StratifiedKFold(5, shuffle=True, random_state=0).split(x, classes))
    published = (np.arange(n), np.arange(n, len(x)))

    def measured(method, split: tuple[np.ndarray, np.ndarray], seed: int, is_varied: bool = True) -> float:
        train, test = split
        rows = with_variants(x[train], cut[train], classes[train]) if is_varied else (x[train], classes[train])
        return method(*rows, x[test], classes[test], seed)

    page = {
        "features": x.shape[1],
        "forest": [measured(forest, published, seed) for seed in range(3)],
        "forest_five_folds": float(np.mean([measured(forest, part, 0) for part in parts])),
        "network": [measured(network, published, seed) for seed in range(3)],
        "network_without_variants": [measured(network, published, seed, False) for seed in range(3)],
        "network_five_folds": float(np.mean([measured(network, part, 0) for part in parts])),
    }
    print(json.dumps(page, indent=1))
    Path(__file__).with_suffix(".json").write_text(json.dumps(page, indent=1) + "\n")


if __name__ == "__main__":
    main()
