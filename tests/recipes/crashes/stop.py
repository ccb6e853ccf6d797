"""A server that is stopped (SIGSTOP) for a minute under writers and a reader, and goes on."""
import os
import signal
import time

from full import until
from ledger import Ledger, Wrong
from load import Load
from rounds import SETTINGS, finish, make_tables, print_figures
from server import Server

# The deadline of each call.
DEADLINE_SECONDS = 2


def stop(program, workdir, dice, seconds, times):
    folder = os.path.join(workdir, f"stop-{dice.getrandbits(32):08x}")
    server = Server(program, folder, settings=SETTINGS, log=os.path.join(workdir, "server.log")).start()
    make_tables(server)
    ledger = Ledger(power=False)
    # A call that timed out may have been committed or not, whatever comes after it.
    ledger.is_in_order = False
    load = Load(ledger, server.grpc, dice, seconds=DEADLINE_SECONDS, goes_on=True).start()
    figures = {}
    for _ in range(times):
        time.sleep(2)
        before = ledger.counts["acknowledged"]
        os.kill(server.process.pid, signal.SIGSTOP)
        time.sleep(seconds)
        during = ledger.counts["acknowledged"] - before
        os.kill(server.process.pid, signal.SIGCONT)
        began = time.monotonic()
        stopped = ledger.counts["acknowledged"]
        until("writing goes on", lambda: ledger.counts["acknowledged"] > stopped + 500, load)
        word, reasons = server.health()
        print(f"stopped for {seconds} s: {during} batches acknowledged meanwhile (what was on its way); errors {load.errors}; "
              f"500 batches more {time.monotonic() - began:.1f} s after it goes on; /health: {word} {reasons}", flush=True)
        if word != "ready" or not load.errors.get("DEADLINE_EXCEEDED"):
            raise Wrong("no call met its deadline, or the server is not ready again")
        # A connection on which very many calls were given up at once is closed (GOAWAY, too_many_resets), and opened again.
        if set(load.errors) - {"DEADLINE_EXCEEDED", "deadline", "UNAVAILABLE"}:
            raise Wrong(f"errors that a pause does not explain: {load.errors}")
    load.end(is_gone=False)
    for word, more in load.errors.items():
        figures[f"errors: {word}"] = more
    # What hung up may still be under way: it ends with the server.
    server.stop()
    finish(server.start(), ledger, dice)
    print_figures(f"stopped {times} times for {seconds} s: nothing lost, nothing twice", {**figures, **ledger.counts})
