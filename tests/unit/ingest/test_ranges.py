"""Ranges are read exactly, bounded, and cut into buckets that fit every zone's clocks."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.statistics.ranges import MOST_DAYS, Instant, Range, instant, parse, zones
from shared.errors import Invalid, Malformed

NOON = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp())
MINUTE_S = 60

#: Zones that do what others do not: half hours, midnight, 23:01, a skipped date, seconds, and the plain ones.
ODD_ZONES = [
    "America/Havana",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Africa/Casablanca",
    "Africa/Monrovia",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Pyongyang",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Apia",
    "Pacific/Chatham",
    "UTC",
]


def epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def span(start: str, end: str, **more: str) -> Range:
    return parse({"tsFrom": start, "tsTo": end, **more}, NOON, MINUTE_S)


def local(seconds: list[int], zone: str) -> list[str]:
    return [f"{datetime.fromtimestamp(second, ZoneInfo(zone)):%d %H:%M}" for second in seconds]


# -- moments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T12:00:00Z",
        "2026-03-01t12:00:00z",
        "2026-03-01 12:00:00Z",
        "2026-03-01T12:00:00.000Z",
        "2026-03-01T12:00:00-00:00",
        "2026-03-01T13:00:00+01:00",
        "2026-03-01T13:00:00 01:00",  # an offset whose plus became a space in the query
        "2026-03-01T06:15:00-05:45",
        "2026-02-28T12:01:00-23:59",
    ],
)
def test_every_form_of_rfc_3339_is_the_same_moment(text: str) -> None:
    assert instant("tsFrom", text) == Instant(NOON)


@given(
    st.datetimes(
        datetime.fromisoformat("1970-01-02"),
        datetime.fromisoformat("2200-12-30"),
        timezones=st.sampled_from([ZoneInfo(z) for z in ODD_ZONES]),
    )
)
def test_every_time_that_python_writes_is_read_exactly(moment: datetime) -> None:
    if moment.utcoffset() % timedelta(minutes=1):
        return  # RFC 3339 has no seconds in offsets
    second, fraction = instant("tsFrom", moment.isoformat())
    whole = moment.replace(microsecond=0).astimezone(UTC)
    assert second == int(whole.timestamp())
    assert int((fraction or "0").ljust(6, "0")) == moment.microsecond


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1772366400",
        "2026-03-01",
        "2026-03-01T12:00Z",
        "2026-3-1T12:00:00Z",
        "2026-03-01T12:00:00",
        "2026-03-01T12:00:00.Z",
        "2026-03-01T12:00:00,5Z",
        "2026-03-01T12:00:00+0100",
        "2026-03-01T12:00:00+24:00",
        "2026-03-01T12:00:00+01:60",
        "2026-03-01T24:00:00Z",
        "2026-03-01T12:60:00Z",
        "2026-03-01T12:00:61Z",
        "2026-02-29T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-03-00T12:00:00Z",
        "+2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00Z\n",
        "2026-03-01T12:00:00Z ",
        "2026-03-01_12:00:00Z",
        "2026-03-01T1２:00:00Z",
        "２026-03-01T12:00:00Z",
        "٢026-03-01T12:00:00Z",
        "2026-03-01T12:00:00." + "1" * 21 + "Z",
        "[" * 100_000,
    ],
)
def test_i6_what_is_no_time_with_zone_is_malformed_and_names_the_parameter(text: str) -> None:
    with pytest.raises(Malformed, match=r"^tsTo ") as caught:
        instant("tsTo", text)
    assert caught.value.errors[0]["parameter"] == "tsTo"
    assert len(caught.value.detail) < 200


def test_i6_a_time_without_zone_is_told_how_to_write_one() -> None:
    with pytest.raises(Malformed, match=r"has no zone\. .* 2026-03-01T12:00:00Z"):
        instant("tsFrom", "2026-03-01T12:00:00")


def test_a_body_has_no_lost_plus() -> None:
    with pytest.raises(Malformed) as caught:
        instant("tsFrom", "2026-03-01T13:00:00 01:00", "pointer")
    assert caught.value.errors[0]["pointer"] == "/tsFrom"


@pytest.mark.parametrize(
    "text",
    [
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "2201-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ],
)
def test_i6_years_out_of_bounds_are_invalid(text: str) -> None:
    with pytest.raises(Invalid, match="1970 to 2200"):
        instant("tsFrom", text)


def test_i6_a_leap_second_is_refused_in_clear_words() -> None:
    with pytest.raises(Invalid, match="leap second"):
        instant("tsFrom", "2016-12-31T23:59:60Z")


# -- ranges ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("12:00:00Z", "12:01:00Z", (0, 60)),
        ("12:00:59.999Z", "12:01:00Z", (0, 60)),
        ("12:00:30Z", "12:00:31Z", (0, 60)),
        ("12:00:00Z", "12:01:00.000000000001Z", (0, 120)),
        ("12:00:00Z", "12:01:01Z", (0, 120)),
        ("12:00:00.1Z", "12:00:00.2Z", (0, 60)),
        ("12:00:00.10Z", "12:00:00.101Z", (0, 60)),
    ],
)
def test_every_minute_that_overlaps_the_range_is_in_it(start: str, end: str, expected: tuple[int, int]) -> None:
    asked = span(f"2026-03-01T{start}", f"2026-03-01T{end}")
    assert (asked.start - NOON, asked.end - NOON) == expected


@pytest.mark.parametrize("end", ["12:00:00Z", "12:00:00.000Z", "11:59:59Z", "13:00:00+01:00"])
def test_empty_and_reversed_ranges_are_invalid(end: str) -> None:
    with pytest.raises(Invalid, match="later than tsFrom"):
        span("2026-03-01T12:00:00Z", f"2026-03-01T{end}")


def test_the_range_is_the_last_hour_unless_given() -> None:
    asked = parse({}, NOON + 30, MINUTE_S)
    assert (asked.start, asked.end) == (NOON + 60 - 3600, NOON + 60)


def test_an_end_alone_gives_the_hour_before_it() -> None:
    asked = parse({"tsTo": "2020-01-01T01:00:30Z"}, NOON, MINUTE_S)
    assert (asked.start, asked.end) == (epoch("2020-01-01T00:00Z"), epoch("2020-01-01T01:01Z"))


def test_a_begin_alone_reaches_to_the_end_of_the_open_minute() -> None:
    asked = parse({"tsFrom": "2026-03-01T11:00:00Z"}, NOON + 0.5, MINUTE_S)
    assert asked.end == NOON + 60


def test_a_begin_in_the_future_says_where_the_range_ends() -> None:
    with pytest.raises(Invalid, match="2026-03-01T12:01:00Z"):
        parse({"tsFrom": "2027-01-01T00:00:00Z"}, NOON, MINUTE_S)


@pytest.mark.parametrize("end", ["1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z"])
def test_the_first_moment_of_all_is_no_trap(end: str) -> None:
    if end.endswith("00Z"):
        with pytest.raises(Invalid):
            parse({"tsTo": end}, NOON, MINUTE_S)
    else:
        assert parse({"tsTo": end}, NOON, MINUTE_S)[:2] == (0, 60)


@pytest.mark.parametrize("step", MOST_DAYS)
def test_l6_the_longest_range_of_each_step_is_allowed_and_more_is_not(step: str) -> None:
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    end = begin + timedelta(days=MOST_DAYS[step])
    assert span(begin.isoformat(), end.isoformat(), step=step)
    with pytest.raises(Invalid, match=f"{MOST_DAYS[step]:,} days") as caught:
        span(begin.isoformat(), (end + timedelta(hours=1, seconds=1)).isoformat(), step=step)
    assert all(f"step={name}" in caught.value.detail for name in MOST_DAYS)


def test_l6_a_month_of_minutes_may_hold_the_hour_that_clocks_were_set_back() -> None:
    asked = span("2026-10-01T00:00:00+02:00", "2026-11-01T00:00:00+01:00", tz="Europe/Berlin")
    assert len(asked.buckets().labels) == (31 * 24 + 1) * 60


def test_l6_a_range_without_steps_has_a_bound_of_its_own() -> None:
    values = {"tsFrom": "2024-01-01T00:00:00Z", "tsTo": "2026-01-01T00:00:00Z"}
    with pytest.raises(Invalid, match="366 days"):
        parse(values, NOON, MINUTE_S, most_days=366)


@pytest.mark.parametrize("step", ["", "week", "Minute", "minute ", "hours"])
def test_an_unknown_step_is_told_the_known_ones(step: str) -> None:
    with pytest.raises(Invalid, match="minute, hour, day"):
        parse({"step": step}, NOON, MINUTE_S)


@pytest.mark.parametrize(
    "zone",
    [
        "",
        "Mars/Olympus",
        "europe/berlin",
        "../../etc/passwd",
        "/etc/localtime",
        "Europe/../Europe/Berlin",
        "Europe",
        "localtime",
        "posix/UTC",
        "Europe/Berlin\0",
        "Europe/Berlin ",
        "X" * 10_000,
    ],
)
def test_i6_only_names_of_zones_are_zones(zone: str) -> None:
    with pytest.raises(Invalid, match=r"^tz ") as caught:
        parse({"tz": zone}, NOON, MINUTE_S)
    assert len(caught.value.detail) < 250


def test_a_misspelt_zone_is_told_similar_ones() -> None:
    with pytest.raises(Invalid, match="Europe/Berlin"):
        parse({"tz": "europe/berlin"}, NOON, MINUTE_S)


# -- buckets -----------------------------------------------------------------------------------------------------------


def test_minutes_are_buckets_of_their_own() -> None:
    labels, bounds = span("2026-03-01T12:00:00Z", "2026-03-01T12:03:00Z").buckets()
    assert list(labels) == [NOON, NOON + 60, NOON + 120]
    assert list(bounds) == [*labels, NOON + 180]


def test_a_cut_bucket_keeps_its_label_and_counts_the_range_alone() -> None:
    labels, bounds = span("2026-03-01T12:20:00Z", "2026-03-01T13:10:00Z", step="hour").buckets()
    assert labels == [NOON, NOON + 3600]
    assert bounds == [NOON + 1200, NOON + 3600, NOON + 4200]


@pytest.mark.parametrize(
    ("zone", "start", "end", "expected"),
    [
        (
            "Europe/Berlin",
            "2026-03-29T01:00+01:00",
            "2026-03-29T04:00+02:00",
            ["29 01:00", "29 03:00"],
        ),
        (
            "Europe/Berlin",
            "2026-10-25T01:00+02:00",
            "2026-10-25T04:00+01:00",
            ["25 01:00", "25 02:00", "25 02:00", "25 03:00"],
        ),
        ("Asia/Kolkata", "2026-03-01T12:00+05:30", "2026-03-01T14:00+05:30", ["01 12:00", "01 13:00"]),
        (  # forward by half an hour: 02:00 becomes 02:30
            "Australia/Lord_Howe",
            "2026-10-04T01:00+10:30",
            "2026-10-04T04:00+11:00",
            ["04 01:00", "04 02:30", "04 03:00"],
        ),
        (  # back by half an hour: 02:00 becomes 01:30
            "Australia/Lord_Howe",
            "2026-04-05T01:00+11:00",
            "2026-04-05T03:00+10:30",
            ["05 01:00", "05 01:30", "05 02:00"],
        ),
    ],
)
def test_hours_begin_where_local_clocks_show_whole_hours(zone: str, start: str, end: str, expected: list[str]) -> None:
    buckets = Range(epoch(start), epoch(end), "hour", zone, 60).buckets()
    assert local(buckets.labels, zone) == expected


@pytest.mark.parametrize(
    ("zone", "start", "hours"),
    [
        ("Europe/Berlin", "2026-03-28", [24, 23, 24]),
        ("Europe/Berlin", "2026-10-24", [24, 25, 24]),
        ("America/Sao_Paulo", "2018-11-03", [24, 23, 24]),  # midnight is skipped: the day begins at 01:00
        ("America/Sao_Paulo", "2018-02-16", [24, 25, 24]),  # clocks go back at midnight, to the day before
        ("America/St_Johns", "2009-10-31", [24, 25, 24]),  # and here at one minute past it
        ("Asia/Beirut", "2021-03-27", [24, 23, 24]),
        ("Australia/Lord_Howe", "2026-10-03", [24, 23.5, 24]),
        ("Asia/Kolkata", "2026-03-01", [24, 24, 24]),
    ],
)
def test_days_begin_at_local_midnight_and_are_as_long_as_clocks_make_them(
    zone: str, start: str, hours: list[float]
) -> None:
    begin = datetime.combine(date.fromisoformat(start), datetime.min.time(), ZoneInfo(zone))
    end = begin + timedelta(days=3)  # of the local clock
    _, bounds = Range(int(begin.timestamp()), int(end.timestamp()), "day", zone, 60).buckets()
    assert [(right - left) / 3600 for left, right in pairwise(bounds)] == hours


def test_a_date_that_a_zone_skipped_has_no_bucket() -> None:
    zone = "Pacific/Apia"
    labels, _ = Range(epoch("2011-12-29T00:00-10:00"), epoch("2012-01-01T00:00+14:00"), "day", zone, 60).buckets()
    assert local(labels, zone) == ["29 00:00", "31 00:00"]


#: Offsets of whole minutes alone, from the years in which clocks are odd, too.
RANGES = st.tuples(
    st.integers(0, epoch("2100-01-01T00:00Z") // 60),
    st.integers(1, 5 * 24 * 60),
    st.sampled_from(["hour", "day"]),
    st.sampled_from(ODD_ZONES) | st.sampled_from(sorted(zones())),
)


@given(RANGES)
def test_bounds_cover_the_range_exactly_and_labels_are_what_clocks_show(asked: tuple[int, int, str, str]) -> None:
    minute, minutes, step, name = asked
    start, end, zone = minute * 60, (minute + minutes) * 60, ZoneInfo(name)
    labels, bounds = Range(start, end, step, name, 60).buckets()  # type: ignore[arg-type]
    assert (bounds[0], bounds[-1], len(bounds)) == (start, end, len(labels) + 1)
    assert all(left < right for left, right in pairwise(bounds))
    assert all(left < right for left, right in pairwise(labels))
    assert labels[0] <= start
    assert all(0 <= bound - label < 60 for label, bound in zip(labels[1:], bounds[1:-1], strict=True))
    for label in labels:
        now, before = (datetime.fromtimestamp(second, zone) for second in (label, label - 1))
        is_changed = now.utcoffset() != before.utcoffset()
        if step == "day":
            assert now.date() > before.date()
            assert is_changed or (now.hour, now.minute, now.second) == (0, 0, 0)
        else:
            assert is_changed or (now.minute, now.second) == (0, 0)


@given(RANGES)
def test_no_hour_or_day_that_begins_in_the_range_is_missing(asked: tuple[int, int, str, str]) -> None:
    minute, minutes, step, name = asked
    start, end, zone = minute * 60, (minute + minutes) * 60, ZoneInfo(name)
    _, bounds = Range(start, end, step, name, 60).buckets()  # type: ignore[arg-type]
    shown = [datetime.fromtimestamp(second, zone) for second in range(start, end, 60)]
    of_bound = set(bounds)
    seen = shown[0].date()
    for before, now in pairwise(shown):
        begins = now.date() > seen if step == "day" else (now.minute == 0 and now.second == 0)
        seen = max(seen, now.date())
        if begins and before.utcoffset() == now.utcoffset():
            assert int(now.timestamp()) in of_bound


# -- dates -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "last", "zone", "start", "hours"),
    [
        ("2026-03-01", "2026-03-01", None, "2026-03-01T00:00:00+00:00", 24),
        ("2026-02-28", "2026-03-01", "UTC", "2026-02-28T00:00:00+00:00", 48),
        ("2026-03-29", "2026-03-29", "Europe/Berlin", "2026-03-28T23:00:00+00:00", 23),
        ("2026-10-25", "2026-10-25", "Europe/Berlin", "2026-10-24T22:00:00+00:00", 25),
        ("2026-10-04", "2026-10-04", "Australia/Lord_Howe", "2026-10-03T13:30:00+00:00", 23.5),
        ("2011-12-29", "2011-12-31", "Pacific/Apia", "2011-12-29T10:00:00+00:00", 48),
        ("1970-01-01", "1970-01-01", "Europe/Berlin", "1970-01-01T00:00:00+00:00", 23),
        ("2200-12-31", "2200-12-31", None, "2200-12-31T00:00:00+00:00", 24),
    ],
)
def test_dates_are_whole_local_days_and_both_in_the_range(
    first: str, last: str, zone: str | None, start: str, hours: float
) -> None:
    found = span(first, last, **({"tz": zone} if zone else {}))
    assert (found.start, found.end) == (epoch(start), epoch(start) + hours * 3600)


@given(st.dates(date(1973, 1, 1), date(2199, 12, 30)), st.integers(0, 30), st.sampled_from(ODD_ZONES))
def test_a_range_of_dates_is_that_of_their_first_moments(first: date, days: int, zone: str) -> None:
    info, last = ZoneInfo(zone), first + timedelta(days=days)
    try:
        found = span(str(first), str(last), tz=zone, step="day")
    except Invalid:
        assert (zone, first, last) == ("Pacific/Apia", date(2011, 12, 30), date(2011, 12, 30))
        return
    starts, ends = (datetime.fromtimestamp(at, info).date() for at in (found.start, found.end - MINUTE_S))
    skipped = date(2011, 12, 30) if zone == "Pacific/Apia" else None
    assert starts == (first + timedelta(days=1) if first == skipped else first)
    assert ends == (last - timedelta(days=1) if last == skipped else last)
    assert datetime.fromtimestamp(found.start - MINUTE_S, info).date() < starts


def test_a_date_and_a_time_may_be_mixed() -> None:
    found = span("2026-03-01", "2026-03-01T12:00:00+01:00", tz="Europe/Berlin")
    assert (found.start, found.end) == (epoch("2026-02-28T23:00:00+00:00"), epoch("2026-03-01T11:00:00+00:00"))
    until_now = parse({"tsFrom": "2026-03-01"}, NOON, MINUTE_S)
    assert (until_now.start, until_now.end) == (epoch("2026-03-01T00:00:00+00:00"), NOON + MINUTE_S)
    last_hour = parse({"tsTo": "2026-03-01"}, NOON, MINUTE_S)
    assert (last_hour.start, last_hour.end) == (NOON + 11 * 3600, NOON + 12 * 3600)


def test_a_month_of_local_days_is_allowed_by_minute_and_a_day_more_is_not() -> None:
    october = span("2026-10-01", "2026-10-31", tz="Europe/Berlin")
    assert october.end - october.start == (31 * 24 + 1) * 3600
    with pytest.raises(Invalid, match=r"^tsTo is more than 31 days"):
        span("2026-10-01", "2026-11-01", tz="Europe/Berlin")


@pytest.mark.parametrize(
    ("first", "last", "zone", "error"),
    [
        ("2026-03-02", "2026-03-01", "UTC", r"^tsTo has to be later"),
        ("2011-12-30", "2011-12-30", "Pacific/Apia", r"^tsFrom is a day that Pacific/Apia skipped"),
        ("1969-12-31", "2026-03-01", "UTC", r"^tsFrom has to lie in the years"),
        ("2026-03-01", "2201-01-01", "UTC", r"^tsTo has to lie in the years"),
    ],
)
def test_dates_that_are_no_range_are_invalid(first: str, last: str, zone: str, error: str) -> None:
    with pytest.raises(Invalid, match=error):
        span(first, last, tz=zone)


def test_a_date_that_is_none_is_malformed() -> None:
    with pytest.raises(Malformed, match=r"^tsFrom .* no date of the calendar"):
        span("2026-02-30", "2026-03-01")
