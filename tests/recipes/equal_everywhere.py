#!/usr/bin/env python3
"""Imports NSE ticks and compares the export with the files in every state that rows go through.

usage: equal_everywhere.py CHRONOLITH WORKDIR FILE.csv.gz...

The states: in the log alone (each command replays it), flushed, compacted, and opened again after each. Then the
one-minute bars of every file's symbol. The comparisons are those of equal_export.py and equal_bars.py.
"""
import os
import shutil
import subprocess
import sys
import time

import equal_bars
import equal_export


def main(program, workdir, files):
    data = os.path.join(workdir, "db")
    out = os.path.join(workdir, "out.csv")
    shutil.rmtree(data, ignore_errors=True)

    def run(command, *args):
        start = time.monotonic()
        done = subprocess.run([program, command, "--data", data, *args], check=True,
                              stdout=subprocess.PIPE, text=True)
        print(f"{command}: {time.monotonic() - start:.2f} s", flush=True)
        return done.stdout

    print(run("import", "--table", "ticks", "--time", "ts_s:s", "--tag", "symbol=@filename",
              "--merge", "append", "--no-flush", *files))
    for state in ("imported", "flush", "compact"):
        if state != "imported":
            print(run(state))
            print(run("stats"))
        for opening in ("first", "second"):
            run("export", "--table", "ticks", "-o", out)
            print(f"{state}, {opening} opening:", end=" ", flush=True)
            equal_export.main(out, files)
    for path in files:
        symbol = os.path.basename(path).removesuffix(".csv.gz")
        run("bars", "--table", "ticks", "--every", "1m", "--price", "ltp", "--volume", "volume",
            "--volume-kind", "cumulative", "--where", f"symbol={symbol}", "--format", "csv", "-o", out)
        equal_bars.main(out, path)
    run("verify")
    shutil.rmtree(data)
    os.remove(out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
