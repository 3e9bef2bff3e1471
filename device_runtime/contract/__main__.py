# SPDX-License-Identifier: MIT
"""Writes what is generated from the contract: `python -m ttzo.device_runtime.contract`."""

from ttzo.device_runtime.contract.generated import written_files

for path, text in written_files().items():
    path.write_text(text, encoding="utf-8")
