"""Class errors of ClickHouse by what an insert has to do next."""

import asyncio
import re
from typing import Literal

from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError

#: Errors of a call while ClickHouse is away, slow or refuses.
CLICKHOUSE_ERRORS = (ClickHouseError, OSError, asyncio.TimeoutError)

#: unknown    it may have happened: the same rows under the same token again, for ever
#: overload   the same, from 1 s to 60 s, with larger batches and not with more of them
#: readonly   the same; somebody has to know after a minute
#: setup      nothing of this table can be stored until somebody mends it: try now and then, and say so in readiness
#: data       this batch can never be stored as it is: look for the record
Class = Literal["unknown", "overload", "readonly", "setup", "data"]

#: By code (ClickHouse, src/Common/ErrorCodes.cpp). Whatever is not listed is `setup`: a missing migration is no fault
#: of a record.
_CLASSES: dict[Class, dict[int, str]] = {
    "unknown": {
        159: "TIMEOUT_EXCEEDED",
        209: "SOCKET_TIMEOUT",
        210: "NETWORK_ERROR",
        319: "UNKNOWN_STATUS_OF_INSERT",
        394: "QUERY_WAS_CANCELLED",
        499: "S3_ERROR",  # where cold events are
    },
    "overload": {
        173: "CANNOT_ALLOCATE_MEMORY",
        202: "TOO_MANY_SIMULTANEOUS_QUERIES",
        241: "MEMORY_LIMIT_EXCEEDED",
        243: "NOT_ENOUGH_SPACE",
        252: "TOO_MANY_PARTS",
        439: "CANNOT_SCHEDULE_TASK",
    },
    "readonly": {
        225: "NO_ZOOKEEPER",
        242: "TABLE_IS_READ_ONLY",
        285: "TOO_FEW_LIVE_REPLICAS",
        999: "KEEPER_EXCEPTION",
    },
    "data": {
        6: "CANNOT_PARSE_TEXT",
        27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
        38: "CANNOT_PARSE_DATE",
        41: "CANNOT_PARSE_DATETIME",
        53: "TYPE_MISMATCH",
        69: "ARGUMENT_OUT_OF_BOUND",
        70: "CANNOT_CONVERT_TYPE",
        72: "CANNOT_PARSE_NUMBER",
        117: "INCORRECT_DATA",
        349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
        376: "CANNOT_PARSE_UUID",
        441: "CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING",
        467: "CANNOT_PARSE_BOOL",
        469: "VIOLATED_CONSTRAINT",
        675: "CANNOT_PARSE_IPV4",
        676: "CANNOT_PARSE_IPV6",
    },
}
_BY_CODE: dict[int, Class] = {code: name for name, codes in _CLASSES.items() for code in codes}
#: The other meaning of 252: rows of more partitions than `max_partitions_per_insert_block` never get in together.
_TOO_MANY_PARTITIONS = (252, "Too many partitions")
#: Refusals of S3 among its errors: a wrong key, a missing right, a bucket that is not there. Others are outages.
_S3, _S3_REFUSED = (
    499,
    re.compile(
        r"AccessDenied|Access Denied|AccountProblem|ExpiredToken|InvalidAccessKeyId|InvalidBucketName|NoSuchBucket|"
        r"PermanentRedirect|SignatureDoesNotMatch"
    ),
)
#: clickhouse-connect says the status in words only, when an answer has no code of ClickHouse: that of a proxy.
_SERVER_STATUS = re.compile(r"HTTP status 5\d\d")


def classify(error: BaseException) -> Class:
    """Return the class of one of CLICKHOUSE_ERRORS."""
    if not isinstance(error, ClickHouseError):
        return "unknown"
    code = getattr(error, "code", None)
    if code is None:
        return _without_code(error)
    if code == _TOO_MANY_PARTITIONS[0] and _TOO_MANY_PARTITIONS[1] in str(error):
        return "data"
    if code == _S3 and _S3_REFUSED.search(str(error)):
        return "setup"
    return _BY_CODE.get(code, "setup")


def _without_code(error: ClickHouseError) -> Class:
    if isinstance(error, OperationalError):
        return "unknown"
    is_of_a_server = isinstance(error, DatabaseError) and _SERVER_STATUS.search(str(error))
    return "unknown" if is_of_a_server else "setup"
