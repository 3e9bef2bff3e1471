# SPDX-License-Identifier: MIT
"""The code by which MNIST's rows are packed for the line: `worth_packing` of its 60,000 training rows. It stands here so that
an export needs no data (tests/exporter/test_packing.py makes it anew where the rows are at hand)."""

from ttzo.exporter.plan.packing import Packing

_LENGTHS = (
    "8a88888888888899899888999899989999999999999999999999999998a999998999999999a99a999999999a99a999999a999a99999999"
    "99999999999999a99979999999999999999999999999999999999999999989999999999999999999989999999999989999999999999999"
    "9999998989988888889988888888887643457654b88cffffffe"
)
CODE = Packing.of_text(_LENGTHS), 156.1  # and the bytes of a row, of 786, in full frames
