"""The grammar of segments: what is read, what is refused and where, and that nothing of a client's becomes SQL."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.segments.condition import condition
from ingest.segments.parser import DEPTH_MOST, LENGTH_MOST, PATHS_MOST, TERMS_MOST, parse
from ingest.segments.syntax import And, Node, Not, Or, Term, write
from ingest.statistics.events import FIELDS
from shared.errors import Invalid, Malformed, TallybookError
from tests.harness.subjects.segments import nodes

BUY = Term(("event_type",), ":", "buy")
UA = Term(("properties", "country"), ":", "UA")
LARGE = Term(("properties", "amount"), ">=", "10")


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("event_type:buy", BUY),
        ("event_type=buy", BUY),
        ("  event_type : buy  ", BUY),
        ('event_type:"buy now"', Term(("event_type",), ":", "buy now", True)),
        ('event_type:"\\u0062\\n"', Term(("event_type",), ":", "b\n", True)),
        ('properties."a b".c:x', Term(("properties", "a b", "c"), ":", "x")),
        ("properties.amount>=10", LARGE),
        ("properties.url:a.b/c-d?e", Term(("properties", "url"), ":", "a.b/c-d?e")),
        ("event_type:buy and properties.country:UA", And((BUY, UA))),
        ("event_type:buy AND properties.country:UA", And((BUY, UA))),
        ("event_type:buy or properties.country:UA and properties.amount>=10", Or((BUY, And((UA, LARGE))))),
        ("(event_type:buy or properties.country:UA) and properties.amount>=10", And((Or((BUY, UA)), LARGE))),
        ("event_type:buy and (properties.country:UA and properties.amount>=10)", And((BUY, UA, LARGE))),
        ("not event_type:buy and properties.country:UA", And((Not(BUY), UA))),
        ("not(event_type:buy and properties.country:UA)", Not(And((BUY, UA)))),
        ("not not event_type:buy", Not(Not(BUY))),
        ("event_type:android", Term(("event_type",), ":", "android")),
        ("((event_type:buy))", BUY),
    ],
)
def test_a_segment_is_read_as_it_is_meant(text: str, node: Node) -> None:
    assert parse(text, FIELDS) == node


@pytest.mark.parametrize(
    ("text", "kind", "position"),
    [
        ("", Malformed, 0),
        ("   ", Malformed, 3),
        ("event_type", Malformed, 10),
        ("event_type:", Malformed, 11),
        ("event_type:buy properties.country:UA", Malformed, 15),
        ("event_type:buy and", Malformed, 18),
        ("event_type:and", Malformed, 11),
        ("and event_type:buy", Malformed, 0),
        ("(event_type:buy", Malformed, 15),
        ("event_type:buy)", Malformed, 14),
        ("()", Malformed, 1),
        ("event_type::buy", Malformed, 11),
        ("event_type:'buy'", Malformed, 11),
        ("event_type;buy", Malformed, 10),
        ('event_type:"buy', Malformed, 11),
        ('event_type:"b\\q"', Malformed, 13),
        ('event_type:"\\ud800"', Malformed, 11),
        ("properties:x", Malformed, 10),
        ("properties.:x", Malformed, 11),
        ("properties..a:x", Malformed, 11),
        ("1a:x", Malformed, 0),
        ("country:UA", Invalid, 0),
        ("event_type:buy and country:UA", Invalid, 19),
        ("event_type.x:buy", Invalid, 0),
        ("event_type>buy", Invalid, 10),
        ("properties.amount>=ten", Invalid, 19),
        ('properties.amount >= "10"', Invalid, 21),
        ("properties.amount>1e999", Invalid, 18),
        ("properties" + ".a" * 9 + ":x", Invalid, 27),
    ],
)
def test_a_fault_names_its_character(text: str, kind: type[TallybookError], position: int) -> None:
    with pytest.raises(kind) as caught:
        parse(text, FIELDS, "segment")
    assert type(caught.value) is kind
    [fault] = caught.value.errors
    assert (fault["parameter"], fault["position"]) == ("segment", position), fault["detail"]


def test_q3_what_is_too_much_is_refused() -> None:
    at_most = " and ".join(["event_type:a"] * TERMS_MOST)
    parse(at_most, FIELDS)
    with pytest.raises(Invalid, match="comparisons"):
        parse(at_most + " and event_type:a", FIELDS)
    for opened in ("(", "not "):
        parse(opened * DEPTH_MOST + "event_type:a" + ")" * DEPTH_MOST * (opened == "("), FIELDS)
        with pytest.raises(Invalid, match="deep"):
            parse(opened * (DEPTH_MOST + 1) + "event_type:a", FIELDS)
    value = "a" * (LENGTH_MOST - len("event_type:"))
    parse(f"event_type:{value}", FIELDS)
    with pytest.raises(Invalid, match="characters"):
        parse(f"event_type:{value}a", FIELDS)
    paths = [f"properties.p{number}:1" for number in range(PATHS_MOST)]
    parse(" or ".join([*paths, *paths]), FIELDS)
    with pytest.raises(Invalid, match="different paths"):
        parse(" or ".join([*paths, "properties.p0.p1:1"]), FIELDS)


def test_a_document_is_gone_through_once_for_each_path_however_often_it_is_compared() -> None:
    text = " or ".join(
        f"properties.a:{number} or properties.b<{number} or not properties.a:true" for number in range(9)
    )
    found = condition(parse(text, FIELDS), FIELDS)
    passes = set(re.findall(r"JSONExtractRaw\(properties, [^)]*\)", found.sql))
    assert sorted(found.parameters[re.findall(r"\{(\w+):", one)[0]] for one in passes) == ["a", "b"]
    assert set(re.findall(r"\w+\(", found.sql)) == {"JSONExtractRaw(", "toJSONString(", "toFloat64OrDefault("}


@given(nodes())
def test_what_is_written_is_read_again(node: Node) -> None:
    text = write(node)
    if len(text) <= LENGTH_MOST:
        assert parse(text, FIELDS) == node
        assert write(parse(f" ( {text} ) ", FIELDS)) == text


@given(st.text(max_size=60) | st.text("andort():\"'\\=<>! .properties10x", max_size=60))
def test_whatever_is_sent_is_read_or_refused(text: str) -> None:
    try:
        node = parse(text, FIELDS)
    except (Malformed, Invalid) as error:
        [fault] = error.errors
        assert 0 <= fault["position"] <= len(text)
        fault["detail"].encode("ascii")
    else:
        assert parse(write(node), FIELDS) == node


#: All that SQL of a segment may consist of, beside parentheses, commas and blanks.
_SQL = re.compile(
    r"\{segment_\d+:(?:String|Float64)\}|JSONExtractRaw|toJSONString|toFloat64OrDefault|'(?:true|false)'"
    r"|\b(?:NOT|AND|OR|nan|properties|event_type|user_id)\b|[<>]=?|="
)


@given(nodes())
def test_q1_no_character_of_a_client_is_in_the_sql(node: Node) -> None:
    found = condition(node, FIELDS)
    assert set(_SQL.sub("", found.sql)) <= set(" (),")
    named = re.findall(r"\{(\w+):", found.sql)
    assert sorted(set(named)) == sorted(found.parameters)
