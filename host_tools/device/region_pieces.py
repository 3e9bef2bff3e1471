# SPDX-License-Identifier: MIT
"""The requests that write a region piece by piece: its bytes as they are, or packed by the bundle's code where that holds
more of them."""

from dataclasses import dataclass

from ttzo.device_runtime.contract import REQUEST, Region
from ttzo.exporter.plan.packing import MOST_RAW, Packing


@dataclass
class Content:
    """What a region is to hold. Without `packing` it is sent as it is, as all but rows are."""

    region: Region
    content: bytes
    packing: Packing | None

    def request(self, start: int, end: int, size: int) -> tuple[str, int, bytes]:
        """A message, a payload of at most `size` bytes with the content from `start` on, and where it ends: `end`, or
        before that."""
        plain_end = min(end, start + size - REQUEST["write"].SIZE)
        if self.packing and self.region in (Region.batch, Region.dataset):
            room = size - REQUEST["write_packed"].SIZE
            n, packed = self.packing.pack(self.content[start : min(end, start + MOST_RAW)], room)
            if start + n > plain_end or len(packed) < n:
                return "write_packed", start + n, REQUEST["write_packed"](self.region, start, n).pack() + packed
        return "write", plain_end, REQUEST["write"](self.region, start).pack() + self.content[start:plain_end]
