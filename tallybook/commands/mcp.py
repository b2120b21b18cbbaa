"""`tallybook mcp`: the MCP server of the SDK."""

import click


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    short_help="Let programs that speak MCP read the numbers.",
)
@click.pass_context
def mcp(context: click.Context) -> None:
    """Let programs that speak MCP read the numbers: the same as `tallybook-mcp`."""
    from tallybook_sdk.mcp.command import main

    main(context.args)
