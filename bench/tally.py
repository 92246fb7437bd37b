"""Tally: an independent record of which handlers ran and when, kept by the drivers themselves."""

from __future__ import annotations

import struct
import sys
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_RECORD = struct.Struct("<dd")


class Tally:
    """Numbers and times of what happened, on the machine's one monotonic clock.

    Attributes:
        numbers: of events, in the order in which they came.
        times: when each came, in seconds.
    """

    def __init__(self) -> None:
        self.numbers = array("d")
        self.times = array("d")

    def __len__(self) -> int:
        return len(self.numbers)

    def add(self, number: int, time: float) -> None:
        """Note one."""
        self.numbers.append(number)
        self.times.append(time)

    def extend(self, other: Tally) -> None:
        """Note all of another."""
        self.numbers.extend(other.numbers)
        self.times.extend(other.times)

    def write(self, path: Path) -> None:
        """Write pairs of little-endian doubles, as every driver does."""
        both = array(
            "d", [value for pair in zip(self.numbers, self.times, strict=True) for value in pair]
        )
        if sys.byteorder == "big":
            both.byteswap()
        path.write_bytes(both.tobytes())

    @classmethod
    def read(cls, path: Path) -> Tally:
        """Read what a driver wrote; a last record that is cut off does not count."""
        tally = cls()
        if not path.exists():
            return tally
        raw = path.read_bytes()
        both = array("d", raw[: len(raw) // _RECORD.size * _RECORD.size])
        if sys.byteorder == "big":
            both.byteswap()
        tally.numbers, tally.times = both[0::2], both[1::2]
        return tally

    def firsts(self) -> dict[int, float]:
        """When each number came first."""
        found: dict[int, float] = {}
        for number, time in zip(self.numbers, self.times, strict=True):
            known = found.get(int(number))
            if known is None or time < known:
                found[int(number)] = time
        return found
