"""The items of a request: what pages may report, and what is wrong with what they report.

An item is named by its view and its number within the view. It says its age and not its time, because clocks of clients
are wrong.
"""

import re
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from ingest.http.json_array import UNREADABLE, raw_items, why
from ingest.http.problems import explained
from shared.counting.lane import BANNER_MAX, banner_id
from shared.errors import Invalid, Malformed
from shared.events.rows import EventType

#: Items of one request, and bytes of its body.
ITEMS_MAX = 50
BODY_MAX = 65_536
#: Milliseconds of the largest age. A page gives up sending an item then.
AGE_MAX_MS = 300_000
#: Largest number of an item within its view, characters of an address, bytes and names of the properties of an event.
NUMBER_MAX, ADDRESS_MAX, PROPERTIES_BYTES, PROPERTIES_MAX = 9999, 1024, 2048, 16
#: Milliseconds of the longest time that one item may say that a page was visible: a day.
VISIBLE_MAX_MS = 86_400_000

#: Characters of an explanation; msgspec repeats names of unknown fields, however long.
_DETAIL_MAX = 200
#: An address of the web, without blanks and control characters.
_ADDRESS = re.compile(r"https?://[^\s\x00-\x20\x7f]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class ItemFault(Struct, frozen=True):
    """Why an item was not counted."""

    index: Annotated[int, Meta(ge=0, description="Place of the item in the array, from 0")]
    code: Annotated[str, Meta(description="`invalid`, `too_old`, `too_large` or `unknown_banner`")]
    pointer: Annotated[str, Meta(description="JSON pointer to what is wrong")]
    detail: Annotated[str, Meta(description="What is wrong, for people")]


class Unfit(ValueError):
    """An item cannot be taken."""

    def __init__(self, code: str, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.pointer = code, pointer


class _Item(Struct, tag_field="k", forbid_unknown_fields=True, frozen=True, kw_only=True, gc=False):
    """What every item says."""

    v: Annotated[UUID, Meta(description="The view: a random UUID")]
    n: Annotated[int, Meta(ge=0, le=NUMBER_MAX, description="Number of the item within its view")]
    t: Annotated[int, Meta(ge=0, description=f"Its age in milliseconds; above {AGE_MAX_MS:,} it is `too_old`")]

    def check(self) -> None:
        """Raise Unfit for what the types cannot say."""


_Banner = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,15}$", description="A banner, as in `/stats/{bannerId}`")]
_Address = Annotated[str, Meta(description=f"An address of at most {ADDRESS_MAX:,} characters, with http or https")]


class _OfBanner(_Item, frozen=True, kw_only=True, gc=False):
    b: _Banner

    @property
    def banner(self) -> int:
        """The id of the banner."""
        return int(self.b)

    def check(self) -> None:
        """Raise Unfit for an id that is none."""
        try:
            banner_id(self.b)
        except ValueError:
            raise Unfit("invalid", "/b", f"It has to be a decimal integer from 1 to {BANNER_MAX}") from None


class Click(_OfBanner, tag="click", frozen=True, kw_only=True, gc=False):
    """A click on a banner."""


class Served(_OfBanner, tag="served", frozen=True, kw_only=True, gc=False):
    """A banner that stands in a visible page."""


class Viewable(_OfBanner, tag="viewable", frozen=True, kw_only=True, gc=False):
    """A banner of which half was in view for a second."""


class View(_Item, tag="view", frozen=True, kw_only=True, gc=False):
    """One showing of a page."""

    u: _Address
    r: Annotated[str, Meta(description=f"The referrer, of at most {ADDRESS_MAX:,} characters; may be empty")] = ""

    def check(self) -> None:
        """Raise Unfit for an address that is none, or too long."""
        _check_address("/u", self.u)
        _check_length("/r", self.r)
        if _CONTROL.search(self.r):
            raise Unfit("invalid", "/r", "It has a control character")


class Leave(_Item, tag="leave", frozen=True, kw_only=True, gc=False):
    """A page that is no longer visible."""

    ms: Annotated[int, Meta(ge=1, le=VISIBLE_MAX_MS, description="Milliseconds for which the page was visible")]


class Event(_Item, tag="event", frozen=True, kw_only=True, gc=False):
    """Something that the page names."""

    e: EventType
    p: Annotated[
        str,
        Meta(
            description=f"Properties: the text of a JSON object of at most {PROPERTIES_MAX} names with plain values, "
            f"{PROPERTIES_BYTES:,} bytes"
        ),
    ] = "{}"
    u: _Address

    def check(self) -> None:
        """Raise Unfit for an address or properties that are none, or too long."""
        _check_address("/u", self.u)
        if self.e.endswith("\n"):  # the pattern lets a line end pass
            raise Unfit("invalid", "/e", "It has a line end")
        _check_properties(self.p)


class Out(_Item, tag="out", frozen=True, kw_only=True, gc=False):
    """A click on a link to another host."""

    u: _Address

    def check(self) -> None:
        """Raise Unfit for a link that is none, or too long."""
        _check_address("/u", self.u)


BannerItem = Click | Served | Viewable
WebItem = View | Leave | Event | Out
Item = BannerItem | WebItem

_ITEMS, _ITEM = msgspec.json.Decoder(list[Item]), msgspec.json.Decoder(Item)
_PROPERTIES = msgspec.json.Decoder(dict[str, str | int | float | bool | None])


def kind_of(item: Item) -> str:
    """Return the name of an item's kind, as `k` has it."""
    return str(type(item).__struct_config__.tag)


def decoded(body: bytes, age_max_ms: int) -> tuple[list[tuple[int, Item]], list[ItemFault]]:
    """Return the items that can be taken, with their places, and what is wrong with the others.

    Raise Malformed for a body that is no array, and Invalid for none or too many items.
    """
    try:
        items: list[tuple[int, Any]] = list(enumerate(_ITEMS.decode(body)))
    except UNREADABLE:  # one bad item fails the whole list, so decode each
        items = list(enumerate(_raw(body)))
    if not 1 <= len(items) <= ITEMS_MAX:
        what = f"A request has 1 to {ITEMS_MAX} items. Nothing was counted."
        raise Invalid(what, errors=[{"pointer": "", "detail": what}])
    taken: list[tuple[int, Item]] = []
    faults: list[ItemFault] = []
    for index, one in items:
        try:
            taken.append((index, _checked(one, age_max_ms)))
        except Unfit as unfit:
            faults.append(fault(index, unfit.code, unfit.pointer, str(unfit)))
    return taken, faults


def fault(index: int, code: str, pointer: str, detail: str) -> ItemFault:
    """Return a fault whose pointer, within the item, leads from the array."""
    return ItemFault(index, code, f"/{index}{pointer}", detail[:_DETAIL_MAX])


def _raw(body: bytes) -> "list[bytes | msgspec.Raw]":
    try:
        return list(raw_items(body, ITEMS_MAX))
    except ValueError as error:
        what = "The body has to be a JSON array of items."
        raise Malformed(f"{what} This one cannot be read: {error}.") from error


def _checked(item: "Item | bytes | msgspec.Raw", age_max_ms: int) -> Item:
    """Return the item. Raise Unfit."""
    if isinstance(item, bytes | msgspec.Raw):
        return _checked(_read(item), age_max_ms)
    if item.t > age_max_ms:
        raise Unfit("too_old", "/t", f"It is older than {age_max_ms:,} ms, so a repeat of it might count again")
    item.check()
    return item


def _read(item: "bytes | msgspec.Raw") -> Item:
    """Return the item. Raise Unfit."""
    try:
        read: Item = _ITEM.decode(item)
    except msgspec.ValidationError as error:
        what, pointer = explained(error)
        raise Unfit("invalid", pointer, what) from None
    except UNREADABLE as error:
        raise Unfit("invalid", "", f"This cannot be read as JSON: {why(error)}") from None
    return read


def _check_length(pointer: str, text: str) -> None:
    if len(text) > ADDRESS_MAX:
        raise Unfit("too_large", pointer, f"It has more than {ADDRESS_MAX:,} characters")


def _check_address(pointer: str, text: str) -> None:
    _check_length(pointer, text)
    if not _ADDRESS.fullmatch(text):
        raise Unfit("invalid", pointer, "It has to be an address with http or https, without blanks")


def _check_properties(text: str) -> None:
    if len(text.encode()) > PROPERTIES_BYTES:
        raise Unfit("too_large", "/p", f"It has more than {PROPERTIES_BYTES:,} bytes")
    try:
        properties = _PROPERTIES.decode(text)
    except UNREADABLE:
        raise Unfit("invalid", "/p", "It has to be the text of a JSON object with plain values") from None
    if len(properties) > PROPERTIES_MAX:
        raise Unfit("invalid", "/p", f"It has more than {PROPERTIES_MAX} names")
    if any("\0" in one for pair in properties.items() for one in pair if isinstance(one, str)):
        raise Unfit("invalid", "/p", "It has a NUL")
