# SPDX-License-Identifier: MIT
"""What is reached on sktime's PLAID by which method and split: writes appliances.json.

    python tests/vectors/appliances.py [METHOD..]       of these methods alone, others are kept

On the features of `appliances`: forests of random trees, gradient boosting, a support vector machine, networks of the zoo's
shape (torch, exact gradients, its settings). On the signals: 300 random convolutions as ROCKET has them, and ridge. On
sktime's published split (537 cases train, 537 test) and on five random folds of all 1,074 cases (four train, one tests).
All but the convolutions and boosting see the training cases and their variants, as the zoo's model does, or
(`network_without_variants`) the cases alone. What the features were chosen by, folds of the training cases, is not measured
here.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ttzo.host_tools.data import appliances

CLASSES, UNITS, STEPS, BATCH, RATE, JITTER = 11, 96, 4000, 32, 0.5, 0.6
KERNELS, LENGTH = 300, 9
TREES = 100
PATH = Path(__file__).with_suffix(".json")


def spread(*parts: np.ndarray) -> list[np.ndarray]:
    """By the quantiles of the first part."""
    quantiles = np.quantile(parts[0], np.linspace(0, 1, appliances.QUANTILES), axis=0)
    return [appliances.spread_evenly(part, quantiles) / appliances.STEPS_OF_ONE for part in parts]


def network(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, seed: int) -> float:
    """Accuracy on the test cases at the last step."""
    torch.manual_seed(seed)
    rows, tested = (torch.tensor(part, dtype=torch.float32) for part in spread(x, x_test))
    model = torch.nn.Sequential(torch.nn.Linear(x.shape[1], UNITS), torch.nn.ReLU(), torch.nn.Linear(UNITS, CLASSES))
    rule = torch.optim.SGD(model.parameters(), RATE)
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
    return float((ExtraTreesClassifier(TREES, random_state=seed).fit(x, y).predict(x_test) == y_test).mean())


def boosting(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, seed: int) -> float:
    made = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, learning_rate=0.15, random_state=seed)
    return float((made.fit(x, y).predict(x_test) == y_test).mean())


def machine(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, seed: int) -> float:
    rows, tested = spread(x, x_test)
    return float((SVC(C=10, gamma=0.01).fit(rows, y).predict(tested) == y_test).mean())


def convolved(cases: list[np.ndarray], seed: int) -> np.ndarray:
    """Of each case, scaled to mean 0 and deviation 1: by each kernel the share of numbers above its bias, and the largest."""
    rng = np.random.default_rng(seed)
    kernels = []
    for _ in range(KERNELS):
        weights = rng.normal(size=LENGTH)
        dilation = int(2 ** rng.uniform(0, np.log2(99 / (LENGTH - 1))))  # the shortest case has 100 numbers
        spaced = np.zeros((LENGTH - 1) * dilation + 1)
        spaced[::dilation] = weights - weights.mean()
        kernels.append((spaced, rng.uniform(-1, 1)))
    made = np.empty((len(cases), 2 * KERNELS))
    for row, case in enumerate(cases):
        scaled = (case - case.mean()) / (case.std() + 1e-9)
        for k, (kernel, bias) in enumerate(kernels):
            found = np.convolve(scaled, kernel, "same") + bias
            made[row, 2 * k : 2 * k + 2] = (found > 0).mean(), found.max()
    return made


def ridge(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, seed: int) -> float:
    scale = StandardScaler().fit(x)
    fitted = RidgeClassifierCV(np.logspace(-3, 3, 10)).fit(scale.transform(x), y)
    return float((fitted.predict(scale.transform(x_test)) == y_test).mean())


def main() -> None:
    torch.set_num_threads(1)
    (cases, y), (tested, y_test) = (appliances._cases(part) for part in appliances.SHA256)
    rng = np.random.default_rng(0)
    everything, classes = [*cases, *tested], np.concatenate([y, y_test])
    x = np.array([appliances.features(case) for case in everything])
    cut = np.array([[appliances.features(appliances.varied(case, rng)) for _ in range(8)] for case in everything])
    n, folds = len(cases), list(StratifiedKFold(5, shuffle=True, random_state=0).split(x, classes))
    published = [(np.arange(n), np.arange(n, len(x)))]

    def measured(method, split, seed: int = 0, is_varied: bool = True, of: np.ndarray = x) -> float:
        train, test = split
        rows, wanted = of[train], classes[train]
        if is_varied:
            rows = np.vstack([rows, cut[train].reshape(-1, x.shape[1])])
            wanted = np.concatenate([wanted, np.repeat(wanted, cut.shape[1])])
        return method(rows, wanted, of[test], classes[test], seed)

    methods = {
        "forest": lambda: [measured(forest, published[0], seed) for seed in range(3)],
        "machine": lambda: [measured(machine, published[0])],
        "convolutions": lambda: [measured(ridge, published[0], 0, False, convolved(everything, 0))],
        "network": lambda: [measured(network, published[0], seed) for seed in range(3)],
        "network_without_variants": lambda: [measured(network, published[0], seed, False) for seed in range(3)],
        "boosting": lambda: [measured(boosting, published[0], 0, False)],
        "forest_five_folds": lambda: [measured(forest, fold) for fold in folds],
        "network_five_folds": lambda: [measured(network, fold) for fold in folds],
    }
    kept = json.loads(PATH.read_text()) if PATH.exists() else {}
    page = {"features": x.shape[1], "accuracies": kept.get("accuracies", {}), "means": {}}
    for name, measure in methods.items():
        if len(sys.argv) == 1 or name in sys.argv:
            page["accuracies"][name] = measure()
            page["means"] = {each: float(np.mean(found)) for each, found in page["accuracies"].items()}
            print(name, np.round(page["accuracies"][name], 4), flush=True)
            PATH.write_text(json.dumps(page, indent=1) + "\n")


if __name__ == "__main__":
    main()
