"""Write lines to stdout, and tell a closed pipe from the failure of a store."""

import click


class ReaderGone(Exception):
    """The reader of stdout has left: `| head` has its lines."""


def say(line: str) -> None:
    """Write a line. Raises ReaderGone."""
    try:
        click.echo(line)
    except BrokenPipeError:
        raise ReaderGone from None


def printable(text: str) -> str:
    """Return a text for a terminal, with a space for each control character."""
    return "".join(one if one.isprintable() else " " for one in text)
