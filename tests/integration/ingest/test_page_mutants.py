"""Each broken script is caught: the tests of pages fail with it, by wrong numbers."""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

import tests.integration.ingest.test_page_banners as banners
import tests.integration.ingest.test_page_sending as sending
import tests.integration.ingest.test_page_views as views
from tests.harness.browser.chromium import PACKAGES, Chromium, node_modules
from tests.harness.browser.recorder import recorder
from tests.harness.browser.site import Site, site
from tests.harness.services import require

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Mutant(NamedTuple):
    """A change of `page.ts`, and the test that has to fail with it."""

    old: str
    new: str
    test: Callable[..., Any]
    given: Mapping[str, Any] = MappingProxyType({})


MUTANTS = {
    "a hidden page is a view": Mutant(
        "!doc.hidden &&\n    path", "path", views.test_a_page_in_a_background_tab_is_a_view_when_somebody_looks
    ),
    "a restored page is the old view": Mutant(
        "if (event.persisted) {",
        "if (0) {",
        views.test_a_restored_page_is_a_view_and_the_script_costs_no_restoring,
        {"rounds": 2, "how": "address", "slow_s": 0.0},
    ),
    "every change of the address is a view": Mutant(
        "path != (path = here.pathname)",
        "path != (path = here.href)",
        views.test_another_path_is_a_view_whatever_the_router_calls,
    ),
    "what was refused is forgotten": Mutant(
        "if (!isDone) queue = batch.concat(queue);",
        "",
        sending.test_what_is_refused_for_now_is_sent_again_under_its_name,
        {"refusal": 503},
    ),
    "a repeat has a new name": Mutant(
        "if (!isDone) queue = batch.concat(queue);",
        "if (!isDone) queue = batch.map((one) => ({ ...one, n: n++ })).concat(queue);",
        sending.test_an_answer_that_is_lost_counts_nothing_twice,
    ),
    "the age of a repeat is that of the first attempt": Mutant(
        'key == "t" ? Math.abs(now() - value) : value',
        'key == "t" ? 0 * value : value',
        sending.test_what_is_refused_for_now_is_sent_again_under_its_name,
        {"refusal": 503},
    ),
    "items are sent at any age": Mutant(
        "< 3e5", "< 3e9", sending.test_what_is_older_than_five_minutes_is_never_sent_again
    ),
    "a page that is left sends one batch": Mutant(
        "if (isLast) send(1);", "", sending.test_more_items_than_a_request_takes_go_in_several
    ),
    "a long event keeps others back": Mutant(
        "?.slice(0, 2049)", "", sending.test_what_cannot_be_text_throws_at_its_caller_and_harms_nothing
    ),
    "scripted clicks count": Mutant(
        "event.isTrusted && ", "", banners.test_what_is_a_click_and_that_nothing_is_held_up
    ),
    "banners are looked for in one tree": Mutant(
        "elements.find((element) => (b = element.dataset?.tallyBanner))",
        "(b = elements[0]!.closest<HTMLElement>('[data-tally-banner]')?.dataset.tallyBanner)",
        banners.test_shadow_trees_frames_of_their_own_and_the_nearest_banner,
    ),
    "nobody watches sizes": Mutant("sizes.observe(element);", "", banners.test_what_comes_later_is_seen),
    "a changed banner keeps its second": Mutant(
        "look(!records.some((record) => record.attributeName))",
        "look(records)",
        banners.test_a_banner_that_is_changed_or_taken_away_was_not_seen_for_a_second,
    ),
    "any part of it is viewable": Mutant(
        "intersectionRatio >= 0.5",
        "intersectionRatio >= 0.1",
        banners.test_half_of_it_for_a_second_without_a_break_is_viewable,
        {"steps": [[0.6, 700], [0.4, 300], [0.6, 700], [0, 300]], "count": 0},
    ),
    "frames have views": Mutant("top != self", "false", banners.test_in_a_frame_banners_count_and_views_do_not),
    "a second tag starts again": Mutant("if (!self.tally?.length)", "", banners.test_a_second_tag_counts_nothing_twice),
}


@pytest.fixture
def place() -> Iterator[Site]:
    """The site of the pages."""
    with site() as one:
        yield one


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_of_the_script_is_caught(chromium: Chromium, place: Site, tmp_path: Path, name: str) -> None:
    mutant = MUTANTS[name]
    with recorder() as service:
        service.script_bytes = built(tmp_path, mutant)
        place.pages |= {"/": service.tag() + sending.BANNER, "/next": "<title>Next</title>"}
        arguments = {"chromium": chromium, "service": service, "place": place, "tmp_path": tmp_path} | dict(
            mutant.given
        )
        wanted = mutant.test.__code__.co_varnames[: mutant.test.__code__.co_argcount]

        def judge() -> None:
            mutant.test(**{one: arguments[one] for one in wanted})
            service.check()

        with pytest.raises((AssertionError, TimeoutError)):
            judge()
        service.faults.clear()


def built(folder: Path, mutant: Mutant) -> bytes:
    """The script with that change."""
    node_modules()
    sources = folder / "web/snippet"
    shutil.copytree(PACKAGES, sources, ignore=shutil.ignore_patterns("node_modules"))
    (sources / "node_modules").symlink_to(PACKAGES / "node_modules")
    changed = 0
    for path in (sources / "page.ts", sources / "t.ts"):
        text = path.read_text()
        changed += text.count(mutant.old)
        path.write_text(text.replace(mutant.old, mutant.new))
    assert changed == 1
    out = folder / "out"
    out.mkdir()
    subprocess.run([require("node"), "build.mjs", str(out)], cwd=sources, capture_output=True, timeout=60, check=True)
    return (out / "t.js").read_bytes()


def test_the_script_itself_is_built_so(tmp_path: Path) -> None:
    """Without a change it is the committed one, so that what is caught is the change."""
    unchanged = Mutant("< 3e5", "< 3e5", sending.attempts)
    with recorder() as service:
        assert built(tmp_path, unchanged) == service.script_bytes
