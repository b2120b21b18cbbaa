"""The structs of the SDK are those of the OpenAPI document, and its limits are those of the settings."""

import inspect
import json
import subprocess
import sys
from typing import Any
from uuid import RFC_4122, UUID

import msgspec
import pytest

import tallybook_sdk
from ingest.clicks.operations import BODY_MAX as CLICKS_BYTES_MAX
from ingest.events.routes import BODY_MAX as EVENTS_BYTES_MAX
from ingest.http.rate_limits import SKEW_MAX_S
from shared.settings import Settings
from tallybook_sdk import Client, models, settings
from tallybook_sdk.calls import Call
from tallybook_sdk.client import AsyncClient
from tallybook_sdk.outbox.ids import random_id_text
from tests.harness.process import ROOT

#: Where two routes have a struct of one name, the document says whose it is: here it is that of `POST /stats`.
_TEXT = (ROOT / "docs/openapi.json").read_text()
DOCUMENT = json.loads(_TEXT)["components"]["schemas"]
#: What `GET /limits` answers has defaults here, for services without the route.
OWN = {"Limits", "ClickLimits", "EventLimits"}
STRUCTS = [
    one
    for name, one in vars(models).items()
    if inspect.isclass(one) and issubclass(one, msgspec.Struct) and not name.startswith("_") and name not in OWN
]


def plain(schema: Any) -> Any:
    """A schema without what people read, in the form of the document."""
    match schema:
        case {"$ref": ref}:
            return {"$ref": ref.replace("$defs", "components/schemas")}
        case dict():
            return {name: plain(one) for name, one in schema.items() if name not in ("description", "examples")}
        case list():
            return [plain(one) for one in schema]
    return schema


@pytest.mark.parametrize("struct", [one for one in STRUCTS if one is not msgspec.Struct], ids=lambda one: one.__name__)
def test_a_struct_equals_its_component(struct: type[msgspec.Struct]) -> None:
    [_], components = msgspec.json.schema_components([struct], ref_template="#/components/schemas/{name}")
    assert plain(components[struct.__name__]) == plain(DOCUMENT[struct.__name__])


@pytest.mark.parametrize("name", sorted(OWN))
def test_the_limits_have_the_fields_of_their_component(name: str) -> None:
    [_], components = msgspec.json.schema_components([getattr(models, name)])
    assert components[name]["properties"].keys() == DOCUMENT[name]["properties"].keys()


def test_the_documented_limits_are_those_of_the_service() -> None:
    clicks, events, of = models.ClickLimits(), models.EventLimits(), Settings()
    assert (clicks.items_max, clicks.bytes_max) == (of.bulk_items_max, CLICKS_BYTES_MAX)
    assert (clicks.window_s, clicks.backdate_max_s) == (of.idempotency_window_s, of.backdate_max_s)
    assert clicks.skew_max_s == SKEW_MAX_S
    assert (events.bytes_max, events.properties_bytes_max) == (EVENTS_BYTES_MAX, of.event_properties_bytes_max)


def test_both_clients_read_alike() -> None:
    """One description makes both methods: names, parameters and defaults are the same."""
    for name in ("stats", "series", "hits", "top", "pages", "dau", "top_events", "retention", "limits", "ready"):
        blocking, awaiting = getattr(Client, name), getattr(AsyncClient, name)
        assert inspect.signature(blocking.__wrapped__) == inspect.signature(awaiting.__wrapped__)
        assert inspect.signature(blocking.__wrapped__).return_annotation.__origin__ is Call
        assert blocking.__doc__


def test_the_sdk_says_its_version() -> None:
    assert f'version = "{settings.VERSION}"' in (ROOT / "sdk/python/pyproject.toml").read_text()


def test_every_public_name_is_there_and_the_outbox_loads_no_http() -> None:
    assert all(getattr(tallybook_sdk, name).__name__ == name for name in tallybook_sdk.__all__)
    with pytest.raises(AttributeError):
        _ = tallybook_sdk.Nothing
    program = "import sys, tallybook_sdk.outbox; print({'asyncio', 'http.client', 'ssl'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_ids_are_uuids_of_version_4_and_differ() -> None:
    ids = [random_id_text() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert {(str(UUID(one)) == one, UUID(one).version, UUID(one).variant) for one in ids} == {(True, 4, RFC_4122)}
