"""
The folder in which the processes of one configuration file find each other: their Unix sockets are in it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from tempfile import gettempdir

#: The socket of the hub, in that folder.
HUB_SOCKET = "hub.sock"


def runFolder(
    configPath: str, runDir: str = "", environment: Mapping[str, str] | None = None, uid: int | None = None
) -> str:
    """
    Where that folder is; it need not exist.

    @param configPath: the configuration file.
    @param runDir: what the file says itself, if it does; a relative one counts from the folder of the file.
    @param environment: by default that of this process.
    @param uid: the user whose folder it is; by default that of this process.
    """
    path = os.path.abspath(configPath)
    if runDir:
        return os.path.join(os.path.dirname(path), runDir)
    environment = os.environ if environment is None else environment
    uid = os.geteuid() if uid is None else uid
    parent = environment.get("XDG_RUNTIME_DIR", "")
    # Who begins as root, and goes on as another user, has root's variables.
    if not _belongsTo(parent, uid):
        parent = gettempdir()
    # Short, as the path of a Unix socket may have 107 bytes.
    digest = sha256(os.fsencode(path)).hexdigest()[:8]
    return os.path.join(parent, f"crossws-{uid}-{digest}")


def _belongsTo(folder: str, uid: int) -> bool:
    try:
        return os.stat(folder).st_uid == uid
    except OSError:
        return False


def makeRunFolder(folder: str, uid: int | None = None) -> None:
    """
    Make it, for one user alone, if it is not there.

    @param uid: of that user, which only root can choose; by default that of this process.
    @raise ValueError: it cannot be made, or it is there and others could put something into it; a sentence.
    """
    try:
        os.makedirs(os.path.dirname(folder) or ".", exist_ok=True)
        # Somebody else may make it at this very moment.
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
            if uid not in (None, os.geteuid()):
                os.chown(folder, uid, -1, follow_symlinks=False)
        about = os.lstat(folder)
    except OSError as fault:
        raise ValueError(f"The folder {folder} cannot be made: {fault.strerror}.") from None
    if not stat.S_ISDIR(about.st_mode):
        raise ValueError(f"{folder} is no folder; sockets of this cluster have to be in it.")
    if about.st_uid != (os.geteuid() if uid is None else uid):
        raise ValueError(
            f"The folder {folder} belongs to another user; whoever owns it could stand in for this cluster."
        )
    if about.st_mode & 0o022:
        raise ValueError(f"Other users can write into the folder {folder}; take that right from them (chmod go-w).")


def identity(about: os.stat_result) -> tuple[int, int]:
    """What tells a file from any other, also from a later one at the same path: device and inode."""
    return about.st_dev, about.st_ino


def identityOf(path: str) -> tuple[int, int] | None:
    """The L{identity} of what lies at a path now; C{None} if nothing does."""
    try:
        return identity(os.lstat(path))
    except OSError:
        return None


def hubPath(configPath: str, folder: str, path: str = "") -> str:
    """
    Where the socket of the hub is.

    @param configPath: the configuration file.
    @param folder: the run folder.
    @param path: what the file says of the socket, if it does; a relative one counts from the folder of the file.
    """
    return (
        os.path.join(os.path.dirname(os.path.abspath(configPath)), path) if path else os.path.join(folder, HUB_SOCKET)
    )
