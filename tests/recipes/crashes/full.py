"""A disk that fills up under writers, again and again: refusals, reads, a restart while it is full, and room again."""
import os
import time

import grpc

from client import Client, reason
from ledger import Ledger, Wrong
from load import Load
from loop_disk import Disk
from rounds import SETTINGS, finish, make_tables, print_figures
from server import Server

DISK_BYTES = 64 << 20
# What the first ballast leaves: less than the writers write.
ROOM_BYTES = 6 << 20
WAIT_SECONDS = 60


def until(what, holds, load=None):
    """Waits until it holds; a `Wrong` of the load's ends that."""
    end = time.monotonic() + WAIT_SECONDS
    while not holds():
        if load and load.wrong:
            raise load.wrong[0]
        if time.monotonic() > end:
            raise Wrong(f"after {WAIT_SECONDS} s not yet: {what}; errors meanwhile: {load.errors if load else {}}")
        time.sleep(0.02)


class Full:
    def __init__(self, program, workdir, dice, seconds):
        self.disk, self.dice, self.seconds = Disk(workdir, DISK_BYTES), dice, seconds
        self.disk.format()
        self.disk.mount()
        data = os.path.join(self.disk.place, "db")
        # Many small segments that cannot be merged take memory for reads.
        self.server = Server(program, data, settings={**SETTINGS, "CHRONOLITH_MEMORY": "256MiB"}, log=os.path.join(workdir, "server.log"), new_ports=True)
        self.ledger = Ledger(power=False)
        self.figures = {}

    def load(self):
        return Load(self.ledger, self.server.grpc, self.dice, goes_on=True).start()

    def refused(self):
        return self.ledger.reasons.get("no_space", 0)

    def acknowledged(self):
        return self.ledger.counts["acknowledged"]

    def probe(self):
        """A write into a table of its own: how it is refused, or nothing."""
        client = Client(self.server.grpc)
        try:
            rows = client.packed("probe", [0], {"w": "none"}, {"s": ["x" * 100_000]}, client.common.TableOptions(tags=["w"]))
            client.writes.Write(client.write.WriteRequest(tables=[rows]), timeout=60)
            return None
        except grpc.RpcError as error:
            return error.code().name, reason(error), error.details()
        finally:
            client.close()

    def check_full(self, load):
        """Refused with a clear status, said by `/health`; reads go on."""
        until("a write of 100 kB is refused", lambda: self.probe() is not None, load)
        (word, reasons), refusal, free = self.server.health(), self.probe(), self.disk.free_bytes()
        print(f"full: {free} bytes are free; /health: {word}: {reasons}\n  a write: {refusal}", flush=True)
        if refusal and (refusal[1] != "no_space" or "free" not in refusal[2]):
            raise Wrong(f"a full disk refuses as {refusal}")
        if word != "degraded" or "disk nearly full" not in reasons:
            raise Wrong(f"/health of a full disk is {word}: {reasons}")
        reads = self.ledger.counts["read while written"]
        until("a read while the disk is full", lambda: self.ledger.counts["read while written"] > reads + 3, load)

    def go_on(self, load):
        before = self.acknowledged()
        until("writing goes on once there is room", lambda: self.acknowledged() > before + 200, load)

    def end(self, load, is_kill):
        """Ends the server, by SIGKILL or in order, and starts it again on the full disk."""
        load.is_ending = True
        if is_kill:
            self.server.kill()
        else:
            self.server.stop()
        load.end()
        for word, more in load.errors.items():
            self.figures[f"errors: {word}"] = self.figures.get(f"errors: {word}", 0) + more
        self.server.start()
        client = Client(self.server.grpc)
        self.ledger.settle(client)
        client.close()
        print(f"started again {'after SIGKILL' if is_kill else 'in order'} with {self.disk.free_bytes()} bytes free", flush=True)
        return self.load()

    def run(self):
        make_tables(self.server.start())
        load = self.load()
        ballast = self.disk.fill("ballast", ROOM_BYTES)
        for cycle in range(4):
            before = self.refused()
            until("rows are refused", lambda: self.refused() > before + 20, load)
            time.sleep(self.seconds)
            self.check_full(load)
            if cycle:
                load = self.end(load, is_kill=cycle % 2 == 1)
                before = self.refused()
                until("rows are refused again", lambda: self.refused() > before + 20, load)
                self.check_full(load)
            os.remove(ballast)
            print(f"room: {self.disk.free_bytes()} bytes are free", flush=True)
            self.go_on(load)
            if cycle < 3:
                ballast = self.disk.fill("ballast", 0 if cycle == 1 else 1 << 20)
        load = self.end(load, is_kill=True)
        load.end(is_gone=False)
        self.server.kill()
        finish(self.server.start(), self.ledger, self.dice)
        refusals = {f"refused: {word}": count for word, count in self.ledger.reasons.items()}
        print_figures("a full disk: nothing acknowledged was lost, and writing went on with room", {**self.figures, **self.ledger.counts, **refusals})


def full(program, workdir, dice, seconds):
    Full(program, workdir, dice, seconds).run()
