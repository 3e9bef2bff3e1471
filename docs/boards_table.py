# SPDX-License-Identifier: MIT
"""Runs `ttzo check-boards`, keeps what it found in docs/results/boards.json and writes the table of docs/results/boards.md.

python docs/boards_table.py                          half an hour
python docs/boards_table.py --board pico digits      these boards and models alone, and keeps the other rows
python docs/boards_table.py --write                  the table alone, of the stored results
"""

import argparse
import datetime
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
STORED = DOCS / "results" / "boards.json"
PAGE = DOCS / "results" / "boards.md"
TABLE = re.compile(r"(<!-- python docs/boards_table.py -->\n).*?(<!-- end -->)", re.DOTALL)
HEADING = ("model", "board", "arithmetic", "bits", "flash", "RAM", "stack forecast, seen", "instructions a step")


def measured(names: Sequence[str] = (), models: Sequence[str] = ()) -> dict[str, Any]:
    """What `ttzo check-boards --json` prints for these boards and models (default: all), with command, date and commit."""
    command = [sys.executable, "-m", "ttzo.host_tools", "check-boards", "--json", *models]
    command += [word for name in names for word in ("--board", name)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=DOCS, capture_output=True, text=True, check=True
    )
    return {
        "command": "ttzo check-boards",
        "date": datetime.date.today().isoformat(),
        "commit": commit.stdout.strip(),
        "checks": found["checks"],
        "refusals": found["refusals"],
    }


def replaced(stored: dict[str, Any], found: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The stored results, with what was found of the boards `names` in place of their rows of the same models."""
    models = {each["model"] for each in found["checks"] + found["refusals"]}
    made = dict(stored)
    for rows in ("checks", "refusals"):
        kept = [each for each in stored[rows] if not (_board(each) in names and each["model"] in models)]
        order = list(dict.fromkeys(each["model"] for each in stored["checks"]))
        made[rows] = sorted(kept + found[rows], key=lambda each: (order.index(each["model"]), "machine" in each, "" if "machine" in each else each["board"]))  # fmt: skip
    made["later"] = stored.get("later", {}) | {name: found["commit"] for name in names}
    return made


def _board(row: dict[str, Any]) -> str:
    return row.get("board") or row["machine"]


def table(stored: dict[str, Any]) -> str:
    """A row for each model on each board and machine; a machine has no sizes of its own. Then what was refused."""
    equal = sum(check["equal"] for check in stored["checks"])
    rows = [_row(check) for check in stored["checks"]]
    later = "".join(f", {name}: {commit}" for name, commit in stored.get("later", {}).items())
    lines = [
        f"`{stored['command']}`, {stored['date']}, commit {stored['commit']}{later}: bits are equal in {equal} of {len(rows)} rows.",
        "",
        *(f"| {' | '.join(row)} |" for row in (HEADING, ["---"] * len(HEADING), *rows)),
        "",
        *(f"- {each['model']} on {each['board']}: {each['refusal']}." for each in stored["refusals"]),
    ]
    return "".join(f"{line}\n" for line in lines)


def _row(check: dict[str, Any]) -> tuple[str, ...]:
    bits = "equal" if check["equal"] else "DIFFERENT"
    if "machine" in check:
        return (check["model"], check["machine"], check["arithmetic"], bits, *["–"] * 4)
    stack = f"{check['stack_forecast']:,}, {check['stack_seen']:,}"
    sizes = (f"{check['flash_bytes']:,}", f"{check['ram_bytes']:,}", stack, f"{check['instructions']:,}")
    return (check["model"], check["board"], check["arithmetic"], bits, *sizes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="with --board: only these models")
    parser.add_argument("--board", action="append", default=[], help="only this board; may be repeated")
    parser.add_argument("--write", action="store_true", help="write the table of the stored results, run nothing")
    options = parser.parse_args()
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    if not options.write:
        found = measured(options.board, options.models)
        stored = replaced(stored, found, options.board) if options.board else found
        STORED.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(TABLE.sub(lambda found: found[1] + table(stored) + found[2], text), encoding="utf-8")


if __name__ == "__main__":
    main()
