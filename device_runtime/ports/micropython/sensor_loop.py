# SPDX-License-Identifier: MIT
"""A loop over a sensor that answers each row, learns on line from labelled ones, and saves with the flash's wear in mind.

Copy it onto the board beside the model, and put your sensor in the place of `read_row` and your button in that of
`read_label`.
"""

import asyncio
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


async def run(model, rows=None):
    """Until Ctrl-C, or for so many rows; returns how many steps were made."""
    saved_at, saved_step, first = time.time(), model.step, model.step
    try:
        while rows is None or rows > 0:
            rows = rows and rows - 1
            x, label = read_row(), read_label()
            say(model.predict(x))
            if label is not None:
                model.learn(x, label)  # a step where this row fills a batch
            if model.step > saved_step and time.time() - saved_at >= SAVE_EVERY_S:
                model.save(MODEL)
                saved_at, saved_step = time.time(), model.step
            await asyncio.sleep(PERIOD_MS / 1000)
    finally:
        if model.step > saved_step:
            model.save(MODEL)
    return model.step - first


if __name__ == "__main__":
    asyncio.run(run(ttzo.load(MODEL)))
