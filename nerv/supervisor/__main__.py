"""``python -m nerv.supervisor``: see :mod:`nerv.supervisor.main`."""

import os
import sys

from nerv.supervisor.main import main

if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # not through exit handlers: they would wait for a thread that waits for a stuck disk
