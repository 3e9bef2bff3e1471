# SPDX-License-Identifier: MIT
"""The number by which two sides see that they were made from the same contract."""

import json
import zlib

from ttzo.device_runtime.contract.page import PAGE

HASH: int = zlib.crc32(json.dumps(PAGE, sort_keys=True).encode())
