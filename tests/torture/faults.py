"""A process that dies, or a system that refuses, at the nth call of those that write."""

from __future__ import annotations

import builtins
import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# What the library changes files with, besides `open` and a file's `write`.
CALLS = ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "remove")


class Faults:
    """Counts the moments before and after each call that writes, and does `strike` at moment number `n`."""

    def __init__(self, n: int, strike: Callable[[], None]) -> None:
        self.n, self.strike, self.moments = n, strike, 0

    def moment(self) -> None:
        self.moments += 1
        if self.moments - 1 == self.n:
            self.strike()

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            self.moment()
            result = call(*args, **kwargs)
            self.moment()
            return result

        return called

    def open(self, file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if set(mode) & set("wax+"):
            self.moment()
            return _File(self.real_open(file, mode, *args, **kwargs), self)
        return self.real_open(file, mode, *args, **kwargs)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The calls are counted inside of this block."""
        self.real_open, real = builtins.open, {name: getattr(os, name) for name in CALLS}
        builtins.open = self.open  # type: ignore[assignment]
        for name in CALLS:
            setattr(os, name, self.around(real[name]))
        try:
            yield
        finally:
            builtins.open = self.real_open
            for name in CALLS:
                setattr(os, name, real[name])


class _File:
    """A file whose writes are torn: half of what is written is on the disk at one of the moments."""

    def __init__(self, file: Any, faults: Faults) -> None:
        self._file, self._faults = file, faults

    def write(self, data: Any) -> int:
        self._faults.moment()
        half = len(data) // 2
        self._file.write(data[:half])
        self._file.flush()
        self._faults.moment()
        self._file.write(data[half:])
        self._file.flush()
        self._faults.moment()
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class Killer(Faults):
    """SIGKILL at the nth moment: for a process that was forked to die."""

    def __init__(self, n: int) -> None:
        super().__init__(n, lambda: os.kill(os.getpid(), signal.SIGKILL))

    def run(self, work: Callable[[], int]) -> int:
        with self.installed():
            return work()


def full_disk() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
