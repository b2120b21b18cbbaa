"""`python -m tallybook_sdk.mcp` is `tallybook-mcp`."""

from tallybook_sdk.mcp.command import main

main()
