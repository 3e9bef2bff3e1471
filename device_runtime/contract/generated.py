# SPDX-License-Identifier: MIT
"""The files that are written from the contract, and their texts."""

from pathlib import Path

from ttzo.device_runtime.contract import write_c, write_micropython, write_operations, write_protocol, write_stub


def written_files() -> dict[Path, str]:
    """Text of each generated file, by its path; a test holds that the committed ones are these."""
    return {
        write_c.PATH: write_c.header_text(),
        write_operations.PATH: write_operations.calls_text(),
        write_stub.PATH: write_stub.stub_text(),
        write_protocol.PATH: write_protocol.page_text(),
        **write_micropython.files(),
    }
