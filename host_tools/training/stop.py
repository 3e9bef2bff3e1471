# SPDX-License-Identifier: MIT
"""How a person ends work that is under way: Ctrl-C, a polite kill, a closed terminal."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stop:
    """Whether the person has asked to stop (Ctrl-C, a polite kill, a terminal that was closed). A second time does not
    wait."""

    requested = False

    def _heed(self, *_: object) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def check(self, *_: object) -> None:
        """Ends what is under way; fit for `on_progress`."""
        if self.requested:
            raise KeyboardInterrupt

    @contextmanager
    def listening(self) -> Iterator["Stop"]:
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._heed) for number in stop_signals()}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def stop_signals() -> list[int]:
    """The signals that ask a command to end. A closed terminal's is left alone where the caller ignores it (nohup)."""
    asked: list[int] = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)  # not on Windows
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        asked.append(hangup)
    return asked
