#!/usr/bin/env python3
"""Ends a server in every way that it must survive, under writers, and compares what is there with what was acknowledged.

usage: python3 tests/recipes/crashes RECIPE [--quick] [--count N] PROGRAM WORKDIR

PROGRAM is the chronolith binary. Needs `pip install grpcio grpcio-tools numpy pyarrow`; some recipes need root, ext4 and
loop devices, or strace, and skip loudly (exit code 77) without. RECIPE is one of:

  kills         SIGKILL at random moments, while it serves and while it starts (--count: 2000)
  cuts          power cuts on an ext4 in a file (--count: 2000); needs root and strace
  full          a 64 MiB disk that fills up and gets room again, four times; needs root
  failing       syncs, writes and other calls that fail under a running server; needs root and strace
  memory        256 MiB for the server, and requests made to take more; a cgroup where root can make one
  stop          SIGSTOP for a minute, three times
"""
import argparse
import os
import pathlib
import sys
import tempfile

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[1]))

# The library's own log of connections that end, which they are meant to.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from server import dice, generate_protocol, skip  # noqa: E402


def kills(program, workdir, chance, options):
    import rounds
    rounds.kills(program, workdir, chance, options.count or (100 if options.quick else 2_000))


def cuts(program, workdir, chance, options):
    import cuts
    cuts.cuts(program, workdir, chance, options.count or (100 if options.quick else 2_000))


def full(program, workdir, chance, options):
    import full
    full.full(program, workdir, chance, 1 if options.quick else 10)


def failing(program, workdir, chance, options):
    import failing
    failing.failing(program, workdir, chance, failing.QUICK if options.quick else failing.CASES)


def memory(program, workdir, chance, options):
    import memory
    names = options.only.split(",") if options.only else memory.QUICK if options.quick else memory.ATTACKS
    memory.memory(program, workdir, chance, names)


def stop(program, workdir, chance, options):
    import stop
    stop.stop(program, workdir, chance, 10 if options.quick else 60, options.count or (1 if options.quick else 3))


RECIPES = {"kills": kills, "cuts": cuts, "full": full, "failing": failing, "memory": memory, "stop": stop}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--count", type=int)
    parser.add_argument("--only", help="of memory: these attacks, by their methods in memory.py, between commas")
    parser.add_argument("program")
    parser.add_argument("workdir")
    options = parser.parse_args()
    program, workdir = os.path.abspath(options.program), os.path.abspath(options.workdir)
    os.makedirs(workdir, exist_ok=True)
    try:
        import grpc_tools, numpy, pyarrow  # noqa: E401, F401
    except ImportError as error:
        skip(f"{error}; pip install grpcio grpcio-tools numpy pyarrow")
    with tempfile.TemporaryDirectory() as generated:
        generate_protocol(generated)
        RECIPES[options.recipe](program, workdir, dice(), options)


if __name__ == "__main__":
    main()
