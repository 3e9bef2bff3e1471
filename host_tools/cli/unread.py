# SPDX-License-Identifier: MIT
"""Options that a command's subject does not read: they are refused, not passed over."""

from collections.abc import Collection

import click
from click.core import ParameterSource

from ttzo.device_runtime.contract import ExitCode, TtzoError


def refuse_unread(subject: str, read: Collection[str]) -> None:
    """Raises `TtzoError` for an argument or option of the running command that was given and is not among `read`, the
    parameters' names; `subject` says what does not read it. --json is always read."""
    parameters = click.get_current_context().command.params
    for each in parameters:
        if each.name not in (*read, "as_json") and was_given(str(each.name)):
            others = ", ".join(_spelt(other) for other in parameters if other.name in read)
            raise TtzoError(f"{subject} does not read {_spelt(each)}", f"{subject} reads {others}", ExitCode.usage)


def was_given(name: str) -> bool:
    """Whether the running command's parameter stands on the command line."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def _spelt(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        return parameter.human_readable_name
    return "/".join([parameter.opts[-1], *parameter.secondary_opts])
