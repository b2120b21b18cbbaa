"""Write lines to stdout, so that a closed pipe is told from the failure of a store."""

import click


class ReaderGone(Exception):
    """The reader of stdout has left: `| head` has its lines."""


def say(line: str) -> None:
    """Write a line. Raises ReaderGone."""
    try:
        click.echo(line)
    except BrokenPipeError:
        raise ReaderGone from None
