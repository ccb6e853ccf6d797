"""Power cuts: the database lies on an ext4 in a file, which ext4's shutdown cuts off from what was not synced.

What is told after the shutdown began does not count: a sync that is under way then may report success for data that is lost. A plain
program that writes and syncs, without a database, saw that in 35 of 150 shutdowns (Linux 6.18, space allocated and not written before).
"""
import ctypes
import os
import time

from ledger import Wrong
from loop_disk import LOG_FLUSH, NO_LOG_FLUSH, SYNC, Disk
from rounds import LIVES, Rounds, files
from server import NotStarted

DISK_BYTES = 128 << 20
# What the journal does with data; the first is the default.
OPTIONS = ["", "", "data=writeback", "nodelalloc", "data=journal"]
# Of the cuts so many come after the kernel wrote some pages by itself.
STIRRED = 0.5
PAGE_BYTES = 4 << 10
LIBC = ctypes.CDLL(None, use_errno=True)
# SYNC_FILE_RANGE_WAIT_BEFORE, _WRITE and _WAIT_AFTER.
WRITE_AND_WAIT = 7
# How the file system is shut down.
CUTS = [NO_LOG_FLUSH] * 8 + [LOG_FLUSH, SYNC]
# A server goes on after the cut for so long, and meets a disk that refuses everything.
AFTER_SECONDS = (0, 0, 0.02)
# Syncs that report success and do nothing.
LYING = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:retval=0"]


class LoopDisk:
    """Ends by a power cut. The blocks of a round's disk hold what earlier rounds left there."""

    def __init__(self, workdir):
        self.disk = Disk(workdir, DISK_BYTES)
        self.options = ""

    def begin_round(self, dice):
        self.disk.unmount()
        self.disk.format()
        self.options = dice.choice(OPTIONS)
        self.disk.mount(self.options)
        return os.path.join(self.disk.place, "db")

    def end(self, server, ledger, dice):
        if dice.random() < STIRRED:
            self.stir(server.data, dice)
        ledger.cut()
        self.disk.cut_power(dice.choice(CUTS))
        time.sleep(dice.choice(AFTER_SECONDS))
        server.kill()
        self.disk.unmount()
        self.disk.mount(self.options)

    def stir(self, data, dice):
        """Writes a random range of pages of the files that changed last, as the kernel may at any time: unsynced bytes stay in part."""
        found = []
        for path in files(data):
            try:
                found.append((os.stat(path).st_mtime_ns, path))
            except FileNotFoundError:
                pass
        for _, path in sorted(found)[-3:]:
            try:
                file = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            pages = os.fstat(file).st_size // PAGE_BYTES + 1
            first = dice.randrange(pages)
            # From 0 for a length of 0 would be the whole file.
            LIBC.sync_file_range(file, ctypes.c_int64(first * PAGE_BYTES), ctypes.c_int64(dice.randint(1, pages) * PAGE_BYTES), WRITE_AND_WAIT)
            os.close(file)

    def end_round(self):
        self.disk.unmount()


def check_cut(disk):
    """What was not synced must be gone after a cut, and what was must be there: otherwise nothing here tests anything."""
    disk.format()
    disk.mount()
    unsynced, synced = (os.path.join(disk.place, name) for name in ("unsynced", "synced"))
    for path in (unsynced, synced):
        with open(path, "wb") as file:
            file.write(b"x" * 100_000)
            if path == synced:
                file.flush()
                os.fsync(file.fileno())
    with open(synced, "r+b") as file:
        file.write(b"y" * 100_000)
    disk.cut_power()
    disk.unmount()
    disk.mount()
    there = os.path.getsize(unsynced) if os.path.exists(unsynced) else "no file"
    with open(synced, "rb") as file:
        content = set(file.read())
    print(f"a power cut: of 100000 bytes written without sync are left: {there}; a synced file holds {bytes(sorted(content))!r}", flush=True)
    disk.unmount()
    if there not in ("no file", 0) or content != set(b"x"):
        raise SystemExit("the shutdown of ext4 does not lose what was not synced, or loses what was: NO POWER CUT IS TESTED")


def cuts(program, workdir, dice, ends):
    place = LoopDisk(workdir)
    check_cut(place.disk)
    check_lies(program, workdir, dice, place)
    rounds = Rounds(program, workdir, dice, place, power=True)
    rounds.run(ends)
    rounds.print(f"{rounds.killed} power cuts: nothing acknowledged was lost, nothing invented, no batch in part")


def check_lies(program, workdir, dice, place):
    """With syncs that lie, the comparison must find a loss soon: it can fail."""
    rounds = Rounds(program, workdir, dice, place, power=True)
    rounds.wrap = LYING
    try:
        rounds.run(LIVES)
    except (Wrong, NotStarted) as found:
        print(f"with syncs that lie, after {rounds.killed} power cuts: {str(found)[:200]}", flush=True)
        place.disk.unmount()
        return
    raise SystemExit(f"{rounds.killed} power cuts with syncs that lie, and no loss was found: THE COMPARISON TESTS NOTHING")
