"""A server of the recipes' own, and what they all need to run one: ports, the seed, skipping loudly."""
import atexit
import json
import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The exit code of a recipe that could not test anything.
SKIPPED = 77


class NotStarted(Exception):
    """The server ended before it served, or was killed while it started."""


def skip(reason):
    print(f"SKIPPED: {reason}: NOTHING WAS TESTED", file=sys.stderr, flush=True)
    sys.exit(SKIPPED)


def dice():
    """Random numbers from a seed that is printed; the environment variable CHRONOLITH_SEED replays one."""
    seed = int(os.environ.get("CHRONOLITH_SEED", time.time_ns() % 1_000_000))
    print(f"seed {seed}", flush=True)
    return random.Random(seed)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def generate_protocol(folder):
    """Generates the gRPC interface's Python code into `folder` (needs grpcio-tools), for `from v1 import ...`."""
    from grpc_tools import protoc

    os.makedirs(folder, exist_ok=True)
    protos = sorted(str(path) for path in (ROOT / "proto/v1").glob("*.proto"))
    if protoc.main(["protoc", f"-I{ROOT / 'proto'}", f"--python_out={folder}", f"--grpc_python_out={folder}", *protos]) != 0:
        sys.exit("no code could be generated from proto/v1")
    sys.path.insert(0, str(folder))


class Server:
    """Servers one after the other, on the same ports unless they are asked for anew each time.

    `wrap` is a command that runs the server, such as strace; `log` a file that standard error is appended to.
    """

    def __init__(self, program, data, *, wrap=(), settings=None, log=None, new_ports=False):
        self.program, self.data, self.wrap = str(program), str(data), list(wrap)
        self.environment = {**os.environ, **(settings or {})}
        self.log, self.new_ports = log, new_ports
        self.grpc = self.http = None
        self.process = None
        atexit.register(self.kill)

    def launch(self):
        """Starts the process without waiting for it."""
        if self.new_ports:
            self.grpc = self.http = "127.0.0.1:0"
        elif self.grpc is None:
            self.grpc, self.http = (f"127.0.0.1:{free_port()}" for _ in range(2))
        command = [*self.wrap, self.program, "serve", "--data", self.data, "--grpc", self.grpc, "--http", self.http]
        errors = open(self.log, "ab") if self.log else None
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=self.environment)
        if errors:
            errors.close()

    def start(self):
        """Returns once it listens."""
        self.launch()
        self.await_ready()
        return self

    def await_ready(self):
        line = self.process.stdout.readline()
        if "gRPC" not in line:
            code = self.process.wait()
            self.process.stdout.close()
            raise NotStarted(f"the server did not start: exit {code}, {line!r}")
        self.grpc, self.http = re.search(r"gRPC http://([^,\s]+), HTTP http://(\S+)", line).groups()

    def pid(self):
        """The server's process, also below a command that runs it."""
        if not self.wrap:
            return self.process.pid
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else pid

    def kill(self):
        """SIGKILL; returns once the process is gone."""
        if self.process is None or self.process.returncode is not None:
            return
        try:
            os.kill(self.pid(), 9)
        except (ProcessLookupError, FileNotFoundError):
            pass
        self.process.wait()
        self.process.stdout.close()

    def stop(self, seconds=60):
        """SIGTERM; returns the exit code."""
        os.kill(self.pid(), 15)
        code = self.process.wait(seconds)
        self.process.stdout.close()
        return code

    def is_alive(self):
        return self.process.poll() is None

    def get(self, path, seconds=10):
        """The code and the text of an answer over HTTP."""
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=seconds) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def health(self):
        """The word of `/health`, and its reasons as one text."""
        _, text = self.get("/health")
        answer = json.loads(text)
        return answer["status"], "; ".join(answer["reasons"])

    def metrics(self):
        """Figures without labels, by name."""
        _, text = self.get("/metrics")
        return {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", text, re.M)}
