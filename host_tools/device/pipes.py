# SPDX-License-Identifier: MIT
"""The three pipes of a process that was started with all of them."""

import subprocess
from dataclasses import dataclass
from typing import IO


@dataclass(frozen=True)
class Pipes:
    """What the process reads from, answers on, and complains on; each in bytes."""

    stdin: IO[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]


def pipes_of(process: subprocess.Popen[bytes]) -> Pipes:
    """The pipes of a process. Raises ValueError when it was started without one of them."""
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise ValueError("start the process with stdin, stdout and stderr as subprocess.PIPE")
    return Pipes(process.stdin, process.stdout, process.stderr)
