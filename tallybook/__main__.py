"""Run `tallybook` as `python -m tallybook`."""

import sys

#: Exit.WRONG_PYTHON, whose module an older Python may not be able to read.
_WRONG_PYTHON = 75

if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - no installer may have checked it
        sys.stderr.write("error: tallybook needs Python 3.11 or newer\n")
        sys.exit(_WRONG_PYTHON)
    from tallybook.cli import main

    main()
