"""Hide passwords, keys and tokens in text that people and logs see."""

import re
from urllib.parse import unquote_plus

MASK = "***"

#: Names of parameters whose values are secrets, decoded and in small letters: of redis-py, libpq and others.
_SECRET_NAME = re.compile(r"pass|pwd|secret|token|credential|api_?key|(^|[_.-])key$")
#: User information of a URL: an unquoted password may hold any character, so it goes up to the last @, at the price of
#: hosts between two. In running text a word ends it, and a port is none.
_USER_IN_TEXT = re.compile(r"(://[^\s/?#:@]*):(?:(?!\d+[/?#,])\S*|[^\s/?#]*)@")
_USER_IN_URLS = re.compile(r"((?:://|,)[^/?#:@,]*):.*@", re.DOTALL)
#: Parameters of a URL, and of libpq's key=value strings, where single quotes may hold blanks.
_PARAMETER = re.compile(r"([?&;]([^\s=&;#]+)=)[^\s&;#]+")
_ASSIGNMENT = re.compile(r"(\b([a-z_.]*(?:password|passwd|pwd|secret))\s*=\s*)(?:'(?:[^'\\]|\\.)*'|[^\s'&;]+)", re.I)


def masked_text(text: str, *, is_url: bool = False) -> str:
    """Return the text without its secrets. `is_url`: it is one URL, or several separated by commas."""
    if "=" in text:
        text = _PARAMETER.sub(_parameter, text)
        text = _ASSIGNMENT.sub(rf"\g<1>{MASK}", text)
    if "://" in text:
        text = (_USER_IN_URLS if is_url else _USER_IN_TEXT).sub(rf"\g<1>:{MASK}@", text)
    return text


def _parameter(match: re.Match[str]) -> str:
    is_secret = _SECRET_NAME.search(unquote_plus(match[2]).lower())
    return f"{match[1]}{MASK}" if is_secret else match[0]
