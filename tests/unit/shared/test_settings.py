"""Settings are read once, from one place, and a mistake is named."""

import re
from pathlib import Path

import pytest

from shared.settings import NAMES, PREFIX, REMOVED, Settings, SettingsError, load, masked, variable
from shared.settings.fields import Fixed


def test_without_variables_everything_has_a_default() -> None:
    assert load({}) == Settings()


def test_a_variable_sets_its_field_and_a_flag_wins_over_it() -> None:
    environ = {"TALLYBOOK_PORT": "9000", "TALLYBOOK_HOST": "::1", "HOME": "/nowhere"}
    settings = load(environ, port=9001, host=None)
    assert (settings.port, settings.host) == (9001, "::1")


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert load({"TALLYBOOK_REDIS_URL": ""}).redis_url is None


def test_days_are_kept_by_kind_and_a_former_number_alone_is_refused() -> None:
    settings = load({"TALLYBOOK_RETENTION_DAYS": "clicks=400, hits=90,web=30"})
    kept = {kind: settings.kept_days(kind) for kind in ("clicks", "hits", "web", "events")}
    assert kept == {"clicks": 400, "hits": 90, "web": 30, "events": None}
    for text in ("365", "clicks=0", "clicks", "views=30", "clicks=-1", "clicks=30=", "hits=30,hits=60"):
        with pytest.raises(SettingsError, match="TALLYBOOK_RETENTION_DAYS"):
            load({"TALLYBOOK_RETENTION_DAYS": text})


def test_networks_are_a_list_of_words() -> None:
    assert load({"TALLYBOOK_TRUSTED_PROXIES": "10.0.0.0/8, ::1/128"}).trusted_proxies == ("10.0.0.0/8", "::1/128")


def test_a_misspelt_variable_cannot_pass_unseen() -> None:
    with pytest.raises(SettingsError, match="TALLYBOOK_PROT is no setting"):
        load({"TALLYBOOK_PROT": "1"})


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("TALLYBOOK_PORT", "http", "TALLYBOOK_PORT=http"),
        ("TALLYBOOK_PORT", "70000", "<= 65535"),
        ("TALLYBOOK_ACK", "disk", "TALLYBOOK_ACK=disk"),
        ("TALLYBOOK_WORKERS", "0", ">= 1"),
        ("TALLYBOOK_TRUSTED_PROXIES", "10.0.0.1/8", "host bits"),
        ("TALLYBOOK_REDIS_URL", "cache:6379", "has to begin with redis:// or rediss:// or unix:// or redis+cluster://"),
        ("TALLYBOOK_DATABASE_URL", "mysql://clicks", "has to begin with postgresql://"),
        ("TALLYBOOK_LOG_URL", "broker:9092", "has to begin with kafka:// or redis://"),
        ("TALLYBOOK_CLICKHOUSE_URL", "clickhouse://u:p@db:9000", "has to begin with http:// or https://"),
        ("TALLYBOOK_EVENTS_COLD_S3_URL", "https://s3.example.org", "cannot be used"),
        ("TALLYBOOK_EVENTS_COLD_S3_URL", "s3://bucket/prefix", "cannot be used"),
        ("TALLYBOOK_EVENTS_COLD_S3_URL", "https://id:secret@s3.example.org/bucket", "cannot be used"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(variable: str, value: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=variable) as caught:
        load({variable: value})
    assert reason in str(caught.value)


def test_a_secret_can_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://u:p@db/clicks\n")
    settings = load({"TALLYBOOK_DATABASE_URL_FILE": str(tmp_path / "url")})
    assert settings.database_url == "postgresql://u:p@db/clicks"


def test_a_secret_file_may_begin_with_a_mark_of_utf8_and_is_named_when_it_is_none(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_bytes(b"\xef\xbb\xbfpostgresql://u:p@db/clicks\r\n")
    settings = load({"TALLYBOOK_DATABASE_URL_FILE": str(path)})
    assert settings.database_url == "postgresql://u:p@db/clicks"
    path.write_bytes("postgresql://u:p@db/clicks".encode("utf-16"))
    with pytest.raises(SettingsError, match=r"TALLYBOOK_DATABASE_URL_FILE names .*url, which is no UTF-8"):
        load({"TALLYBOOK_DATABASE_URL_FILE": str(path)})


def test_an_empty_name_of_a_secret_file_is_no_name() -> None:
    url = "postgresql://u:p@db/clicks"
    settings = load({"TALLYBOOK_DATABASE_URL": url, "TALLYBOOK_DATABASE_URL_FILE": "", "TALLYBOOK_JWT_KEYS_FILE": ""})
    assert settings == Settings(database_url=url)


def test_a_missing_secret_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"TALLYBOOK_DATABASE_URL_FILE names .*none"):
        load({"TALLYBOOK_DATABASE_URL_FILE": str(tmp_path / "none")})


def test_s2_passwords_never_show() -> None:
    settings = Settings(redis_url="redis://:hunter2@cache", database_url="postgresql://u:hunter2@db/x")
    assert "hunter2" not in repr(settings)
    assert "postgresql://u:***@db/x" in repr(settings)
    assert masked("redis+cluster://:hunter2@one:1,two:2") == "redis+cluster://:***@one:1,two:2"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@db/x?sslmode=require",
        "postgresql://db/x?user=u&password=hunter2",
        "postgresql:///x?pass%77ord=hunter2&host=/run",
        "postgresql://db/x?sslmode=require&sslpassword=hunter2",
        "postgresql://u:a/b#hunter2?c@db/x",
        "postgresql://u:a@hunter2@one:5432,two:5432/x",
        "unix:///run/redis.sock?db=0&PASSWORD=hunter2",
        "redis+cluster://:hunter2@one:1,two:2",
        "kafka://u:hunter2@one:9092,v:hunter2@two:9092",
        "kafka://one:9092?sasl.password=hunter2",
        "kafka://one:9092?sasl_plain_password=hunter2&x=1",
        "https://default:hunter2@cloud:8443/tallybook",
        "redis://:se,hunter2@h",
        "postgresql://u:a,hunter2,b@h/db",
        "postgresql://u:hunter2,b@one:5432,two:5432/db",
        "http://cloud:8123/?user=u&token=hunter2",
        "host=db user=u password=hunter2",
        "host=db password = 'a hunter2 b' user=u",
    ],
)
def test_a2_no_spelling_of_a_password_is_shown(url: str) -> None:
    assert "hunter2" not in str(masked(url))
    assert "***" in str(masked(url))


def test_a2_what_is_no_secret_is_shown_as_it_is() -> None:
    for url in (
        "redis://cache:6379/1",
        "postgresql://u@/postgres?host=/run/x&sslmode=require",
        "unix:///a/b.sock?db=2",
        "kafka://one:9092,two:9092",
    ):
        assert masked(url) == url


def test_a2_the_key_of_sentry_shows_nowhere() -> None:
    assert "hunter2" not in repr(load({"TALLYBOOK_SENTRY_DSN": "https://hunter2@sentry.example.org/1"}))


def test_the_key_of_s3_shows_nowhere() -> None:
    assert "hunter2" not in repr(load({"TALLYBOOK_EVENTS_COLD_S3_KEY": "id:hunter2"}))
    with pytest.raises(SettingsError) as caught:
        load({"TALLYBOOK_EVENTS_COLD_S3_KEY": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_refused_url_keeps_its_password() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"TALLYBOOK_DATABASE_URL": "mysql://u:hunter2@db"})
    assert "hunter2" not in str(caught.value)


def test_each_partition_of_the_log_has_memory_for_an_append() -> None:
    environ = {"TALLYBOOK_LOG_PARTITIONS": "64"}
    message = "TALLYBOOK_LOG_PARTITIONS=64: set 1006632960 or more .or, once the sinks have caught up, fewer partitions"
    with pytest.raises(SettingsError, match=message):
        load(environ)
    assert load({**environ, "TALLYBOOK_REDIS_MEMORY_BYTES": "1006632960"}).log_partitions == 64
    assert load({**environ, "TALLYBOOK_LOG_URL": "kafka://one:9092"}).log_partitions == 64


@pytest.mark.parametrize("url", [None, "redis://cache"])
def test_a_topic_of_dead_letters_needs_a_log_in_kafka(url: str | None) -> None:
    environ = {"TALLYBOOK_DEAD_LETTERS_TOPIC": "letters"}
    assert load({**environ, "TALLYBOOK_LOG_URL": "kafka://one:9092"}).dead_letters_topic == "letters"
    with pytest.raises(SettingsError, match="kafka://"):
        load({**environ, "TALLYBOOK_LOG_URL": url or ""})


@pytest.mark.parametrize("name", sorted(REMOVED))
def test_a_setting_that_was_removed_says_what_became_of_it(name: str) -> None:
    assert name not in {variable(field) for field in Settings.__struct_fields__}
    for spelling in (name, f"{name}_FILE"):
        with pytest.raises(SettingsError) as caught:
            load({spelling: "1"})
        assert str(caught.value) == f"{spelling} is no setting any more: {REMOVED[name]}"
    for other in re.findall(rf"{PREFIX}[A-Z0-9_]+", REMOVED[name]):
        assert other.removeprefix(PREFIX).lower() in NAMES


def test_a_misspelt_variable_is_told_what_it_may_mean() -> None:
    with pytest.raises(SettingsError, match=r"TALLYBOOK_RETENTION_DAY is no setting. Did you mean .*_RETENTION_DAYS\?"):
        load({"TALLYBOOK_RETENTION_DAY": "1"})
    with pytest.raises(SettingsError, match=r"TALLYBOOK_XYZ is no setting. docs"):
        load({"TALLYBOOK_XYZ": "1"})


def test_what_only_tests_change_has_names_of_its_own() -> None:
    assert load({"TALLYBOOK_TEST_MINUTE_S": "2"}).minute_s == 2
    assert not set(NAMES) & set(Fixed.__struct_fields__)
    assert len(NAMES) <= 63
