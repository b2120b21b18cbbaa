"""The commands of `tallybook`, one module each. `database` gives them a connection."""
