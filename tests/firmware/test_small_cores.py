# SPDX-License-Identifier: MIT
"""The stack of a Cortex-M0's functions, whose instructions reach less far than a Cortex-M4's."""

import pytest

from ttzo.host_tools.firmware.firmware_image import ImageError, _function, _with_constants

PUSH = ("push", "{r4, r5, lr}")


def frame(*code, words=None):
    return _function(8, "f", _with_constants("f", [PUSH, *code], words or {}), [0, 8]).frame_bytes


def test_a_frame_whose_size_is_a_constant_in_memory_is_counted():
    """gcc 12's code for an array of 900 bytes: 908 bytes below the three registers."""
    code = [("ldr", "r4, @24"), ("add", "sp, r4"), ("add", "r5, sp, #4"), ("movs", "r4, r0"), ("bl", "0 <g>")]
    code += [("movs", "r3, #227"), ("lsls", "r3, r3, #2"), ("add", "sp, r3"), ("pop", "{r4, r5, pc}")]
    assert frame(*code, words={0x24: 0xFFFFFC74}) == 12 + 908


def test_a_frame_whose_size_is_computed_from_constants_is_counted():
    assert frame(("movs", "r3, #129"), ("lsls", "r3, r3, #2"), ("negs", "r3, r3"), ("add", "sp, r3")) == 12 + 516


def test_a_size_that_is_not_known_is_refused():
    with pytest.raises(ImageError, match="moves its stack by an amount"):
        frame(("ldr", "r4, @24"), ("ldr", "r4, [r0, #0]"), ("add", "sp, r4"), words={0x24: 0xFFFFFC74})


def test_a_far_jump_inside_a_function_is_no_recursion_and_a_call_of_itself_is():
    starts = [0x0, 0x100]
    assert _function(0x100, "f", [("bl", "900 <f+0x800>")], starts).calls == frozenset()
    assert _function(0x100, "f", [("bl", "100 <f>")], starts).calls == {0x100}
    assert _function(0x100, "f", [("bl", "0 <g>")], starts).calls == {0x0}
