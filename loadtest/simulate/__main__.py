"""`python -m loadtest.simulate`."""

import sys

from loadtest.simulate import main

sys.exit(main())
