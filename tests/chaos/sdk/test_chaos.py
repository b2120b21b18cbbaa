"""The client under attack, by the ledgers of its applications; and every known way to break it is caught."""

import os

import pytest

from tests.chaos.sdk.mutants import MUTANTS
from tests.chaos.sdk.run import JS_MUTANTS, JS_SCENES, SCENES, Broken, play


@pytest.mark.parametrize("scene", ["faults", "forks", "kills"])
def test_every_record_is_stored_once_or_told(scene: str) -> None:
    happened = play(scene, 3.0, int.from_bytes(os.urandom(4), "big"))
    assert happened["event"] > 20


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("scene", SCENES)
def test_every_promise_holds_under_every_fault(scene: str) -> None:
    play(scene, 30.0, int.from_bytes(os.urandom(4), "big"))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("scene", JS_SCENES)
def test_every_promise_holds_for_javascript(scene: str) -> None:
    play(scene, 4.0, int.from_bytes(os.urandom(4), "big"), is_js=True)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", JS_MUTANTS)
def test_a_broken_client_for_javascript_is_caught(name: str) -> None:
    with pytest.raises(Broken):
        play(MUTANTS[name].scene, 3.0, 1, name, is_js=True)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_client_is_caught(name: str) -> None:
    with pytest.raises(Broken):
        play(MUTANTS[name].scene, 6.0, 1, name)
