"""The command `kdltr`; `python -m kdltr` is the same."""

import sys

from kdltr.apps.command import main

if __name__ == "__main__":
    sys.exit(main())
