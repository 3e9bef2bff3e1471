# SPDX-License-Identifier: MIT
"""Every `ttzo` command line of README and docs names a command, options that it has, and as many arguments as it takes.

The README's tour and the tutorials also run, in tests/cli/test_readme.py and test_tutorials.py.
"""

import re
import shlex
from pathlib import Path

import click
import pytest

from ttzo.host_tools.cli.commands import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if page.parent.name != "journal"]  # it tells what was run on one day
BLOCK = re.compile(r"^```\w*[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`]+)`")
LINE = re.compile(r"^\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(ttzo .*)$", re.MULTILINE)


def lines(page: Path) -> list[str]:
    """Command lines of the page: in blocks, where a backslash joins two, and between single quotes of code."""
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(BLOCK.findall(text)).replace("\\\n", " ")
    spans = "\n".join(" ".join(span.split()) for span in CODE.findall(BLOCK.sub("", text)))
    return LINE.findall(f"{blocks}\n{spans}")


COMMANDS = sorted({(str(page.relative_to(ROOT)), line) for page in PAGES for line in lines(page)})


def check(line: str) -> None:
    """Raises click.UsageError for a line that the command line refuses before it looks at files."""
    words = shlex.split(re.sub(r"[][]|…|\.\.\.|\.\.(?=\s|$)", " ", line), comments=True)[1:]
    words = words[: next((n for n, word in enumerate(words) if word in ("|", ">", "&&", ";")), len(words))]
    context = click.Context(main, info_name="ttzo")
    if not words or words[0].startswith("-"):
        main.make_parser(context).parse_args(words)
        return
    name, command, rest = main.resolve_command(context, words)
    assert command is not None and name is not None
    if isinstance(command, click.Group):
        group = click.Context(command, info_name=name, parent=context)
        name, command, rest = command.resolve_command(group, list(rest))
        assert command is not None
    _, arguments, _ = command.make_parser(click.Context(command, info_name=name, parent=context)).parse_args(list(rest))
    if arguments:
        raise click.UsageError(f"{arguments} are too many")


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_command_line_is_one_that_ttzo_takes(page, line):
    check(line)


def test_the_pages_have_commands_and_wrong_ones_are_found():
    assert len(COMMANDS) > 100
    for wrong in (
        "ttzo tain digits",
        "ttzo train digits --devise native:",
        "ttzo export a b",
        "ttzo train digits --device",
    ):
        with pytest.raises(click.UsageError):
            check(wrong)
