# SPDX-License-Identifier: MIT
"""Measures the figures of the README and keeps them with the command, the date and the commit that made them.

    python docs/headline.py --mnist FOLDER [demo|own|guarded|watch|sizes]..

`results/headline.json` is their table. tests/docs/test_figures.py refuses a figure of the README that is not in it.
"""

import argparse
import csv
import datetime
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
TABLE = DOCS / "results" / "headline.json"
README = DOCS.parent / "README.md"
SEEDS = (0, 1, 2)
BOARDS = ("netduinoplus2", "mps2-an385", "mps3-an547")
MODELS = {
    "digits": "tensor train, 64-64-10",
    "digits-conv": "convolution",
    "digits-rnn": "recurrent cell",
    "black-scholes": "differential equation",
    "house": "unknown constants of a house",
}
OWN = """import torch

from ttzo.nn import TTLinear


def make_model():
    return torch.nn.Sequential(TTLinear(784, 128, ranks=4), torch.nn.ReLU(), torch.nn.Linear(128, 10)), {"data": "mnist"}
"""
GUARDED = OWN.replace('"mnist"', '"mnist", "estimator": "rge", "update": "adam", "batch": 32')
SIZES = re.compile(r"(<!-- sizes: python docs/headline.py sizes -->\n).*?(<!-- end -->)", re.DOTALL)


def ttzo(*words: object, folder: Path) -> dict[str, Any]:
    """What a command prints with --json: its results, or with `ok` false why it refused. What it says for a person goes
    through."""
    command = [sys.executable, "-m", "ttzo.host_tools", *map(str, words), "--json"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def ram(board: dict[str, Any]) -> int:
    """Bytes of a firmware: work buffer, variables, worst stack."""
    return board["static_bytes"] + board["stack_bytes"] + board["work_needed"]


def demo(folder: Path, mnist: Path | None) -> dict[str, str]:
    page = ttzo("demo", "-o", folder / "demo", folder=folder)
    board = page["firmware"]
    return {
        "accuracy before": percent(page["accuracy_before"]),
        "accuracy after": percent(page["accuracy_after"]),
        "parameters": f"{page['parameters']:,} parameters",
        "steps": f"{page['steps']:,} steps",
        "flash": f"{board['flash_bytes'] / 1000:.0f} KB",
        "RAM": f"{ram(board) / 1000:.0f} KB",
    }


def own(folder: Path, mnist: Path | None) -> dict[str, str]:
    """The model on MNIST of which the README speaks, nothing chosen: the mean of three seeds."""
    (folder / "my.py").write_text(OWN, encoding="utf-8")
    data = ("--data", mnist) if mnist else ()
    accuracies = []
    for seed in SEEDS:
        made = ttzo("export", "my.py:make_model", "-o", f"mine{seed}", "--seed", seed, folder=folder)
        run = ttzo("train", f"mine{seed}", "--device", "native:", "--rows", "all", *data, folder=folder)
        accuracies.append(run["test"]["accuracy"])
    return {
        "accuracy": percent(sum(accuracies) / len(SEEDS)),
        "accuracies": ", ".join(percent(each) for each in accuracies),
        "parameters": f"{made['parameters']:,} parameters",
    }


def guarded(folder: Path, mnist: Path | None) -> dict[str, str]:
    """The same model as 0.1's README trained it, with an estimator whose default rate is too high for it: what the guard
    makes of that."""
    (folder / "my.py").write_text(GUARDED, encoding="utf-8")
    data = ("--data", mnist) if mnist else ()
    ttzo("export", "my.py:make_model", "-o", "mine", folder=folder)
    run = ttzo("train", "mine", "--device", "native:", "--rows", "all", *data, folder=folder)
    metrics = (folder / "mine" / "runs" / "native" / "metrics.csv").read_text(encoding="utf-8")
    lines = [line for line in metrics.splitlines() if not line.startswith("#")]
    events = [row for row in csv.DictReader(lines) if row["event"]]
    return {"accuracy": percent(run["test"]["accuracy"]), "times": f"{len(events)} times"}


def watch(folder: Path, mnist: Path | None) -> dict[str, str]:
    """The means that `ttzo sensors watch` has stored, and the memory of the firmware that adapts."""
    stored = json.loads((DOCS / "results" / "sensors-watch.json").read_text(encoding="utf-8"))
    ttzo("export", "watch", "-o", "watch", folder=folder)
    page = ttzo("build", "watch", "--board", "netduinoplus2", folder=folder)
    means = {name: percent(stored["mean"][name]) for name in ("before", "after", "last_layer")}
    return means | {"RAM": f"{ram(page) / 1000:.0f} KB"}


def sizes(folder: Path, mnist: Path | None) -> dict[str, str]:
    """Flash and RAM (work buffer, variables, worst stack) of a firmware that trains over its serial port."""
    made = {}
    for model in MODELS:
        ttzo("export", model, "-o", model, folder=folder)
        for board in BOARDS:
            page = ttzo("build", model, "--board", board, folder=folder)
            fits = page.get("ok", False)
            ram = fits and page["static_bytes"] + page["stack_bytes"] + page["work_needed"]
            made[f"{model} on {board}"] = (
                f"{page['flash_bytes'] / 1000:.0f} + {ram / 1000:.0f}" if fits else "too large"
            )
    return made


def size_table(figures: dict[str, str]) -> str:
    """Rows of the README: what is trained by the board."""
    heading = ["KB of flash + RAM", *BOARDS]
    rows = [
        [f"`{name}`: {text}", *(figures[f"{name} on {board}"] for board in BOARDS)] for name, text in MODELS.items()
    ]
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="demo, own, guarded, watch, sizes (default: all)")
    parser.add_argument("--mnist", type=Path, help="a folder with MNIST's four files (default: they are downloaded)")
    given = parser.parse_args()
    kept = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.is_file() else {}
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=DOCS, capture_output=True, text=True, check=True
    )
    for measure in (demo, own, guarded, watch, sizes):
        name = measure.__name__
        if given.names and name not in given.names:
            continue
        with tempfile.TemporaryDirectory(prefix="ttzo-headline-") as folder:
            figures = measure(Path(folder), given.mnist and given.mnist.resolve())
        kept[name] = {
            "command": f"python docs/headline.py {name}",
            "date": datetime.date.today().isoformat(),
            "commit": commit.stdout.strip(),
            "figures": figures,
        }
        TABLE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        print(name, figures)
    if "sizes" in kept:
        text = README.read_text(encoding="utf-8")
        README.write_text(SIZES.sub(rf"\g<1>{size_table(kept['sizes']['figures'])}\g<2>", text), encoding="utf-8")


if __name__ == "__main__":
    main()
