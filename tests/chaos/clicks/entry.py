"""`python -m tests.chaos.clicks.entry ingest|aggregator`: a service as it is, or with the mutant that CHAOS_MUTANT
names.

Granian starts its workers in new interpreters, which import this module again: so a mutant lives in them too.
"""

import importlib
import os
import sys

from tests.chaos.clicks.mutants import MUTANTS
from tests.chaos.records.mutants import RECORD_MUTANTS

if name := os.environ.get("CHAOS_MUTANT"):
    (MUTANTS | RECORD_MUTANTS)[name].patch()

if __name__ == "__main__":
    importlib.import_module(f"{sys.argv[1]}.__main__").main()
