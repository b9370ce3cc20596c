"""The command line, `colorlib COMMAND ...`. `python -m colorlib COMMAND ...` is the same."""

from colorlib.cli.entry import main

__all__ = ["main"]
