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
from colorlib.errors import ColorlibError

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
NO_MEMORY = "out of memory; try a smaller --batch-size, --size or --max-pixels"
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
        with _short_warnings():
            return _run(args)
    except (ColorlibError, ValueError, OSError, MemoryError) as error:
        return _fail(_one_line(error))
    except RuntimeError as error:
        reason = _device_trouble(error)
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


def _parse(name: str, kind: type, args: list[str]) -> Any:
    """The flags of a command, or None after its help was printed. Raises ValueError for wrong flags."""
    import tyro

    prog = f"colorlib {name}"
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            default = {"default": kind.default(args)} if hasattr(kind, "default") else {}
            return tyro.cli(kind, prog=prog, args=args, **default)
    except SystemExit as end:
        if not end.code:
            return None
        raise ValueError(f"{_reason(said.getvalue())}; see: {prog} --help") from None


def _reason(message: str) -> str:
    """What is wrong, out of tyro's framed paragraphs or argparse's lines; and flags that come close."""
    lines = [line.strip("│ ") for line in message.splitlines() if not line.startswith(("╭", "╰", "usage:"))]
    paragraphs = re.split(r"\n[─-]{5,}\n", "\n".join(lines))
    if len(paragraphs) > 1 and "╭" not in message:  # a terminal without box characters: the title comes first
        paragraphs = paragraphs[1:]
    reason = " ".join(paragraphs[0].split("Got errors:")[0].split()).rstrip(".")
    close = re.findall(r"^(--[\w-]+)", "\n".join(paragraphs[1:-1]), flags=re.MULTILINE)
    known = [flag for flag in dict.fromkeys(close) if flag not in reason]
    reason = re.sub(r"^colorlib \w+: error: ", "", reason)
    return f"{reason}; perhaps you meant {' or '.join(known)}" if known else reason


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


def _one_line(error: BaseException) -> str:
    """The message in one line; a file that the system refused is named."""
    if isinstance(error, OSError) and error.strerror:
        where = f" {error.filename}" if error.filename else ""
        return f"cannot use{where}: {error.strerror}" if where else error.strerror
    if isinstance(error, MemoryError):
        return NO_MEMORY
    return " ".join(str(error).split()) or type(error).__name__


def _device_trouble(error: RuntimeError) -> str | None:
    """What to say of torch's errors that are the machine's fault, not the program's; None for another error."""
    if type(error).__name__ == "OutOfMemoryError":  # torch's, by name: `colorlib --help` does without torch
        return "the device is out of memory; try a smaller --batch-size or --size, or --device cpu"
    if "DefaultCPUAllocator" in str(error):
        return NO_MEMORY
    if type(error).__name__ == "AcceleratorError" or str(error).startswith("CUDA"):
        return f"the device fails: {str(error).splitlines()[0]}; see: colorlib doctor, or use --device cpu"
    return None


def _fail(reason: str) -> int:
    print(f"colorlib: {reason}", file=sys.stderr)
    return 2
