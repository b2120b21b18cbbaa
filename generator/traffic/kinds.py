"""The kinds of page views: good ones, and the mistakes of real producers."""

from typing import Final

#: A view of 10 to 600 s.
NORMAL: Final = "normal"
#: A view of less than 5 s.
BOUNCE: Final = "bounce"
#: `page_id` is the empty text, and so is the key.
EMPTY_PAGE: Final = "empty_page"
#: `view_duration_ms` is below zero.
NEGATIVE_DURATION: Final = "negative_duration"
#: The value ends in the middle of the JSON.
BROKEN_JSON: Final = "broken_json"
#: A former good event once more: the same key, the same value.
DUPLICATE: Final = "duplicate"

KINDS: Final = (NORMAL, BOUNCE, EMPTY_PAGE, NEGATIVE_DURATION, BROKEN_JSON, DUPLICATE)
#: What a consumer has to refuse.
FAULTY: Final = (EMPTY_PAGE, NEGATIVE_DURATION, BROKEN_JSON)
#: Names under which a command line may speak of kinds.
GROUPS: Final = {"faulty": FAULTY, **{kind: (kind,) for kind in KINDS}}
