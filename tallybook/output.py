"""Lines on stdout, from where every other failure of a pipe is that of a store."""

import click


class ReaderGone(Exception):
    """Nobody reads stdout any more: `| head` has what it wanted."""


def say(line: str) -> None:
    """Write a line. Raises ReaderGone."""
    try:
        click.echo(line)
    except BrokenPipeError:
        raise ReaderGone from None
