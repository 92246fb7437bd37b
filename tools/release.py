"""Build what is released, look into it, and try it where nothing else of ours is.

    tools/release.py [DIRECTORY]

Builds the sdist from the checkout and the wheel from the sdist, into DIRECTORY (dist/). The
checkout must build the same wheel. What is in them is compared with the files of the checkout. Then
the wheel is installed into a new environment, and runs the demonstration, and doctor on a database
of its own, in an empty folder. Prints one line, and exits with 1 if anything is wrong.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = "cli,embedded,page"
SHIPPED = {
    "arvo_plpg": "arvo_plpg",
    "sql": "arvo_plpg/sql",
    "docs/telemetry": "arvo_plpg/telemetry",
}
LEFT_OUT = {"sql/README.md", "sql/parts"}
OF_THE_SDIST = ("arvo_plpg", "sql", "docs", "tests", "tools", "examples", "bench", "conformance")
NEEDED = {
    "arvo_plpg/py.typed",
    "arvo_plpg/sql/roles.sql",
    "arvo_plpg/sql/migrations/SEALS",
    "arvo_plpg/page/templates/base.html",
    "arvo_plpg/page/static/style.css",
    "arvo_plpg/telemetry/dashboard.json",
    "arvo_plpg/telemetry/alerts.yml",
}
CLASSIFIERS = ("Development Status", "Intended Audience", "Operating System", "Typing :: Typed")
SCRATCH = {"__pycache__", "node_modules", "dist", ".cache"}
TRIALS = (
    ("arvo-plpg", "demo"),
    ("arvo-plpg", "sandbox", "--", "python", "-m", "arvo_plpg", "doctor"),
)


def build(target: Path, *kinds: str, isolated: bool = True) -> None:
    """Build from the checkout.

    Args:
        target: directory for what is built.
        kinds: ``--wheel``, ``--sdist``; none: the sdist, and the wheel from it.
        isolated: whether the build's requirements are fetched; False: the environment has them.
    """
    options = [*kinds, *([] if isolated else ["--no-isolation"]), "--outdir", str(target)]
    command = [sys.executable, "-m", "build", *options, str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        sys.exit(f"dist: {' '.join(command)} failed\n{built.stdout}{built.stderr}")


def faults_of_wheel(path: Path) -> list[str]:
    """Tell what is missing from a wheel, what does not belong there, and what its metadata lack."""
    with zipfile.ZipFile(path) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        told = Parser().parsestr(wheel.read(metadata).decode())
    wanted = {
        to + name.removeprefix(place)
        for place, to in SHIPPED.items()
        for name in _files(place)
        if not any(name.startswith(out) for out in LEFT_OUT)
    } | NEEDED
    faults = [f"the wheel lacks {name}" for name in sorted(wanted - names)]
    faults += [f"the wheel has {name}, the checkout has not" for name in sorted(names - wanted)]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    faults += [
        f"metadata: {name} is {told[name]!r}"
        for name, value in (("Name", project["name"]), ("Version", project["version"]))
        if told[name] != value
    ]
    faults += [
        f"metadata: no {name}"
        for name in ("Summary", "License-Expression", "License-File", "Requires-Python", "Keywords")
        if not told[name]
    ]
    classifiers = told.get_all("Classifier") or []
    faults += [
        f"metadata: no classifier {wanted}"
        for wanted in CLASSIFIERS
        if not any(one.startswith(wanted) for one in classifiers)
    ]
    if told["Description-Content-Type"] != "text/markdown" or not re.match(
        r"# arvo-plpg\n", str(told.get_payload())
    ):
        faults.append("metadata: the description is not the README")
    return faults


def faults_of_sdist(path: Path) -> list[str]:
    """Tell what an sdist lacks of the files that its sources, tests and documents are."""
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {name for place in OF_THE_SDIST for name in _files(place)}
    return [f"the sdist lacks {name}" for name in sorted(wanted - names)]


def _files(place: str) -> set[str]:
    found = (path.relative_to(ROOT) for path in (ROOT / place).rglob("*") if path.is_file())
    return {str(path) for path in found if not SCRATCH & set(path.parts)}


def try_out(wheel: Path) -> list[str]:
    """Install a wheel into a new environment, and run it in an empty folder."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "empty")
        folder.mkdir()
        venv.create(Path(place, "venv"), with_pip=True)
        programs = Path(place, "venv", "bin")
        quiet = {"DATABASE_URL", "PYTHONPATH", "VIRTUAL_ENV"}
        environment = {name: value for name, value in os.environ.items() if name not in quiet}
        environment["PATH"] = f"{programs}:{environment['PATH']}"
        install = ("python", "-m", "pip", "install", "--quiet", f"{wheel.resolve()}[{EXTRAS}]")
        faults = []
        for command in (install, *TRIALS):
            ran = subprocess.run(
                [str(programs / command[0]), *command[1:]],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if ran.returncode:
                said = (ran.stdout + ran.stderr)[-2000:]
                faults.append(f"`{' '.join(command)}` exits with {ran.returncode}:\n{said}")
                break
        return faults


def main() -> int:
    """Build, look, try, and say what came of it."""
    target = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "dist"
    for old in [*target.glob("arvo_plpg-*.whl"), *target.glob("arvo_plpg-*.tar.gz")]:
        old.unlink()
    build(target)
    (wheel,), (sdist,) = target.glob("*.whl"), target.glob("*.tar.gz")
    faults = [*faults_of_wheel(wheel), *faults_of_sdist(sdist)]
    with tempfile.TemporaryDirectory() as other:
        build(Path(other), "--wheel")
        if (Path(other) / wheel.name).read_bytes() != wheel.read_bytes():
            faults.append("the sdist builds another wheel than the checkout")
    faults += try_out(wheel)
    for fault in faults:
        print(f"dist: {fault}", file=sys.stderr)
    verdict = f"not fit for release: {len(faults)} faults" if faults else "complete, and runs"
    print(f"dist: {wheel.name} and {sdist.name}: {verdict}")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
