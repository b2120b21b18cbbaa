"""Run the stack on a data folder: real servers and services as children of one supervisor.

supervisor     start, revive and stop everything in order
services       the children `ingest` and `aggregator`
embedded       the servers that no URL is set for; `binaries` finds their programs
clickhouse     the child that serves the engine of ClickHouse
launcher       start a child that dies with its parent, under a chosen user
backoff        the waits between restarts of a child
data_folder    locks and notes; `sockets` gives its sockets a short path
addresses      check what the stack binds, before anything starts
running_stack  find the stack that runs on a data folder
check          examine the stores and the host"""
