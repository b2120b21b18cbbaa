"""Every error of ClickHouse has a class, and only those of a record may make an insert be looked through."""

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, ProgrammingError

from shared.stores.clickhouse_errors import classify


@pytest.mark.parametrize(
    ("codes", "wanted"),
    [
        ((159, 209, 210, 319, 394), "unknown"),
        ((173, 202, 241, 243, 252, 439), "overload"),
        ((225, 242, 285, 999), "readonly"),
        ((16, 47, 60, 81, 115, 164, 497, 516, 1, 1002, 123456), "setup"),
        ((6, 27, 38, 41, 53, 69, 70, 72, 117, 349, 376, 441, 467, 469, 675, 676), "data"),
    ],
)
def test_every_code_has_its_class_and_unknown_codes_are_for_a_person(codes: tuple[int, ...], wanted: str) -> None:
    assert {classify(DatabaseError("...", code=code)) for code in codes} == {wanted}


def test_too_many_parts_pass_and_too_many_partitions_never_do() -> None:
    parts = "Code: 252. DB::Exception: Too many parts (3000 with average size of 1.00 KiB) in table (TOO_MANY_PARTS)"
    partitions = (
        "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 100). (TOO_MANY_PARTS)"
    )
    assert classify(DatabaseError(parts, code=252)) == "overload"
    assert classify(DatabaseError(partitions, code=252)) == "data"


@pytest.mark.parametrize("said", ["Access Denied.", "InvalidAccessKeyId: ...", "SignatureDoesNotMatch", "NoSuchBucket"])
def test_an_s3_that_refuses_the_key_is_no_outage(said: str) -> None:
    assert classify(DatabaseError(f"Code: 499. DB::Exception: {said} (S3_ERROR)", code=499)) == "setup"
    assert (
        classify(DatabaseError("Code: 499. DB::Exception: SlowDown: Please reduce (S3_ERROR)", code=499)) == "unknown"
    )


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (TimeoutError(), "unknown"),
        (ConnectionResetError(), "unknown"),
        (OperationalError("Network Error: Server disconnected"), "unknown"),
        (DatabaseError("HTTP driver received HTTP status 502, server response: bad gateway"), "unknown"),
        (DatabaseError("HTTP driver received HTTP status 413, server response: 502 is only in the text"), "setup"),
        (ProgrammingError("Setting x is unknown or readonly"), "setup"),
    ],
)
def test_without_a_code_only_what_may_have_happened_is_unknown(error: Exception, wanted: str) -> None:
    assert classify(error) == wanted
