"""Class an error of a store once, for everybody: is the store away, or does it refuse until a person mends something?

Every loop asks here. It tries what is away again, with back-off. It shows what is refused (`setup`) in readiness, in
`tallybook_store_refusals_total` and by the alert StoreRefuses, and goes on trying.
"""

import ssl
import sys
from collections.abc import Iterator
from typing import Literal, NamedTuple

import asyncpg
from clickhouse_connect.driver.exceptions import ClickHouseError
from redis.exceptions import AuthenticationError, InvalidResponse, NoPermissionError, RedisError, ResponseError

from shared.errors import LogUnavailable, TooLarge
from shared.stores import clickhouse_errors
from shared.stores.clickhouse_errors import Class
from shared.telemetry.metrics import STORE_REFUSALS

Store = Literal["redis", "postgres", "clickhouse", "kafka", "unknown"]

#: Words that begin an error of Redis, and what each means. Any other error that it answers with is `setup`.
_REDIS: dict[str, Class] = {
    "BUSY": "unknown",  # a script runs
    "CLUSTERDOWN": "unknown",
    "EXECABORT": "unknown",  # its cause was the answer to a command before it
    "LOADING": "unknown",
    "TRYAGAIN": "unknown",
    "MOVED": "unknown",
    "ASK": "unknown",
    "REDIRECT": "unknown",  # Valkey: a failover goes on
    "UNBLOCKED": "unknown",  # the server became a replica
    "OOM": "overload",
    "MASTERDOWN": "readonly",
    "MISCONF": "readonly",  # its disk refuses
    "NOREPLICAS": "readonly",
    "READONLY": "readonly",  # a replica: a failover ends it
}
#: What Redis says after its word where a person ended a script or a function; the word differs between versions.
_KILLED = "Script killed by user"
#: SQLSTATEs of Postgres, and their classes by the first two characters. What is in neither is `unknown`.
_POSTGRES: dict[str, Class] = {
    "0A": "setup",  # feature not supported
    "22": "setup",  # data exception
    "23": "setup",  # integrity constraint violation
    "25006": "readonly",  # read-only transaction: a standby
    "26": "setup",  # invalid statement name: a pooler without TALLYBOOK_POSTGRES_STATEMENT_CACHE=0
    "28": "setup",  # invalid authorization
    "3D": "setup",  # invalid catalog name
    "3F": "setup",  # invalid schema name
    "42": "setup",  # undefined table, insufficient privilege, syntax
    "53": "overload",  # disk full, too many connections
}
#: Errors of aiokafka by name: its client is an extra that need not be there.
_KAFKA_SETUP = frozenset(
    {
        "AuthenticationFailedError",
        "AuthenticationMethodNotSupported",
        "ClusterAuthorizationFailedError",
        "CorruptRecordException",
        "DelegationTokenAuthDisabled",
        "DelegationTokenAuthorizationFailed",
        "DelegationTokenExpired",
        "DelegationTokenNotFound",
        "DelegationTokenOwnerMismatch",
        "DelegationTokenRequestNotAllowed",
        "GroupAuthorizationFailedError",
        "IllegalSaslStateError",
        "IncompatibleBrokerVersion",
        "InvalidConfigurationError",
        "InvalidGroupIdError",
        "InvalidMessageError",
        "InvalidPartitionsError",
        "InvalidReplicationAssignmentError",
        "InvalidReplicationFactorError",
        "InvalidRequestError",
        "InvalidRequiredAcksError",
        "InvalidTimestampError",
        "InvalidTopicError",
        "InvalidTransactionTimeout",
        "KafkaConfigurationError",
        "MessageSizeTooLargeError",
        "PolicyViolationError",
        "RecordListTooLargeError",
        "RecordTooLargeError",
        "SaslAuthenticationFailed",
        "SecurityDisabled",
        "TopicAuthorizationFailedError",
        "TransactionalIdAuthorizationFailed",
        "UnknownTopicOrPartitionError",
        "UnrecognizedBrokerVersion",
        "UnsupportedCodecError",
        "UnsupportedForMessageFormatError",
        "UnsupportedSaslMechanismError",
        "UnsupportedVersionError",
    }
)
#: What OpenSSL says when the two sides will never agree. A connection that was cut says something else.
_TLS_SETUP = frozenset(
    {
        "CERTIFICATE_VERIFY_FAILED",
        "HTTP_REQUEST",
        "NO_PROTOCOLS_AVAILABLE",
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "TLSV1_ALERT_UNKNOWN_CA",
        "UNSUPPORTED_PROTOCOL",
        "WRONG_VERSION_NUMBER",
    }
)


class Failure(NamedTuple):
    """What an error means: which store, which class, and a code for people that holds no data."""

    store: Store
    kind: Class
    code: str


class UnreadableRecords(Exception):
    """The log holds records that this version cannot unpack: damaged, or of a codec or format that it does not know."""


class WrongTopic(ValueError):
    """A topic is there with a shape that the log cannot use: other partitions, or compaction."""


def classify(error: BaseException) -> Class:
    """Return the class of an error of any store."""
    return judge(error).kind


def noted(error: BaseException) -> Failure:
    """Judge an error that a loop met, and count it if the store refuses until somebody mends something."""
    failure = judge(error)
    if failure.kind == "setup":
        STORE_REFUSALS.labels(failure.store).inc()
    return failure


def judge(error: BaseException) -> Failure:
    """Say what an error of any store means. Those of the log mean what their cause means."""
    if isinstance(error, LogUnavailable | TooLarge):
        return Failure("unknown", "unknown", error.code) if error.__cause__ is None else judge(error.__cause__)
    failure = _judged(error)
    if tls := _tls_refusal(error):
        return failure._replace(kind="setup", code=tls)
    return failure


def _judged(error: BaseException) -> Failure:
    name = type(error).__name__
    if isinstance(error, ClickHouseError):
        return Failure("clickhouse", clickhouse_errors.classify(error), str(getattr(error, "code", None) or name))
    if isinstance(error, RedisError):
        return _of_redis(error)
    if isinstance(error, asyncpg.PostgresError):
        state = str(error.sqlstate)
        return Failure("postgres", _POSTGRES.get(state) or _POSTGRES.get(state[:2], "unknown"), state)
    if isinstance(error, asyncpg.exceptions.ClientConfigurationError):
        return Failure("postgres", "setup", name)
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return Failure("postgres", "unknown", name)
    if isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):  # asyncpg has no class for it
        return Failure("postgres", "setup", "rejected SSL upgrade")
    if isinstance(error, UnreadableRecords | WrongTopic):
        return Failure("kafka", "setup", type(error.__cause__ or error).__name__)
    kafka = sys.modules.get("aiokafka.errors")
    if kafka is not None and isinstance(error, kafka.KafkaError):
        return Failure("kafka", "setup" if name in _KAFKA_SETUP else "unknown", name)
    return Failure("unknown", "unknown", name)


def _of_redis(error: RedisError) -> Failure:
    name = type(error).__name__
    for one in _chain(error):
        if isinstance(one, AuthenticationError | NoPermissionError):
            return Failure("redis", "setup", one.status_code or type(one).__name__)
    word = error.status_code or str(error).partition(" ")[0]  # redis-py cuts the word off where it knows it
    if word in _REDIS:
        return Failure("redis", _REDIS[word], word)
    if _KILLED in str(error):
        return Failure("redis", "unknown", "SCRIPT_KILLED")
    if isinstance(error, InvalidResponse):  # this is no Redis
        return Failure("redis", "setup", name)
    if isinstance(error, ResponseError):
        return Failure("redis", "setup", word if word.isupper() else name)
    return Failure("redis", "unknown", name)


def _tls_refusal(error: BaseException) -> str | None:
    """Return why TLS will never work with this store; None if TLS is not at fault."""
    for one in _chain(error):
        if isinstance(one, ssl.SSLError) and one.reason in _TLS_SETUP:
            return one.reason
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Return an error and its causes."""
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__
