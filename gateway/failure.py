"""Word errors as ClickHouse does, with the statuses of its HTTP interface."""

import re

#: UNKNOWN_EXCEPTION of ClickHouse: what an error without a code of its own is.
_UNKNOWN = 1002
#: Statuses that are not 500, by code (ClickHouse, src/Server/HTTP/exceptionCodeToHTTPStatus.cpp; 26.9).
_STATUS = {27: 400, 43: 400, 47: 400, 60: 404, 62: 400, 81: 404, 159: 408, 497: 403, 516: 403}
_CODE = re.compile(r"Code: (\d+)\.")

#: CANNOT_ALLOCATE_MEMORY, and what follows it: after a real failure to allocate the engine answers nothing any more.
FATAL = frozenset({173, 439})


class Failure(Exception):
    """A statement failed: "Code: 62. DB::Exception: ... (SYNTAX_ERROR)"."""

    def __init__(self, text: str) -> None:
        text = text[max(text.find("Code: "), 0) :].strip()
        code = _CODE.match(text)
        self.code = int(code[1]) if code else _UNKNOWN
        super().__init__(text if code else f"Code: {_UNKNOWN}. DB::Exception: {text} (UNKNOWN_EXCEPTION)")

    @property
    def status(self) -> int:
        """HTTP status of a server for this error."""
        return _STATUS.get(self.code, 500)


def refusal(code: int, name: str, text: str) -> Failure:
    """Return a failure that the gateway itself finds."""
    return Failure(f"Code: {code}. DB::Exception: {text} ({name})")
