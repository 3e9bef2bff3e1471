# SPDX-License-Identifier: MIT
"""Keeps the sizes of the modules that `make modules` has built in docs/results/modules.json and writes the table of
docs/micropython.md.

python docs/modules_table.py build/modules      of the modules in that folder
python docs/modules_table.py --write            the table alone, of the stored sizes
"""

import argparse
import datetime
import json
import re
import subprocess
from pathlib import Path
from typing import Any

from ttzo.host_tools.micropython.modules import KITS, Modules
from ttzo.host_tools.micropython.native_module import BUILT

DOCS = Path(__file__).parent
STORED = DOCS / "results" / "modules.json"
PAGE = DOCS / "micropython.md"
TABLE = re.compile(r"(<!-- python docs/modules_table.py -->\n).*?(<!-- end -->)", re.DOTALL)
BOARDS = {
    "x64": "MicroPython's unix port",
    "armv6m": "RP2040",
    "armv7m": "Cortex-M3, Cortex-M4 without FPU",
    "armv7emsp": "STM32F4, RP2350",
    "armv7emdp": "STM32F7, STM32H7",
    "xtensawin": "ESP32, ESP32-S3",
    "rv32imc": "ESP32-C3",
}


def sizes(folder: Path) -> dict[str, Any]:
    """Bytes of `_ttzo.mpy` by architecture and kit, with command, date and commit."""
    found: dict[str, dict[str, int]] = {architecture: {} for architecture in BUILT}
    for package in Modules(folder).packages:
        found[package.architecture][package.name.rpartition("-")[2]] = package.bytes
    head = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(head, cwd=DOCS, capture_output=True, text=True, check=True).stdout.strip()
    return {"command": "make modules", "date": datetime.date.today().isoformat(), "commit": commit, "bytes": found}


def table(stored: dict[str, Any]) -> str:
    said = f"`{stored['command']}`, {stored['date']}, commit {stored['commit']}:\n\n"
    rows = [("architecture", "boards", *KITS), ["---"] * (len(KITS) + 2)]
    for architecture, found in stored["bytes"].items():
        kits = (f"{found[kit]:,}" if kit in found else "not built here" for kit in KITS)
        rows.append((architecture, BOARDS[architecture], *kits))
    return said + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="what `make modules` has written")
    parser.add_argument("--write", action="store_true", help="write the table of the stored sizes")
    options = parser.parse_args()
    if not options.write:
        if not options.folder:
            parser.error("name the folder of `make modules`, or --write")
        STORED.write_text(json.dumps(sizes(options.folder), indent=1) + "\n", encoding="utf-8")
    text, made = PAGE.read_text(encoding="utf-8"), table(json.loads(STORED.read_text(encoding="utf-8")))
    PAGE.write_text(TABLE.sub(lambda found: found[1] + made + found[2], text), encoding="utf-8")


if __name__ == "__main__":
    main()
