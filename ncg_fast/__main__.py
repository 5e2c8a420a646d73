"""``python -m ncg_fast``."""

import sys

from ncg_fast.cli import main

sys.exit(main())
