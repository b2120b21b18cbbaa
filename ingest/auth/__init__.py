"""Who may do what: API keys, tokens, and programs of this host."""
