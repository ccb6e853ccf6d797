#!/usr/bin/env python3
"""Kills an import with SIGKILL at random moments, runs it again each time, and compares what is there at the end.

usage: kill_import.py CHRONOLITH KILLS WORKDIR FILE.csv.gz...

First an import that nobody kills, exported and compared with the files row by row (equal_export.py). Then rounds: a
fresh database, import and kill until an import gets through, export, and compare with the first export byte by byte.
Goes on until KILLS imports were killed. A small memory budget makes flushes and merges happen
during the import. Prints the seed; the environment variable CHRONOLITH_SEED replays the moments.
"""
import filecmp
import os
import shutil
import subprocess
import sys
import time

import equal_export
from server import dice


def import_command(program, data, files):
    return [program, "import", "--data", data, "--table", "ticks", "--time", "ts_s:s",
            "--tag", "symbol=@filename", "--merge", "append", *files]


def one_round(program, data, files, moments, longest, kills_left):
    """Returns how many imports were killed before one got through, and how long that one took."""
    killed = 0
    while True:
        start = time.monotonic()
        process = subprocess.Popen(import_command(program, data, files),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if killed >= kills_left:
            wait = None
        else:
            wait = moments.uniform(0, longest)
        try:
            _, errors = process.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
            continue
        if process.returncode != 0:
            sys.exit(f"the import failed: {errors.decode()}")
        return killed, time.monotonic() - start


def main(program, kills, workdir, files):
    moments = dice()
    os.environ.setdefault("CHRONOLITH_MEMORY", "192MiB")
    data, export = os.path.join(workdir, "db"), os.path.join(workdir, "export.csv")
    right = os.path.join(workdir, "right.csv")
    export_command = [program, "export", "--data", data, "--table", "ticks", "-o"]
    shutil.rmtree(data, ignore_errors=True)
    start = time.monotonic()
    subprocess.run(import_command(program, data, files), check=True, stdout=subprocess.DEVNULL)
    longest = time.monotonic() - start
    print(f"an import takes {longest:.1f} s", flush=True)
    subprocess.run([*export_command, right], check=True)
    equal_export.main(right, files)
    killed = rounds = 0
    while killed < kills:
        shutil.rmtree(data, ignore_errors=True)
        more, took = one_round(program, data, files, moments, longest, kills - killed)
        killed += more
        if more == 0:
            # The machine is quieter than it was: later moments would come after the end.
            longest = min(longest, took)
        rounds += 1
        subprocess.run([*export_command, export], check=True)
        if not filecmp.cmp(right, export, shallow=False):
            sys.exit(f"round {rounds}: {export} differs from {right}")
        subprocess.run([program, "verify", "--data", data], check=True, stdout=subprocess.DEVNULL)
        print(f"round {rounds}: {killed} imports killed so far", flush=True)
    shutil.rmtree(data, ignore_errors=True)
    os.remove(export)
    os.remove(right)
    print(f"{killed} imports killed in {rounds} rounds: every row there, none twice")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:])
