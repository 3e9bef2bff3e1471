# SPDX-License-Identifier: MIT
# Runs in MicroPython's unix port, which has no raw prompt of its own: the protocol of a board's, on standard input and
# output. Ctrl-A greets, Ctrl-D runs what came before it or resets, Ctrl-B and Ctrl-C do nothing else.
import io
import sys

names = {"__name__": "__main__"}
line_in, line_out = sys.stdin.buffer, sys.stdout.buffer


def say(text):
    line_out.write(text if isinstance(text, bytes) else text.encode())
    line_out.flush()


def tell(*words, end="\r\n"):
    say(" ".join(map(str, words)) + end)


def run(code):
    say("OK")
    names["print"] = tell
    try:
        exec(code, names)
        say(b"\x04\x04>")
    except BaseException as error:
        text = io.StringIO()
        sys.print_exception(error, text)
        say(b"\x04" + text.getvalue().encode() + b"\x04>")


def reset():
    for name in (
        "ttzo",
        "_ttzo_model",
        "_ttzo",
        "_ttzo_serve",
        "_ttzo_files",
        "_ttzo_save",
        "_ttzo_train",
        "_ttzo_learn",
        "_ttzo_load",
        "_ttzo_refusals",
        "_ttzo_evaluate",
    ):
        sys.modules.pop(name, None)
    names.clear()
    names["__name__"] = "__main__"
    say(b"OK\r\nMPY: soft reboot\r\nraw REPL; CTRL-B to exit\r\n>")


code = b""
while True:
    byte = line_in.read(1)
    if not byte:
        break
    if byte == b"\x01":
        code = b""
        say(b"raw REPL; CTRL-B to exit\r\n>")
    elif byte == b"\x05":  # raw paste: understood, not supported
        line_in.read(2)
        say(b"R\x00")
    elif byte == b"\x04":
        run(code.decode()) if code else reset()
        code = b""
    elif byte not in b"\x02\x03":
        code += byte
