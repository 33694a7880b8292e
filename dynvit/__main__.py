"""``python -m dynvit``, which is also what ``accelerate launch -m dynvit`` runs."""

import sys

from dynvit.cli import main

sys.exit(main())
