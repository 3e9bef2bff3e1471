# SPDX-License-Identifier: MIT
"""A loop over a sensor that answers each row, learns on line from labelled ones, and saves with the flash's wear in mind.

Copy it onto the board beside the model, and put your sensor in the place of `read_row` and your button in that of
`read_label`.
"""

import time

import ttzo

MODEL = "model.ttzo"
PERIOD_MS = 40
SAVE_EVERY_S = (
    600  # a save erases a few sectors: 50,000 saves in a year's use, sectors last 10,000 to 100,000, spread by LittleFS
)


def read_row():
    """One row of inputs, in the model's number."""
    raise NotImplementedError("read your sensor here")


def read_label():
    """The class as one byte where a person has just named it, else None."""
    raise NotImplementedError("ask your button here")


def say(outputs):
    print(max(range(len(outputs)), key=lambda k: outputs[k]))


def run(model, rows=None):
    """Until Ctrl-C, or for so many rows; returns how many steps were made. (As a task of asyncio: `async def`, and
    `await asyncio.sleep_ms(PERIOD_MS)` at the loop's end.)"""
    saved_at, saved_step, first = time.ticks_ms(), model.step, model.step  # type: ignore[attr-defined]
    try:
        while rows is None or rows > 0:
            rows = rows and rows - 1
            x, label = read_row(), read_label()
            say(model.predict(x))
            if label is not None:
                model.learn(x, label)  # a step where this row fills a batch
            now = time.ticks_ms()  # type: ignore[attr-defined]  # a clock that nobody sets
            if model.step > saved_step and time.ticks_diff(now, saved_at) >= 1000 * SAVE_EVERY_S:  # type: ignore[attr-defined]
                model.save(MODEL)
                saved_at, saved_step = now, model.step
            time.sleep_ms(PERIOD_MS)  # type: ignore[attr-defined]
    finally:
        if model.step > saved_step:
            model.save(MODEL)
    return model.step - first


if __name__ == "__main__":
    run(ttzo.load(MODEL))
