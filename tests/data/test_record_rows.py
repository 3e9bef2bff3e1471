# SPDX-License-Identifier: MIT
"""`ttzo record`: what a board prints becomes a table that `ttzo train` reads."""

import json
import socketserver
import threading

import pytest
from click.testing import CliRunner

from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.data import read_text, record_rows
from ttzo.host_tools.data.data_error import DataError


class Printer:
    """A line over which `content` comes in pieces of `size` bytes, then nothing."""

    def __init__(self, content: bytes, size: int = 7):
        self.pieces = [content[at : at + size] for at in range(0, len(content), size)]
        self.is_silent = False

    def read(self, size: int = 1) -> bytes:
        self.is_silent = not self.pieces
        return self.pieces.pop(0) if self.pieces else b""


def recorded(content: bytes, path, **options):
    stream = Printer(b"rest of a line\n" + content)
    options = {"is_stopped": lambda: stream.is_silent} | options
    return record_rows.record(stream, path, options.pop("constants", {"label": "walk"}), **options)


@pytest.mark.parametrize(
    ("line", "names", "numbers"),
    [
        ("1,2.5,-3e-2", [], ["1", "2.5", "-3e-2"]),
        ("ax=0.1 ay = -0.2", ["ax", "ay"], ["0.1", "-0.2"]),
        ("temp:21.5,hum:40", ["temp", "hum"], ["21.5", "40"]),
        ('{"ax": 0.1, "ay": 2}', ["ax", "ay"], ["0.1", "2"]),
        ("(0.1, -0.2, 9.81)", [], ["0.1", "-0.2", "9.81"]),
        ("\t1\t 2 ", [], ["1", "2"]),
        ("I (312) wifi: connected to v1.2.3", [], ["312"]),
        ("x1 y2 abc3", [], []),
        ("", [], []),
    ],
)
def test_numbers_of_a_line_are_found_whatever_stands_between(line, names, numbers):
    assert record_rows.numbers_of(line) == (names, numbers)


def test_rows_go_into_a_table_and_other_lines_are_counted(tmp_path):
    path = tmp_path / "data.csv"
    found = recorded(b"boot ok\nax=1 ay=2\nax=3 ay=nan\nax=5\r\nax=6 ay=7\r\n\nax=8 ay", path)
    assert path.read_text() == "ax,ay,recording,label\n1,2,1,walk\n6,7,1,walk\n"
    assert (found.n_rows, found.n_left_out, found.number) == (2, 3, 1)


def test_a_second_recording_is_added_with_its_number_and_keeps_off_a_row_cut_short(tmp_path):
    path = tmp_path / "data.csv"
    recorded(b"1,2\n3,4\n", path)
    with path.open("a") as file:
        file.write("5,")
    assert recorded(b"7,8\n", path, constants={"label": "run"}).number == 2
    assert path.read_text().splitlines() == ["x1,x2,recording,label", "1,2,1,walk", "3,4,1,walk", "5,", "7,8,2,run"]


def test_a_table_of_other_columns_is_left_as_it_is(tmp_path):
    path = tmp_path / "data.csv"
    recorded(b"1,2\n", path)
    before = path.read_bytes()
    for content, constants in ((b"1,2,3\n", {"label": "walk"}), (b"1,2\n", {"person": "a"})):
        with pytest.raises(DataError, match="has the columns x1, x2, recording, label") as caught:
            recorded(content, path, constants=constants)
        assert caught.value.hint and path.read_bytes() == before


@pytest.mark.parametrize(("content", "sentence"), [(b"", "nothing arrived"), (b"hello\nworld\n", "2 other lines")])
def test_a_line_without_numbers_is_said(tmp_path, content, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        recorded(content, tmp_path / "data.csv")
    assert "--baud" in caught.value.hint and not (tmp_path / "data.csv").exists()


def test_it_ends_after_so_many_rows_or_seconds(tmp_path):
    forever = Printer(b"1,2\n" * 1000)
    found = record_rows.record(forever, tmp_path / "rows.csv", {}, n_rows=5)
    assert found.n_rows == 5 and len((tmp_path / "rows.csv").read_text().splitlines()) == 6
    with pytest.raises(DataError, match="nothing arrived"):
        record_rows.record(Printer(b""), tmp_path / "none.csv", {}, seconds=0.05)


@pytest.fixture
def board():
    """A program on a socket that prints a line again and again."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            try:
                for number in range(100000):
                    self.request.sendall(f"t={number} v={number / 4}\n".encode())
            except OSError:
                pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"socket://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_the_command_writes_what_a_board_prints(tmp_path, board):
    path = tmp_path / "data.csv"
    words = ["record", "--device", board, "-o", str(path), "--label", "walk", "--column", "person=anna", "--rows", "20"]
    done = CliRunner().invoke(main, [*words, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["columns"] == ["t", "v"]
    table = read_text.read(path)
    assert table.names == ("t", "v", "recording", "person", "label") and len(table) == 20
    t, v = table.numbers([0, 1]).T
    assert (v == t / 4).all() and set(table.words(3)) == {"anna"}


def test_an_emulated_device_prints_no_numbers(tmp_path):
    done = CliRunner().invoke(main, ["record", "--device", "native:", "-o", str(tmp_path / "x.csv")])
    assert done.exit_code == 3 and "prints no numbers" in done.stderr
