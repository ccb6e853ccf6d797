#!/usr/bin/env python3
"""Fills a small disk with an import, sees it refused, makes room, and goes on: every acknowledged row is there, none twice.

usage: full_disk.py CHRONOLITH WORKDIR [ext4|tmpfs]

Needs root, to mount a 48 MiB disk in WORKDIR: an ext4 file system in a file, or a tmpfs; without root it says so and does
nothing. The import is of random numbers, too many for the disk. It must fail with exit code 6 and say how many bytes are free.
Then, with the disk still full: verify, a read, compact. Then a file that took room goes, and the same import goes on
where it was, until everything is in, and is compared with what was sent. Last, the disk is filled by another file, rows are
deleted and the table is dropped.
"""
import csv
import os
import random
import subprocess
import sys

from loop_disk import Disk

DISK_BYTES = 48 << 20
# Less than the rows take as segments.
ROOM_BYTES = 5 << 20
ROWS = 900_000


def run(*command, ok=(0,)):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in ok:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def write_rows(path):
    chance = random.Random(7)
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["time", "symbol", "price"])
        for at in range(ROWS):
            out.writerow([1_700_000_000 + at, "A", chance.random()])


def prices(program, data, target):
    run(program, "export", "--data", data, "--table", "ticks", "-o", target)
    with open(target, newline="") as file:
        return [float(row["price"]) for row in csv.DictReader(file)]


def steps(program, workdir, disk):
    place, free = disk.place, disk.free_bytes
    rows, export = os.path.join(workdir, "rows.csv"), os.path.join(workdir, "export.csv")
    data, other = os.path.join(place, "db"), os.path.join(place, "other")
    write_rows(rows)
    with open(rows, newline="") as file:
        sent = [float(row["price"]) for row in csv.DictReader(file)]
    disk.fill("other", ROOM_BYTES)
    load = [program, "import", "--data", data, "--table", "ticks", "--time", "time:s", "--tags", "symbol",
            "--merge", "append", rows]
    full = run(*load, ok=(6,))
    text = full.stderr.strip()
    print(f"refused: {text.splitlines()[-1]}\n{free()} bytes are free")
    if "disk" not in text or "free" not in text:
        sys.exit("the message does not say that the disk is full")
    print(f"the reserve has {os.path.getsize(os.path.join(data, 'RESERVE'))} bytes")
    run(program, "verify", "--data", data)
    kept = prices(program, data, export)
    print(f"{len(kept)} of {len(sent)} rows are there")
    if kept != sent[:len(kept)] or not kept:
        sys.exit("they are not the first ones that were sent")
    again = run(*load, ok=(6,))
    print(f"refused again: {again.stderr.strip().splitlines()[-1]}")
    done = run(program, "compact", "--data", data, ok=(0, 6))
    print(f"compact on the full disk: exit {done.returncode}; {free()} bytes are free")
    run(program, "verify", "--data", data)
    more = prices(program, data, export)
    if more != sent[:len(more)] or len(more) < len(kept):
        sys.exit(f"rows were lost: {len(more)} of {len(kept)}")
    os.remove(other)
    run(*load)
    run(program, "compact", "--data", data)
    run(program, "verify", "--data", data)
    if prices(program, data, export) != sent:
        sys.exit("the rows are not those that were sent")
    print(f"all {len(sent)} rows are there after room was made; {free()} bytes are free")
    print(f"the reserve has {os.path.getsize(os.path.join(data, 'RESERVE'))} bytes")
    # Somebody else takes the disk to its last byte: deleting and dropping go on.
    disk.fill("other")
    print(f"{free()} bytes are free")
    run(program, "delete", "--data", data, "--table", "ticks", "--from", "2023-11-20T00:00:00Z")
    kept = prices(program, data, export)
    if kept != sent[:len(kept)] or len(kept) == len(sent):
        sys.exit("the deletion is wrong")
    print(f"{len(kept)} rows are left after a deletion on a full disk")
    run(program, "drop", "--data", data, "--yes", "ticks")
    run(program, "flush", "--data", data)
    run(program, "verify", "--data", data)
    print(f"{free()} bytes are free after a drop on a full disk")
    if free() < 4 << 20:
        sys.exit("the dropped table's space is not free")


def main(program, workdir, kind="ext4"):
    os.makedirs(workdir, exist_ok=True)
    os.environ.setdefault("CHRONOLITH_MEMORY", "64MiB")
    disk = Disk(workdir, DISK_BYTES, kind)
    if kind == "ext4":
        disk.format()
    disk.mount()
    steps(os.path.abspath(program), workdir, disk)


if __name__ == "__main__":
    main(*sys.argv[1:])
