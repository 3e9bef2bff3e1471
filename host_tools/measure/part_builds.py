# SPDX-License-Identifier: MIT
"""Bytes of firmware without a model's data, by the parts of the runtime in it, from real builds for one board of each core.

    python -m ttzo.host_tools.measure.part_builds FILE [CORE ...]     builds what is missing in FILE; half an hour for all

What a build takes of flash depends on its parts alone: the model's tables are exact (costs/memory.py). fit_part_sizes.py
makes the forecasts of `ttzo plan` from the file. `make part-sizes` builds all anew, after the runtime has grown or shrunk.
"""

import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ttzo.device_runtime.contract import Arithmetic, Part
from ttzo.exporter.costs.memory import flash_items
from ttzo.exporter.export import export
from ttzo.exporter.plan.parts import SMALL
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.firmware.build import image_bytes

# The board on which a core is counted, the main one first: its parts are counted one by one.
BOARDS = ("netduinoplus2", "microbit", "mps2-an385", "mps2-an500", "mps2-an505", "mps3-an547", "virt-rv32imac", "virt-rv32imafc")  # fmt: skip
# On every core: together they hold each part. Firmware holds the link and the small parts besides.
ON_EACH = (
    "",
    "cores",
    "cores gathered depth",
    "equations",
    "equations systems coordinates features compensated",
    "cores evaluations blocks chain narrow tensors split packing augmentation",
    "cores blocks gathered operations attention recurrent pooling",
    "identification",
)
ON_MAIN = (
    *("evaluations", "evaluations gathered", "evaluations split", "evaluations operations"),
    "evaluations gathered split augmentation",
    *("cores depth", "cores gathered", "cores narrow", "cores tensors", "cores packing", "cores augmentation"),
    *("cores evaluations split", "cores evaluations split tensors depth", "cores blocks", "cores blocks gathered"),
    *("cores blocks depth", "cores blocks chain narrow packing"),
    *("cores operations", "cores operations recurrent", "cores gathered operations pooling"),
    *("cores gathered operations attention", "cores blocks operations"),
    *("equations coordinates", "equations systems", "equations systems coordinates features"),
    *("equations compensated", "equations operations", "equations evaluations"),
    *("cores sparse", "cores key", "cores storage"),
)
IN_FUSED = ("cores", "equations")


@dataclasses.dataclass(frozen=True)
class PartBuild:
    """One build: its core and arithmetic, its parts without the small ones, and its bytes without the model's."""

    core: str
    arithmetic: str
    parts: tuple[str, ...]
    code_bytes: int


def cases() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Board, arithmetic and parts of each build, in the order of the file."""
    for name in BOARDS:
        board = boards.load(name)
        always = {Part.link} | ({Part.sparse} if board.rows_bytes else set())
        for arithmetic in board.arithmetics:
            further = (*ON_EACH, *(ON_MAIN if name == BOARDS[0] else ()))
            for parts in IN_FUSED if arithmetic == Arithmetic.fused.name else further:
                chosen = always | {Part[part] for part in parts.split()}
                yield name, arithmetic, tuple(part.name for part in sorted(chosen))


def read(path: Path) -> list[PartBuild]:
    page = json.loads(path.read_text(encoding="utf-8"))
    return [PartBuild(**each | {"parts": tuple(each["parts"])}) for each in page]


def write(path: Path, builds: list[PartBuild]) -> None:
    """One build a line."""
    lines = [json.dumps(dataclasses.asdict(each)) for each in builds]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def main(path: Path, *cores: str) -> None:
    found = {(each.core, each.arithmetic, each.parts): each for each in (read(path) if path.is_file() else ())}
    with tempfile.TemporaryDirectory(prefix="ttzo-parts-") as name:
        folder = Path(name)
        plans = {each: export("digits", folder / each.name, arithmetic=each.name) for each in Arithmetic}
        for name, arithmetic, parts in cases():
            board = boards.load(name)
            case = (board.core, arithmetic, parts)
            if case in found or cores and board.core not in cores:
                continue
            own = sum(flash_items(plans[Arithmetic[arithmetic]]).values())
            whole = image_bytes(folder / arithmetic, board, frozenset(Part[part] for part in parts) | SMALL)
            found[case] = PartBuild(*case, whole - own)
            print(found[case], file=sys.stderr, flush=True)
            write(path, list(found.values()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
