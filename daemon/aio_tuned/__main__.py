"""`python -m aio_tuned` is the command `aio-tuned`."""

import sys

from aio_tuned.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
