"""`python -m e2gan` is `e2gan`."""

import sys

from e2gan.cli import main

sys.exit(main())
