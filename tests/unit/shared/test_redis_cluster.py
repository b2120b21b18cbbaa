"""The URL of a cluster, and what the client is made of."""

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection

from shared.settings import Settings, load
from shared.stores.redis_client import connect
from shared.stores.redis_cluster import Cluster, urls_of_nodes
from tallybook.stack.running_stack import _redis_cli


def clustered(url: str) -> Cluster:
    """A client of the cluster, which has not connected yet."""
    client = connect(load({"TALLYBOOK_REDIS_URL": url, "TALLYBOOK_TEST_REDIS_TIMEOUT_S": "0.7"}))
    assert isinstance(client, Cluster)
    return client


@pytest.mark.parametrize(
    ("url", "nodes"),
    [
        ("redis+cluster://one", ["redis://one"]),
        ("redis+cluster://one:7000,two", ["redis://one:7000", "redis://two"]),
        ("rediss+cluster://:p%40w@one,two:7001", ["rediss://:p%40w@one", "rediss://:p%40w@two:7001"]),
        ("redis+cluster://u:p@one,two/0?protocol=2", ["redis://u:p@one/0?protocol=2", "redis://u:p@two/0?protocol=2"]),
    ],
)
def test_a_url_names_nodes_that_share_all_else(url: str, nodes: list[str]) -> None:
    assert urls_of_nodes(url) == nodes


def test_every_node_gets_the_password_and_the_time_outs_and_repeats_nothing() -> None:
    client = clustered("rediss+cluster://tally:p%40w@192.0.2.1:7000,192.0.2.2")
    assert list(client.nodes_manager.startup_nodes) == ["192.0.2.2:6379", "192.0.2.1:7000"]
    assert client.retry.get_retries() == 0
    for node in client.nodes_manager.startup_nodes.values():
        connection = node.acquire_connection()
        assert isinstance(connection, SSLConnection)
        assert (connection.socket_timeout, connection.socket_connect_timeout) == (0.7, 0.7)
        assert connection.retry.get_retries() == 0
        assert (connection.username, connection.password) == ("tally", "p@w")


def test_a_single_server_is_no_cluster() -> None:
    client = connect(Settings(redis_url="redis://192.0.2.1"))
    assert isinstance(client, Redis)
    assert not isinstance(client, Cluster)


def test_redis_cli_is_pointed_to_one_node_from_which_it_follows() -> None:
    assert _redis_cli("redis+cluster://one:7000,two:7000") == "-c -u redis://one:7000"
    assert _redis_cli("redis://one") == "-u redis://one"
