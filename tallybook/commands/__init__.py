"""One module per command of `tallybook`."""
