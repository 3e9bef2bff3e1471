# SPDX-License-Identifier: MIT
"""Damaged and hostile inputs for every Python parser of what somebody else wrote, counted.

    python tests/support/parser_fuzz.py [--inputs 100000] [--seed 0] [PARSER ...]

An input is a sound one that was changed: bits flipped, pieces cut out, doubled, moved or replaced; where the format has a
checksum, half of the inputs carry a right one. A parser may take an input or refuse it with its own error; anything else is
a finding. Memory is limited to MOST_MEMORY, time to MOST_S for an input.
"""

import argparse
import collections
import functools
import gzip
import io
import os
import random
import signal
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bundles
import numpy as np
from bundles import arrays, wave_plan
from graphs import random_graph

from ttzo.device_runtime.contract import REPLY, StateRecord, TtzoError
from ttzo.exporter.costs.cost import macs_a_step
from ttzo.exporter.export import plan_of
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.readers import from_onnx
from ttzo.exporter.writers import to_bundle
from ttzo.exporter.writers.onnx import to_onnx
from ttzo.exporter.zoo import convolution
from ttzo.host_tools.data import data_set, mnist, npz, run_data
from ttzo.host_tools.device import frames, replies
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.training import checkpoint, metrics
from ttzo.host_tools.training.guard import Guard

MOST_MEMORY = 8 << 30
MOST_S = 20
WORDS = (
    b"\0",
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    struct.pack("<f", float("nan")),
    b"-1",
    b"1e999",
    b"[" * 64,
    b"\n",
    b",",
    b"\x1b[",
)


small_plan = functools.cache(bundles.small_plan)  # it is asked for with each input


# ---- changed inputs --------------------------------------------------------------------------------------------------


def changed(content: bytes, rng: random.Random) -> bytes:
    """The content after one to four changes."""
    made = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, size = rng.randrange(len(made) + 1), rng.choice((1, 2, 4, 8, 40))
        way = rng.randrange(7)
        if way == 0 and made:
            made[at % len(made)] ^= 1 << rng.randrange(8)
        elif way == 1 and made:
            made[at % len(made)] = rng.randrange(256)
        elif way == 2:
            del made[at : at + size]
        elif way == 3:
            made[at:at] = rng.randbytes(size)
        elif way == 4:
            made[at:at] = made[at : at + size]
        elif way == 5:
            word = rng.choice(WORDS)
            made[at : at + len(word)] = word
        else:
            del made[at:]
    return bytes(made)


def resealed(content: bytes) -> bytes:
    """A bundle with the length and the checksum that it should have."""
    body = content[:-4]
    if len(body) >= 12:
        body = body[:8] + struct.pack("<I", len(content)) + body[12:]
    return body + struct.pack("<I", zlib.crc32(body))


# ---- parsers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parser:
    """`sound` inputs; `parse(content, path)` takes one (`path`: a file that it may write); it raises one of `refusals`,
    or takes it."""

    sound: Callable[[], list[bytes]]
    parse: Callable[[bytes, Path], object]
    change: Callable[[bytes, random.Random], bytes] = changed
    refusals: tuple[type[Exception], ...] = (TtzoError,)


def _plans() -> list[Plan]:
    return [small_plan(), wave_plan(), plan_of("digits"), plan_of(convolution.DIGITS.name)]


def _graphs() -> list[Plan]:
    return [random_graph(np.random.default_rng(seed), int8=bool(seed % 2), nodes=6) for seed in range(6)]


def _bundles() -> list[bytes]:
    return [to_bundle.write(plan) for plan in (*_plans(), *_graphs())]


def _change_bundle(content: bytes, rng: random.Random) -> bytes:
    made = changed(content, rng)
    return resealed(made) if rng.random() < 0.5 else made


def _parse_file(suffix: str, parse: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    def run(content: bytes, path: Path) -> object:
        named = path.with_suffix(suffix)
        named.write_bytes(content)
        return parse(named)

    return run


def _saved(path: Path) -> bytes:
    plan = small_plan()
    state = StateRecord(3, 0, 0, 0, 0.0, float("inf"), 0, 12)
    moments = np.zeros(plan.n_moments, np.float32)
    checkpoint.save(
        path,
        checkpoint.Checkpoint(plan.parameters, moments, state, plan.training, to_bundle.model_hash(plan), 5, 0.5, 7),
    )
    return path.read_bytes()


def _checkpoints() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return [_saved(Path(folder) / "checkpoint.npz")]


def _change_checkpoint(content: bytes, rng: random.Random) -> bytes:
    """Half of the inputs keep their checksum right while an array is missing, or of other numbers, types or shapes."""
    if rng.random() < 0.5:
        return changed(content, rng)
    with np.load(io.BytesIO(content)) as file:
        held = {name: file[name] for name in file if name != "checksum"}
    name = rng.choice(list(held))
    array = held[name]
    way = rng.randrange(6)
    if way == 0:
        del held[name]
    elif way == 1:
        held[name] = array.astype(rng.choice(["<f8", "<f2", "<i8", ">f4", "|S3", "<c8", "<U2"]))
    elif way == 2:
        held[name] = array.reshape(rng.choice([(1, -1), (-1, 1), (1, 1, -1)]))
    elif way == 3:
        held[name] = array[: rng.randrange(len(array) + 1)] if rng.random() < 0.5 else np.concatenate([array, array])
    elif way == 4:
        held["more"] = array
    else:
        raw = bytearray(array.tobytes())
        for _ in range(rng.choice((1, 4, 16))):
            raw[rng.randrange(len(raw))] = rng.choice((0, 255, 127, rng.randrange(256)))
        held[name] = np.frombuffer(bytes(raw), array.dtype).reshape(array.shape)
    made = io.BytesIO()
    np.savez(made, **held, checksum=np.uint32(checkpoint._checksum(held)))
    return made.getvalue()


def _npz_files() -> list[bytes]:
    made = []
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, **arrays())
        made.append(file.getvalue())
    return made


def _metrics_files() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.csv"
        file = metrics.MetricsFile(path, "a model", small_plan().training, 0)
        for step in range(1, 12):
            file.write(**dict.fromkeys(metrics.COLUMNS, 0.25) | {"step": step, "accuracy": None, "event": None})
        file.write(step=11, event=1, back_to=5, judged=9.0)
        file.close()
        return [path.read_bytes()]


def _read_and_go_on(path: Path) -> object:
    """Both readers of the metrics: the report's, and that of a run that goes on, which takes every file."""
    try:
        return metrics.read(path)
    finally:
        file = metrics.MetricsFile(path, "a model", small_plan().training, 11)
        file.close()
        Guard(1.0).replay(file.done)
        for aside in path.parent.glob("*.aside-*"):
            aside.unlink()


def _change_metrics(content: bytes, rng: random.Random) -> bytes:
    made = changed(content, rng)
    if rng.random() < 0.5:
        return made
    lines = made.decode("latin-1").split("\n")
    return "\n".join(
        line if line.startswith("#") else metrics._sealed(line.rpartition(",")[0]) for line in lines
    ).encode("utf-8", "replace")


def _onnx_files() -> list[bytes]:
    return [to_onnx.forward_graph(plan).SerializeToString() for plan in (small_plan(), plan_of("digits"))]


def _boards() -> list[bytes]:
    return [(boards.FOLDER / f"{name}.toml").read_bytes() for name in boards.names()[:3]]


def _read_onnx(path: Path) -> object:
    settings = {"loss": small_plan().loss, "training": small_plan().training}
    return from_onnx.options_in_file(path), from_onnx.plan_from_file(path, **settings)


def _idx_files() -> list[bytes]:
    return [struct.pack(">4I", 0x0803, 5, 4, 4) + bytes(range(80))]


def _tables() -> list[bytes]:
    rows = np.column_stack([arrays()["x_train"], arrays()["y_train"]])
    lines = [",".join(map(str, row)) for row in rows.tolist()]
    return ["\n".join(lines).encode(), ("\ufeffa,b,c,d,e,f,class\n" + "\n".join(lines)).encode()]


def _preparations() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_bytes(_tables()[1])
        preparation = data_set.load(path, small_plan()).preparation
        run_data.save(Path(folder), preparation)
        return [(Path(folder) / run_data.NAME).read_bytes()]


def _read_preparation(path: Path) -> object:
    return run_data.load(path.rename(path.with_name(run_data.NAME)).parent)


def _frames() -> list[bytes]:
    return [frames.encode(frames.Frame(7, 8, bytes(range(40)))) * 3, frames.encode(frames.Frame(1, 4, bytes(1020)))]


def _take_frames(content: bytes, _: Path) -> object:
    lines, rest = frames.split(content)
    if len(rest) > frames.LINE_BYTES + 1:
        raise AssertionError(f"{len(rest)} bytes are kept of a frame that has only begun")
    return [frames.decode(line) for line in lines]


def _replies() -> list[bytes]:
    plan = small_plan()
    training = to_bundle.training_records(plan.training)
    state = StateRecord(3, 0, 0, 0, 0.0, float("inf"), 0, 12)
    return [REPLY["status"](state, *training).pack(), REPLY["step"](4, 0, 0.5, 0.25, 4, 100).pack()]


def _take_reply(content: bytes, _: Path) -> object:
    """As the answer to each message in turn; refused where none takes it."""
    taken, refusal = [], None
    for message in ("status", "step", "evaluate", "solution_error", "progress", "hello", "predict"):
        try:
            _take_answer(message, content)
            taken.append(message)
        except TtzoError as error:
            refusal = error
    if not taken and refusal:
        raise refusal
    return taken


def _take_answer(message: str, content: bytes) -> None:
    plan = small_plan()
    if message == "predict":
        replies.numbers_told("predict", "output", content[:12], 3)
        return
    reply, _ = replies.open_reply(message, content[: REPLY[message].SIZE])
    if message == "status":
        replies.check_state("status", reply.state, replies.check_settings_told(reply, plan))
    elif message == "step":
        replies.check_step(reply, 3, plan, plan.training, macs_a_step(plan, plan.training.phases[0]))
    elif message == "evaluate":
        replies.check_evaluation(reply, 4)
    elif message == "solution_error":
        replies.check_solution_error(reply)
    elif message == "hello":
        replies.check_hello(reply, plan)


PARSERS: dict[str, Parser] = {
    "bundle": Parser(_bundles, lambda content, _: to_bundle.read(content), _change_bundle),
    "checkpoint": Parser(
        _checkpoints, _parse_file(".npz", lambda path: checkpoint.load(path, small_plan())), _change_checkpoint
    ),
    "npz": Parser(_npz_files, _parse_file(".npz", npz.read), refusals=(ValueError,)),
    "rows": Parser(_npz_files, _parse_file(".npz", lambda path: data_set.load(path, small_plan()))),
    "table": Parser(_tables, _parse_file(".csv", lambda path: data_set.load(path, small_plan()))),
    "idx": Parser(_idx_files, _parse_file("", lambda path: mnist.read_idx(path, 3))),
    "idx.gz": Parser(
        lambda: [gzip.compress(content, mtime=0) for content in _idx_files()],
        _parse_file(".gz", lambda path: mnist.read_idx(path, 3)),
    ),
    "data.json": Parser(_preparations, _parse_file(".json", _read_preparation)),
    "metrics": Parser(_metrics_files, _parse_file(".csv", _read_and_go_on), _change_metrics),
    "onnx": Parser(_onnx_files, _parse_file(".onnx", _read_onnx)),
    "board": Parser(_boards, _parse_file(".toml", boards.load)),
    "frames": Parser(_frames, _take_frames, refusals=()),
    "replies": Parser(_replies, _take_reply),
}


# ---- counting --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Count:
    taken: int
    refused: int
    findings: list[str]


def _too_long(*_: object) -> None:
    raise TimeoutError(f"it took more than {MOST_S} s")


def fuzz(name: str, n_inputs: int, seed: int, folder: Path) -> Count:
    """`n_inputs` inputs for one parser. A finding names the exception and the number of the input."""
    parser, counts, findings = PARSERS[name], collections.Counter[str](), []
    sound = parser.sound()
    for content in sound:
        if name not in ("replies",):
            parser.parse(content, folder / name)  # what is sound is taken
    before = signal.signal(signal.SIGALRM, _too_long)
    try:
        for k in range(n_inputs):
            rng = random.Random(f"{name} {seed} {k}")
            content = parser.change(rng.choice(sound), rng)
            signal.alarm(MOST_S)
            try:
                parser.parse(content, folder / name)
                counts["taken"] += 1
            except parser.refusals:
                counts["refused"] += 1
            except Exception as error:
                findings.append(f"input {k}: {type(error).__name__}: {error}")
            finally:
                signal.alarm(0)
    finally:
        signal.signal(signal.SIGALRM, before)
    return Count(counts["taken"], counts["refused"], findings)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("parsers", nargs="*", metavar="PARSER", help=", ".join(PARSERS))
    options.add_argument("--inputs", type=int, default=100_000, help="for each parser")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    os.fsync = lambda descriptor: None  # files of a fuzzer need not outlive a power cut
    n_findings = 0
    for name in given.parsers or PARSERS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            count = fuzz(name, given.inputs, given.seed, Path(folder))
        n_findings += len(count.findings)
        for finding in count.findings[:10]:
            print(f"  {name}, {finding}")
        print(
            f"{name}: {given.inputs} inputs, {count.taken} taken, {count.refused} refused, {len(count.findings)} findings,"
            f" {time.monotonic() - began:.0f} s",
            flush=True,
        )
    raise SystemExit(1 if n_findings else 0)


if __name__ == "__main__":
    main()
