"""Two Go programs that do a part of the same job, to be measured beside tallybook. `build.py` builds them."""
