"""The command line: `colorlib COMMAND ...`, also `python -m colorlib COMMAND ...`."""

from colorlib.cli.entry import main

__all__ = ["main"]
