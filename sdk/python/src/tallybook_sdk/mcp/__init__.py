"""Let programs that speak MCP read the numbers: ten tools that each ask routes of the HTTP interface.

tools       what each tool takes and which route it asks
answering   ask, bound the answer, and say whether it is complete
text        make strings of users harmless
catalogue   metrics, guarantees and the grammar of segments, for `list_metrics` and resources; prompts
server      the protocol, over stdio or HTTP

It can do what its key can do, and no more. It writes nothing. It needs `tallybook-sdk[mcp]`.
"""
