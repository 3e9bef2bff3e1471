# SPDX-License-Identifier: MIT
# What editors know of `import ttzo` on a MicroPython board.
from array import array
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

class Stream(Protocol):
    """machine.UART, a socket, a USB serial port."""

    def readinto(self, buffer: Any) -> int | None: ...
    def write(self, data: Any) -> int | None: ...

class Rows(Protocol):
    """A file of whole rows, opened with "rb"."""

    def readinto(self, buffer: Any) -> int: ...
    def seek(self, offset: int, whence: int = 0) -> int: ...

Buffer = bytes | bytearray | memoryview | array[Any] | Any
"""Anything with the buffer protocol, ulab's ndarray too."""

class Model:
    """A network and its training run. Made by `load`."""

    n_parameters: int
    batch: int
    n_inputs: int
    n_outputs: int
    hash: bytes
    @property
    def step(self) -> int: ...
    @property
    def steps(self) -> int: ...
    def params(self, first: int = 0, count: int | None = None) -> array[float]: ...
    def predict(self, x: Buffer) -> array[float]: ...
    def evaluate(self, x: Buffer | Rows, y: Buffer | None = None) -> tuple[float, float | None]: ...
    def loss(self, x: Buffer | Rows, y: Buffer | None = None) -> float: ...
    def solution_error(
        self, x: Buffer | Rows | None = None, y: Buffer | None = None, n: int = 1000
    ) -> float | None: ...
    def train(
        self,
        x: Buffer | Rows | None = None,
        y: Buffer | None = None,
        steps: int | None = None,
        callback: Callable[[int, float], object] | None = None,
    ) -> float | None: ...
    def train_async(
        self,
        x: Buffer | Rows | None = None,
        y: Buffer | None = None,
        steps: int | None = None,
        callback: Callable[[int, float], object] | None = None,
    ) -> Awaitable[float | None]: ...
    def learn(self, x: Buffer, y: Buffer) -> float | None: ...
    def reset(self) -> None: ...
    def save(self, path: str) -> None: ...
    def serve(
        self, stream: Stream | None = None, key: bytes | str | None = None, reading_open: bool = False
    ) -> None: ...

def load(source: str | Buffer, room: int = 0) -> Model: ...
def serve(
    stream: Stream | None = None,
    model: Model | str | None = None,
    key: bytes | str | None = None,
    reading_open: bool = False,
) -> None: ...
