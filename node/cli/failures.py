"""What a command ends with. Scripts read the exit code, people the message, which says what to do next."""

from http import HTTPStatus
from typing import IO, Any

import click

from node.telemetry.text import escaped


class Failed(click.ClickException):
    """The command did not do it; expected, so without a traceback."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:  # type: ignore[explicit-override]  # 3.12 has it.
        """Write the message to standard error."""
        for line in self.message.splitlines():
            click.echo(f"entrepot: {escaped(line)}", err=True, file=file)


class WrongUsage(Failed):
    """The arguments or the configuration make no sense; click ends with the same code."""

    exit_code = 2


class NotRunning(Failed):
    """No node serves the data directory."""

    exit_code = 3


class Unreachable(Failed):
    """A node may run, and did not answer."""


class NotFound(Failed):
    """What was named is not there."""

    exit_code = 4


class Refused(Failed):
    """The node understood and will not do it."""

    exit_code = 5


def failure(status: int, message: str) -> Failed:
    """Return what a refusal with the HTTP *status* means to the command line."""
    if status == HTTPStatus.NOT_FOUND:
        return NotFound(message)
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return WrongUsage(message)  # Of a configuration.
    return Refused(message) if status < HTTPStatus.INTERNAL_SERVER_ERROR else Failed(message)
