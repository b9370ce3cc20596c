"""Run the command line: `python -m colorlib` does what `colorlib` does. `torchrun -m colorlib` runs it in several
processes."""

import sys

from colorlib.cli import main

if __name__ == "__main__":
    sys.exit(main())
