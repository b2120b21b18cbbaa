"""Exit codes of all commands. 0, 1 and 2 have their usual meaning; the others start at 64 (sysexits.h)."""

from enum import IntEnum


class Exit(IntEnum):
    """Why a command ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    SETTINGS = 64  # a setting cannot be used
    PORT_BUSY = 65  # somebody else listens on the port
    FOLDER_IN_USE = 66  # another copy runs on the data folder
    FOLDER_UNWRITABLE = 67  # the data folder cannot be written
    FOREIGN_DATA = 68  # another version made the data folder or the database
    SERVER_MISSING = 69  # no Valkey, Postgres or ClickHouse to start
    SERVER_FAILED = 70  # an embedded server did not come up
    UNSAFE = 71  # Redis could lose acknowledged clicks
    UNREACHABLE = 72  # a store does not answer
    CHILD_FAILED = 73  # a service died repeatedly at its start
    NOT_RUNNING = 74  # no stack runs on the data folder
    WRONG_PYTHON = 75  # this Python is older than 3.11, or this system is neither Linux nor macOS
    REJECTED = 76  # an import is done, and some of its rows were rejected
    INTERRUPTED = 77  # a signal came; run the same command again to continue


class Stop(Exception):
    """A command has to stop. The message is one sentence that says what to do."""

    def __init__(self, code: Exit, message: str) -> None:
        self.code = code
        super().__init__(message)
