# SPDX-License-Identifier: MIT
"""One cell of a table: a network trained by one method from one seed, saved as it goes, so that it can be cut anywhere.

A cell is steps, measured at times. Its state is a file beside its result; both appear whole or not at all.
"""

import dataclasses
import io
import json
import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ttzo.device_runtime.contract import TtzoError
from ttzo.exporter.readers.nn import torch

SAVE_EVERY_S = 15.0
CPU = torch.device("cpu")


class ReproduceError(TtzoError):
    """A table that cannot be made, or a folder of cells that is damaged."""


class Work(Protocol):
    """A cell at work: `step` number after number, `measure` (accuracy in % or mean squared error), its costs so far.
    One that holds a process or a line has a `close` too."""

    @property
    def number(self) -> int: ...

    def step(self) -> float: ...

    def measure(self) -> float: ...

    def spent(self) -> tuple[int, int]: ...

    def state(self) -> dict[str, Any]: ...

    def load(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Cell:
    """key: what names its files; a cell of the same key is the same run. settings: what it says of itself.
    n_steps in all, a measurement each `check_every`. make() gives the `Work` at its start, on `device`: torch's, or the
    URL of one of ours."""

    key: str
    settings: dict[str, Any]
    n_steps: int
    check_every: int
    make: Callable[[], Work]
    device: torch.device | str = CPU


@dataclass(frozen=True)
class Measurement:
    """After so many steps, loss evaluations and multiply-accumulates: the measure, and the mean loss since the last."""

    steps: int
    evaluations: int
    macs: int
    seconds: float
    value: float
    loss: float


@dataclass
class Result:
    """What is known of a cell. `seconds` by the clock, `processor_s` of this process and those it ended. `finished`: all its
    steps are done, or it diverged. `commit`: of the sources that ran it, "first..last" where it went on under another;
    `device`: what it ran on, several joined by " + ".

    `taken_from`: the page that a figure was copied from when the run's own record is lost; its history is then the last
    measurement alone, `best` the best on the way."""

    key: str
    settings: dict[str, Any]
    n_steps: int
    commit: str = ""
    seconds: float = 0.0
    processor_s: float = 0.0
    finished: bool = False
    diverged: bool = False
    history: list[Measurement] = field(default_factory=list)
    device: str = ""
    taken_from: str = ""
    best: float | None = None

    @property
    def value(self) -> float:
        """The last measure; infinite when it diverged, NaN before the first."""
        if self.diverged:
            return math.inf
        return self.history[-1].value if self.history else math.nan

    @property
    def share(self) -> float:
        """Of its steps, those done."""
        return (self.history[-1].steps if self.history else 0) / self.n_steps


class Store:
    """A folder of cells."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def result(self, cell: Cell) -> Result:
        """The cell's result so far; an empty one when there is none. Raises `ReproduceError` for a damaged file."""
        path = self.folder / f"{cell.key}.json"
        if not path.is_file():
            return Result(cell.key, cell.settings, cell.n_steps)
        result = self.read(cell.key)
        if result.settings != json.loads(json.dumps(cell.settings)) or result.n_steps != cell.n_steps:
            raise ReproduceError(f"{path} was run with other settings", "choose another folder: --out DIR")
        return result

    def read(self, key: str) -> Result:
        """The result in the file of that key, whatever its settings. Raises `ReproduceError` for a damaged file."""
        path = self.folder / f"{key}.json"
        try:
            return _from_json(path.read_text(encoding="utf-8"))
        except (ValueError, TypeError, KeyError) as error:
            raise ReproduceError(f"{path} is damaged ({error})", "delete it to run its cell again") from error

    def seeds(self, stem: str) -> list[int]:
        """The numbers after `stem` in the names of the folder's results, ascending."""
        found = [path.stem.removeprefix(stem) for path in self.folder.glob("*.json") if path.stem.startswith(stem)]
        return sorted(int(each) for each in found if each.isdecimal())

    def state(self, cell: Cell) -> dict[str, Any] | None:
        """What `Work.state` and the step's loss record gave when it was saved last, wherever that was, on the CPU. Raises
        `ReproduceError`."""
        path = self.folder / f"{cell.key}.pt"
        if not path.is_file():
            return None
        try:
            return torch.load(path, weights_only=True, map_location=CPU)
        except Exception as error:  # torch.load raises whatever the damage leads to
            hint = "delete it and the .json beside it to run the cell again"
            raise ReproduceError(f"{path} is damaged ({type(error).__name__})", hint) from error

    def save(self, result: Result, state: dict[str, Any] | None) -> None:
        """The state first: a result never claims steps that the state has not."""
        state_path = self.folder / f"{result.key}.pt"
        if state is None:
            state_path.unlink(missing_ok=True)
        else:
            buffer = io.BytesIO()
            torch.save(state, buffer)
            _replace(state_path, buffer.getvalue())
        _replace(self.folder / f"{result.key}.json", _to_json(result).encode())


def _to_json(result: Result) -> str:
    """A field a line; the history by its columns, each on a line."""
    found = dataclasses.asdict(result)
    columns = {each.name: [getattr(m, each.name) for m in result.history] for each in dataclasses.fields(Measurement)}
    lines = [f'  "{name}": {json.dumps(column)}' for name, column in columns.items()]
    found["history"] = "HISTORY"
    text = ",\n".join(f' "{name}": {json.dumps(value)}' for name, value in found.items())
    return "{\n" + text.replace('"HISTORY"', "{\n" + ",\n".join(lines) + "\n }") + "\n}\n"


def _from_json(text: str) -> Result:
    found = json.loads(text)
    history = found["history"]
    rows = zip(*(history[each.name] for each in dataclasses.fields(Measurement)), strict=True)
    found["history"] = [Measurement(*row) for row in rows]
    return Result(**found)


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(content)
    beside.replace(path)


SOURCES = (":/*.py", ":/*.c", ":/*.h", ":/*.toml")  # a cell that is written beside them changes none of them


def commit() -> str:
    """The commit of the sources at work, "-dirty" after it where they were edited since; empty where they are no git
    checkout."""
    asked = (["describe", "--always", "--abbrev=10"], ["status", "--porcelain", "--untracked-files=no", "--", *SOURCES])
    try:
        name, edited = (
            subprocess.run(
                ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True
            ).stdout.strip()
            for words in asked
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"{name}-dirty" if edited else name


def choose_device(gpu: bool | None) -> torch.device:
    """The GPU where torch sees one, otherwise the CPU; True or False asks for one of them. Raises `ReproduceError` for a
    GPU that is not there."""
    there = torch.cuda.is_available()
    if gpu and not there:
        raise ReproduceError("torch sees no GPU here", "leave out --gpu, or install a torch that is built for your GPU")
    return torch.device("cuda") if there and gpu is not False else CPU


def name_of(device: torch.device | str) -> str:
    """ "cpu", what the GPU calls itself, or a URL as it is."""
    if isinstance(device, str):
        return device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _first_and_last(before: str, now: str) -> str:
    first, _, last = before.partition("..")
    return f"{first}..{now}" if first and (last or first) != now else before or now


def _joined(before: str, now: str) -> str:
    return " + ".join(dict.fromkeys(filter(None, (*before.split(" + "), *now.split(" + ")))))


Progress = Callable[[int, int, str], None]


def run(cell: Cell, store: Store, budget_s: float, show: Progress = lambda *_: None) -> Result:
    """Runs the cell from where it was left until it is finished or `budget_s` seconds are spent on it.

    The budget is of this call: asked again, an unfinished cell goes on. Interrupted, it ends its step, is saved, and
    raises KeyboardInterrupt.
    """
    result = store.result(cell)
    if result.finished or budget_s <= 0:
        return result
    with ExitStack() as owned:
        return _run(cell, store, budget_s, show, result, owned)


def _run(cell: Cell, store: Store, budget_s: float, show: Progress, result: Result, owned: ExitStack) -> Result:
    work, losses = cell.make(), []
    if hasattr(work, "close"):
        owned.callback(work.close)
    state = store.state(cell)
    if state is not None:
        work.load(state["work"])
        losses = state["losses"]
        result.history = [each for each in result.history if each.steps <= work.number]
    else:
        result = Result(cell.key, cell.settings, cell.n_steps)
    result.commit, result.device = (
        _first_and_last(result.commit, commit()),
        _joined(result.device, name_of(cell.device)),
    )
    clock = _Clock(budget_s, result.seconds, result.processor_s)
    with _interrupts_between_steps() as asked:
        _go_on(cell, work, result, losses, clock, store, show, asked)
        left = None if result.finished else {"work": work.state(), "losses": losses}
        owned.close()  # a process that ends here has its time counted
        clock.record(result)
        store.save(result, left)
    return result


@contextmanager
def _interrupts_between_steps() -> Iterator[list[int]]:
    """Within it Ctrl-C only fills the list, so that no step is cut in its middle; afterwards it is raised."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield asked
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt


def processor_s() -> float:
    """Of this process, and of those that it started and that have ended."""
    spent = os.times()
    return time.process_time() + spent.children_user + spent.children_system


class _Clock:
    def __init__(self, budget_s: float, before_s: float, processor_before_s: float):
        self.start, self.budget_s, self.before_s = time.monotonic(), budget_s, before_s
        self.processor_before_s = processor_before_s - processor_s()
        self.saved = self.start

    def total(self) -> float:
        return round(self.before_s + time.monotonic() - self.start, 2)

    def record(self, result: Result) -> None:
        result.seconds = self.total()
        result.processor_s = round(self.processor_before_s + processor_s(), 2)

    def is_over(self) -> bool:
        return time.monotonic() - self.start >= self.budget_s

    def should_save(self) -> bool:
        if time.monotonic() - self.saved < SAVE_EVERY_S:
            return False
        self.saved = time.monotonic()
        return True


def _go_on(
    cell: Cell,
    work: Work,
    result: Result,
    losses: list[float],
    clock: _Clock,
    store: Store,
    show: Progress,
    asked: list[int],
) -> None:
    if not result.history:
        result.history.append(_measured(work, 0.0, math.nan))
    while work.number < cell.n_steps and not clock.is_over() and not asked:
        loss = work.step()
        if not math.isfinite(loss):
            result.diverged = result.finished = True
            return
        losses.append(loss)
        if work.number % cell.check_every == 0 or work.number == cell.n_steps:
            _measure(work, result, losses, clock)
        if clock.should_save():
            clock.record(result)
            store.save(result, {"work": work.state(), "losses": losses})
        show(work.number, cell.n_steps, f"step {work.number} of {cell.n_steps}, last measured {result.value:.4g}")
    if result.history[-1].steps < work.number:
        _measure(work, result, losses, clock)
    result.finished = work.number >= cell.n_steps


def _measure(work: Work, result: Result, losses: list[float], clock: _Clock) -> None:
    mean = sum(losses) / len(losses)
    losses.clear()
    result.history.append(_measured(work, clock.total(), mean))


def _measured(work: Work, seconds: float, loss: float) -> Measurement:
    """Six digits of measure and loss: more say nothing, and make the file large."""
    value, loss = (float(f"{each:.6g}") for each in (work.measure(), loss))
    return Measurement(work.number, *work.spent(), seconds, value, loss)
