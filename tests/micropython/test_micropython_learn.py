# SPDX-License-Identifier: MIT
"""Training beside other work in real MicroPython interpreters: labelled rows one by one, tasks, the sensor loop; and what
arguments are refused."""

import shutil

import pytest
from bundles import small_plan, write_bundle
from interpreters import FORMS, Interpreter

from ttzo.device_runtime.contract import Region
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.micropython import native_module

PLAN = small_plan()
LOAD = f"""
import ttzo
m = ttzo.load("model.ttzo")
x = open("x.bin", "rb").read()
y = open("y.bin", "rb").read()
width = {PLAN.in_features}
def row(k): return x[width * k : width * (k + 1)], y[k : k + 1]
"""


@pytest.fixture(scope="module", params=FORMS)
def board(request, tmp_path_factory):
    made = Interpreter(tmp_path_factory.mktemp("board"), request.param)
    write_bundle(made.folder, PLAN)
    rows = data_set.load(str(made.folder / "rows.npz"), PLAN)
    (made.folder / "x.bin").write_bytes(rows.x_train.tobytes())
    (made.folder / "y.bin").write_bytes(rows.y_train.astype("u1").tobytes())
    shutil.copy(native_module.PORT / "sensor_loop.py", made.folder)
    return made


def parameters(board, code: str) -> bytes:
    board.run(LOAD + code + "\nf = open('params.bin', 'wb'); f.write(m.params()); f.close()")
    return (board.folder / "params.bin").read_bytes()


def stepped(board, steps: int) -> bytes:
    """The native runtime's parameters after steps on batches of the rows in their order."""
    rows = data_set.load(str(board.folder / "rows.npz"), PLAN).train_rows
    with open_device("native:", board.folder) as device:
        for number in range(steps):
            device.write_batch(rows[PLAN.batch * number : PLAN.batch * (number + 1)])
            device.step(Region.batch)
        return device.parameters().tobytes()


def test_rows_learnt_one_by_one_make_the_steps_of_the_native_runtime(board):
    code = f"losses = [(m.predict(row(k)[0]), m.learn(*row(k)))[1] for k in range({2 * PLAN.batch})]"
    assert parameters(board, code) == stepped(board, 2)
    said = board.run(LOAD + code + "\nprint([k for k, loss in enumerate(losses) if loss is not None], m.step)")
    assert said.strip() == f"[{PLAN.batch - 1}, {2 * PLAN.batch - 1}] 2"


@pytest.fixture
def tasks(board):
    """The board, where its interpreter has asyncio."""
    if board.run("try: import asyncio\nexcept ImportError: print('none')").strip():
        pytest.skip("this MicroPython was built without asyncio")
    return board


def test_a_refused_row_leaves_the_others(board):
    bad = f"""
for k in range({PLAN.batch}):
    if k == 2:
        for a in ((x[: width - 1], y[:1]), (x[: 2 * width], y[:2]), (x[:width], bytes([250]))):
            try:
                m.learn(*a)
                print("taken")
            except ValueError:
                pass
    m.learn(*row(k))
"""
    assert parameters(board, bad) == stepped(board, 1)


def test_reset_drops_the_rows_that_were_kept(board):
    assert parameters(board, f"m.learn(*row(5)); m.reset()\nfor k in range({PLAN.batch}): m.learn(*row(k))") == stepped(
        board, 1
    )


def test_other_tasks_run_between_the_steps_and_the_bits_are_those_of_train(tasks):
    code = """
import asyncio
ticks = []
async def tick():
    while True:
        ticks.append(m.step)
        await asyncio.sleep(0)
async def main():
    other = asyncio.create_task(tick())
    print(await m.train_async(x, y, 5) is not None)
    other.cancel()
asyncio.run(main())
print(ticks)
"""
    assert parameters(tasks, code) == parameters(tasks, "m.train(x, y, steps=5)")
    said = tasks.run(LOAD + code).split("\n")
    assert said[0] == "True" and {1, 2, 3, 4} <= set(eval(said[1]))


def test_the_callback_ends_an_awaited_training(tasks):
    code = "import asyncio\nasyncio.run(m.train_async(x, y, 9, lambda step, loss: step < 3))\nprint(m.step)"
    assert tasks.run(LOAD + code).strip() == "3"


def test_the_sensor_loop_learns_and_saves_once_at_its_end(board):
    code = f"""
import sensor_loop
sensor_loop.PERIOD_MS, sensor_loop.MODEL, answers, saves, k = 0, "learnt.ttzo", [], [], -1
def read_row():
    global k
    k += 1
    return row(k)[0]
sensor_loop.read_row, sensor_loop.read_label, sensor_loop.say = read_row, lambda: row(k)[1], answers.append
steps = sensor_loop.run(m, {PLAN.batch + 3})
print(steps, len(answers), ttzo.load("learnt.ttzo").step)
"""
    assert parameters(board, code) == stepped(board, 1)
    assert board.run(LOAD + code).split() == ["1", str(PLAN.batch + 3), "1"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("m.train(x, y, steps=1.5)", "ValueError"),
        ("m.train(x, y, steps=-1)", "ValueError"),
        ("m.train(x, y, steps='2')", "ValueError"),
        ("m.train(x, y, steps=1, callback=3)", "TypeError"),
        ("m.predict('a' * width)", "TypeError"),
        ("m.loss(x[:width], 'a')", "TypeError"),
        ("ttzo.load('model.ttzo', room=-100000)", "ValueError"),
    ],
)
def test_wrong_arguments_are_refused_and_change_nothing(board, call, error):
    code = f"\ntry: {call}\nexcept Exception as e: print(type(e).__name__)\nprint(m.step)"
    assert board.run(LOAD + code).split() == [error, "0"]
