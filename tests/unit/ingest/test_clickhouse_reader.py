"""What routes read is read-only, so the settings of their statements travel beside them."""

from pathlib import Path

import pytest

from shared.settings import SettingsError, load
from shared.stores.clickhouse import _apart

STATEMENTS = sorted(Path(__file__).parents[3].glob("ingest/**/*.sql"))


@pytest.mark.parametrize("path", STATEMENTS, ids=[path.name for path in STATEMENTS])
def test_no_statement_of_a_route_changes_settings_itself(path: Path) -> None:
    text = path.read_text()
    sql, settings = _apart(text)
    assert "SETTINGS" not in sql
    assert len(settings) == text.partition("SETTINGS")[2].count("=")


def test_values_are_sent_without_their_quotes() -> None:
    sql = "SELECT 1\nSETTINGS optimize_aggregation_in_order = 1, short_circuit_function_evaluation = 'disable'\n"
    settings = {"optimize_aggregation_in_order": "1", "short_circuit_function_evaluation": "disable"}
    assert _apart(sql) == ("SELECT 1", settings)


def test_a_reader_belongs_to_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYBOOK_CLICKHOUSE_READ_URL", "http://reader:x@127.0.0.1:8123")
    with pytest.raises(SettingsError, match="TALLYBOOK_CLICKHOUSE_URL"):
        load()
    monkeypatch.setenv("TALLYBOOK_CLICKHOUSE_URL", "http://writer:x@127.0.0.1:8123")
    assert load().clickhouse_read_url == "http://reader:x@127.0.0.1:8123"
