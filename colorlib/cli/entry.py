"""Read the command line, run the command, and turn its result into an exit status. The commands are in `commands`.

Exit status: 0 means done. 1 means that some of many inputs failed, and each of them was named. 2 means that nothing
could be done, and one line said why and what to do. 130 means that a signal stopped the command. A traceback is a bug.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from colorlib import __version__
from colorlib.errors import ColorlibError, one_line

COMMANDS = {
    "demo": "train on drawn scenes and on photographs for four minutes, and write a report",
    "train": "train a generator",
    "resume": "continue a run that was stopped, or train a finished run further",
    "colorize": "colour photographs",
    "evaluate": "compare weights on photographs that they were not trained on",
    "data": "list, download or prepare data sets",
    "doctor": "check whether everything on this machine works: packages, device, memory, disk",
    "export": "write a generator as an ONNX file",
}
HELP = "\n".join(
    [
        "usage: colorlib COMMAND ...",
        "",
        "Colorization with conditional GANs.",
        "",
        *(f"  {name:<9} {summary}" for name, summary in COMMANDS.items()),
        "",
        "colorlib COMMAND --help explains a command. To begin, run: colorlib demo",
    ]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. An expected failure is printed as one line on stderr."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        with _encodable_output(), _short_warnings():
            return _run(args)
    except (ColorlibError, ValueError, OSError) as error:
        return _fail(one_line(error))
    except (RuntimeError, MemoryError) as error:
        reason = _device_trouble(error, args[0])
        if reason is None:  # a bug in the program: its traceback is needed to find it
            raise
        return _fail(reason)
    except KeyboardInterrupt:
        print("colorlib: stopped", file=sys.stderr)
        return 130


def _run(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        print(HELP)
        return 0
    if args[0] == "--version":
        print(f"colorlib {__version__}")
        return 0
    name, *rest = args
    if name not in COMMANDS:
        raise ValueError(f"there is no command {name!r}, only {', '.join(COMMANDS)}; see: colorlib --help")
    # Imported here because it imports torch, which takes seconds: `colorlib --help` answers at once.
    from colorlib.cli import commands

    flags = _parse(name, commands.COMMANDS[name].flags, rest)
    return 0 if flags is None else commands.COMMANDS[name].run(flags)


def _parse(name: str, flags: type, args: list[str]) -> Any:
    """Parse the flags of a command. Return None if its help was printed. Raises ValueError for wrong flags."""
    import tyro

    # tyro prints its errors in a frame of many lines. They are caught here and shortened to one line.
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            # The defaults of `train` depend on another flag, --recipe.
            default = {"default": flags.default(args)} if hasattr(flags, "default") else {}
            return tyro.cli(flags, prog=f"colorlib {name}", args=args, **default)
    except SystemExit as end:
        if not end.code:
            return None
        raise ValueError(f"{_reason(said.getvalue())}; see: colorlib {name} --help") from None


def _reason(message: str) -> str:
    """Shorten tyro's message to one line: its first paragraph without title and frame, and the flags it proposes.

    In tyro's message, lines of dashes separate the title, the reason and the proposals.
    """
    text = " ".join(re.sub("[│╭╮╰╯]", " ", message).split())
    _, reason, *more = re.split(" ?[─-]{5,} ?", text)
    known = [flag for text in more if text.startswith("Perhaps") for flag in re.findall(r"--[\w-]+", text)]
    reason = reason.partition(" Got errors:")[0].rstrip(".")
    return f"{reason}; perhaps you meant {' or '.join(known)}" if known else reason


@contextlib.contextmanager
def _encodable_output() -> Iterator[None]:
    """Print characters that the output's encoding lacks as escapes, such as `\\u0141`, inside the block.

    On Windows, output that is piped into a file or another program is encoded in a code page of 256 characters. A file
    name with another character would end the command in an error, although the work is done.
    """
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    streams = [stream for stream in streams if stream.errors == "strict"]
    for stream in streams:
        stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream in streams:
            with contextlib.suppress(OSError, ValueError):  # the command may have closed the stream
                stream.reconfigure(errors="strict")


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    """Print each warning inside the block as one line, without the place in the code.

    Deprecation and future warnings are left out: they are about calls between libraries, which a user cannot change.
    """

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"colorlib: {' '.join(str(message).split())}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield


# For the message about a lack of memory: how each command can be made to need less. A test checks that the flags exist.
SMALLER = {
    "train": "try a smaller --batch-size or --size, --accumulate or --checkpointing",
    "colorize": "try a smaller photograph",
    "evaluate": "try a smaller --batch-size or --size",
    "data": "try a smaller --size",
}


def _device_trouble(error: Exception, command: str) -> str | None:
    """One line about an error that the machine causes and not the program, such as a lack of memory. Otherwise None."""
    from colorlib.devices import is_out_of_memory

    if is_out_of_memory(error):
        return f"out of memory; {SMALLER.get(command, 'close other programs, or use another machine')}"
    if type(error).__name__ == "AcceleratorError" or str(error).startswith("CUDA"):
        return f"the device fails: {str(error).splitlines()[0]}; run colorlib doctor, or use --device cpu"
    return None


def _fail(reason: str) -> int:
    """Print why nothing could be done, and return the exit status for it."""
    print(f"colorlib: {reason}", file=sys.stderr)
    return 2
