# SPDX-License-Identifier: MIT
"""Starts the devices of `native:`, `numpy:`, `onnx:` and `qemu:BOARD`; each is served on a Unix socket that only this
user may open (on a system without them, on a loopback socket)."""

import re
import select
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ttzo.device_runtime.contract import ExitCode, TtzoError
from ttzo.exporter.costs import memory
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.data.data_set import DataSet
from ttzo.host_tools.device import python_device, qemu, unix_socket
from ttzo.host_tools.device.pipes import Pipes, pipes_of
from ttzo.host_tools.device.ports import USB, LinkError
from ttzo.host_tools.firmware import boards, build, key_file
from ttzo.host_tools.firmware.key_file import Lock
from ttzo.host_tools.reference.train.numpy_network import Network
from ttzo.host_tools.reference.train.trainer import Trainer

DATASET_ROOM_BYTES = 64 << 20  # of numpy: and onnx:, as of the native port
START_S = 20.0
STORAGE = "+storage"  # after a board's name: its firmware keeps its run over a reset
Say = Callable[[str], object]


class EmulatorError(TtzoError):
    """An emulated device that does not start."""

    exit_code = ExitCode.device


def is_emulated(url: str) -> bool:
    return url.partition(":")[0] in KINDS


def start(
    url: str,
    bundle: Path,
    plan: Plan,
    owned: ExitStack,
    say: Say,
    rows: DataSet | None = None,
    counter: Path | None = None,
    lock: Lock | None = None,
    threads: int = 1,
) -> str:
    """The line of the device `url`: itself for a port, the socket of an emulated device that is started here and
    stopped by `owned`. `native:` trains with so many `threads`. With `lock` a device takes orders from holders of that key only. An emulated board's memory for training
    rows holds those of `rows` from the start, when they are too many for its RAM; its instructions are counted in the file `counter`."""
    scheme, _, argument = url.partition(":")
    if scheme not in KINDS:
        if ":" in url and "://" not in url and not url.startswith((USB, unix_socket.SCHEME)):
            raise EmulatorError(f"there is no kind of device {scheme}:", f"the kinds are {', '.join(KINDS)}, and ports")
        return url
    if scheme != "native" and bool(argument) != (scheme == "qemu"):
        raise EmulatorError(f"{url} is not a device", "use native:, numpy:, onnx: or qemu:BOARD, with the board's name")
    if scheme == "qemu":
        return _start_qemu(argument, bundle, owned, say, rows, counter, lock)
    if scheme == "native":
        return _start_native(argument, bundle, plan, owned, say, lock, threads)
    return STARTERS[scheme](argument, bundle, plan, owned, say, lock)


def counter_file(url: str, owned: ExitStack) -> Path:
    """Where an emulated board's instructions are counted, while `owned` lives. Raises `LinkError` for another device."""
    if not url.startswith("qemu:"):
        raise LinkError(f"instructions of {url} cannot be counted", "count them on an emulated board: qemu:BOARD")
    folder = owned.enter_context(tempfile.TemporaryDirectory(prefix="ttzo-count-"))
    return Path(folder) / "instructions"


def other_work_size(device: str, plan: Plan, wanted: int) -> tuple[str, str]:
    """What is said, and the hint, when a device computes another work buffer for the model, `wanted` bytes, than the bundle
    states."""
    stated = to_bundle.model_info(plan).work_bytes
    return (
        f"{device} needs a work buffer of {wanted:,} bytes for this model, the bundle states {stated:,}",
        "export the model again, then build and flash, all with the same version of ttzo",
    )


def _path(owned: ExitStack) -> Path | None:
    return unix_socket.private_path(owned) if unix_socket.is_there() else None


def _start_native(
    storage: str, bundle: Path, plan: Plan, owned: ExitStack, say: Say, lock: Lock | None, threads: int
) -> str:
    say("starting the C runtime on this machine (compiled at its first start)")
    return start_program([str(build.build_native(plan.arithmetic))], bundle, plan, owned, storage, lock, threads)


def start_program(
    command: list[str],
    bundle: Path,
    plan: Plan,
    owned: ExitStack,
    storage: str = "",
    lock: Lock | None = None,
    threads: int = 1,
) -> str:
    """Starts the native port's program, `command`, with a bundle; it ends with `owned`. Its URL. Raises `EmulatorError`."""
    pipe = subprocess.PIPE
    path = unix_socket.private_path(owned)
    command = [*command, str(bundle), "--socket", str(path), *(_key_options(lock, path) if lock else [])]
    command += ["--storage", storage] if storage else []
    command += ["--threads", str(threads)] if threads > 1 else []
    # a process group of its own: Ctrl-C in the terminal is for the host, which then saves the run
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, process_group=0)
    pipes = pipes_of(process)
    owned.callback(_end, process, pipes)
    ready = select.select([pipes.stdout], [], [], START_S)[0]
    line = pipes.stdout.readline().decode() if ready else ""
    if not line.startswith("listening "):
        process.kill()
        reason = pipes.stderr.read().decode(errors="replace").strip()
        if wanted := re.search(r"wrong_work_size \(detail (\d+)\)", reason):
            raise EmulatorError(*other_work_size("native:", plan, int(wanted[1])))
        hint = "name another file, or end that process" if storage and storage in reason else "export the model again"
        raise EmulatorError(f"native: did not start: {reason or 'it printed nothing'}", hint)
    return f"{unix_socket.SCHEME}{path}"


def _key_options(lock: Lock, beside: Path) -> list[str]:
    """The native port's options for a key, which it reads from a file beside its socket."""
    path = beside.with_name("key")
    key_file.write(path, lock.secret)
    return ["--key", str(path), *(["--reading", "open"] if lock.reading_open else [])]


def _end(process: subprocess.Popen[bytes], pipes: Pipes) -> None:
    """The native port ends when its input closes; it is not asked twice."""
    pipes.stdin.close()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    pipes.stdout.close()
    pipes.stderr.close()


def _start_python(name: str, network: Callable[[Plan], Network | None]):
    def start_it(_: str, bundle: Path, plan: Plan, owned: ExitStack, say: Say, lock: Lock | None) -> str:
        trainer = Trainer(plan, network(plan), memory.work_bytes(plan) + DATASET_ROOM_BYTES)
        return owned.enter_context(python_device.serve(trainer, name, lock=lock, path=_path(owned))).url

    return start_it


def _onnx_network(plan: Plan):
    if plan.simulation is not None:
        raise EmulatorError("a simulation has no network that onnxruntime could run", "use numpy: or native:")
    try:
        from ttzo.host_tools.reference.train.onnx_network import OnnxNetwork
    except ImportError as error:
        raise EmulatorError(f"onnx: needs onnxruntime ({error})", "pip install onnxruntime") from error
    return OnnxNetwork(plan)


def _start_qemu(
    name: str, bundle: Path, owned: ExitStack, say: Say, rows: DataSet | None, counter: Path | None, lock: Lock | None
) -> str:
    board = boards.load(name.removesuffix(STORAGE))
    say(f"building the firmware for {board.name}")
    report = build.build(bundle.parent, board, storage=name.endswith(STORAGE), lock=lock)
    image = None
    if rows and board.rows_bytes and rows.train_rows.nbytes > board.ram_bytes:
        say("packing the training rows for the board's memory")
        image = _rows_image(rows, board, owned)
    say(f"starting {board.name} in QEMU")
    return owned.enter_context(qemu.emulated(board, report.elf, image, counter, _path(owned))).url


def _rows_image(rows: DataSet, board: boards.Board, owned: ExitStack) -> Path | None:
    """A file with the sparse rows, while `owned` lives; None when they are too many for the board's memory."""
    if len(rows.sparse_rows) > board.rows_bytes:
        return None
    path = Path(owned.enter_context(tempfile.TemporaryDirectory(prefix="ttzo-rows-"))) / "rows.bin"
    path.write_bytes(rows.sparse_rows)
    return path


STARTERS = {
    "numpy": _start_python("numpy", lambda plan: None),
    "onnx": _start_python("onnx", _onnx_network),
}
KINDS = ("native", *STARTERS, "qemu")
