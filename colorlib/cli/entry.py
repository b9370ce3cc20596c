"""The command line: which command, with which flags, and how it ended. What the commands do is in `commands`.

Exit status: 0 done; 1 some of many inputs failed, each named; 2 nothing could be done, one line says why and what to
do; 130 stopped by a signal. A traceback is a bug.
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
    "resume": "go on with a run that was stopped, or train a finished one further",
    "colorize": "colour photographs",
    "evaluate": "compare weights on photographs that they were not trained on",
    "data": "list, download or prepare data sets",
    "doctor": "say what this machine has and whether it works",
    "export": "write a generator as ONNX",
}
HELP = "\n".join(
    [
        "usage: colorlib COMMAND ...",
        "",
        "Colorization with conditional GANs.",
        "",
        *(f"  {name:<9} {summary}" for name, summary in COMMANDS.items()),
        "",
        "colorlib COMMAND --help explains a command. To begin with: colorlib demo",
    ]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. Expected failures become one line on stderr."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        with _encodable_output(), _short_warnings():
            return _run(args)
    except (ColorlibError, ValueError, OSError) as error:
        return _fail(one_line(error))
    except (RuntimeError, MemoryError) as error:
        reason = _device_trouble(error, args[0])
        if reason is None:
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
        raise ValueError(f"expected a command of {', '.join(COMMANDS)}, got {name!r}; see: colorlib --help")
    from colorlib.cli import commands  # torch and the rest: `colorlib --help` does without

    flags = _parse(name, commands.COMMANDS[name].flags, rest)
    return 0 if flags is None else commands.COMMANDS[name].run(flags)


def _parse(name: str, flags: type, args: list[str]) -> Any:
    """The flags of a command, or None after its help was printed. Raises ValueError for wrong flags."""
    import tyro

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            default = {"default": flags.default(args)} if hasattr(flags, "default") else {}
            return tyro.cli(flags, prog=f"colorlib {name}", args=args, **default)
    except SystemExit as end:
        if not end.code:
            return None
        raise ValueError(f"{_reason(said.getvalue())}; see: colorlib {name} --help") from None


def _reason(message: str) -> str:
    """The first paragraph of tyro's message, without the title and the frame, and the flags that tyro proposes."""
    text = " ".join(re.sub("[│╭╮╰╯]", " ", message).split())
    _, reason, *more = re.split(" ?[─-]{5,} ?", text)
    known = [flag for text in more if text.startswith("Perhaps") for flag in re.findall(r"--[\w-]+", text)]
    reason = reason.partition(" Got errors:")[0].rstrip(".")
    return f"{reason}; perhaps you meant {' or '.join(known)}" if known else reason


@contextlib.contextmanager
def _encodable_output() -> Iterator[None]:
    """Print characters that the output's encoding lacks as escapes, such as `\\u0141`.

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
            with contextlib.suppress(OSError, ValueError):  # closed meanwhile
                stream.reconfigure(errors="strict")


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    """A warning is a line that a user can read, without the place in the code."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"colorlib: {' '.join(str(message).split())}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield


# What makes a command need less memory.
SMALLER = {
    "train": "try a smaller --batch-size or --size, --accumulate or --checkpointing",
    "colorize": "try a smaller photograph",
    "evaluate": "try a smaller --batch-size or --size",
    "data": "try a smaller --size",
}


def _device_trouble(error: Exception, command: str) -> str | None:
    """A line about an error of torch that is the machine's fault and not the program's, else None."""
    from colorlib.devices import is_out_of_memory

    if is_out_of_memory(error):
        return f"out of memory; {SMALLER.get(command, 'close other programs, or use another machine')}"
    if type(error).__name__ == "AcceleratorError" or str(error).startswith("CUDA"):
        return f"the device fails: {str(error).splitlines()[0]}; see: colorlib doctor, or use --device cpu"
    return None


def _fail(reason: str) -> int:
    print(f"colorlib: {reason}", file=sys.stderr)
    return 2
