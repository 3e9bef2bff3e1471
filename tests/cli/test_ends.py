# SPDX-License-Identifier: MIT
"""How commands end: a reader that goes away, a closed terminal, a full disk, a diverged run, and what the dead left."""

import dataclasses
import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bundles import STEPS, small_plan, write_bundle
from click.testing import CliRunner

from ttzo.device_runtime.contract import Activation, ExitCode
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.data import whole_file
from ttzo.host_tools.data.whole_file import DiskError, write_atomically
from ttzo.host_tools.training import checkpoint, metrics

TTZO = [sys.executable, "-m", "ttzo.host_tools"]


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle", small_plan())


def train(bundle, *words):
    return [*map(str, ("train", bundle, "--data", bundle / "rows.npz", "--device", "numpy:", *words))]


@pytest.mark.parametrize("words", ["boards", "boards --json", "--help"])
def test_a_reader_that_has_gone_is_no_bug(words):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*TTZO, *words.split()], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.returncode == 0 and "error" not in done.stderr.lower() and "Traceback" not in done.stderr


def test_training_goes_on_when_nobody_hears_it(bundle):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*TTZO, *train(bundle)], stdout=writing, stderr=writing)
    os.close(writing)
    assert done.returncode == 0
    assert checkpoint.load(bundle / "runs" / "numpy" / "checkpoint.npz", small_plan()).state.step == STEPS


def test_a_terminal_that_is_closed_leaves_a_checkpoint(bundle):
    master, slave = os.openpty()
    process = subprocess.Popen(
        [*TTZO, *train(bundle, "--steps", "100000", "--checkpoint-every", "100000")],
        stdout=slave,
        stderr=slave,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # these tests may run under nohup
    )
    os.close(slave)
    path = bundle / "runs" / "numpy" / "metrics.csv"
    while not path.exists() or len(path.read_text().splitlines()) < 20:
        assert process.poll() is None
        os.set_blocking(master, False)
        try:
            os.read(master, 1 << 16)
        except BlockingIOError:
            time.sleep(0.02)
    os.close(master)  # from here on, what is written there is refused
    process.send_signal(signal.SIGHUP)
    try:
        assert process.wait(60) == ExitCode.interrupted
    finally:
        process.kill()
    step = checkpoint.load(path.with_name("checkpoint.npz"), small_plan()).state.step
    assert step > 10 and step == metrics.read(path)[-1]["step"]


def test_a_caller_that_ignores_closed_terminals_is_obeyed(bundle):
    process = subprocess.Popen(
        [*TTZO, *train(bundle, "--steps", "300")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),  # nohup
    )
    path = bundle / "runs" / "numpy" / "metrics.csv"
    while not path.exists() or len(path.read_text().splitlines()) < 20:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 0


def test_a_full_disk_ends_with_its_own_code():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*TTZO, "boards", "--json"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == ExitCode.disk and "free some space" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("number", "says"), [(errno.ENOSPC, "free some space"), (errno.EROFS, "right to write"), (errno.EIO, "failure")]
)
def test_each_refusal_of_a_disk_has_its_own_hint(tmp_path, monkeypatch, number, says):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(whole_file.os, "fsync", refuse)
    with pytest.raises(DiskError) as caught:
        write_atomically(tmp_path / "file", b"1")
    assert says in caught.value.hint and caught.value.exit_code == ExitCode.disk and not list(tmp_path.iterdir())


def test_a_run_that_diverges_says_so_and_keeps_its_best_parameters(bundle):
    plan = small_plan()
    last = dataclasses.replace(plan.layers[-1], activation=Activation.identity)  # a loss without a bound
    plan = plan.with_layers((*plan.layers[:-1], last))
    write_bundle(bundle, plan)
    run = bundle / "runs" / "numpy"
    good = CliRunner().invoke(main, train(bundle, "--json"))
    best = (run / "best.npz").read_bytes()
    ended = CliRunner().invoke(main, train(bundle, "--json", "--steps", "40", "--lr", "100"))
    told = json.loads(ended.stdout)
    assert good.exit_code == 0 and ended.exit_code == told["exit_code"] == ExitCode.diverged
    assert "diverged" in told["error"] and "--generation best" in told["next"]
    assert (run / "best.npz").read_bytes() == best
    words = ["eval", str(bundle), "--data", str(bundle / "rows.npz"), "--device", "numpy:", "--generation", "best"]
    told = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)
    losses = [row["validation_loss"] for row in metrics.read(run / "metrics.csv")]  # never of test rows
    lowest = min(loss for loss in losses if loss is not None and math.isfinite(loss))
    assert checkpoint.load(run / "best.npz", plan).measured == pytest.approx(
        lowest, rel=1e-8
    )  # nine digits in the file
    again = CliRunner().invoke(main, train(bundle, "--json", "--generation", "best", "--steps", "14", "--lr", "0.01"))
    assert json.loads(again.stdout)["resumed_from"] == told["step"]


def test_what_dead_processes_left_is_removed(bundle):
    run = bundle / "runs" / "numpy"
    run.mkdir(parents=True)
    dead = [run / f".{name}.99999" for name in ("checkpoint.npz", "metrics.csv", "best.npz", "good.npz")]
    for path in (*dead, run / ".checkpoint.npz.mine", run / ".other.99999"):
        path.write_bytes(b"half")
    assert CliRunner().invoke(main, train(bundle)).exit_code == 0
    assert not any(path.exists() for path in dead)
    assert (run / ".checkpoint.npz.mine").exists() and (run / ".other.99999").exists()


def test_a_write_removes_what_others_left_an_hour_ago_and_nothing_younger(tmp_path):
    old, young = tmp_path / ".file.11", tmp_path / ".file.12"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 3700,) * 2)
    write_atomically(tmp_path / "file", b"whole")
    assert not old.exists() and young.exists() and (tmp_path / "file").read_bytes() == b"whole"


def test_too_little_memory_is_a_sentence(bundle, monkeypatch):
    def refuse(*_, **__):
        raise MemoryError("4 TiB")

    monkeypatch.setattr("ttzo.host_tools.cli.device.data_set.load", refuse)
    ended = CliRunner().invoke(main, train(bundle, "--json"))
    assert ended.exit_code == ExitCode.input and "too little memory" in json.loads(ended.stdout)["error"]
