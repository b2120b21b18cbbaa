"""The load profile: bounds are checked wherever a value comes from, and the page says what they are."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from generator.traffic.profile import FIELDS, Profile, changed
from shared.errors import Invalid

PAGE = (Path(__file__).parents[3] / "docs/generator.md").read_text()


def test_only_what_is_named_changes() -> None:
    profile = changed(Profile(), {"mode": "night", "faulty_ratio": 0.5})
    assert profile == Profile(mode="night", faulty_ratio=0.5)


@pytest.mark.parametrize(
    ("wishes", "pointer"),
    [
        ({"mode": "fast"}, "/mode"),
        ({"mode": None}, "/mode"),
        ({"speed": 2}, "/speed"),
        ({"bounce_ratio": 1.01}, "/bounce_ratio"),
        ({"bounce_ratio": -0.1}, "/bounce_ratio"),
        ({"bounce_ratio": "much"}, "/bounce_ratio"),
        ({"bounce_ratio": 0.6, "faulty_ratio": 0.6}, "/bounce_ratio"),
        ({"regular_high_per_s": 1001}, "/regular_high_per_s"),
        ({"regular_low_per_s": 20}, "/regular_low_per_s"),
        ({"regular_low_per_s": 0}, "/regular_low_per_s"),
        ({"burst_low": 2000}, "/burst_low"),
        ({"burst_window_s": 61}, "/burst_window_s"),
        ({"burst_high": 5000}, "/burst_high"),
        ({"max_per_s": -1}, "/max_per_s"),
        ({"max_per_s": 1.5}, "/max_per_s"),
        ({"night_every_s": 0}, "/night_every_s"),
        ({"schedule": "25:00 night"}, "/schedule"),
        ({"schedule": "00:00 day"}, "/schedule"),
        ({"schedule": ""}, "/schedule"),
        ({"zone": "Mars/Olympus"}, "/zone"),
        ({"zone": "../etc/passwd"}, "/zone"),
        ({"is_paused": 1}, "/is_paused"),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_a_pointer(wishes: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Invalid) as refusal:
        changed(Profile(), wishes)
    assert [error["pointer"] for error in refusal.value.errors] == [pointer]


def test_a_profile_that_is_read_again_is_the_same() -> None:
    profile = changed(Profile(), {"mode": "day", "burst_low": 7, "zone": "Europe/Berlin"})
    assert msgspec.json.decode(msgspec.json.encode(profile), type=Profile) == profile


def test_the_page_lists_every_field_with_its_bounds_and_default() -> None:
    properties = msgspec.json.schema(Profile)["$defs"]["Profile"]["properties"]
    table = PAGE.split("<!-- profile: begin -->")[1].split("<!-- profile: end -->")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| `(.+?)` \| (.+) \|$", table, re.MULTILINE)
    assert [name for name, *_ in rows] == list(FIELDS)
    for name, bounds, default, about in rows:
        schema = properties[name]
        assert about == schema["description"]
        assert default == (
            str(schema["default"]).lower() if schema.get("type") == "boolean" else str(schema["default"])
        )
        if "minimum" in schema:
            assert bounds == f"{schema['minimum']:,} to {schema['maximum']:,}"
