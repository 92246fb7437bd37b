"""``python -m arvo_plpg`` is the command line."""

import sys

from arvo_plpg.cli import main

sys.exit(main())
