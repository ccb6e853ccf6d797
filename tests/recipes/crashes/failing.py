"""Calls of the system that fail under a running server (strace -e inject=), each once and for good, on a disk that is cut off at the end.

A sync that fails is not done: what it was for is lost with the power, so an acknowledgement behind it shows as a loss.
"""
import os
import shutil
import subprocess
import time

from client import Client
from cuts import LoopDisk
from full import until
from ledger import Ledger, Wrong
from load import Load
from rounds import SETTINGS, finish, make_tables
from server import Server, skip

# How long the calls fail.
FAIL_SECONDS = 2
SYNCS, WRITES = "fsync,fdatasync", "pwrite64,pwritev,write"
# Calls, error, when: strace counts in each thread; "N" is that one call, "N+" all from it on.
CASES = [
    ("fdatasync", "EIO", "1"), ("fdatasync", "EIO", "3"), ("fdatasync", "EIO", "20"), ("fdatasync", "EIO", "1+"),
    ("fdatasync", "ENOSPC", "2"), ("fdatasync", "ENOSPC", "1+"),
    ("fsync", "EIO", "1"), ("fsync", "EIO", "1+"), ("fsync", "ENOSPC", "1"), ("fsync", "ENOSPC", "1+"),
    ("pwrite64,pwritev", "EIO", "1"), ("pwrite64,pwritev", "EIO", "7"), ("pwrite64,pwritev", "EIO", "1+"),
    ("pwrite64,pwritev", "ENOSPC", "1"), ("pwrite64,pwritev", "ENOSPC", "5"), ("pwrite64,pwritev", "ENOSPC", "1+"),
    ("fallocate", "ENOSPC", "1+"), ("ftruncate", "EIO", "1+"), ("link,linkat", "EIO", "1+"), ("link,linkat", "ENOSPC", "1"),
    ("rename,renameat,renameat2", "EIO", "1+"), ("unlink,unlinkat", "EIO", "1+"), ("openat", "EMFILE", "3+"),
]
QUICK = [CASES[at] for at in (0, 3, 6, 10, 15)]


class Injection:
    """strace on a running server."""

    def __init__(self, pid, calls, error, when, output):
        self.output = output
        self.process = subprocess.Popen(
            ["strace", "-f", "-p", str(pid), "-o", output, "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}:when={when}"],
            stderr=subprocess.PIPE, text=True)
        if "attached" not in self.process.stderr.readline():
            skip("strace cannot attach to a process of ours")

    def end(self):
        """Lets the server go on without it; returns how many calls failed."""
        self.process.send_signal(2)
        self.process.communicate()
        with open(self.output) as file:
            return file.read().count("(INJECTED)")


def case(program, workdir, dice, place, calls, error, when):
    data = place.begin_round(dice)
    server = Server(program, data, settings=SETTINGS, log=os.path.join(workdir, "server.log"), new_ports=True)
    try:
        make_tables(server.start())
        ledger = Ledger(power=True)
        ledger.is_in_order = False
        load = Load(ledger, server.grpc, dice, goes_on=True, seconds=20).start()
        time.sleep(0.5)
        injection = Injection(server.process.pid, calls, error, when, os.path.join(workdir, "strace"))
        time.sleep(FAIL_SECONDS)
        during = dict(load.errors), dict(ledger.reasons)
        failed = injection.end()
        # Everything works again, but for the trust in what was not synced.
        word, reasons = server.health()
        before, reads = ledger.counts["acknowledged"], ledger.counts["read while written"]
        until("reads go on", lambda: ledger.counts["read while written"] > reads + 1, load)
        is_poisoned = word == "failed"
        if is_poisoned:
            time.sleep(1)
            if ledger.counts["acknowledged"] > before:
                raise Wrong(f"batches were acknowledged by a server that is {word}: {reasons}")
        else:
            until("writing goes on", lambda: ledger.counts["acknowledged"] > before + 50, load)
        refusal = refused(server) if is_poisoned else ""
        load.is_ending = True
        place.end(server, ledger, dice)
        load.end()
        errors = {name: load.errors.get(name, 0) + ledger.reasons.get(name, 0) for name in {**load.errors, **ledger.reasons}}
        finish(server.start(), ledger, dice)
    finally:
        server.kill()
    if not failed:
        print(f"{calls} {error} when {when}: NOT TESTED: no such call was made meanwhile", flush=True)
        return False
    print(f"{calls} {error} when {when}: {failed} calls failed; then {word}; refusals and errors {errors}; "
          f"{ledger.counts['acknowledged']} acknowledged, none lost{refusal}", flush=True)
    if (calls in ("fsync", "fdatasync")) and not is_poisoned:
        print(f"  NOTE: a failed {calls} did not poison: it was of a file that is not the log", flush=True)
    if reasons:
        print(f"  /health: {word}: {reasons[:240]}", flush=True)
    return is_poisoned


def refused(server):
    import grpc
    from client import reason
    client = Client(server.grpc)
    try:
        rows = client.packed("ticks", [0], {"w": "none"}, {"n": [0]})
        client.writes.Write(client.write.WriteRequest(tables=[rows]), timeout=20)
    except grpc.RpcError as error:
        return f"; a later write: {error.code().name} {reason(error)}"
    finally:
        client.close()
    raise Wrong("a server that failed a sync took a write")


def failing(program, workdir, dice, cases):
    if not shutil.which("strace"):
        skip("strace is not installed")
    place = LoopDisk(workdir)
    poisoned = sum(case(program, workdir, dice, place, *one) for one in cases)
    print(f"\n{len(cases)} ways to fail, {poisoned} of them poisoned the server: nothing acknowledged was lost, each restart took writes again")
