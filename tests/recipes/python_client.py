#!/usr/bin/env python3
"""Runs the client of docs/clients/python.md, as it stands there, against a server of its own.

Usage: python_client.py PROGRAM [--venv DIR]

Makes a virtual environment with grpcio-tools, pyarrow and pandas where DIR has none; says loudly, and exits with 77,
where that cannot be done (no network). The generated code and the server are nobody else's.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from server import ROOT, Server, skip

PACKAGES = ["grpcio", "grpcio-tools", "grpcio-status", "pyarrow", "pandas"]


def environment(folder):
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    have = subprocess.run([python, "-c", "import grpc_tools, grpc_status, pyarrow, pandas"], capture_output=True)
    if have.returncode != 0:
        got = subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES])
        if got.returncode != 0:
            skip("the packages of the Python client cannot be installed")
    return python


def check(address):
    """In the virtual environment: the page's code, then what must hold."""
    page = (ROOT / "docs/clients/python.md").read_text()
    client, use = re.findall(r"```python\n(.*?)```", page, re.S)
    lines = [line for line in client.splitlines() if line.strip()]
    assert len(lines) <= 32, f"the client has {len(lines)} lines"
    scope = {}
    exec(client, scope)
    exec(use.replace("Chronolith()", f"Chronolith({address!r})"), scope)
    import grpc
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from grpc_status import rpc_status

    db, common = scope["db"], scope["common"]
    assert db.scan("ticks").column("price").to_pylist() == [1.5, 1.75, 9.0]
    # Every type, with NULL, there and back.
    count = 100_000
    frame = pd.DataFrame({
        "time": pd.to_datetime(np.arange(count) * 1_000_000, unit="ns", utc=True),
        "host": pd.Categorical(np.array(["a", "b", "c"])[np.arange(count) % 3]),
        "f": np.where(np.arange(count) % 5 == 0, np.nan, np.arange(count) * 0.25),
        "i": np.arange(count, dtype=np.int32),
        "u": np.arange(count, dtype=np.uint64),
        "ok": np.arange(count) % 2 == 0,
        "note": [None if at % 7 == 0 else f"n{at}" for at in range(count)],
    })
    reply = db.write("all", frame, producer="python", number=1)
    assert reply.row_count == count and not reply.already_applied
    assert db.write("all", frame, producer="python", number=1).already_applied
    back = db.scan("all").to_pandas().sort_values("time").reset_index(drop=True)
    assert len(back) == count
    for name in frame.columns:
        sent, got = frame[name].astype(object), back[name].astype(object)
        same = (sent.values == got.values) | (pd.isna(sent) & pd.isna(got)).values
        assert same.all(), (name, sent[~same][:3], got[~same][:3])
    part = db.scan("all", tags=[common.TagFilter(tag="host", values=["b"])])
    assert part.num_rows == sum(frame["host"] == "b")
    assert pa.types.is_dictionary(part.schema.field("host").type)
    try:
        db.scan("alll")
        raise AssertionError("an unknown table was read")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND
        from v1 import common_pb2
        detail = common_pb2.ErrorDetail()
        assert rpc_status.from_call(error).details[0].Unpack(detail)
        assert detail.reason == "unknown_table" and "all" in detail.known, detail
    print(f"the page's client wrote and read {count + 3} rows: equal")


def main():
    if sys.argv[1] == "--check":
        return check(sys.argv[2])
    program = pathlib.Path(sys.argv[1]).resolve()
    work = pathlib.Path(tempfile.mkdtemp(prefix="chronolith-python-"))
    folder = pathlib.Path(sys.argv[3]).resolve() if "--venv" in sys.argv[2:3] else work / "venv"
    python = environment(folder)
    (work / "generated").mkdir()
    protos = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto/v1").glob("*.proto"))
    out = work / "generated"
    subprocess.run([python, "-m", "grpc_tools.protoc", "-I", ROOT / "proto", f"--python_out={out}",
                    f"--grpc_python_out={out}", *protos], check=True)
    server = Server(program, work / "db", new_ports=True).start()
    done = subprocess.run([python, pathlib.Path(__file__).resolve(), "--check", server.grpc], cwd=work,
                          env={**os.environ, "PYTHONPATH": str(out)})
    server.stop()
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
