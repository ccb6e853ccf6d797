"""Calls of the gRPC interface, as thin as they can be. Needs grpcio, grpcio-tools, numpy and pyarrow."""
import threading
import time

import grpc
import numpy as np
import pyarrow as pa

OPTIONS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 128 << 20),
           ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
# Reasons of errors after which nothing of the request is there.
REFUSED = {"unknown_table", "unknown_column", "wrong_type", "over_limit", "table_exists", "sequence_gap", "overloaded", "no_space",
           "invalid", "read_only", "sql_syntax", "sql_refused", "memory"}


def reason(error):
    """The word for programs of a failed call's details; the code's name where there are none."""
    from v1 import common_pb2

    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            # google.rpc.Status is code = 1, message = 2, details = 3; each detail an Any of type_url = 1, value = 2.
            for number, inner in fields(value):
                if number == 3:
                    detail = common_pb2.ErrorDetail()
                    detail.ParseFromString(dict(fields(inner))[2])
                    return detail.reason
    return error.code().name


def fields(message):
    """The length-delimited fields of an encoded protobuf message."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        if key & 7 == 2:
            length, at = varint(message, at)
            yield key >> 3, message[at:at + length]
            at += length
        else:
            _, at = varint(message, at)


def varint(message, at):
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if byte < 0x80:
            return value, at


class Client:
    def __init__(self, address):
        from v1 import admin_pb2, admin_pb2_grpc, common_pb2, query_pb2, query_pb2_grpc, write_pb2, write_pb2_grpc

        self.channel = grpc.insecure_channel(address, options=OPTIONS)
        self.admin_messages, self.common, self.query, self.write = admin_pb2, common_pb2, query_pb2, write_pb2
        self.admin = admin_pb2_grpc.AdminServiceStub(self.channel)
        self.queries = query_pb2_grpc.QueryServiceStub(self.channel)
        self.writes = write_pb2_grpc.WriteServiceStub(self.channel)

    def close(self):
        self.channel.close()

    def sql(self, statement, seconds=300, **more):
        """The answer as a header and an Arrow table (none for statements that write)."""
        replies = self.queries.Sql(self.query.SqlRequest(statement=statement, **more), timeout=seconds)
        header, parts = None, []
        for reply in replies:
            if reply.HasField("header"):
                header = reply.header
            parts.append(reply.arrow_ipc)
        data = b"".join(parts)
        return header, pa.ipc.open_stream(data).read_all() if data else None

    def patient_sql(self, statement, seconds=300):
        """The same; while memory for reads is full, as of merges after a start, it is asked again."""
        end = time.monotonic() + seconds
        while True:
            try:
                return self.sql(statement, seconds)
            except grpc.RpcError as error:
                if reason(error) not in ("overloaded", "memory") or time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def stats(self, seconds=300):
        return self.admin.Stats(self.admin_messages.StatsRequest(), timeout=seconds)

    def packed(self, table, time, tags, columns, create=None):
        """Rows of one table: `tags` as name to value (one that all rows have), `columns` as name to a list."""
        rows = self.write.PackedRows(time=time)
        for name, value in tags.items():
            rows.tags.add(name=name, values=[value])
        for name, values in columns.items():
            field = rows.fields.add(name=name)
            present = [value for value in values if value is not None]
            kind = {int: field.i64, float: field.f64, str: field.utf8}[type(present[0]) if present else float]
            kind.values.extend(values if len(present) == len(values) else [0 if value is None else value for value in values])
            if len(present) != len(values):
                bits = np.array([value is not None for value in values])
                field.validity = np.packbits(bits, bitorder="little").tobytes()
        return self.write.TableRows(table=table, packed=rows, create_if_missing=create)

    def arrow(self, table, time, tags, columns, create=None):
        """The same by way of Arrow."""
        data = {"time": pa.array(time, pa.timestamp("ns"))}
        data.update({name: pa.array([value] * len(time)) for name, value in tags.items()})
        data.update({name: pa.array(values) for name, values in columns.items()})
        batch = pa.table(data)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_table(batch)
        rows = self.write.ArrowRows(ipc=sink.getvalue().to_pybytes(), tag_columns=list(tags))
        return self.write.TableRows(table=table, arrow=rows, create_if_missing=create)

    def write_stream(self, window):
        return WriteStream(self, window)


class WriteStream:
    """A stream with at most `window` requests ahead of their answers."""

    def __init__(self, client, window):
        self.room = threading.Semaphore(window)
        self.ready = threading.Condition()
        self.queue, self.is_closed = [], False
        self.replies = client.writes.WriteStream(self.requests())

    def requests(self):
        while True:
            with self.ready:
                while not self.queue and not self.is_closed:
                    self.ready.wait()
                if not self.queue:
                    return
                request = self.queue.pop(0)
            yield request

    def send(self, request, seconds=0.05):
        """False where no room came up in that time."""
        if not self.room.acquire(timeout=seconds):
            return False
        with self.ready:
            self.queue.append(request)
            self.ready.notify()
        return True

    def answered(self):
        self.room.release()

    def close(self):
        with self.ready:
            self.is_closed = True
            self.ready.notify()
