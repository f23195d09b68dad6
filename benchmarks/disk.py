"""Where the tools write: a fresh file system where possible, so that each run finds the same disk."""

from __future__ import annotations

import ctypes
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed.requirements import find

_CLONE_NEWNS = 0x00020000


class NoImage(Exception):
    """A file system of one's own can't be mounted here."""


@dataclass(frozen=True, slots=True)
class FlushCosts:
    """Medians, in milliseconds."""

    fsync_new_file: float
    syncfs_500_files: float


@contextmanager
def fresh_file_system(directory: Path, size: int, files: int) -> Iterator[Path]:
    """Mount a new ext4 for this process and its children, kept in an image file under `directory`.

    The file stays, for the caller to remove with `directory`: the next file system made in it finds its
    blocks allocated, and the machine's disk isn't busy giving back those of the last one.

    Two things make figures on the machine's own disk depend on what was done there before: ext4 without a
    journal looks long for an inode number when many files were deleted in the last minutes, and a disk
    mounted with `discard` takes about 1 ms for each file deleted. A journal also makes fsync cost what it
    costs on most computers.
    """
    make = find("mkfs.ext4")
    if os.geteuid() != 0 or make is None:
        raise NoImage("not root" if make else "no mkfs.ext4")
    image, root = directory / "disk.img", directory / "disk"
    root.mkdir()
    try:
        with image.open("ab") as file:
            file.truncate(max(size, file.tell()))
        _run(make, "-q", "-F", "-N", str(files), "-E", "nodiscard", str(image))
        _own_mounts()
        # The kernel would otherwise go on preparing the new file system while it is measured.
        _run("mount", "-o", "loop,noinit_itable", str(image), str(root))
        try:
            yield root
        finally:
            _run("umount", str(root))
    finally:
        root.rmdir()


@contextmanager
def plain_directory(directory: Path) -> Iterator[Path]:
    """A folder on the machine's own disk, removed afterwards."""
    root = directory / "disk"
    root.mkdir()
    try:
        yield root
    finally:
        # Not before: deleting slows down what comes next, see above.
        shutil.rmtree(root)


def flush_costs(directory: Path) -> FlushCosts:
    """What making files durable costs here; leaves nothing behind."""
    place = directory / "flush-costs"
    place.mkdir()
    content = os.urandom(20_000)
    library = ctypes.CDLL(None, use_errno=True)
    os.sync()
    single, batches = [], []
    folder = os.open(place, os.O_RDONLY)
    try:
        for number in range(150):
            with (place / f"single-{number}").open("wb", buffering=0) as file:
                file.write(content)
                start = time.perf_counter()
                os.fsync(file.fileno())
                single.append(time.perf_counter() - start)
        for batch in range(5):
            for number in range(500):
                (place / f"batch-{batch}-{number}").write_bytes(content)
            start = time.perf_counter()
            if library.syncfs(folder) != 0:
                raise OSError(ctypes.get_errno(), "syncfs")
            batches.append(time.perf_counter() - start)
    finally:
        os.close(folder)
        shutil.rmtree(place)
    # A file system's first writes cost more than all that follow.
    return FlushCosts(statistics.median(single[50:]) * 1000, statistics.median(batches) * 1000)


def kind(directory: Path) -> str:
    """The type of the file system that holds `directory`, as the system calls it."""
    found = subprocess.run(["df", "--output=fstype", directory], capture_output=True, text=True, check=False)
    return found.stdout.split()[-1] if found.returncode == 0 else "unknown"


def _own_mounts() -> None:
    """Keep what this process mounts to itself: should it be killed, the kernel takes the mount away."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(_CLONE_NEWNS) != 0:
        raise NoImage(f"unshare: {os.strerror(ctypes.get_errno())}")
    _run("mount", "--make-rprivate", "/")


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise NoImage(f"{command[0]}: {error.stderr.strip()}") from error
    except FileNotFoundError as error:
        raise NoImage(f"no {command[0]} here") from error
