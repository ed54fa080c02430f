"""Real Redis and PostgreSQL servers, each in a folder of its own, on a free port of 127.0.0.1, and not as root."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

from cases import PATIENCE_S, Skip, eventually

# PostgreSQL refuses to run as root, and nothing here needs to.
NOBODY = 65534


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def unprivileged() -> dict:
    """What makes a program run as nobody, if it is root who starts it."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def children(parent: int) -> list:
    found = []
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                # The name of the program stands in parentheses; the parent comes second after it.
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has just ended
            if int(fields[1]) == parent:
                found.append(int(folder.name))
    return found


class Scratch:
    """A folder that belongs to whoever the server runs as."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="martlet-interop-"))
        if os.geteuid() == 0:
            os.chown(self.path, NOBODY, NOBODY)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


class Database:
    """A server that runs while the case is inside `with`."""

    def __init__(self):
        self.scratch = Scratch()
        self.port = free_port()
        self.process = None

    def __enter__(self):
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        self.scratch.remove()

    def prepare(self):
        """What comes before the first start."""

    def start(self):
        log = (self.scratch.path / "server.log").open("ab")
        self.process = subprocess.Popen(
            self.words(), cwd=self.scratch.path, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **unprivileged()
        )
        eventually(self.answers, f"{self.words()[0]} answers", 3 * PATIENCE_S)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def suspend(self):
        """From now on it answers nothing and refuses nothing."""
        self.tell_all(signal.SIGSTOP)

    def resume(self):
        self.tell_all(signal.SIGCONT)

    def tell_all(self, what):
        """The server and the processes that it has started for its connections."""
        for process in [self.process.pid, *children(self.process.pid)]:
            os.kill(process, what)


class Sealed:
    """A server that speaks TLS, with a certificate that an authority in this folder has signed: `database.crt`, `database.key`
    and `ca.crt` are here already."""

    def prepare(self):
        self.files = [str(self.scratch.path / f"database.{kind}") for kind in ("crt", "key")]
        for path in map(pathlib.Path, self.files):
            path.write_bytes(pathlib.Path(path.name).read_bytes())
            path.chmod(0o600)
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)
        super().prepare()


class RedisServer(Database):
    def __init__(self):
        if shutil.which("redis-server") is None or shutil.which("redis-cli") is None:
            raise Skip("redis-server is not installed (package redis-server)")
        super().__init__()

    # What redis-cli needs to reach it.
    reach = ()

    def words(self):
        return [
            "redis-server", "--bind", "127.0.0.1", *self.at_port(), "--save", "", "--appendonly", "no",
            "--requirepass", "raven", "--dir", str(self.scratch.path),
        ]  # fmt: skip

    def at_port(self):
        return ["--port", str(self.port)]

    def cli(self, *words) -> str:
        environment = {**os.environ, "REDISCLI_AUTH": "raven"}
        ended = subprocess.run(
            ["redis-cli", "-p", str(self.port), *self.reach, *words], capture_output=True, text=True, timeout=PATIENCE_S, env=environment
        )
        return ended.stdout.strip()

    def answers(self) -> bool:
        return self.cli("PING") == "PONG"

    @property
    def url(self) -> str:
        return f"redis://:raven@127.0.0.1:{self.port}/"


class SealedRedis(Sealed, RedisServer):
    reach = ("--tls", "--insecure")

    def at_port(self):
        files = ["--tls-cert-file", self.files[0], "--tls-key-file", self.files[1], "--tls-auth-clients", "no"]
        return ["--port", "0", "--tls-port", str(self.port), *files]

    @property
    def url(self) -> str:
        return f"rediss://:raven@127.0.0.1:{self.port}/"


class PostgresServer(Database):
    def __init__(self):
        self.programs = next(
            (str(folder) for folder in sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None
        )
        if self.programs is None and shutil.which("initdb"):
            self.programs = str(pathlib.Path(shutil.which("initdb")).resolve().parent)
        if self.programs is None or shutil.which("psql") is None:
            raise Skip("PostgreSQL is not installed (package postgresql)")
        super().__init__()

    def prepare(self):
        password = self.scratch.path / "password"
        password.write_text("raven\n")
        password.chmod(0o644)
        words = [
            f"{self.programs}/initdb", "--pgdata", "data", "--username", "martlet", "--auth", "scram-sha-256",
            "--pwfile", str(password), "--encoding", "UTF8", "--no-locale", "--no-sync",
        ]  # fmt: skip
        ended = subprocess.run(
            words, cwd=self.scratch.path, capture_output=True, text=True, timeout=6 * PATIENCE_S, **unprivileged()
        )
        if ended.returncode != 0:
            raise AssertionError(f"initdb: {ended.stderr.strip()}")

    def words(self):
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.scratch.path}", "-c", "fsync=off"]
        return [f"{self.programs}/postgres", "-D", "data", "-p", str(self.port), *options, *self.more_options()]

    def more_options(self):
        return []

    def sql(self, text: str) -> str:
        words = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port)]
        ended = subprocess.run(
            [*words, "-U", "martlet", "-d", "postgres", "-c", text],
            capture_output=True, text=True, timeout=PATIENCE_S, env={**os.environ, "PGPASSWORD": "raven"},
        )  # fmt: skip
        if ended.returncode != 0:
            raise AssertionError(f"psql: {ended.stderr.strip()}")
        return ended.stdout.strip()

    def answers(self) -> bool:
        try:
            return self.sql("SELECT 1") == "1"
        except AssertionError:
            return False

    @property
    def url(self) -> str:
        return f"postgresql://martlet:raven@127.0.0.1:{self.port}/postgres"


class SealedPostgres(Sealed, PostgresServer):
    """It takes clients from the network only if they speak TLS."""

    def prepare(self):
        super().prepare()
        (self.scratch.path / "data" / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")

    def more_options(self):
        return ["-c", "ssl=on", "-c", f"ssl_cert_file={self.files[0]}", "-c", f"ssl_key_file={self.files[1]}"]

    @property
    def url(self) -> str:
        return f"{super().url}?sslmode=require"
