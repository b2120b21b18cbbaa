"""The command line and the embedded stack.

cli         the command `tallybook`; `options`, `output` and `exits` are common to all commands
commands    one module per command
registries  tables that commands write: banners, trackers, API keys
imports     files that people made, on their way into tables
stack       servers and services on one data folder
metrics     the Prometheus endpoint of the stack
interrupt   SIGTERM and Ctrl-C
"""
