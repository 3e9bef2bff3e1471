# SPDX-License-Identifier: MIT
"""A board whose prompt falls silent in the middle of what it says: a named error in any place, and time to come back."""

import ast
import socket
import threading
import time
from contextlib import contextmanager

import pytest
from mpremote.transport_serial import SerialTransport

from ttzo.host_tools.device import micropython_board
from ttzo.host_tools.device.micropython_board import MicroPythonBoard, MicroPythonError

PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
RAW_PASTE, RUN, WINDOW = b"\x05A\x01", b"\x04", b"\x00\x10"  # as many as 4,096 bytes at once


class Prompt(threading.Thread):
    """A raw prompt with raw paste over a socket, for code that prints a constant or nothing. After `code_before` pieces of code have
    run it says no more than the first `n_bytes` of its answer to the next, for `silence` seconds or, None, for good."""

    def __init__(self, stream: socket.socket, code_before: int, n_bytes: int, silence: float | None):
        super().__init__(daemon=True)
        self.stream, self.left, self.n_bytes, self.silence = stream, code_before, n_bytes, silence

    def say(self, words: bytes) -> None:
        if self.left <= 0 and self.n_bytes < len(words):
            self.stream.sendall(words[: self.n_bytes])
            words, self.n_bytes = words[self.n_bytes :], 1 << 30
            if self.silence is None:
                time.sleep(3600)
            time.sleep(self.silence)
        self.n_bytes -= len(words) if self.left <= 0 else 0
        self.stream.sendall(words)

    def run(self) -> None:
        heard = b""
        while byte := self.stream.recv(1):
            heard += byte
            if byte == b"\x01" and not heard.endswith(RAW_PASTE):
                self.stream.sendall(PROMPT)
            elif heard.endswith(RAW_PASTE):
                self.say(b"R\x01" + WINDOW)
                heard = b""
            elif byte == RUN:
                code, heard = heard[:-1].decode(), b""
                printed = f"{ast.literal_eval(code[len('print(') : -1])}\r\n" if code.startswith("print(") else ""
                self.say(b"\x04" + printed.encode() + b"\x04\x04>")
                self.left -= 1


@contextmanager
def prompt(**settings):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            stream, _ = server.accept()
            Prompt(stream, **settings).start()

        threading.Thread(target=answer, daemon=True).start()
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("n_bytes", range(10))  # none, within the window's size, before and within what was printed
def test_a_prompt_that_stops_answering_is_a_named_error(n_bytes, monkeypatch):
    monkeypatch.setattr(micropython_board, "ANSWER_S", 0.2)
    monkeypatch.setattr(SerialTransport.read_until, "__defaults__", (0.2, None, None))  # 10 s between characters
    with prompt(code_before=1, n_bytes=n_bytes, silence=None) as url, MicroPythonBoard(url) as board:
        with pytest.raises(MicroPythonError, match="has stopped answering") as told:
            board.run("print(12)", timeout=0.2)
        assert "connect the board again" in told.value.hint


@pytest.mark.parametrize("n_bytes", range(4))  # the model is loaded; silent before or within the window's size
def test_a_prompt_that_stops_before_it_serves_is_a_named_error(n_bytes, monkeypatch):
    monkeypatch.setattr(micropython_board, "ANSWER_S", 0.2)
    monkeypatch.setattr(SerialTransport.read_until, "__defaults__", (0.2, None, None))
    with prompt(code_before=2, n_bytes=n_bytes, silence=None) as url, MicroPythonBoard(url) as board:
        with pytest.raises(MicroPythonError, match="has stopped answering") as told:
            board.serve(b"12345678")
        assert "reset the board" in told.value.hint


@pytest.mark.parametrize("n_bytes", [0, 3])
def test_a_prompt_that_stops_before_it_is_ours_is_no_prompt(n_bytes, monkeypatch):
    monkeypatch.setattr(micropython_board, "ENTER_S", 0.2)
    monkeypatch.setattr(SerialTransport.read_until, "__defaults__", (0.2, None, None))
    refused = pytest.raises(MicroPythonError, match="shows no MicroPython prompt")
    with prompt(code_before=0, n_bytes=n_bytes, silence=None) as url, refused:
        MicroPythonBoard(url)


def test_a_board_that_is_silent_longer_than_a_prompt_takes_to_show_is_waited_for(monkeypatch):
    monkeypatch.setattr(micropython_board, "ENTER_S", 0.3)
    for n_bytes in (1, 3, 6):
        with prompt(code_before=1, n_bytes=n_bytes, silence=0.6) as url, MicroPythonBoard(url) as board:
            assert board.run("print(12)").strip() == "12"
