"""Define the load profile: everything that may change while the generator runs, with its bounds.

The command line sets it at the start, and `PATCH /control` changes it later, by the same checks.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct

from shared.errors import Invalid

#: One mode that has a pace of its own.
PlainMode = Literal["regular", "bursts", "night", "max"]

Ratio = Annotated[float, Meta(ge=0, le=1)]
#: Events a second of a mode that keeps time: timestamps are milliseconds, and each event has its own.
Rate = Annotated[float, Meta(ge=0.001, le=1000)]

#: The day of a site: quiet nights, two bursts-prone hours around noon.
DAY: Final = "00:00 night, 07:00 regular, 12:00 bursts, 14:00 regular, 23:00 night"

_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d) (regular|bursts|night|max)")


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The current properties of the traffic."""

    mode: Annotated[
        Literal["regular", "bursts", "night", "max", "day"], Meta(description="The pace; `day` follows the schedule")
    ] = "regular"
    schedule: Annotated[str, Meta(max_length=1000, description="What `day` does from which time of day on")] = DAY
    zone: Annotated[str, Meta(max_length=64, description="Time zone of the schedule and of the diurnal curve")] = "UTC"
    is_diurnal: Annotated[bool, Meta(description="`regular` follows the hours of the day between its two rates")] = True
    is_paused: Annotated[bool, Meta(description="Make nothing for now")] = False
    regular_low_per_s: Annotated[Rate, Meta(description="Events a second of `regular` at the quietest hour")] = 1.0
    regular_high_per_s: Annotated[Rate, Meta(description="The same at the busiest hour")] = 10.0
    burst_low: Annotated[int, Meta(ge=1, le=100_000, description="Fewest events of a burst")] = 100
    burst_high: Annotated[int, Meta(ge=1, le=100_000, description="Most events of a burst")] = 1_000
    burst_window_s: Annotated[float, Meta(ge=0.1, le=600, description="Seconds over which a burst is spread")] = 2.0
    burst_every_s: Annotated[float, Meta(ge=0.1, le=86_400, description="Seconds from one burst to the next")] = 60.0
    night_every_s: Annotated[float, Meta(ge=0.01, le=86_400, description="Seconds in which `night` makes one")] = 10.0
    max_per_s: Annotated[int, Meta(ge=0, le=10_000_000, description="Bound of `max` a second; 0 is none")] = 0
    max_step_ms: Annotated[
        float, Meta(ge=0.001, le=60_000, description="Milliseconds between the timestamps of two events of `max`")
    ] = 0.01
    bounce_ratio: Annotated[Ratio, Meta(description="Part of the messages that are bounces")] = 0.10
    faulty_ratio: Annotated[Ratio, Meta(description="Part that is faulty, a third of each sort")] = 0.05
    duplicate_ratio: Annotated[Ratio, Meta(description="Part that repeats an earlier good event")] = 0.01


#: Names of all fields, for command lines and documents.
FIELDS: Final = tuple(Profile.__struct_fields__)


def changed(profile: Profile, wishes: Mapping[str, Any]) -> Profile:
    """Return the profile with other values. Raises Invalid, with a pointer to the wrong field."""
    for name in wishes:
        if name not in FIELDS:
            raise _invalid(name, f"There is no {name[:64]!r}; the fields are {', '.join(FIELDS)}.")
    for name, value in wishes.items():
        kind = next(field.type for field in msgspec.structs.fields(Profile) if field.name == name)
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise _invalid(name, str(error)) from None
    new = msgspec.convert({**msgspec.structs.asdict(profile), **wishes}, Profile)
    _check(new)
    return new


def spans(profile: Profile) -> list[tuple[int, PlainMode]]:
    """Return the schedule as (minute of the day, mode) in order of time. Raises Invalid."""
    found: dict[int, PlainMode] = {}
    for part in profile.schedule.split(","):
        match = _SPAN.fullmatch(part.strip())
        if match is None:
            raise _invalid("schedule", "Write it as '00:00 night, 07:00 regular': hours, minutes, and one mode each.")
        found[int(match[1]) * 60 + int(match[2])] = match[3]  # type: ignore[assignment]
    return sorted(found.items())


def _check(profile: Profile) -> None:
    spans(profile)
    if profile.regular_low_per_s > profile.regular_high_per_s:
        raise _invalid("regular_low_per_s", "It is above regular_high_per_s.")
    if profile.burst_low > profile.burst_high:
        raise _invalid("burst_low", "It is above burst_high.")
    if profile.burst_window_s > profile.burst_every_s:
        raise _invalid("burst_window_s", "It is longer than burst_every_s: a burst would begin before the last ended.")
    if profile.burst_high / profile.burst_window_s > 1000:
        raise _invalid("burst_high", "It is more than 1,000 events a second: each has a millisecond of its own.")
    if profile.bounce_ratio + profile.faulty_ratio + profile.duplicate_ratio > 1:
        raise _invalid("bounce_ratio", "The ratios of bounces, faulty events and duplicates are more than 1 together.")
    try:
        ZoneInfo(profile.zone)
    except (KeyError, ValueError, OSError):
        raise _invalid("zone", "There is no such time zone; write it as Europe/Berlin.") from None


def _invalid(name: str, detail: str) -> Invalid:
    return Invalid(f"{name}: {detail}", errors=[{"pointer": f"/{name}", "detail": detail}])
