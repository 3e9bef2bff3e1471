# SPDX-License-Identifier: MIT
"""The code by which a host packs rows for the line (device_runtime/network/packed_rows.c takes it apart): a Huffman code of
bytes and runs of zeros, made at export from the rows' bytes. The same code for all rows, so that each frame is taken apart
alone, and a device needs no memory for it."""

import dataclasses
import heapq
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ttzo.device_runtime.contract import LIMIT, REQUEST

if TYPE_CHECKING:
    from ttzo.exporter.plan.plan import Plan

LONGEST, SYMBOLS = LIMIT["longest_code"], LIMIT["packing_symbols"]
TABLE_BYTES = 2 * (LONGEST + SYMBOLS)
BYTES = 256  # symbols that are bytes; symbol 255 + k is a run of 2^k zeros and more
MOST_RAW = 1 << 14  # bytes that are looked at for one frame
MOST_PACKED = LIMIT["max_payload"] - REQUEST["write_packed"].SIZE
CODE, ROW_BYTES = "packing", "packed_row_bytes"  # in metadata: the code until the plan holds it, what a row takes by it
WORTH = 0.75  # of the bytes of rows: who packs them to more does not pack them


@dataclass(frozen=True)
class Packing:
    """`lengths`: bits of each symbol's code, 1 to LONGEST, such that the code is complete."""

    lengths: tuple[int, ...]

    @classmethod
    def of_bytes(cls, content: bytes) -> "Packing":
        """The code that packs `content` to the fewest bits. Symbols that do not stand in it get a code too."""
        starts, symbols, _, _ = _tokens(np.frombuffer(content, np.uint8))
        return cls(_code_lengths(np.bincount(symbols, minlength=SYMBOLS) + 1 if len(starts) else np.ones(SYMBOLS)))

    @classmethod
    def of_text(cls, text: str) -> "Packing":
        """The inverse of `text`."""
        return cls(tuple(int(digit, 16) for digit in text))

    @property
    def text(self) -> str:
        """The lengths as hexadecimal digits."""
        return "".join(f"{length:x}" for length in self.lengths)

    @property
    def is_sound(self) -> bool:
        """Whether the code is complete: each sequence of bits is one of symbols, in one way."""
        if len(self.lengths) != SYMBOLS or not all(0 < length <= LONGEST for length in self.lengths):
            return False
        return sum(1 << LONGEST - length for length in self.lengths) == 1 << LONGEST

    @cached_property
    def _order(self) -> np.ndarray:
        """The symbols in the order of their codes."""
        return np.argsort(self.lengths, kind="stable")

    @cached_property
    def _codes(self) -> np.ndarray:
        """The code of each symbol, uint32."""
        codes, code, before = np.zeros(SYMBOLS, np.uint32), 0, 0
        for symbol in self._order:
            code <<= self.lengths[symbol] - before
            codes[symbol], before, code = code, self.lengths[symbol], code + 1
        return codes

    def table(self) -> np.ndarray:
        """The bundle's section: uint16 [LONGEST] symbols of each length, then [SYMBOLS] symbols in the order of codes."""
        counts = np.bincount(self.lengths, minlength=LONGEST + 1)[1:]
        return np.concatenate([counts, self._order]).astype("<u2")

    @classmethod
    def of_table(cls, table: np.ndarray) -> "Packing":
        """The inverse of `table`. Raises `ValueError` for what is no complete code."""
        lengths = np.zeros(SYMBOLS, int)
        by_length = np.repeat(np.arange(1, LONGEST + 1), table[:LONGEST])
        if len(by_length) != SYMBOLS or table[LONGEST:].max() >= SYMBOLS:
            raise ValueError("the code of packed rows is damaged")
        lengths[table[LONGEST:]] = by_length
        made = cls(tuple(map(int, lengths)))
        if not made.is_sound:
            raise ValueError("the code of packed rows is damaged")
        return made

    def pack(self, content: bytes, most: int) -> tuple[int, bytes]:
        """As much of `content` as `most` bytes hold, packed: how many bytes of it, and their code."""
        raw = np.frombuffer(content, np.uint8)
        starts, symbols, rest, rest_bits = _tokens(raw)
        sizes = np.array(self.lengths)[symbols] + rest_bits
        n = int(np.searchsorted(np.cumsum(sizes), 8 * most, "right"))
        values, sizes = (self._codes[symbols[:n]] << rest_bits[:n]) + rest[:n], sizes[:n]
        ends = np.cumsum(sizes)
        below = np.repeat(ends, sizes) - 1 - np.arange(ends[-1] if n else 0)  # bits of the symbol after each bit
        bits = np.repeat(values, sizes) >> below.astype(np.uint32) & 1
        return int(starts[n]) if n < len(starts) else len(raw), np.packbits(bits.astype(np.uint8)).tobytes()

    def packed_bytes(self, content: bytes) -> int:
        """What `content` takes in frames of the longest payload."""
        at, packed = 0, 0
        while at < len(content):
            n, piece = self.pack(content[at : at + MOST_RAW], MOST_PACKED)
            at, packed = at + n, packed + len(piece)
        return packed


def _tokens(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Bytes as symbols: where each begins, the symbol, and what a run adds to it (uint32) in so many bits."""
    is_zero = raw == 0
    goes_on = is_zero.copy()
    goes_on[1:] &= is_zero[:-1]
    goes_on[:1] = False
    starts = np.flatnonzero(~goes_on)
    runs = np.minimum(np.diff(starts, append=len(raw)), 2**LONGEST)
    k = np.frexp(runs)[1] - 1  # 2^k <= run
    symbols = np.where(k > 0, BYTES - 1 + k, raw[starts])
    return starts, symbols, (runs - (1 << k)).astype(np.uint32), k.astype(np.uint32)


def _code_lengths(counts: np.ndarray) -> tuple[int, ...]:
    """Bits of each symbol in a Huffman code of at most LONGEST bits, by how often the symbols stand (at least once each)."""
    while True:
        lengths = [0] * len(counts)
        heap = [(int(count), symbol, [symbol]) for symbol, count in enumerate(counts)]
        heapq.heapify(heap)
        while len(heap) > 1:
            (one, name, first), (two, _, second) = heapq.heappop(heap), heapq.heappop(heap)
            for symbol in first + second:
                lengths[symbol] += 1
            heapq.heappush(heap, (one + two, name, first + second))
        if max(lengths) <= LONGEST:
            return tuple(lengths)
        counts = (counts + 1) // 2  # flatter


def worth_packing(rows: np.ndarray) -> dict[str, Any]:
    """Metadata with the code for rows uint8 (n, row_bytes), and the bytes that a row takes by it; {} where it saves too
    little."""
    content = rows.tobytes()
    made = Packing.of_bytes(content)
    packed = made.packed_bytes(content)
    return described(made, packed / len(rows)) if content and packed <= WORTH * len(content) else {}


def described(packing: Packing, row_bytes: float) -> dict[str, Any]:
    return {CODE: packing.text, ROW_BYTES: round(row_bytes, 1)}


def of_metadata(plan: "Plan") -> "Plan":
    """The plan with the code that its metadata hold since export has looked at its rows; as it is where there is none."""
    metadata = dict(plan.metadata)
    text = metadata.pop(CODE, "")
    return dataclasses.replace(plan, metadata=metadata, packing=Packing.of_text(text)) if text else plan


def batch_bytes(plan: "Plan") -> int:
    """Bytes of the rows of a batch on the line."""
    row_bytes = plan.metadata.get(ROW_BYTES, plan.row_bytes) if plan.packing else plan.row_bytes
    return round(plan.batch * row_bytes) if isinstance(row_bytes, int | float) else plan.batch * plan.row_bytes
