# SPDX-License-Identifier: MIT
"""A program on a terminal of its own (a pty), and who types there: for what only a terminal does, as Ctrl-C."""

import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

PROMPT = ">>> "


class Terminal:
    """The program at its prompt, which shows itself as `>>> `."""

    def __init__(self, command: list[str], folder: Path, patience_s: float = 60.0):
        self._patience_s = patience_s
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # whose Ctrl-C is the program's
        )
        os.close(theirs)

    def __enter__(self) -> "Terminal":
        self._until_prompt()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def begin(self, line: str, shows: str) -> None:
        """Types a line and waits until the program shows that it is under way."""
        os.write(self._ours, line.encode() + b"\r")
        self._until(lambda shown: shows in shown)

    def press(self, keys: bytes) -> str:
        """What the program shows until it prompts again."""
        os.write(self._ours, keys)
        return self._until_prompt()

    def type(self, line: str) -> str:
        return self.press(line.encode() + b"\r")

    def _until_prompt(self) -> str:
        return self._until(lambda shown: shown.endswith(PROMPT)).removesuffix(PROMPT).replace("\r", "")

    def _until(self, is_there: Callable[[str], bool]) -> str:
        """What the program shows until then; a character or command of the terminal may come in pieces."""
        come, end = b"", time.monotonic() + self._patience_s
        while not is_there(shown := re.sub(r"\x1b\[\d*[A-Za-z]", "", come.decode(errors="ignore"))):
            assert select.select([self._ours], [], [], max(0, end - time.monotonic()))[0], f"it shows only {shown!r}"
            come += os.read(self._ours, 4096)
        return shown
