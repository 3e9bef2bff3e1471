# SPDX-License-Identifier: MIT
"""Runs `ttzo check-boards`, keeps what it found in docs/results/boards.json and writes the table of docs/results/boards.md.

python docs/boards_table.py              a quarter of an hour
python docs/boards_table.py --write      the table alone, of the stored results
"""

import argparse
import datetime
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
STORED = DOCS / "results" / "boards.json"
PAGE = DOCS / "results" / "boards.md"
TABLE = re.compile(r"(<!-- python docs/boards_table.py -->\n).*?(<!-- end -->)", re.DOTALL)
HEADING = ("model", "board", "arithmetic", "bits", "flash", "RAM", "stack forecast, seen", "instructions a step")


def measured() -> dict[str, Any]:
    """What `ttzo check-boards --json` prints, with command, date and commit."""
    command = [sys.executable, "-m", "ttzo.host_tools", "check-boards", "--json"]
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


def table(stored: dict[str, Any]) -> str:
    """A row for each model on each board and machine; a machine has no sizes of its own. Then what was refused."""
    equal = sum(check["equal"] for check in stored["checks"])
    rows = [_row(check) for check in stored["checks"]]
    lines = [
        f"`{stored['command']}`, {stored['date']}, commit {stored['commit']}: bits are equal in {equal} of {len(rows)} rows.",
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
    parser.add_argument("--write", action="store_true", help="write the table of the stored results, run nothing")
    if not parser.parse_args().write:
        STORED.write_text(json.dumps(measured(), indent=1) + "\n", encoding="utf-8")
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(TABLE.sub(lambda found: found[1] + table(stored) + found[2], text), encoding="utf-8")


if __name__ == "__main__":
    main()
