"""Rounds of kills or power cuts: a fresh database, so many lives of a server under load, a comparison after each, all rows at the end."""
import os
import shutil
import subprocess
import time

from client import Client
from ledger import MERGE, TABLES, Ledger
from load import WRITERS, Load
from server import Server

# Lives of a round; how long one lasts once it is ready: most are short, one in five is long enough for flushes and merges.
LIVES = 50
LIFE_SECONDS = (0.25, 0.25, 0.25, 0.25, 1.5)
# Of so many lives one ends while the server starts, at the latest after so long.
STARTS = 6
START_SECONDS = 0.04
SETTINGS = {"CHRONOLITH_MEMORY": "128MiB", "CHRONOLITH_LOG": "info"}


class Rounds:
    """`place` has the kind of end: where the database lies, how a life ends, what is done around a round."""

    def __init__(self, program, workdir, dice, place, power):
        self.program, self.workdir, self.dice, self.place, self.power = program, workdir, dice, place, power
        self.log = os.path.join(workdir, "server.log")
        self.killed = self.rounds = 0
        self.figures = {}
        self.settings = dict(SETTINGS)
        self.wrap = ()

    def count(self, name, more=1):
        self.figures[name] = self.figures.get(name, 0) + more

    def run(self, ends):
        begun = time.monotonic()
        while self.killed < ends:
            self.round(ends)
            self.rounds += 1
            print(f"round {self.rounds}: {self.killed} ends so far, {self.figures.get('rows', 0)} rows sent, "
                  f"{self.figures.get('acknowledged', 0)} batches acknowledged, {time.monotonic() - begun:.0f} s", flush=True)
        self.figures["seconds"] = round(time.monotonic() - begun)

    def round(self, ends):
        data = self.place.begin_round(self.dice)
        open(self.log, "wb").close()
        ledger = Ledger(self.power)
        server = Server(self.program, data, settings=self.settings, log=self.log, new_ports=True, wrap=self.wrap)
        try:
            make_tables(server.start())
            server.kill()
            for _ in range(min(LIVES, ends - self.killed)):
                if self.dice.random() < 1 / STARTS:
                    self.end_start(server, ledger)
                else:
                    self.life(server, ledger)
                self.killed += 1
            self.end_round(server, ledger)
        finally:
            server.kill()
        for name, more in ledger.counts.items():
            self.count(name, more)
        for word, more in ledger.reasons.items():
            self.count(f"refused: {word}", more)

    def end_start(self, server, ledger):
        """Ends a server while it opens the database."""
        server.launch()
        time.sleep(self.dice.uniform(0, START_SECONDS))
        self.place.end(server, ledger, self.dice)
        self.count("ended at start")

    def life(self, server, ledger):
        begun = time.monotonic()
        server.start()
        ready = time.monotonic()
        client = Client(server.grpc)
        ledger.settle(client)
        settled = time.monotonic()
        before = files(server.data)
        # Half of the lives have all writers, the others a few: then groups are small, or nobody asks for a sync.
        writers = WRITERS if self.dice.random() < 0.5 else self.dice.sample(WRITERS, self.dice.randint(1, len(WRITERS) // 2))
        load = Load(ledger, server.grpc, self.dice, writers).start()
        time.sleep(self.dice.uniform(0, self.dice.choice(LIFE_SECONDS)))
        load.is_ending = True
        ended = time.monotonic()
        self.place.end(server, ledger, self.dice)
        gone = time.monotonic()
        load.end()
        client.close()
        self.count("seconds ending", gone - ended)
        self.count("seconds ending the load", time.monotonic() - gone)
        self.watch(before, files(server.data), load)
        self.count("seconds starting", ready - begun)
        self.count("seconds comparing", settled - ready)

    def watch(self, before, after, load):
        """What happened in a life, from outside: at the least, because files come and go within one."""
        for kind, ending in (("segments", ".seg"), ("log files", ".log"), ("manifest edits", ".edit")):
            old, new = ({name for name in names if name.endswith(ending)} for names in (before, after))
            self.count(f"{kind} made", len(new - old))
            self.count(f"{kind} gone", len(old - new))
        self.count("ended with an unfinished file", any(name.endswith(".tmp") for name in after))
        self.count("flushes asked for", load.flushes)
        self.count("merges asked for", load.merges)
        self.count("segments merged", load.merged_segments)
        for word, more in load.errors.items():
            self.count(f"errors: {word}", more)

    def end_round(self, server, ledger):
        begun = time.monotonic()
        finish(server.start(), ledger, self.dice)
        aside = os.path.join(server.data, "quarantine")
        self.count("torn tails set aside", len(os.listdir(aside)) if os.path.isdir(aside) else 0)
        self.place.end_round()
        self.count("seconds comparing all rows", time.monotonic() - begun)

    def print(self, what):
        print_figures(what, {"ends": self.killed, "rounds": self.rounds, **self.figures})


def make_tables(server):
    """The tables of the load."""
    client = Client(server.grpc)
    for table, merge in MERGE.items():
        options = client.common.TableOptions(tags=["w"], merge=merge, mode=1)
        for name, kind in [("n", 2), ("b", 2), *([("v", 2), ("x", 1), ("s", 5)] if table in TABLES else [])]:
            options.fields.add(name=name).type.kind = kind
        client.admin.CreateTable(client.admin_messages.CreateTableRequest(table=table, options=options), timeout=300)
    client.close()


def finish(server, ledger, dice):
    """With a server just started: what is open is settled and sent again, then every row is compared, and every byte verified."""
    client = Client(server.grpc)
    ledger.settle(client)
    # What is open yet belongs to producers.
    load = Load(ledger, server.grpc, dice, upkeep=False).start()
    while any(ledger.again.values()) and not load.wrong:
        time.sleep(0.01)
    load.end(is_gone=False)
    ledger.settle(client)
    ledger.compare_rows(client)
    client.close()
    server.kill()
    subprocess.run([server.program, "verify", "--data", server.data], check=True, stdout=subprocess.DEVNULL)


def print_figures(title, figures):
    print(f"\n{title}")
    for name, value in figures.items():
        if value:
            print(f"  {name:32} {value:,.0f}")


def files(data):
    return {os.path.join(folder, name) for folder, _, names in os.walk(data) for name in names}


class Folder:
    """Ends by SIGKILL, in a folder of any file system."""

    def __init__(self, workdir):
        self.data = os.path.join(workdir, "db")

    def begin_round(self, _dice):
        shutil.rmtree(self.data, ignore_errors=True)
        return self.data

    def end(self, server, _ledger, _dice):
        server.kill()

    def end_round(self):
        shutil.rmtree(self.data)


def kills(program, workdir, dice, ends):
    rounds = Rounds(program, workdir, dice, Folder(workdir), power=False)
    rounds.run(ends)
    rounds.print(f"{rounds.killed} servers killed: every acknowledged row is there once, nothing else is, no batch in part")
