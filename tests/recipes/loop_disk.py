"""A small disk in a file, mounted through a loop device or in memory. Needs root; skips loudly without."""
import atexit
import fcntl
import os
import signal
import struct
import subprocess
import sys

from server import skip

# ext4's shutdown, as the kernel's fs/ext4/ext4.h has it: what is not on the disk yet is lost.
EXT4_IOC_SHUTDOWN = 0x8004587D
# Writes everything first; writes the journal first; writes nothing.
SYNC, LOG_FLUSH, NO_LOG_FLUSH = 0, 1, 2


class Disk:
    """A file system of `size_bytes` in `workdir`: ext4 in a file, or tmpfs. It is unmounted when the process ends, however."""

    def __init__(self, workdir, size_bytes, kind="ext4"):
        if os.geteuid() != 0:
            skip("only root can mount a disk")
        self.kind, self.size_bytes = kind, size_bytes
        self.place, self.image = os.path.join(workdir, "disk"), os.path.join(workdir, "disk.img")
        os.makedirs(self.place, exist_ok=True)
        self.is_mounted = False
        atexit.register(self.unmount)
        for end in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(end, lambda number, _: sys.exit(128 + number))

    def format(self):
        """An empty ext4. What the blocks held before stays in them, as on a disk that was in use."""
        with open(self.image, "ab") as file:
            file.truncate(self.size_bytes)
        # Without blocks that only root may use: the server may run as root.
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard", self.image], check=True)

    def mount(self, options=""):
        if self.kind == "tmpfs":
            command = ["mount", "-t", "tmpfs", "-o", f"size={self.size_bytes}", "tmpfs", self.place]
        else:
            command = ["mount", "-o", ",".join(["loop", *filter(None, [options])]), self.image, self.place]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            skip(f"cannot mount {self.kind}: {done.stderr.strip()}")
        self.is_mounted = True

    def unmount(self):
        if self.is_mounted:
            # The loop device goes with the mount that made it.
            done = subprocess.run(["umount", self.place], check=False)
            if done.returncode != 0:
                subprocess.run(["umount", "-l", self.place], check=False)
            self.is_mounted = False

    def cut_power(self, how=NO_LOG_FLUSH):
        folder = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, EXT4_IOC_SHUTDOWN, struct.pack("I", how))
        finally:
            os.close(folder)

    def free_bytes(self):
        disk = os.statvfs(self.place)
        return disk.f_bavail * disk.f_frsize

    def fill(self, name, leave_bytes=0):
        """Takes the room, but for `leave_bytes`, by a file of random bytes."""
        path = os.path.join(self.place, name)
        with open(path, "wb", buffering=0) as file:
            left = self.free_bytes() - leave_bytes
            try:
                while left > 0 or not leave_bytes:
                    left -= file.write(os.urandom(min(left, 1 << 20) if leave_bytes else 1 << 16))
            except OSError:
                pass
            os.fsync(file.fileno())
        return path
