"""`tallybook generate` says in one sentence what it cannot do, before it connects to anything."""

import pytest
from click.testing import CliRunner

from generator.targets import target
from generator.traffic.profile import FIELDS
from tallybook.cli import main
from tallybook.commands.generate import _HELP, _PROFILE
from tallybook.exits import Exit

REDIS = ("--target", "redis://127.0.0.1:1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a --target"),
        ((*REDIS, "--resume"), "name a --target"),
        (("--target", "ftp://x"), "a target begins with kafka://"),
        (("--target", "http://127.0.0.1/track"), "an HTTP target ends with /events or /stats"),
        (("--target", "kafka://"), "a target has a host"),
        ((*REDIS, "--faulty", "1.5"), "faulty_ratio"),
        ((*REDIS, "--low", "20"), "regular_low_per_s"),
        ((*REDIS, "--mode", "fast"), "--mode"),
        ((*REDIS, "--events", "0"), "--events"),
        ((*REDIS, "--speed", "2"), "--start"),
        ((*REDIS, "--start", "noon"), "--start is an instant"),
        ((*REDIS, "--start", "2026-11-21T08:00:00"), "needs a zone"),
        ((*REDIS, "--way-of", "good=sync"), "--way-of is KIND=WAY"),
        ((*REDIS, "--way-of", "normal=fast"), "--way-of is KIND=WAY"),
        ((*REDIS, "--transactions"), "--way batch"),
        ((*REDIS, "--aborts", "0.5"), "--transactions"),
    ],
)
def test_what_cannot_be_asked_for_is_usage(arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(main, ["generate", *arguments])
    assert result.exit_code == Exit.USAGE
    assert message in result.stderr


def test_a_target_that_is_away_is_unreachable() -> None:
    result = CliRunner().invoke(main, ["generate", *REDIS, "--events", "1"])
    assert result.exit_code == Exit.UNREACHABLE
    assert "Redis does not answer" in result.stderr


def test_nothing_to_resume_is_said(tmp_path: object) -> None:
    result = CliRunner().invoke(main, ["generate", "--resume", "--ledger", f"{tmp_path}/none"])
    assert result.exit_code == Exit.FAILED
    assert "nothing to resume" in result.stderr


def test_every_field_of_the_profile_has_a_flag() -> None:
    assert {field for _, field, _ in _PROFILE} == set(FIELDS) - {"is_paused"} == set(_HELP)


@pytest.mark.parametrize(
    "url", ["kafka://a:1,b:2", "unix:///run/x", "rediss://x", "https://x/events", "http://x/stats"]
)
def test_targets_are_told_by_their_urls(url: str) -> None:
    target.check(url)
