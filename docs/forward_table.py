# SPDX-License-Identifier: MIT
"""Counts the instructions of one forward pass, of ttzo and of C that other programs generated, keeps them in
docs/results/forward.json and writes the table of docs/results/speed.md.

python docs/forward_table.py FOLDER     counts FOLDER/GENERATOR/MODEL.c for every model below, and `ttzo_predict`
python docs/forward_table.py --write    writes the table of the stored results, counts nothing

GENERATOR is the heading of a column. A file defines one function that others can call, of two arguments: the inputs of one row
and its outputs. `ttzo export MODEL -o DIR --plain-onnx` writes the model.onnx that generators read. Their C is compiled with
gcc -O3 for the Cortex-M4F, with products and sums apart (-ffp-contract=off) and fused; `ttzo_predict` is counted in the plan
that `cge` exports in the same arithmetic, on seeded rows.
"""

import argparse
import datetime
import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ttzo.exporter.export import plan_of
from ttzo.host_tools.cli.bench import random_rows
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.firmware.build import build_plugin
from ttzo.host_tools.firmware.chip_ports import CHIP_PORTS

DOCS = Path(__file__).parent
STORED = DOCS / "results" / "forward.json"
PAGE = DOCS / "results" / "speed.md"
TABLE = re.compile(r"(<!-- python docs/forward_table.py -->\n).*?(<!-- end -->)", re.DOTALL)
LINKER_SCRIPT = DOCS.parent / "host_tools" / "measure" / "peer.ld"
BOARD = "mps2-an386"
OURS = "ttzo_predict"
MODELS = {
    "digits": "digits",
    "mnist-mlp": "mnist-mlp",
    "mnist-conv": "mnist-conv",
    "digits-conv": "digits-conv, whose second kernel is a tensor train",
}
ARITHMETICS = {"separate": "-ffp-contract=off", "fused": "-ffp-contract=fast"}  # and what gcc calls it
ENTRY = re.compile(
    r"^void (\w+)\(\s*const float \w+(?:\[(?:restrict )?\d+\])+,\s*float \w+(?:\[(?:restrict )?\d+\])+\s*\)",
    re.MULTILINE,
)
MAIN = """
#include <stdint.h>
void ENTRY(const void *, void *);
static float inputs[1024], outputs[64];
static void begin(void);
__attribute__((section(".vectors"), used)) static void *const vectors[] = { (void *)0x20300000, (void *)begin };
static void begin(void)
{
    extern uint32_t peer_data[], peer_data_end[], peer_bss[], peer_bss_end[];
    extern const uint32_t peer_data_image[];
    const uint32_t *from = peer_data_image;
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; // the FPU
    for (uint32_t *to = peer_data; to < peer_data_end; to++, from++)
        *to = *from;
    for (uint32_t *to = peer_bss; to < peer_bss_end; to++)
        *to = 0;
    for (int i = 0; i < 1024; i++)
        inputs[i] = (float)(i * 7 % 17) / 16.0f;
    for (volatile int i = 0; i < PASSES; i++)
        ENTRY(inputs, outputs);
    register uint32_t r0 __asm("r0") = 0x18; // semihosting: the end
    register uint32_t r1 __asm("r1") = 0x20026;
    __asm volatile("bkpt 0xAB" : : "r"(r0), "r"(r1) : "memory");
}
"""

# ---- counting -------------------------------------------------------------------------------------------------------


def counted(source: Path, flag: str) -> int:
    """Instructions of one pass of a generated file: those of two passes less those of one."""
    found = ENTRY.findall(source.read_text(encoding="utf-8"))
    if not found:
        raise SystemExit(f"{source} defines no function of one row's inputs and its outputs: generate it for one row")
    with tempfile.TemporaryDirectory() as folder:
        once, twice = (_executed(source, flag, found[-1], passes, Path(folder)) for passes in (1, 2))
    return twice - once


def _executed(source: Path, flag: str, entry: str, passes: int, folder: Path) -> int:
    """Instructions of a program that makes so many passes."""
    board, main, elf, counter = boards.load(BOARD), folder / "main.c", folder / "made.elf", folder / "count"
    main.write_text(MAIN, encoding="ascii")
    words = [f"{board.toolchain}-gcc", *board.cpu_flags, "-O3", flag, "-w", f"-DENTRY={entry}", f"-DPASSES={passes}"]
    words += ["-ffunction-sections", "-fdata-sections", "-nostartfiles", "--specs=nosys.specs", "-Wl,--gc-sections"]
    words += ["-Wl,--no-warn-rwx-segments", "-T", str(LINKER_SCRIPT), str(main), str(source), "-lm", "-o", str(elf)]
    subprocess.run(words, check=True)
    command = [CHIP_PORTS[board.port].emulator, "-M", str(board.qemu_machine), "-kernel", str(elf), "-display", "none"]
    command += ["-monitor", "none", "-serial", "none", "-semihosting-config", "enable=on,target=native"]
    counter.unlink(missing_ok=True)  # the plugin adds to what is there
    command += ["-plugin", f"{build_plugin()},out={counter}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=600)
    return int.from_bytes(counter.read_bytes(), "little")


def ours(model: str, arithmetic: str) -> int:
    """Instructions of `ttzo_predict` for one row."""
    from ttzo.host_tools.measure import bench
    from ttzo.host_tools.measure.instruction_count import Machine

    board = boards.load(BOARD)
    plan = plan_of(model, room=board.room, batch=2, estimator="cge", arithmetic=arithmetic)
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(board, bench.firmware(Path(folder) / "made", plan, board))
    bench.put_batch(machine, random_rows(plan))
    with machine.counting() as tally:
        machine.call("ttzo_predict", machine.trainer, 0, machine.host)
    return tally.instructions


def counts(folder: Path) -> dict[str, dict[str, dict[str, int]]]:
    """By column, arithmetic and model."""
    generators = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if not generators:
        raise SystemExit(f"{folder} holds no folder of generated C: name one with GENERATOR/MODEL.c")
    found: dict[str, dict[str, dict[str, int]]] = {
        name: {each: {} for each in ARITHMETICS} for name in (OURS, *generators)
    }
    for model in MODELS:
        for arithmetic, flag in ARITHMETICS.items():
            found[OURS][arithmetic][model] = ours(model, arithmetic)
            for name in generators:
                found[name][arithmetic][model] = counted(folder / name / f"{model}.c", flag)
    return found


# ---- the table ------------------------------------------------------------------------------------------------------


def table(stored: dict[str, Any]) -> str:
    """A row for each model; the columns of separate arithmetic, then the fused ones."""
    columns = [(name, each) for each in ARITHMETICS for name in stored["instructions"]]
    heading = ["model", *(f"{_title(name)}{', fused' if each == 'fused' else ''}" for name, each in columns)]
    rows = [heading, ["---"] * len(heading)]
    for model, title in MODELS.items():
        rows.append([title, *(f"{stored['instructions'][name][each][model]:,}" for name, each in columns)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _title(name: str) -> str:
    return f"`{name}`" if name == OURS else name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="generated C: FOLDER/GENERATOR/MODEL.c")
    parser.add_argument("--write", action="store_true", help="write the table of the stored results, count nothing")
    options = parser.parse_args()
    if not options.write:
        if not options.folder:
            parser.error("name the folder of generated C, or --write")
        page = {"command": "python docs/forward_table.py FOLDER", "date": datetime.date.today().isoformat()}
        STORED.write_text(
            json.dumps(page | {"instructions": counts(options.folder)}, indent=1) + "\n", encoding="utf-8"
        )
    text, made = PAGE.read_text(encoding="utf-8"), table(json.loads(STORED.read_text(encoding="utf-8")))
    PAGE.write_text(TABLE.sub(lambda found: found[1] + made + found[2], text), encoding="utf-8")


if __name__ == "__main__":
    main()
