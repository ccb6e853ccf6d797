"""Writers, a reader, and those who delete, change tables, flush and merge: all at once, against one server, until told to end."""
import functools
import threading

import grpc
import numpy as np

from client import REFUSED, Client, reason
from ledger import HEAD_TIME, MERGE, STEP_NS, TABLES, TIME_FIRST, Ledger, Wrong, pair, text, values

# Requests of a stream ahead of their answers.
WINDOW = 8
# For how long a call may take to end, on a machine that others keep busy.
PATIENCE_SECONDS = 600
# Tables beside the four of the load at a time.
TABLES_MAX = 6

# Number, way, durability, whether it numbers its batches, tables a batch (and a row in `heads` where there are several),
# most rows a batch, most width of texts, seconds of rest between batches.
WRITERS = [
    (0, "packed", "fsync", True, 1, 20, 1, 0.0),
    (1, "arrow", "fsync", False, 1, 30, 1, 0.0),
    (2, "packed", "os", True, 3, 20, 1, 0.002),
    (3, "arrow", "os", False, 2, 10, 1, 0.002),
    (4, "stream", "fsync", True, 3, 20, 1, 0.0),
    (5, "stream", "os", False, 2, 20, 1, 0.002),
    (6, "stream", "both", True, 1, 20, 3, 0.0),
    (7, "sql", "fsync", False, 1, 5, 1, 0.005),
    (8, "arrow", "fsync", True, 2, 1_000, 40, 0.02),
    (Ledger.deleter(), "packed", "fsync", True, 1, 20, 1, 0.02),
]


class Load:
    """The threads of one life of a server. A `Wrong` that one of them met is raised by `end`.

    `goes_on`: a call that fails does not end its thread; batches whose outcome is open then are sent again by producers.
    """

    def __init__(self, ledger, address, dice, writers=WRITERS, upkeep=True, seconds=300, goes_on=False):
        self.ledger, self.seconds, self.goes_on = ledger, seconds, goes_on
        self.clients = [Client(address) for _ in range(3)]
        self.is_over, self.is_ending, self.wrong, self.errors = threading.Event(), False, [], {}
        self.flushes = self.merges = self.merged_segments = 0
        jobs = []
        for at, writer in enumerate(writers):
            jobs.append(Writer(self, self.clients[at % 2], np.random.default_rng(dice.getrandbits(32)), *writer).run)
        for job in [self.read, *([self.change_tables, self.keep_up] if upkeep else [])]:
            jobs.append(functools.partial(job, np.random.default_rng(dice.getrandbits(32))))
        self.threads = [threading.Thread(target=self.guard, args=(job,), daemon=True) for job in jobs]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def guard(self, job, is_once=False):
        """Runs a job until the load is over or the server is gone."""
        try:
            while not self.is_over.is_set():
                try:
                    job()
                except grpc.RpcError as error:
                    self.note(error)
                    if not self.goes_on:
                        return
                    self.is_over.wait(0.05)
                if is_once:
                    return
        except Over:
            pass
        except Exception as error:
            # A channel that was closed under a call says it so.
            if not (self.is_over.is_set() and "closed" in str(error).lower()):
                self.wrong.append(error)

    def note(self, error):
        """Counts an error that no kill explains."""
        if not self.is_ending:
            word = reason(error)
            self.errors[word] = self.errors.get(word, 0) + 1

    def end(self, is_gone=True):
        """Without `is_gone` each call is waited for: what hung up may be committed later."""
        self.is_over.set()
        if is_gone:
            self.close()
        for thread in self.threads:
            thread.join(PATIENCE_SECONDS)
            if thread.is_alive():
                raise Wrong("a call did not end though " + ("its server is gone" if is_gone else "it was waited for"))
        self.close()
        for wrong in self.wrong:
            raise wrong

    def close(self):
        for client in self.clients:
            client.close()

    def read(self, _source):
        client = self.clients[2]
        must = self.ledger.now()
        header, answer = client.sql(self.ledger.query(), self.seconds)
        self.ledger.see(self.ledger.compare(must, answer, pair(header.sequence)))
        with self.ledger.lock:
            self.ledger.see_durable(header.durable_sequence)
        self.is_over.wait(0.02)

    def keep_up(self, source):
        """Flushes and merges far more often than any server needs them."""
        client = self.clients[2]
        messages = client.admin_messages
        self.is_over.wait(source.uniform(0, 0.1))
        if source.random() < 0.7:
            client.admin.Flush(messages.FlushRequest(), timeout=self.seconds)
            self.flushes += 1
        else:
            done = client.admin.Compact(messages.CompactRequest(), timeout=self.seconds)
            self.merges += 1
            self.merged_segments += done.segments_before

    def change_tables(self, source):
        client, ledger = self.clients[2], self.ledger
        self.is_over.wait(source.uniform(0, 0.1))
        idle = sorted(set(ledger.tables) - set(ledger.tables_open))
        choice = source.random()
        if len(idle) < 2 or (choice < 0.35 and len(idle) < TABLES_MAX):
            name = f"x_{ledger.next_number}_{source.integers(1 << 30)}"
            ledger.begin_change(name, {"a"})
            if choice < 0.2:
                options = client.common.TableOptions(tags=["w"])
                options.fields.add(name="a").type.kind = 2
                client.admin.CreateTable(client.admin_messages.CreateTableRequest(table=name, options=options), timeout=self.seconds)
            else:
                client.sql(f"CREATE TABLE {name} (time TIMESTAMP, w TAG, a BIGINT)", self.seconds)
        elif choice < 0.7:
            name = idle[source.integers(len(idle))]
            column = f"c{len(ledger.tables[name])}"
            ledger.begin_change(name, ledger.tables[name] | {column})
            client.sql(f"ALTER TABLE {name} ADD COLUMN {column} DOUBLE", self.seconds)
        else:
            name = idle[source.integers(len(idle))]
            ledger.begin_change(name, None)
            if choice < 0.85:
                client.sql(f"DROP TABLE {name}", self.seconds)
            else:
                client.admin.DropTable(client.admin_messages.DropTableRequest(table=name), timeout=self.seconds)
        ledger.acknowledge_change(name)


class Writer:
    def __init__(self, load, client, source, number, way, durability, is_producer, tables, rows_max, width, rest):
        self.load, self.client, self.source, self.ledger = load, client, source, load.ledger
        self.number, self.way, self.durability, self.is_producer = number, way, durability, is_producer
        self.table_count, self.rows_max, self.width, self.rest = tables, rows_max, width, rest
        self.stream, self.pending = None, []

    def run(self):
        if self.is_producer:
            self.send_again()
        if self.way == "stream":
            return self.run_stream()
        batch = self.begin()
        if self.way == "sql":
            self.insert(batch)
        else:
            self.write(batch)
        if self.number == Ledger.deleter() and self.source.random() < 0.2:
            self.delete()
        self.load.is_over.wait(self.rest)

    def begin(self):
        count = 1 if self.table_count == 1 else int(self.source.integers(2, self.table_count + 1))
        at = int(self.source.integers(len(TABLES))) if self.number != Ledger.deleter() else 0
        tables = [TABLES[(at + more) % len(TABLES)] for more in range(count)]
        sizes = [int(self.source.integers(1, self.rows_max + 1)) for _ in tables]
        durability = self.durability if self.durability != "both" else ("os", "fsync")[self.source.integers(2)]
        ledger, number = self.ledger, None
        if self.is_producer:
            ledger.producers[self.number] = number = ledger.producers.get(self.number, 0) + 1
        return ledger.begin(self.number, tables, sizes, count > 1, durability, number, self.width)

    def request(self, batch):
        """The same bytes whenever the batch is sent."""
        messages = self.client.write
        durability = {"os": messages.DURABILITY_OS, "fsync": messages.DURABILITY_FSYNC}[batch.durability]
        request = messages.WriteRequest(durability=durability)
        tags = {"w": f"w{self.number:03}"}
        make = self.client.arrow if self.way == "arrow" else self.client.packed
        for part in batch.parts:
            numbers = part.numbers()
            of = values(self.number, numbers).tolist()
            columns = {"n": numbers.tolist(), "b": [batch.number] * part.count, "v": of,
                       "x": [None if number % 5 == 0 else value / 8 for number, value in zip(numbers.tolist(), of)],
                       "s": [text(value, self.width) for value in of]}
            request.tables.append(make(part.table, (TIME_FIRST + numbers * STEP_NS).tolist(), tags, columns, self.options(part.table)))
        if batch.has_head:
            columns = {"b": [batch.number], "n": [sum(part.count for part in batch.parts)]}
            request.tables.append(make("heads", [HEAD_TIME], tags, columns, self.options("heads")))
        if batch.producer_number is not None:
            request.producer.id, request.producer.number = f"writer {self.number}", batch.producer_number
        return request

    def options(self, table):
        return self.client.common.TableOptions(tags=["w"], merge=MERGE[table])

    def write(self, batch):
        """Until it is acknowledged; a batch that is refused and has no number is given up."""
        while True:
            try:
                reply = self.client.writes.Write(self.request(batch), timeout=self.load.seconds)
                return self.ledger.acknowledge(batch, reply)
            except grpc.RpcError as error:
                if not self.refused(batch, reason(error)):
                    self.lose_track([batch])
                    raise
                if batch.producer_number is None:
                    return None

    def lose_track(self, batches):
        """The outcome is open: a producer sends them again, where the server lives on."""
        if self.is_producer:
            with self.ledger.lock:
                self.ledger.again.setdefault(self.number, []).extend((batch, None) for batch in batches)

    def refused(self, batch, word):
        """Whether the server said that nothing of the batch is there; then it waits a little."""
        if word not in REFUSED:
            return False
        self.ledger.refuse(batch, word, is_kept=batch.producer_number is not None)
        if word not in ("overloaded", "no_space", "memory"):
            raise Wrong(f"batch {batch.number} was refused: {word}")
        if self.load.is_over.wait(0.05):
            raise Over
        return True

    def insert(self, batch):
        part = batch.parts[0]
        numbers = part.numbers()
        rows = []
        for number, value in zip(numbers.tolist(), values(self.number, numbers).tolist()):
            time_text = np.datetime64(TIME_FIRST + number * STEP_NS, "ns")
            x = "NULL" if number % 5 == 0 else repr(value / 8)
            rows.append(f"('{time_text}', 'w{self.number:03}', {number}, {batch.number}, {value}, {x}, '{text(value, self.width)}')")
        statement = f"INSERT INTO {part.table} (time, w, n, b, v, x, s) VALUES {', '.join(rows)}"
        try:
            header, _ = self.client.sql(statement, self.load.seconds)
        except grpc.RpcError as error:
            if not self.refused(batch, reason(error)):
                raise
            return
        if header.affected_rows != part.count:
            raise Wrong(f"INSERT of {part.count} rows told of {header.affected_rows}")
        self.ledger.acknowledge(batch, header)

    def send_again(self):
        """Batches whose outcome is open, under the same numbers, in their order."""
        again = self.ledger.again.get(self.number, [])
        while again:
            batch, is_there = again[0]
            try:
                reply = self.client.writes.Write(self.request(batch), timeout=self.load.seconds)
            except grpc.RpcError as error:
                word = reason(error)
                if word in REFUSED if is_there else self.refused(batch, word):
                    continue
                raise
            if is_there is not None and reply.already_applied != is_there:
                raise Wrong(f"batch {batch.number}, sent again as {batch.producer_number}: already_applied is {reply.already_applied}, "
                            f"and after the restart it was {'there' if is_there else 'gone'}")
            if not is_there:
                self.ledger.acknowledge(batch, reply)
            with self.ledger.lock:
                self.ledger.counts["sent again"] += 1
                again.pop(0)

    def run_stream(self):
        """A stream that goes on until a batch is refused or the load is over."""
        stream, pending = self.client.write_stream(WINDOW), []
        answers = threading.Thread(target=self.load.guard, args=(lambda: self.take_answers(stream, pending), True), daemon=True)
        answers.start()
        try:
            while not stream.is_closed and not self.load.is_over.is_set() and answers.is_alive():
                batch = self.begin()
                pending.append(batch)
                request = self.client.write.WriteStreamRequest(number=batch.number, request=self.request(batch))
                while not stream.send(request):
                    if self.load.is_over.is_set() or not answers.is_alive():
                        return
                self.load.is_over.wait(self.rest)
        finally:
            stream.close()
            answers.join(PATIENCE_SECONDS)
            self.lose_track(pending)

    def take_answers(self, stream, pending):
        for reply in stream.replies:
            kind = reply.WhichOneof("outcome")
            if kind == "window":
                continue
            batch = pending[0]
            if reply.number != batch.number:
                raise Wrong(f"the stream answered {reply.number}, {batch.number} was the next")
            if kind == "error":
                self.take_refusal(stream, batch, reply.error.reason)
            else:
                self.ledger.acknowledge(batch, reply.done)
            pending.pop(0)
            stream.answered()

    def take_refusal(self, stream, batch, word):
        """A producer's later batches are refused as gaps then: it sends them all again, outside of the stream."""
        is_gap = word == "sequence_gap" and stream.is_closed
        if not is_gap and word not in ("overloaded", "no_space", "memory", "poisoned", "io", "outcome_unknown"):
            raise Wrong(f"batch {batch.number} was refused in a stream: {word}")
        if self.is_producer:
            stream.close()
        if word in REFUSED:
            self.ledger.refuse(batch, word, is_kept=self.is_producer)
        self.lose_track([batch])

    def delete(self):
        """A writer's oldest batches, by a range of times that holds nothing else."""
        batches = self.ledger.deletable(self.number, TABLES[0])
        if len(batches) < 4:
            return
        batches = batches[:int(self.source.integers(1, len(batches)))]
        parts = [batch.parts[0] for batch in batches]
        first = TIME_FIRST + min(part.first for part in parts) * STEP_NS
        end = TIME_FIRST + max(part.first + part.count for part in parts) * STEP_NS
        self.ledger.begin_deletion(batches)
        if self.source.random() < 0.5:
            messages, common = self.client.admin_messages, self.client.common
            request = messages.DeleteRowsRequest(table=TABLES[0], range=common.TimeRange(**{"from": first, "to": end}),
                                                 tags=[common.TagFilter(tag="w", values=[f"w{self.number:03}"])])
            self.client.admin.DeleteRows(request, timeout=self.load.seconds)
        else:
            self.client.sql(f"DELETE FROM {TABLES[0]} WHERE w = 'w{self.number:03}' AND time >= '{np.datetime64(first, 'ns')}' "
                            f"AND time < '{np.datetime64(end, 'ns')}'", self.load.seconds)
        self.ledger.acknowledge_deletion()


class Over(Exception):
    """The load is over while a writer waited to send a refused batch again."""
