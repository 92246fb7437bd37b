"""What other processes compute in tests: functions of a module, which they import by name."""

import os
import signal
import time


def where(number):
    return number, os.getpid()


def fail(text):
    raise ValueError(text)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def spin(path):
    """Compute without end, and tell who does."""
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123 - shown whole at once, below
        file.write(f"{os.getpid()}\n")
    while True:
        time.perf_counter()
