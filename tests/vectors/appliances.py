# SPDX-License-Identifier: MIT
"""What is reached on the features of `appliances` by which method and split: writes appliances.json.

    python tests/vectors/appliances.py [published|folds|choice]..

Forests, a support vector machine and networks of 64 units (torch, exact gradients, the zoo's settings). They see the training
cases and their variants, as the zoo's model does, or (`network_without_variants`) the cases alone.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedKFold
from sklearn.svm import SVC

from ttzo.host_tools.data import appliances

CLASSES, UNITS, STEPS, BATCH, RATE, JITTER = 11, 64, 4000, 32, 0.05, 0.6
POWER = 6  # features, the last ones
ALL = slice(None)
Method = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
Split = tuple[np.ndarray, np.ndarray]  # places of the cases that train, and of those that test


def features_of(cases: list[np.ndarray]) -> np.ndarray:
    return np.array([appliances.features(case) for case in cases])


def spread(x: np.ndarray, x_test: np.ndarray) -> list[np.ndarray]:
    quantiles = np.quantile(x, np.linspace(0, 1, appliances.QUANTILES), axis=0)
    return [appliances.spread_evenly(part, quantiles) / appliances.STEPS_OF_ONE for part in (x, x_test)]


def network(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, seed: int) -> np.ndarray:
    """Probabilities (test cases, classes) at the last step."""
    torch.manual_seed(seed)
    rows, tested = (torch.tensor(part, dtype=torch.float32) for part in spread(x, x_test))
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
    return model(tested).softmax(1).detach().numpy()


def forest(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, seed: int) -> np.ndarray:
    return ExtraTreesClassifier(100, random_state=seed).fit(x, y).predict_proba(x_test)


def machine(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, seed: int) -> np.ndarray:
    """Its decisions as probabilities: their soft-max."""
    rows, tested = spread(x, x_test)
    decisions = np.exp(SVC(C=10, gamma=0.003).fit(rows, y).decision_function(tested))
    return decisions / decisions.sum(1, keepdims=True)


# ---- cases -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cases:
    """Training cases, then test cases: features, those of their variants (cases, 8, features), classes."""

    x: np.ndarray
    cut: np.ndarray
    classes: np.ndarray
    n_train: int

    def answers(
        self, method: Method, split: Split, seed: int, is_varied: bool = True, columns: slice = ALL
    ) -> np.ndarray:
        train, test = split
        rows, y = self.x[train], self.classes[train]
        if is_varied:
            rows = np.vstack([rows, self.cut[train].reshape(-1, rows.shape[1])])
            y = np.concatenate([y, np.repeat(y, self.cut.shape[1])])
        return method(rows[:, columns], y, self.x[test][:, columns], seed)

    def right(self, answer: np.ndarray, split: Split) -> float:
        return float((answer.argmax(1) == self.classes[split[1]]).mean())

    def in_folds(self, method: Method, folds: list[Split], columns: slice = ALL) -> float:
        return float(np.mean([self.right(self.answers(method, fold, 0, columns=columns), fold) for fold in folds]))


def read_cases() -> Cases:
    (cases, y), (tested, y_test) = (appliances._cases(part) for part in appliances.SHA256)
    rng = np.random.default_rng(0)
    everything = [*cases, *tested]
    cut = [features_of([appliances.varied(case, rng) for _ in range(8)]) for case in everything]
    return Cases(features_of(everything), np.array(cut), np.concatenate([y, y_test]), len(cases))


# ---- what is measured ------------------------------------------------------------------------------------------------


def published(cases: Cases) -> dict[str, Any]:
    """sktime's split: 537 cases train, 537 test. `together` is the mean of what the three methods answer."""
    n = cases.n_train
    split = np.arange(n), np.arange(n, len(cases.x))
    seeds = {forest: 3, network: 3, machine: 1}
    found = {method: [cases.answers(method, split, seed) for seed in range(k)] for method, k in seeds.items()}
    page: dict[str, Any] = {
        method.__name__: [cases.right(each, split) for each in each_seed] for method, each_seed in found.items()
    }
    together = sum(np.mean(each_seed, axis=0) for each_seed in found.values())
    wrong = [each.argmax(1) != cases.classes[n:] for each_seed in found.values() for each in each_seed]
    alone = [cases.answers(network, split, seed, is_varied=False) for seed in range(3)]
    return page | {
        "together": cases.right(np.asarray(together), split),
        "wrong_by_all": int(np.all(wrong, axis=0).sum()),
        "network_without_variants": [cases.right(each, split) for each in alone],
    }


def folds(cases: Cases) -> dict[str, Any]:
    """Five random folds of all cases: four train, one tests."""
    parts = list(StratifiedKFold(5, shuffle=True, random_state=0).split(cases.x, cases.classes))
    return {f"{method.__name__}_five_folds": cases.in_folds(method, parts) for method in (forest, network)}


def choice(cases: Cases) -> dict[str, Any]:
    """Two times five folds of the training cases alone, by which the last features, the power and its unit, were chosen:
    with and without them."""
    twice = RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=1)
    parts = list(twice.split(cases.x[: cases.n_train], cases.classes[: cases.n_train]))
    columns = {"with_power": ALL, "without_power": slice(-POWER)}
    return {
        f"{method.__name__}_{name}": cases.in_folds(method, parts, chosen)
        for method in (forest, network)
        for name, chosen in columns.items()
    }


def main() -> None:
    torch.set_num_threads(1)
    cases = read_cases()
    kept = Path(__file__).with_suffix(".json")
    page = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    page |= {"features": cases.x.shape[1]}
    for measure in (published, folds, choice):
        if not sys.argv[1:] or measure.__name__ in sys.argv[1:]:
            page |= measure(cases)
            kept.write_text(json.dumps(page, indent=1) + "\n", encoding="utf-8")
            print(json.dumps(page, indent=1))


if __name__ == "__main__":
    main()
