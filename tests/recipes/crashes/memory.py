"""A server with 256 MiB of memory in all, under requests that are made to take more: errors, and no kill.

The limit is a cgroup's (v1 or v2, needs root); where none can be made, RLIMIT_DATA. What is measured is the process's own peak, VmHWM.
"""
import atexit
import os
import pathlib
import shutil
import threading
import time

import grpc
import numpy as np
import pyarrow as pa

from client import Client, reason
from ledger import Wrong
from server import Server

LIMIT_BYTES = 256 << 20
MESSAGE_BYTES = 64 << 20
# A request that the server takes in.
BIG_BYTES = 60 << 20
# What docs/OPERATING.md says for a machine of 256 MiB.
SETTINGS = {"CHRONOLITH_MEMORY": "64MiB", "CHRONOLITH_REQUESTS_IN_FLIGHT": "64MiB", "CHRONOLITH_QUERIES": "8",
            "CHRONOLITH_READ_THREADS": "4", "CHRONOLITH_WRITE_THREADS": "4", "CHRONOLITH_LOG": "warn"}
SECONDS = 120

QUERIES = ["SELECT * FROM arrow ORDER BY s, n", "SELECT n, s, count(*) FROM arrow GROUP BY n, s", "SELECT count(DISTINCT s) FROM arrow",
           "SELECT string_agg(s, ',') FROM arrow", "SELECT array_agg(s) FROM arrow", "SELECT count(*) FROM arrow a, arrow b WHERE a.n < b.n",
           "SELECT a.s FROM arrow a JOIN arrow b USING (n) ORDER BY a.s", "SELECT median(n), approx_distinct(s) FROM arrow",
           "SELECT s, row_number() OVER (PARTITION BY n % 1000 ORDER BY s) FROM arrow", "SELECT repeat('x', 1000000000)",
           "SELECT repeat(s, 100000) FROM arrow", "SELECT lpad('x', 2000000000, 'y')",
           "SELECT array_repeat('x', 1000000000)", "SELECT range(1, 1000000000)", "SELECT array_resize([1], 1000000000, 0)",
           "SELECT replace(s, '', repeat('y', 10000)) FROM arrow", "SELECT regexp_replace(s, '', repeat('y', 10000), 'g') FROM arrow",
           "SELECT rpad(s, 100000) FROM arrow", "SELECT * FROM generate_series(1, 1000000000) ORDER BY 1 DESC",
           "SELECT max(length(concat(s, s, s, s))) FROM arrow", "SELECT DISTINCT ON (s) * FROM arrow",
           "WITH RECURSIVE r AS (SELECT 1 AS n, 'x' AS s UNION ALL SELECT n + 1, concat(s, s) FROM r WHERE n < 60) SELECT * FROM r",
           "CREATE TABLE copy AS SELECT * FROM arrow ORDER BY s", "INSERT INTO arrow SELECT * FROM arrow"]
GIANTS = ["SELECT " + "(" * 500_000 + "1" + ")" * 500_000, "SELECT " + "+".join(["1"] * 500_000),
          "SELECT " + ", ".join(f"n + {at}" for at in range(60_000)) + " FROM arrow",
          f"SELECT * FROM arrow WHERE n IN ({', '.join(map(str, range(130_000)))})", "SELECT 'x" + "y" * 1_000_000 + "'",
          "SELECT 1 " + "UNION ALL SELECT 1 " * 50_000, "SELECT " + "CASE WHEN n = 1 THEN 2 ELSE " * 30_000 + "1" + " END" * 30_000,
          "SELECT * FROM " + ", ".join(f"arrow a{at}" for at in range(2_000)), "SELECT 1 " + " " * (1 << 20) + "AS x"]


def limited():
    """The command that puts what follows below the limit, and what kind of limit it is."""
    name = f"chronolith-{os.getpid()}"
    for root, limit in (("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
        group = pathlib.Path(root) / name
        # Elsewhere a folder would be just a folder.
        if not (pathlib.Path(root) / "cgroup.procs").exists():
            continue
        try:
            group.mkdir()
            atexit.register(lambda group=group: group.exists() and group.rmdir())
            (group / limit).write_text(str(LIMIT_BYTES))
            return ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$0" "$@"'], f"a cgroup's {limit}"
        except OSError:
            continue
    return ["prlimit", f"--data={LIMIT_BYTES}"], "RLIMIT_DATA"


def field(number, data):
    """A length-delimited field of a protobuf message."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


class Attacks:
    """Each method is one attack; it returns the errors and answers that it got, as words."""

    def __init__(self, address, dice):
        self.address, self.dice = address, dice
        self.client = Client(address)

    def raw(self, data, method="WriteService/Write", compression=None):
        call = self.client.channel.unary_unary(f"/chronolith.v1.{method}", lambda data: data, lambda data: data)
        call(data, timeout=SECONDS, compression=compression)

    def write(self, *tables):
        return self.client.writes.Write(self.client.write.WriteRequest(tables=tables), timeout=SECONDS)

    def create(self):
        return self.client.common.TableOptions(tags=["w"])

    def over_the_limit(self):
        yield lambda: self.raw(field(1, bytes(MESSAGE_BYTES)))

    def near_the_limit(self):
        texts = ["x" * (1 << 20)] * 62
        yield lambda: self.write(self.client.packed("wide", list(range(62)), {"w": "a"}, {"s": texts}, self.create()))

    def compressed(self):
        yield lambda: self.raw(field(1, bytes(MESSAGE_BYTES - 100)), compression=grpc.Compression.Gzip)

    def empty_tables(self):
        yield lambda: self.raw(field(1, b"") * (BIG_BYTES // 2 - 1))

    def empty_tags(self):
        yield lambda: self.raw(field(1, field(1, b"wide") + field(3, field(2, b"") * (BIG_BYTES // 2 - 20))))

    def empty_fields(self):
        yield lambda: self.raw(field(1, field(1, b"wide") + field(3, field(3, b"") * (BIG_BYTES // 2 - 20))))

    def empty_texts(self):
        texts = field(8, field(1, b"") * (BIG_BYTES // 2 - 40))
        yield lambda: self.raw(field(1, field(1, b"wide") + field(3, field(3, field(1, b"s") + texts))))

    def short_integers(self):
        ones = field(5, field(1, b"\x02" * (BIG_BYTES - 80)))
        yield lambda: self.raw(field(1, field(1, b"wide") + field(3, field(3, field(1, b"n") + ones))))

    def rows_of_one_time(self):
        times = np.zeros(4 << 20, np.int64).tobytes()
        yield lambda: self.raw(field(1, field(1, b"one_time") + field(2, b"") + field(3, field(1, times))))

    def many_filters(self):
        yield lambda: self.raw_scan(field(1, b"wide") + field(3, b"") * (BIG_BYTES // 2 - 20))

    def many_names(self):
        yield lambda: self.raw_scan(field(1, b"wide") + field(5, field(1, b"") * (BIG_BYTES // 2 - 20)))

    def raw_scan(self, data):
        call = self.client.channel.unary_stream("/chronolith.v1.QueryService/Scan", lambda data: data, lambda data: data)
        for _ in call(data, timeout=SECONDS):
            pass

    def arrow(self, batch, **more):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema, **more) as stream:
            stream.write_batch(batch)
        rows = self.client.write.ArrowRows(ipc=sink.getvalue().to_pybytes(), tag_columns=["w"])
        return self.client.write.TableRows(table="arrow", arrow=rows, create_if_missing=self.create())

    def arrow_bombs(self):
        """A compressed body; a dictionary of one long text that four million rows name; lengths that are not there."""
        rows = 4 << 20
        times = pa.array(np.arange(rows), pa.timestamp("ns"))
        zeros = pa.record_batch({"time": times, "z": pa.array(np.zeros(rows))})
        yield lambda: self.write(self.arrow(zeros, options=pa.ipc.IpcWriteOptions(compression="zstd")))
        same = pa.array(["a"]).take(pa.array(np.zeros(rows, np.int32)))
        text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array(["x" * (1 << 20)]))
        yield lambda: self.write(self.arrow(pa.record_batch({"time": times, "w": text})))
        yield lambda: self.write(self.arrow(pa.record_batch({"time": times[:2 << 20], "w": same[:2 << 20], "s": text[:2 << 20]})))
        longs = pa.DictionaryArray.from_arrays(pa.array(np.arange(1 << 20, dtype=np.int32) % 12_000),
                                               pa.array([f"{at:05}" + "y" * 3_900 for at in range(12_000)]))
        yield lambda: self.write(self.arrow(pa.record_batch({"time": times[:1 << 20], "w": longs})))
        whole = self.arrow(zeros.slice(0, 1_000))
        for _ in range(200):
            data = bytearray(whole.arrow.ipc)
            at = self.dice.randrange(len(data) - 8)
            data[at:at + 8] = b"\xff\xff\xff\x7f\xff\xff\xff\x7f"[:self.dice.randint(1, 8)].ljust(8, b"\xff")
            rows = self.client.write.ArrowRows(ipc=bytes(data))
            yield lambda rows=rows: self.write(self.client.write.TableRows(table="broken", arrow=rows, create_if_missing=self.create()))

    def many_tables(self):
        """Five thousand tables, of fifty fields each."""
        for part in range(5):
            tables = [self.client.packed(f"many_{part}_{at}", [0], {"w": "a"}, {f"f{of}": [1.5] for of in range(50)}, self.create())
                      for at in range(1_000)]
            yield lambda tables=tables: self.write(*tables)

    def million_series(self):
        rows = self.client.write.PackedRows(time=[0] * 1_000_000)
        rows.tags.add(name="w", values=[f"series {at:07} {'z' * 20}" for at in range(1_000_000)], codes=range(1_000_000))
        field_of = rows.fields.add(name="v")
        field_of.f64.values.extend([1.0] * 1_000_000)
        for _ in range(3):
            yield lambda: self.write(self.client.write.TableRows(table="series", packed=rows, create_if_missing=self.create()))
        yield lambda: self.client.admin.Flush(self.client.admin_messages.FlushRequest(), timeout=SECONDS)

    def fill(self):
        """Two million rows to ask about."""
        for part in range(20):
            count = 100_000
            numbers = np.arange(part * count, (part + 1) * count)
            batch = pa.record_batch({"time": pa.array(numbers, pa.timestamp("ns")), "w": pa.array(["a"] * count), "n": pa.array(numbers * 7_919 % 2_000_003),
                                     "s": pa.array([f"text {number * 7_919 % 2_000_003:09}" for number in numbers.tolist()])})
            yield lambda batch=batch: self.write(self.arrow(batch))

    def queries(self):
        for text in QUERIES:
            yield lambda text=text: self.client.sql(text, SECONDS)

    def giant_statements(self):
        for text in GIANTS:
            yield lambda text=text: self.client.sql(text, SECONDS)

    def slow_readers(self):
        """64 streams of which nobody takes more than the first message; a write and a read must work meanwhile."""
        clients = [Client(self.address) for _ in range(64)]
        streams = [client.queries.Scan(client.query.ScanRequest(table="arrow"), timeout=SECONDS) for client in clients]
        for stream in streams:
            yield lambda stream=stream: next(stream)
        time.sleep(3)
        yield lambda: self.client.sql("SELECT 1", SECONDS)
        yield lambda: self.write(self.client.packed("wide", [0], {"w": "a"}, {"n": [1]}, self.create()))
        for client in clients:
            client.close()

    def hung_up(self):
        """64 write streams that end in the middle of a message of some MiB."""
        rows = self.client.packed("wide", list(range(8)), {"w": "a"}, {"s": ["x" * 900_000] * 8}, self.create())
        request = self.client.write.WriteStreamRequest(number=1, request=self.client.write.WriteRequest(tables=[rows]))
        gates = []

        def one():
            client = Client(self.address)
            gate = threading.Event()
            gates.append(gate)

            def requests():
                for _ in range(4):
                    yield request
                gate.wait(10)
            stream = client.writes.WriteStream(requests())
            time.sleep(self.dice.uniform(0, 2))
            client.close()
            gate.set()
        threads = [threading.Thread(target=one) for _ in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            yield lambda thread=thread: thread.join()

    def large_together(self):
        """32 requests of 30 MB at once."""
        rows = self.client.packed("wide", list(range(30)), {"w": "a"}, {"s": ["x" * 1_000_000] * 30}, self.create())
        data = self.client.write.WriteRequest(tables=[rows]).SerializeToString()
        found, clients = [], [Client(self.address) for _ in range(8)]

        def one(client):
            call = client.channel.unary_unary("/chronolith.v1.WriteService/Write", lambda data: data, lambda data: data)
            try:
                call(data, timeout=SECONDS)
                found.append(None)
            except grpc.RpcError as error:
                found.append(error)
        threads = [threading.Thread(target=one, args=(clients[at % 8],)) for at in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in found:
            yield lambda error=error: self.again(error)
        for client in clients:
            client.close()

    def again(self, error):
        if error:
            raise error


ATTACKS = ["over_the_limit", "near_the_limit", "compressed", "empty_tables", "empty_tags", "empty_fields", "empty_texts", "short_integers",
           "rows_of_one_time", "many_filters", "many_names", "arrow_bombs", "many_tables", "million_series", "fill",
           *(f"queries.{at}" for at in range(len(QUERIES))), *(f"giant_statements.{at}" for at in range(len(GIANTS))),
           "slow_readers", "hung_up", "large_together"]
QUICK = ["over_the_limit", "near_the_limit", "compressed", "empty_tables", "empty_texts", "fill", "slow_readers"]


def attack(server, name, dice):
    """The words that an attack got, and how many times each. Behind a point stands the number of the only step."""
    words = {}
    attacks = Attacks(server.grpc, dice)
    name, _, only = name.partition(".")
    for at, step in enumerate(getattr(attacks, name)()):
        if only and at != int(only):
            continue
        try:
            step()
            word = "ok"
        except grpc.RpcError as error:
            word = f"{error.code().name}/{reason(error)}"
        except StopIteration:
            word = "ended"
        words[word] = words.get(word, 0) + 1
        if not server.is_alive():
            break
    attacks.client.close()
    return words


def peak(server):
    """The most bytes in memory, the program's own pages included."""
    with open(f"/proc/{server.process.pid}/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


def answers(server):
    """It is asked, written to and read from as ever."""
    deadline = time.monotonic() + 240
    while True:
        client = Client(server.grpc)
        try:
            client.writes.Write(client.write.WriteRequest(tables=[client.packed("after", [time.time_ns()], {"w": "a"}, {"n": [1]},
                                client.common.TableOptions(tags=["w"]))]), timeout=60)
            client.sql("SELECT count(*) FROM after", 60)
            return
        except grpc.RpcError as error:
            if reason(error) not in ("overloaded", "memory", "deadline", "DEADLINE_EXCEEDED") or time.monotonic() > deadline:
                raise Wrong(f"it does not answer any more: {error.code().name} {error.details()}") from error
            time.sleep(0.2)
        finally:
            client.close()


def memory(program, workdir, dice, names):
    """Each attack meets a server that was just started, on the data of those before it."""
    folder = os.path.join(workdir, "small")
    shutil.rmtree(folder, ignore_errors=True)
    wrap, kind = limited()
    print(f"{LIMIT_BYTES >> 20} MiB by {kind}; " + ", ".join(f"{key}={value}" for key, value in SETTINGS.items()), flush=True)
    server = Server(program, folder, settings=SETTINGS, wrap=wrap, log=os.path.join(workdir, "server.log"), new_ports=True)
    killed, most = [], 0
    for name in names:
        server.start()
        kind, _, only = name.partition(".")
        shown = {"queries": QUERIES, "giant_statements": GIANTS}[kind][int(only)][:40] if only else name
        begun = time.monotonic()
        words = attack(server, name, dice)
        try:
            answers(server)
            found = peak(server)
            most = max(most, found)
            word, reasons = server.health()
            print(f"{shown:40} peak {found >> 20:4} MiB, {time.monotonic() - begun:5.1f} s, {words}; /health: {word} {reasons}", flush=True)
            server.kill()
        except (Wrong, OSError, StopIteration) as error:
            time.sleep(0.5)
            if server.is_alive():
                raise
            print(f"{shown:40} THE SERVER WAS KILLED (exit {server.process.returncode}), {time.monotonic() - begun:5.1f} s, {words}", flush=True)
            killed.append(shown)
    server.start()
    print(f"\n{len(names)} attacks on a server with {LIMIT_BYTES >> 20} MiB: VmHWM at most {most >> 20} MiB where it lived; "
          f"killed {len(killed)} times{''.join(chr(10) + '  by ' + one for one in killed)}")
    server.kill()
    shutil.rmtree(folder)
    if killed:
        raise SystemExit(1)
