#!/usr/bin/env python3
"""Kills a server with SIGKILL at random moments while an import writes through it, and compares what is there at the end.

usage: kill_server.py CHRONOLITH KILLS WORKDIR FILE.csv.gz...

Rounds: a fresh database, a server, an import through `--url`; the server is killed and started again until the import
gets through. Then `sql -o csv` is compared with the files row by row (equal_export.py), and the database is verified.
Goes on until KILLS servers were killed. A small memory budget makes flushes and merges happen during the import.
Prints the seed; the environment variable CHRONOLITH_SEED replays the moments.
"""
import os
import shutil
import subprocess
import sys

import equal_export
from server import Server, dice

# The longest time that a server lives in a round that is not over.
LIFE_SECONDS = 0.8


def main(program, kills, workdir, files):
    moments = dice()
    os.environ.setdefault("CHRONOLITH_MEMORY", "192MiB")
    os.environ.setdefault("CHRONOLITH_LOG", "error")
    data, export = os.path.join(workdir, "db"), os.path.join(workdir, "export.csv")
    killed = rounds = 0
    while killed < kills:
        shutil.rmtree(data, ignore_errors=True)
        # On the same ports each time: the import goes on.
        server = Server(program, data).start()
        url = f"http://{server.grpc}"
        importing = subprocess.Popen(
            [program, "import", "--url", url, "--table", "ticks", "--time", "ts_s:s",
             "--tag", "symbol=@filename", "--merge", "append", *files],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        before = killed
        while killed < kills:
            try:
                importing.wait(moments.uniform(0, LIFE_SECONDS))
                break
            except subprocess.TimeoutExpired:
                server.kill()
                killed += 1
                server.start()
        _, errors = importing.communicate()
        if importing.returncode != 0:
            sys.exit(f"the import failed: {errors}")
        rounds += 1
        subprocess.run([program, "sql", "--url", url, "--format", "csv", "-o", export,
                        "SELECT time, symbol, ltp, volume FROM ticks ORDER BY symbol, time, _seq"],
                       check=True)
        print(f"round {rounds}: {killed - before} servers killed, {killed} so far:", end=" ", flush=True)
        equal_export.main(export, files)
        server.kill()
        subprocess.run([program, "verify", "--data", data], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(data, ignore_errors=True)
    os.remove(export)
    print(f"{killed} servers killed in {rounds} rounds: every row there, none twice")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:])
