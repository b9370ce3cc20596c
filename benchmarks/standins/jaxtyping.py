"""Stands in for jaxtyping on a machine that lacks it, so that the benchmarks need nothing but torch and its usual kin.

The package's annotations mean nothing while it runs; only tests check them, with the real one.
"""

from __future__ import annotations

from typing import Any


class _Shaped:
    def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
        return item[0]


Bool = Float = Int = Integer = UInt8 = _Shaped
