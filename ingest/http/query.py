"""Read the parameters of a query. Each has to be known, and given once."""

import re
from collections.abc import Collection, Mapping

from ingest.state import Request
from shared.counting.lane import BANNER_MAX, banner_id
from shared.errors import Invalid, Malformed

#: Characters of a client's own text that an error repeats.
_QUOTED_MAX = 40
_FLAGS = {"true": True, "false": False}
#: Digits of the largest integer that a parameter takes. `int()` itself takes digits of all scripts and underscores.
_INTEGER = re.compile(r"0|[1-9][0-9]{0,15}")


def query(request: Request, known: Collection[str]) -> dict[str, str]:
    """Return the parameters of the request. Raise Malformed for a name that is unknown or given twice."""
    values: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise Malformed(
                f"{quoted(name)} is no parameter of this route. It takes {', '.join(sorted(known))}.",
                errors=[{"parameter": name[:_QUOTED_MAX], "detail": "unknown parameter"}],
            )
        if name in values:
            raise malformed(name, "is given more than once. Give it once.")
        values[name] = value
    return values


def flag(values: Mapping[str, str], name: str) -> bool:
    """Return whether a switch is on; off when it is not given. Raise Invalid for anything but true and false."""
    return _FLAGS[choice(values, name, _FLAGS, "false")]


def choice(values: Mapping[str, str], name: str, allowed: Collection[str], default: str) -> str:
    """Return one of the allowed words. Raise Invalid, which names them."""
    value = values.get(name, default)
    if value not in allowed:
        raise invalid(name, f"is {quoted(value)}, but has to be one of {', '.join(allowed)}.")
    return value


def integer(values: Mapping[str, str], name: str, least: int, most: int, default: int) -> int:
    """Return a decimal integer. Raise Malformed for another text, and Invalid for a number out of bounds."""
    text = values.get(name)
    if text is None:
        return default
    if not _INTEGER.fullmatch(text):
        raise malformed(name, f"is {quoted(text)}, but has to be a decimal integer.")
    if not least <= int(text) <= most:
        raise invalid(name, f"has to be from {least:,} to {most:,}.")
    return int(text)


def parsed_banner(name: str, text: str) -> int:
    """Return the id of a banner. Raise Malformed for anything but a canonical decimal integer in bounds."""
    try:
        return banner_id(text)
    except ValueError:
        what = f"is {quoted(text)}, but has to be a decimal integer from 1 to {BANNER_MAX} without zeros in front."
        raise malformed(name, what) from None


def parsed_banners(name: str, text: str, most: int) -> list[int]:
    """Return the ids of a list with commas, in its order. Raise Malformed or Invalid."""
    if not text:
        raise malformed(name, f"is missing. Name 1 to {most:,} banners, as {name}=1,2,3.")
    texts = text.split(",", most)
    if len(texts) > most:
        raise invalid(name, f"names more than {most:,} banners.")
    banners = [parsed_banner(name, part) for part in texts]
    if len(set(banners)) < len(banners):
        raise invalid(name, "names a banner twice.")
    return banners


def words(values: Mapping[str, str], name: str, most: int) -> str:
    """Return a text to search for; empty when it is not given. Raise Invalid for one that no name can hold."""
    text = values.get(name, "")
    if name in values and not (0 < len(text) <= most and text.isprintable()):
        raise invalid(name, f"has to have 1 to {most} printable characters.")
    return text


def quoted(text: str) -> str:
    """Return a client's text as an error may repeat it: short, in ASCII, without control characters."""
    return ascii(text if len(text) <= _QUOTED_MAX else f"{text[:_QUOTED_MAX]}...")


def malformed(name: str, what: str, where: str = "parameter") -> Malformed:
    """Return the 400 for one parameter, or for one field of a body with `where="pointer"`."""
    return Malformed(f"{name} {what}", errors=[_fault(name, what, where)])


def invalid(name: str, what: str, where: str = "parameter") -> Invalid:
    """Return the 422 for one parameter, or for one field of a body with `where="pointer"`."""
    return Invalid(f"{name} {what}", errors=[_fault(name, what, where)])


def _fault(name: str, what: str, where: str) -> dict[str, str]:
    return {where: f"/{name}" if where == "pointer" else name, "detail": what}
