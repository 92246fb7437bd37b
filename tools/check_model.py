"""Check the model of the engine in model/ with spin: ours must pass, what is broken must be found.

    python tools/check_model.py            all
    python tools/check_model.py --small    a small world, in seconds, for the tests

spin is the system's, or Debian's in .cache/; so is the C compiler that its checker needs.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import debian

MODEL = Path(__file__).resolve().parent.parent / "model" / "engine.pml"
PATIENCE = 1800  # seconds for one check
MEMORY = 6000  # MB that one check may have
DEPTH = 100_000
TOLD = {
    "handed_out>>m": "lost: a claim finds nothing and leaves an event behind",
    "outcomes[log_event[m]]==0": "run twice: an event that has its outcome is delivered again",
    "outcomes[log_event[m]]<=1": "run twice: an event has two outcomes",
    "batch&handed_out": "run twice: a delivery is leased by two claims",
    "outcomes[n]==accepted[n]": "lost: an event that was accepted has no outcome",
    "(open==0)": "lost: a lease that is open has been passed by",
    "next_delivery<": "the model is too small: more deliveries than it has room for",
    "next_xid<": "the model is too small: more transactions than it has room for",
    "invalid end state": "stuck: somebody waits for ever",
}
"""What an assertion of the model means, by a part of its text."""


@dataclass(frozen=True)
class World:
    """How much there is of everything.

    Attributes:
        name: What it is called in the answer.
        sizes: The model's sizes; what is not given is as the model says.
    """

    name: str
    sizes: tuple[str, ...]


SMALL = World("small", ("BEATS=0", "ABORTS=0"))
WORLDS = (
    World("two producers, two claims, a report, a heartbeat, a roll-back", ()),
    World(
        "a claimer who comes three times, two expiries",
        ("CLAIMERS=1", "CLAIMS=3", "TICKS=2", "BEATS=0", "ABORTS=0"),
    ),
    World("two reports, two expiries", ("REPORTS=2", "TICKS=2", "BEATS=0", "ABORTS=0")),
    World("two heartbeats, two expiries", ("BEATS=2", "TICKS=2", "REPORTS=0", "ABORTS=0")),
    World(
        "two claimers who come twice",
        ("CLAIMS=2", "BEATS=0", "REPORTS=0", "TICKS=2", "ABORTS=0"),
    ),
)
BROKEN = {
    "CURSOR_BY_SEQ": "a cursor by delivery number instead of the window",
    "SETTLE_WITHOUT_LOCK": "settle without the lease's lock",
    "EXPIRY_WITHOUT_RECHECK": "expiry without asking again under the lock",
    "OWN_XID_UNLISTED": "a window that leaves its own transaction out",
    "CARRIED_UNSEEN": "expiry that does not see what was carried forward",
}


@dataclass(frozen=True)
class Answer:
    """What spin found.

    Attributes:
        fault: What went wrong, in words; None: nothing did, and everything was looked at.
        states: How many states it has seen.
        depth: Length of the longest way.
        seconds: How long that took.
        trail: The way to the fault, as spin tells it.
    """

    fault: str | None
    states: int
    depth: int
    seconds: float
    trail: str = ""


@dataclass(frozen=True)
class Programs:
    """spin, and how a C compiler is called."""

    spin: str
    compiler: list[str]


def find_programs() -> Programs:
    """The system's programs, or Debian's.

    Raises:
        debian.UnobtainableError: There is neither.
    """
    spin = shutil.which("spin")
    if spin is None:
        spin = str(debian.fetch(["spin"], dependencies=False) / "usr/bin/spin")
    for name in ("gcc", "cc", "clang"):
        if found := shutil.which(name):
            return Programs(spin, [found])
    root = debian.fetch(["gcc", "libc6-dev"], dependencies=True, suite="bookworm")
    wrapper = debian.foreign(root, "usr/bin/gcc")
    return Programs(spin, [*wrapper, f"--sysroot={root}", f"-B{root}/usr/bin/", "-static"])


def check(programs: Programs, *defines: str) -> Answer:
    """Look at every state of the model.

    Args:
        programs: What it is done with.
        defines: As ``NAME`` or ``NAME=value``.

    Raises:
        RuntimeError: spin, the compiler or the checker fails, or did not come to an end.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="arvo-model-") as folder:
        place = Path(folder)
        given = [f"-D{define}" for define in defines]
        source = place / "engine.i"
        text = _run([*programs.compiler, "-E", "-P", "-x", "c", *given, str(MODEL)], place)
        source.write_text(text)
        _run([programs.spin, "-a", "-Pcat", "engine.i"], place)
        options = ["-O2", "-w", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={MEMORY}", "-DVECTORSZ=2048"]
        _run([*programs.compiler, *options, "-o", "pan", "pan.c"], place)
        said = _run([str(place / "pan"), f"-m{DEPTH}"], place)
        states = re.search(r"^ *(\d+) states, stored", said, re.MULTILINE)
        reached = re.search(r"depth reached (\d+), errors: (\d+)", said)
        incomplete = "Search not completed" in said or "max search depth too small" in said
        if states is None or reached is None:
            raise RuntimeError(f"spin says:\n{said}")
        fault = None
        trail = ""
        if int(reached[2]):
            line = re.search(r"^pan:1: (.*)$", said, re.MULTILINE)
            words = line[1] if line else said
            fault = next((told for part, told in TOLD.items() if part in words), words)
            steps = [programs.spin, "-Pcat", "-t", "-p", "-g", "engine.i"]
            trail = "\n".join(_run(steps, place, fails=True).splitlines()[-60:])
        elif incomplete:
            raise RuntimeError(f"spin has not seen everything:\n{said}")
    seconds = time.monotonic() - began
    return Answer(fault, int(states[1]), int(reached[1]), seconds, trail)


def main() -> int:
    """Check all; 1 when ours fails or something broken passes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="a small world only")
    arguments = parser.parse_args()
    try:
        programs = find_programs()
    except debian.UnobtainableError as reason:
        sys.stderr.write(f"model: spin or a C compiler cannot be had: {reason}\n")
        return 1
    failed = 0
    for world in (SMALL,) if arguments.small else WORLDS:
        answer = check(programs, *world.sizes)
        good = answer.fault is None
        failed += not good
        found = answer.fault or "nothing lost, nothing run twice"
        _tell(answer, f"ours, {world.name}", found, good=good)
        if not good:
            print(answer.trail)
    for switch, name in BROKEN.items():
        sizes = ("BEATS=1", "ABORTS=0") if switch == "CARRIED_UNSEEN" else SMALL.sizes
        answer = check(programs, switch, *sizes)
        good = answer.fault is not None and answer.fault.startswith(("lost", "run twice"))
        failed += not good
        _tell(answer, f"broken: {name}", answer.fault or "passes unseen", good=good)
    print(f"model: {'FAILED' if failed else 'passed'}, {failed} of the verdicts are wrong")
    return 1 if failed else 0


def _tell(answer: Answer, name: str, found: str, *, good: bool) -> None:
    facts = f"{answer.states} states, depth {answer.depth}, {answer.seconds:.0f} s"
    print(f"{'ok' if good else 'not ok'} - {name}: {found} ({facts})", flush=True)


def _run(command: list[str], place: Path, *, fails: bool = False) -> str:
    done = subprocess.run(
        command,
        cwd=place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    if done.returncode and not fails:
        raise RuntimeError(f"{command[0]} fails:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
