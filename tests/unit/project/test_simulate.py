"""The model of many hosts says what can be worked out by hand, and the page shows what it says."""

import random
from xml.etree import ElementTree

import msgspec
import pytest

from loadtest import simulate
from loadtest.simulate import Costs, Load, Seen, predict

COSTS = Costs(
    period_s=0.049,
    page_us=100,
    entry_us=2,
    page_bytes=300,
    field_bytes=40,
    click_us=10,
    rows_per_s=100_000,
    lane_bytes=1_000_000,
)


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_distinct_banners_are_those_of_a_draw(exponent: float) -> None:
    load, chance = Load(1, 1, banners=200, exponent=exponent), random.Random(3)
    weights = [rank**-exponent for rank in range(1, 201)]
    draws = [len(set(chance.choices(range(200), weights, k=150))) for _ in range(400)]
    assert load.distinct(150) == pytest.approx(sum(draws) / len(draws), rel=0.02)


def test_a_prediction_can_be_worked_out_by_hand() -> None:
    # 1,000 clicks a second each: a page every 49 + 1 ms with 50 clicks, which are of one banner.
    one = predict(Load(10_000, workers=10, banners=1, hosts=2, shards=4), COSTS)
    assert one.pages == pytest.approx(200)
    assert one.entries_of_page == pytest.approx(1)
    assert one.redis_bytes == pytest.approx(200 * (300 + 24))
    assert one.redis_share == pytest.approx(200 * 102e-6 / 4)
    assert one.redis_memory == pytest.approx(2 * 40)
    assert one.rows_per_minute == pytest.approx(4)
    assert one.flush_share == pytest.approx(4 / 100_000 / 60)
    assert one.worker_share == pytest.approx(0.01)
    assert (one.lane_bytes_of_host, one.read_scripts, one.read_lanes) == (5e6, 4, 5)


def test_shards_are_added_until_no_master_is_full() -> None:
    load = Load(2_000_000, workers=2_000, banners=100_000)
    shards = simulate.shards_needed(load, COSTS)
    at = [predict(msgspec.structs.replace(load, shards=n), COSTS).redis_share for n in (shards // 2, shards)]
    assert at[0] > simulate.FULL >= at[1]


def test_what_is_full_first_is_at_its_bound_there() -> None:
    name, clicks = simulate.first_full(Load(1, workers=4, banners=10), COSTS)
    assert name == "a worker"
    assert clicks == pytest.approx(4 * simulate.FULL / 10e-6, rel=0.01)
    name, clicks = simulate.first_full(Load(1, workers=10_000, banners=10), COSTS)
    assert name == "a master of Redis"
    of_master = predict(Load(clicks, workers=10_000, banners=10), COSTS)
    assert of_master.redis_share == pytest.approx(simulate.FULL, rel=0.01)


def test_costs_come_back_from_what_they_make() -> None:
    bench = {
        "flush": {"rows_per_s": 100_000},
        "clicks": {"c256": {"rows": [{"side": "tallybook", "cpu_us_by": {"server": 10}}, {"side": "gin-memory"}]}},
    }

    def seen(load: Load) -> Seen:
        one = predict(load, COSTS)
        page_us = COSTS.page_us + one.entries_of_page * COSTS.entry_us
        return Seen(load.clicks_per_s, one.pages, page_us, one.redis_bytes, one.rows_per_minute, 40, 1_000_000)

    few, many = Load(400, 1, 50), Load(3_000, 1, 4_000)
    costs = simulate.costs_of((few, seen(few)), (many, seen(many)), bench)
    assert msgspec.to_builtins(costs) == pytest.approx(msgspec.to_builtins(COSTS))
    check = simulate.compared(simulate.CHECK, seen(simulate.CHECK), costs)
    assert [one["ratio"] for one in check.values()] == [1.0] * 4


def test_the_page_and_its_pictures_show_the_figures() -> None:
    scale = msgspec.json.decode(simulate.SCALE.read_bytes())
    shown = simulate.PAGE.read_text().partition(simulate.BEGIN)[2].partition(simulate.END)[0]
    assert shown.strip() == simulate.page(scale).strip()
    pictures = dict(simulate.pictures(msgspec.convert(scale["costs"], Costs)))
    assert len(pictures) == 3
    for name, picture in pictures.items():
        assert (simulate.PAGE.parent / name).read_text() == picture
        assert name in simulate.PAGE.read_text()
        tree = ElementTree.fromstring(picture)  # noqa: S314 - our own picture
        lines = [one for one in tree.iter() if one.get("stroke-width") == "2"]
        assert len(lines) >= 3


def test_every_prediction_that_was_checked_is_near() -> None:
    scale = msgspec.json.decode(simulate.SCALE.read_bytes())
    assert len(scale["check"]) == 4
    for name, one in scale["check"].items():
        assert abs(one["ratio"] - 1) <= simulate.TOLERANCE, name
