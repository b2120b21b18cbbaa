"""Every error of a store is either away, and tried again with back-off, or for a person, and shown."""

import asyncio
import ssl
from typing import Any

import aiokafka.errors as kafka
import asyncpg
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from redis import exceptions as redis

from aggregator.loops import Loop, run
from shared.errors import LogUnavailable, TooLarge
from shared.stores.failures import Failure, UnreadableRecords, WrongTopic, classify, judge, noted
from shared.telemetry.metrics import STORE_REFUSALS

#: What a script means that a person ended.
KILLED = Failure("redis", "unknown", "SCRIPT_KILLED")


def caused(error: Exception, by: BaseException) -> Exception:
    error.__cause__ = by
    return error


def state(code: str) -> asyncpg.PostgresError:
    """The error that asyncpg makes of a SQLSTATE."""
    made = asyncpg.PostgresError.new({"C": code, "M": "...", "S": "ERROR"})
    assert isinstance(made, asyncpg.PostgresError)
    return made


def tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] ...")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (redis.ConnectionError("Error 111 connecting to x"), Failure("redis", "unknown", "ConnectionError")),
        (redis.TimeoutError("..."), Failure("redis", "unknown", "TimeoutError")),
        (redis.BusyLoadingError("...", status_code="LOADING"), Failure("redis", "unknown", "LOADING")),
        (redis.ClusterDownError("CLUSTERDOWN ..."), Failure("redis", "unknown", "CLUSTERDOWN")),
        (redis.OutOfMemoryError("...", status_code="OOM"), Failure("redis", "overload", "OOM")),
        (redis.ReadOnlyError("...", status_code="READONLY"), Failure("redis", "readonly", "READONLY")),
        (redis.ResponseError("MISCONF Redis is configured to save"), Failure("redis", "readonly", "MISCONF")),
        (redis.ResponseError("REDIRECT 10.0.0.2:6379"), Failure("redis", "unknown", "REDIRECT")),
        (redis.ResponseError("UNBLOCKED force unblock"), Failure("redis", "unknown", "UNBLOCKED")),
        (redis.ExecAbortError("...", status_code="EXECABORT"), Failure("redis", "unknown", "EXECABORT")),
        (redis.ResponseError("Error running script: ... Script killed by user with SCRIPT KILL. script: f"), KILLED),
        (redis.ResponseError("ERR Error running script: ... Script killed by user with SCRIPT KILL..."), KILLED),
        (redis.AuthenticationError("...", status_code="NOAUTH"), Failure("redis", "setup", "NOAUTH")),
        (redis.NoPermissionError("...", status_code="NOPERM"), Failure("redis", "setup", "NOPERM")),
        (redis.ResponseError("WRONGTYPE Operation against a key"), Failure("redis", "setup", "WRONGTYPE")),
        (redis.ResponseError("unknown command 'XADD'"), Failure("redis", "setup", "ResponseError")),
        (redis.InvalidResponse("Protocol Error: b'HTTP/1.1'"), Failure("redis", "setup", "InvalidResponse")),
    ],
    ids=repr,
)
def test_errors_of_redis(error: Exception, wanted: Failure) -> None:
    assert judge(error) == wanted


@pytest.mark.parametrize(
    ("codes", "wanted"),
    [
        (("08006", "57P01", "57P03", "57014", "40001", "40P01", "58030", "XX000"), "unknown"),
        (("53100", "53300"), "overload"),
        (("25006",), "readonly"),
        (("28P01", "28000", "3D000", "3F000", "42501", "42P01", "42703", "0A000", "26000", "22023", "23505"), "setup"),
    ],
)
def test_errors_of_postgres(codes: tuple[str, ...], wanted: str) -> None:
    assert {judge(state(code)) for code in codes} == {Failure("postgres", wanted, code) for code in codes}  # type: ignore[arg-type]


def test_errors_of_kafka() -> None:
    away = (
        *(kafka.KafkaConnectionError, kafka.KafkaTimeoutError, kafka.NotLeaderForPartitionError),
        *(kafka.NotEnoughReplicasError, kafka.RequestTimedOutError, kafka.KafkaError, kafka.UnknownError),
    )
    never = (
        *(kafka.TopicAuthorizationFailedError, kafka.SaslAuthenticationFailed, kafka.UnknownTopicOrPartitionError),
        *(kafka.UnsupportedCodecError, kafka.CorruptRecordException, kafka.InvalidReplicationFactorError),
        *(kafka.UnsupportedVersionError, kafka.ClusterAuthorizationFailedError, kafka.PolicyViolationError),
    )
    assert {judge(kind()) for kind in away} == {Failure("kafka", "unknown", kind.__name__) for kind in away}
    assert {judge(kind()) for kind in never} == {Failure("kafka", "setup", kind.__name__) for kind in never}
    unreadable = caused(UnreadableRecords("hits.0 at 7-0"), EOFError("Compressed file ended"))
    assert judge(caused(LogUnavailable(), unreadable)) == Failure("kafka", "setup", "EOFError")
    assert judge(WrongTopic("topic hits has 3 partitions")) == Failure("kafka", "setup", "WrongTopic")


def test_a_log_that_is_away_means_what_its_client_said() -> None:
    assert judge(LogUnavailable()) == Failure("unknown", "unknown", "log_unavailable")
    assert classify(caused(LogUnavailable(), kafka.TopicAuthorizationFailedError())) == "setup"
    assert classify(caused(LogUnavailable(), redis.NoPermissionError("..."))) == "setup"
    assert classify(caused(LogUnavailable(), TimeoutError())) == "unknown"
    assert classify(caused(TooLarge(), kafka.MessageSizeTooLargeError())) == "setup"


@pytest.mark.parametrize("reason", ["CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "TLSV1_ALERT_UNKNOWN_CA"])
def test_tls_that_never_works_is_for_a_person(reason: str) -> None:
    """However deep the client has wrapped it."""
    for error in (
        tls(reason),
        caused(redis.ConnectionError("..."), tls(reason)),
        caused(DatabaseError("..."), caused(OSError(), tls(reason))),
        caused(LogUnavailable(), caused(kafka.KafkaConnectionError("..."), tls(reason))),
    ):
        assert (judge(error).kind, judge(error).code) == ("setup", reason)
    assert classify(tls("UNEXPECTED_EOF_WHILE_READING")) == "unknown"


async def test_a_loop_counts_what_a_store_refuses_and_goes_on() -> None:
    """What is only away is no refusal."""
    errors: list[Any] = [state("42501"), TimeoutError(), redis.NoPermissionError("..."), redis.ConnectionError("...")]
    before = [value("postgres"), value("redis"), value("unknown")]
    is_over = asyncio.Event()

    async def work() -> None:
        if not errors:
            is_over.set()
            return
        raise errors.pop(0)

    running = asyncio.create_task(run([Loop("tests", work, 0.001)]))
    await is_over.wait()
    running.cancel()
    await asyncio.wait([running])
    assert [value("postgres"), value("redis"), value("unknown")] == [before[0] + 1, before[1] + 1, before[2]]


def test_what_is_noted_is_what_is_judged() -> None:
    for error in (state("42P01"), TimeoutError(), LogUnavailable()):
        assert noted(error) == judge(error)


def value(store: str) -> float:
    return float(STORE_REFUSALS.labels(store)._value.get())
