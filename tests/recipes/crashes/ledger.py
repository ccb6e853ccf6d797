"""What writers sent and what was acknowledged, kept outside of the server, and the comparison of a database with it.

Every value is a function of its writer and the row's number there, so that counts and sums tell what is there; rows are compared
one by one at the end of a round. The ledger shares no code with the database.
"""
import threading

import grpc
import numpy as np

TABLES = ["ticks", "quotes", "books"]
MERGE = {"ticks": 1, "quotes": 2, "books": 3, "heads": 2}
TIME_FIRST = 1_700_000_000_000_000_000
STEP_NS = 1_000_000
HEAD_TIME = TIME_FIRST - STEP_NS
FOLDED = -1


class Wrong(Exception):
    """The database is not what it must be."""


def values(writer, numbers):
    """The field `v` of the rows `numbers` of a writer."""
    return (numbers * 2_654_435_761 + (writer + 1) * 40_503_777_777) % (1 << 40)


def text(value, width):
    """The field `s` beside the value `v`, up to `width` times ten characters."""
    return f"{value:010x}" * (1 + value % width)


class Part:
    """Rows of a batch in one table."""

    __slots__ = ("table", "first", "count", "sums")

    def __init__(self, writer, table, first, count):
        numbers = np.arange(first, first + count, dtype=np.int64)
        self.table, self.first, self.count = table, first, count
        self.sums = (count, int(numbers.sum()), int(values(writer, numbers).sum()))

    def numbers(self):
        return np.arange(self.first, self.first + self.count, dtype=np.int64)


class Batch:
    __slots__ = ("writer", "number", "parts", "has_head", "durability", "producer_number", "sequence", "width")

    def __init__(self, writer, number, parts, has_head, durability, producer_number, width):
        self.writer, self.number, self.parts, self.has_head = writer, number, parts, has_head
        self.durability, self.producer_number, self.width = durability, producer_number, width
        self.sequence = None


class Deletions:
    """The states that a writer's folded rows of one table take, one for each deletion begun; the last may not have happened."""

    def __init__(self):
        self.begun, self.acknowledged = [], 0


def pair(sequence):
    return sequence.incarnation, sequence.counter


class Ledger:
    """`power` says whether the power is cut, not only the process killed: then `os` batches may go, newest first."""

    def __init__(self, power):
        self.power = power
        self.lock = threading.Lock()
        self.next_number, self.next_row = 1, {}
        self.open, self.recent, self.again = {}, {}, {}
        self.low = 1
        self.kept, self.base, self.heads = [], {}, {}
        self.deletions = Deletions()
        self.producers, self.is_in_order, self.is_cut = {}, True, False
        self.durable = (0, 0)
        self.tables, self.tables_open = {}, {}
        self.counts = dict.fromkeys(["batches", "rows", "acknowledged", "acknowledged os", "open", "open kept", "open gone", "sent again",
                                     "rolled back os", "deletions", "tables", "read while written", "compared rows", "refused",
                                     "told after the cut"], 0)
        self.reasons = {}

    def cut(self):
        """The power goes: answers that come from now on tell nothing, as nobody would have got them."""
        with self.lock:
            self.is_cut = True

    # Writers.

    def begin(self, writer, tables, sizes, has_head, durability, producer_number, width=1):
        """A batch that is about to be sent."""
        parts, first = [], self.next_row.get(writer, 0)
        for table, size in zip(tables, sizes):
            parts.append(Part(writer, table, first, size))
            first += size
        self.next_row[writer] = first
        with self.lock:
            batch = Batch(writer, self.next_number, parts, has_head, durability, producer_number, width)
            self.next_number += 1
            self.open[batch.number] = batch
            self.counts["batches"] += 1
            self.counts["rows"] += sum(sizes)
        return batch

    def acknowledge(self, batch, reply):
        """`reply` is a write's, or a statement's header, which does not tell the batch's own sequence."""
        with self.lock:
            if self.is_cut:
                self.counts["told after the cut"] += 1
                return
            # A reader may have seen it before.
            if self.open.pop(batch.number, None):
                self.recent[batch.number] = batch
            self.counts["acknowledged"] += 1
            self.counts["acknowledged os"] += batch.durability == "os"
            self.see_durable(reply.durable_sequence)
            # Of a repeat of an older batch the sequence is the producer's newest.
            if hasattr(reply, "row_count") and not reply.already_applied:
                batch.sequence = pair(reply.sequence)
                if batch.durability == "fsync" and pair(reply.durable_sequence) < batch.sequence:
                    raise Wrong(f"batch {batch.number} was acknowledged with fsync at {batch.sequence}, beyond {pair(reply.durable_sequence)}")

    def refuse(self, batch, reason, is_kept=False):
        """Nothing of it is there; `is_kept`: it will be sent again as it is."""
        with self.lock:
            self.counts["refused"] += 1
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
            if batch.number not in self.open:
                raise Wrong(f"batch {batch.number} was refused ({reason}), and a reader saw it")
            if not is_kept:
                del self.open[batch.number]

    def see(self, numbers):
        """A reader saw these: a kill takes none of them away, a power cut none that asked for `fsync`."""
        with self.lock:
            self.counts["read while written"] += 1
            if self.is_cut:
                return
            for number in numbers & self.open.keys():
                if not self.power or self.open[number].durability == "fsync":
                    self.recent[number] = self.open.pop(number)

    def see_durable(self, sequence):
        if self.is_cut:
            return
        self.durable = max(self.durable, pair(sequence))

    # Deletions of a writer's oldest rows: only of batches below `low`, which are folded.

    def deletable(self, writer, table):
        with self.lock:
            gone = {number for numbers, _ in self.deletions.begun for number in numbers}
            return [batch for batch in self.kept if batch.writer == writer and batch.number < self.low and batch.number not in gone
                    and batch.parts[0].table == table]

    def begin_deletion(self, batches):
        with self.lock:
            delta = np.sum([batch.parts[0].sums for batch in batches], axis=0)
            self.deletions.begun.append(({batch.number for batch in batches}, tuple(int(value) for value in delta)))

    def acknowledge_deletion(self):
        with self.lock:
            if self.is_cut:
                return
            self.deletions.acknowledged = len(self.deletions.begun)
            self.counts["deletions"] += 1

    # Comparison.

    def query(self):
        """One statement, so one snapshot, about all rows: by writer, and by batch from `low` on."""
        one = ("SELECT '{0}' AS t, w, CASE WHEN b >= {1} THEN b ELSE -1 END AS g, count(*) AS c, sum(n) AS sn, sum(v) AS sv, "
               "min(_seq) AS s0, max(_seq) AS s1 FROM {0} GROUP BY w, CASE WHEN b >= {1} THEN b ELSE -1 END")
        head = "SELECT 'heads', w, b, 1, n, 0, _seq AS s0, _seq AS s1 FROM heads"
        return " UNION ALL ".join([*(one.format(table, self.low) for table in TABLES), head])

    def now(self):
        """What must be there in a read that begins now, for `compare`."""
        with self.lock:
            return set(self.recent), self.deletions.acknowledged

    def compare(self, must, answer, sequence):
        """Compares the answer of `query`, read while writers go on or after a restart; returns the numbers of the batches in it.

        `must` is what `now` gave before the read.
        """
        present, folded, heads = self.sort_out(answer)
        must_numbers, deletions_least = must
        with self.lock:
            known = {**self.open, **self.recent}
            deletions_most = len(self.deletions.begun)
        for number in must_numbers - present.keys():
            batch = known[number]
            raise Wrong(f"LOST: batch {number} of writer {batch.writer} ({batch.durability}, sequence {batch.sequence}), acknowledged")
        for number, (sums, sequences) in present.items():
            batch = known.get(number)
            if batch is None:
                raise Wrong(f"INVENTED: batch {number} was refused, or gone before, or never sent: {sums}")
            self.compare_batch(batch, sums, sequences, sequence)
        self.compare_folded(folded, deletions_least, deletions_most)
        self.compare_heads(heads, present, known)
        return present.keys()

    def sort_out(self, answer):
        present, folded, heads = {}, {}, {}
        columns = [answer.column(at).to_pylist() for at in range(answer.num_columns)]
        for table, name, group, count, sum_n, sum_v, least, greatest in zip(*columns):
            writer = int(name[1:])
            if table == "heads":
                if writer in heads:
                    raise Wrong(f"DOUBLED: writer {writer} has two rows in heads")
                heads[writer] = group
            elif group == FOLDED:
                folded[writer, table] = (count, sum_n, sum_v)
            else:
                sums, sequences = present.setdefault(group, ({}, set()))
                sums[writer, table] = (count, sum_n, sum_v)
                sequences |= {least, greatest}
        return present, folded, heads

    def compare_batch(self, batch, sums, sequences, sequence):
        due = {(batch.writer, part.table): part.sums for part in batch.parts}
        if sums != due:
            raise Wrong(f"TORN, DOUBLED or CHANGED: batch {batch.number}: {sums} is there, {due} was sent")
        if len(sequences) != 1 or max(sequences) > sequence[1]:
            raise Wrong(f"batch {batch.number} has the sequences {sequences} in a snapshot at {sequence}")
        if batch.sequence and batch.sequence[1] not in sequences:
            raise Wrong(f"batch {batch.number} was told sequence {batch.sequence}, and has {sequences}")

    def compare_folded(self, folded, least, most):
        for key, due in self.base.items():
            allowed = [due]
            if key == (self.deleter(), TABLES[0]):
                for at, (_, delta) in enumerate(self.deletions.begun[:most]):
                    due = tuple(value - less for value, less in zip(due, delta))
                    allowed = [due] if at < least else [*allowed, due]
            found = folded.pop(key, (0, 0, 0))
            if found not in allowed:
                raise Wrong(f"LOST, DOUBLED or CHANGED: older rows of writer and table {key}: {found} is there, {allowed} was acknowledged "
                            "(count, sum of n, sum of v)")
        if folded:
            raise Wrong(f"INVENTED: {folded}")

    def compare_heads(self, heads, present, known):
        """The row in `heads` is the writer's newest batch that has one: batches are atomic over tables."""
        newest = dict(self.heads)
        for number in sorted(present):
            if known[number].has_head:
                newest[known[number].writer] = number
        if heads != newest:
            raise Wrong(f"heads are {heads}, the newest batches with one are {newest}")

    @staticmethod
    def deleter():
        return 90

    def settle(self, client):
        """After a restart: compares, and decides what became of the batches whose outcome nobody was told."""
        self.is_cut = False
        stats = client.stats()
        recovered, durable = pair(stats.sequence), pair(stats.durable_sequence)
        if durable[1] < self.durable[1]:
            raise Wrong(f"durable_sequence went back: from {self.durable} to {durable}")
        self.see_durable(stats.durable_sequence)
        try:
            header, answer = client.patient_sql(self.query())
        except grpc.RpcError as error:
            raise Wrong(f"after a restart the tables cannot be read: {error.details()}") from error
        with self.lock:
            present, _, _ = self.sort_out(answer)
            self.roll_back(present, recovered)
            known = {number: batch for number, batch in {**self.open, **self.recent}.items()}
            in_streams = {}
            for number in sorted(known):
                batch = known[number]
                before = in_streams.get(batch.writer)
                if self.is_in_order and before is not None and before not in present and number in present:
                    raise Wrong(f"HOLE: batch {number} of writer {batch.writer} is there, and {before}, sent before, is not")
                in_streams[batch.writer] = number
            open_now = dict(self.open)
        must = set(self.recent), self.deletions.acknowledged
        self.compare(must, answer, pair(header.sequence))
        self.decide(present, open_now, answer)
        self.settle_tables(client)
        return stats

    def roll_back(self, present, recovered):
        """Acknowledged `os` batches that a power cut may take: the newest, beyond what was told to be durable."""
        if not self.power:
            return
        for number in sorted(set(self.recent) - present.keys()):
            batch = self.recent[number]
            is_bound = batch.durability == "fsync" or (batch.sequence and batch.sequence <= self.durable)
            if is_bound:
                continue
            if batch.sequence and batch.sequence[1] <= recovered[1]:
                raise Wrong(f"HOLE: os batch {number} at {batch.sequence} is gone, and {recovered} is there")
            self.counts["rolled back os"] += 1
            self.open[number] = self.recent.pop(number)
            batch.sequence = None

    def decide(self, present, open_now, answer):
        with self.lock:
            # Those that were there and not sent again yet; the others are open still.
            again = {writer: [(batch, True) for batch, is_there in batches if is_there] for writer, batches in self.again.items()}
            self.again = again
            for number, batch in sorted(open_now.items()):
                self.counts["open"] += 1
                self.counts["open kept" if number in present else "open gone"] += 1
                if batch.producer_number is not None:
                    again.setdefault(batch.writer, []).append((batch, number in present))
                if number in present:
                    self.recent[number] = self.open.pop(number)
                elif batch.producer_number is None:
                    del self.open[number]
            for batches in again.values():
                batches.sort(key=lambda one: one[0].number)
            self.decide_deletion(answer)
            self.low = min([self.next_number, *self.open])
            self.fold()

    def decide_deletion(self, answer):
        """A deletion in flight happened or not; the folded rows are what is left."""
        begun = self.deletions.begun
        if self.deletions.acknowledged < len(begun):
            _, folded, _ = self.sort_out(answer)
            key = (self.deleter(), TABLES[0])
            due = tuple(map(int, np.array(self.base[key]) - np.sum([delta for _, delta in begun], axis=0)))
            if folded.get(key, (0, 0, 0)) != due:
                begun.pop()
        gone = set().union(*(numbers for numbers, _ in begun))
        if gone:
            self.kept = [batch for batch in self.kept if batch.number not in gone]
        for _, delta in begun:
            key = (self.deleter(), TABLES[0])
            self.base[key] = tuple(value - less for value, less in zip(self.base[key], delta))
        self.deletions = Deletions()

    def fold(self):
        """Batches below `low` are counted together from now on; those above are kept apart."""
        stay = {}
        for number in sorted(self.recent):
            batch = self.recent[number]
            if number >= self.low:
                stay[number] = batch
                continue
            self.kept.append(batch)
            if batch.has_head:
                self.heads[batch.writer] = max(number, self.heads.get(batch.writer, 0))
            for part in batch.parts:
                key = (batch.writer, part.table)
                self.base[key] = tuple(a + b for a, b in zip(self.base.get(key, (0, 0, 0)), part.sums))
        self.recent = stay

    # Tables that come and go: name to the columns that were acknowledged.

    def begin_change(self, table, after):
        """`after` is the set of columns once the change is done; none: the table is gone."""
        with self.lock:
            self.tables_open[table] = after

    def acknowledge_change(self, table):
        with self.lock:
            if self.is_cut:
                return
            after = self.tables_open.pop(table)
            if after is None:
                self.tables.pop(table, None)
            else:
                self.tables[table] = after
            self.counts["tables"] += 1

    def settle_tables(self, client):
        listed = client.admin.ListTables(client.admin_messages.ListTablesRequest(), timeout=300).tables
        found = {table.name: {field.name for field in table.fields} for table in listed if table.name.startswith("x_")}
        for table in {*found, *self.tables, *self.tables_open}:
            allowed = [self.tables.get(table)]
            if table in self.tables_open:
                allowed.append(self.tables_open[table])
            if found.get(table) not in allowed:
                raise Wrong(f"table {table} has the columns {found.get(table)}, one of {allowed} was acknowledged or asked for")
        self.tables, self.tables_open = found, {}

    # The end of a round.

    def compare_rows(self, client):
        """Every row, field by field. Nothing may be open."""
        for table in TABLES:
            due = self.due_rows(table)
            _, answer = client.patient_sql(f"SELECT w, n, b, v, x, s, _seq, time FROM {table}")
            found = {name: answer.column(name) for name in answer.column_names}
            writer = np.array([int(name[1:]) for name in found["w"].to_pylist()], dtype=np.int64)
            number = found["n"].to_numpy()
            order = np.lexsort((number, writer))
            if len(order) != len(due["n"]):
                raise Wrong(f"{table} has {len(order)} rows, {len(due['n'])} are due")
            found_texts = found["s"].to_pylist()
            rows = {"w": writer, "n": number, "b": found["b"].to_numpy(), "v": found["v"].to_numpy(),
                    "x": found["x"].to_numpy(), "t": found["time"].to_numpy().astype(np.int64)}
            for name, got in rows.items():
                same = (got[order] == due[name]) | ((got[order] != got[order]) & (due[name] != due[name]))
                if not same.all():
                    at = int(np.argmin(same))
                    raise Wrong(f"{table}.{name}: row {due['n'][at]} of writer {due['w'][at]} is {got[order][at]}, not {due[name][at]}")
            if [found_texts[at] for at in order] != due["s"]:
                raise Wrong(f"{table}.s differs")
            told = due["q"] >= 0
            if (found["_seq"].to_numpy()[order].astype(np.int64)[told] != due["q"][told]).any():
                raise Wrong(f"{table}._seq differs from what was acknowledged")
            self.counts["compared rows"] += len(order)

    def due_rows(self, table):
        columns = {name: [np.zeros(0, np.int64)] for name in "wnbvtq"}
        columns["x"], width = [np.zeros(0)], [np.zeros(0, np.int64)]
        for batch in [*self.kept, *self.recent.values()]:
            for part in batch.parts:
                if part.table == table:
                    numbers = part.numbers()
                    of = values(batch.writer, numbers)
                    alike = np.ones(part.count, np.int64)
                    for name, column in zip("wnbvtq", [alike * batch.writer, numbers, alike * batch.number, of,
                                                       TIME_FIRST + numbers * STEP_NS,
                                                       alike * (batch.sequence[1] if batch.sequence else -1)]):
                        columns[name].append(column)
                    columns["x"].append(np.where(numbers % 5 == 0, np.nan, of / 8))
                    width.append(alike * batch.width)
        rows = {name: np.concatenate(parts) for name, parts in columns.items()}
        order = np.lexsort((rows["n"], rows["w"]))
        rows = {name: column[order] for name, column in rows.items()}
        wide = np.concatenate(width)[order]
        rows["s"] = [text(value, most) for value, most in zip(rows["v"].tolist(), wide.tolist())]
        return rows
