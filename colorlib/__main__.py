"""`python -m colorlib` is `colorlib`; so is `torchrun -m colorlib` in several processes."""

import sys

from colorlib.cli import main

if __name__ == "__main__":
    sys.exit(main())
