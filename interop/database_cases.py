"""Cases for users and rules in databases: real Redis and PostgreSQL servers, mosquitto's clients, mosquitto's hashes."""

import pathlib
import subprocess

from access_cases import address, publish, refused, watch
from cases import case, eventually, expect, main
from databases import PostgresServer, RedisServer, SealedPostgres, SealedRedis
from own_broker import OwnBroker, martlet
from programs import run
from tls_cases import authority, certificate

ANNA, OTTO = ("anna", "tulip"), ("otto", "crocus")
# Names that would do harm if they became part of a command or a query.
HOSTILE = ["' OR '1'='1", "anna' --", "x\" OR 1=1", "$1", "${username}", "*", "anna}", "a b c"]


def hashes():
    """The users' hashes as `martlet passwd` makes them."""
    run([martlet(), "passwd", "--create", "--batch", "users.txt", "anna", "tulip"])
    run([martlet(), "passwd", "--batch", "users.txt", "otto", "crocus"])
    lines = pathlib.Path("users.txt").read_text().split()
    return dict(line.split(":", 1) for line in lines)


class OnRedis(RedisServer):
    users = None

    def start(self):
        """It forgets everything when it stops."""
        super().start()
        if self.users:
            self.fill()

    def fill(self):
        self.users = self.users or hashes()
        for name, hash_ in self.users.items():
            self.cli("HSET", f"mqtt:user:{name}", "hash", hash_, "admin", "0")
        self.cli("HSET", "mqtt:acl:anna", "greenhouse/#", "all", "own/${username}/#", "all")
        self.cli("HSET", "mqtt:acl:otto", "greenhouse/#", "subscribe")

    def set_hash(self, name, hash_):
        self.cli("HSET", f"mqtt:user:{name}", "hash", hash_)

    def make_superuser(self, name):
        self.cli("HSET", f"mqtt:user:{name}", "admin", "1")

    def spoil_rules(self, name):
        self.cli("HSET", f"mqtt:acl:{name}", "a/#/b", "all")

    def options(self) -> str:
        return (
            f'[redis]\nurl = "{self.url}"\nuser = "HMGET mqtt:user:${{username}} hash admin"\n'
            'rules = "HGETALL mqtt:acl:${username}"\n'
        )


class OnPostgres(PostgresServer):
    def fill(self):
        self.sql("CREATE TABLE mqtt_users (name varchar(100) PRIMARY KEY, hash text NOT NULL, admin boolean)")
        self.sql("CREATE TABLE mqtt_rules (id serial, name text, permission text, action text, topic text)")
        for name, hash_ in hashes().items():
            self.sql(f"INSERT INTO mqtt_users VALUES ('{name}', '{hash_}')")
        for name, action, topic in [
            ("anna", "all", "greenhouse/#"), ("anna", "all", "own/${username}/#"), ("otto", "subscribe", "greenhouse/#"),
        ]:  # fmt: skip
            self.add_rule(name, action, topic)

    def add_rule(self, name, action, topic):
        values = f"'{name}', 'allow', '{action}', '{topic}'"
        self.sql(f"INSERT INTO mqtt_rules (name, permission, action, topic) VALUES ({values})")

    def set_hash(self, name, hash_):
        self.sql(f"UPDATE mqtt_users SET hash = '{hash_}' WHERE name = '{name}'")

    def make_superuser(self, name):
        self.sql(f"UPDATE mqtt_users SET admin = true WHERE name = '{name}'")

    def spoil_rules(self, name):
        self.add_rule(name, "all", "a/#/b")

    def options(self) -> str:
        return (
            f'[postgres]\nurl = "{self.url}"\n'
            'user = "SELECT hash, admin FROM mqtt_users WHERE name = ${username}"\n'
            'rules = "SELECT permission, action, topic FROM mqtt_rules WHERE name = ${username} ORDER BY id"\n'
        )


DATABASES = {"redis": OnRedis, "postgres": OnPostgres}


def guarded(database, more=""):
    database.fill()
    return OwnBroker(f'{database.options()}{more}[[listener]]\nurl = "tcp://127.0.0.1:0"\n')


def logs_in(broker, login, version="5") -> bool:
    return publish(broker, version, login, "t", "x").returncode == 0


def says(broker, login, *parts) -> None:
    """A login is refused with one of these words, in all versions."""
    for version in ("311", "5"):
        ended = publish(broker, version, login, "t", "x")
        said = (ended.stderr + ended.stdout).lower()
        expect(ended.returncode != 0 and any(part in said for part in parts), True, f"{login} with {version}: {said}")


@case(each=DATABASES)
def lookup_logins(broker, server):
    """The right password, a wrong one, a user who does not exist, and nobody."""
    with server() as database, guarded(database) as broker:
        for version in ("311", "5"):
            expect(publish(broker, version, ANNA, "greenhouse/a", "x").returncode, 0, "anna gets in")
        says(broker, ("anna", "crocus"), "refused", "bad user name")
        says(broker, ("nobody", "tulip"), "refused", "bad user name")
        says(broker, (), "not authori")


@case(each=DATABASES)
def lookup_rules(broker, server):
    """What the database allows a user, what it does not, and its own name in a topic."""
    with server() as database, guarded(database) as broker:
        observer = watch(broker, "5", OTTO, "greenhouse/#", 1)
        publish(broker, "5", OTTO, "greenhouse/otto", "no")
        denied = publish(broker, "5", ANNA, "elsewhere", "no")
        expect("not authorized" in denied.stderr.lower(), True, f"what is said: {denied.stderr}")
        publish(broker, "5", ANNA, "greenhouse/anna", "yes")
        expect(observer.lines(1, lambda line: line.startswith("got ")), ["got greenhouse/anna yes"], "what arrives")
        observer.ended()
        own = watch(broker, "5", ANNA, "own/anna/#", 1)
        publish(broker, "5", ANNA, "own/anna/x", "mine")
        own.ended()
        words = ["mosquitto_sub", *address(broker, "5", *OTTO), "-W", "20", "-t", "own/anna/#"]
        ended = subprocess.run(words, capture_output=True, text=True, timeout=30)
        expect("denied" in ended.stderr, True, f"it says that it was denied: {ended.stderr}")


@case(each=DATABASES)
def lookup_superuser(broker, server):
    with server() as database, guarded(database) as broker:
        denied = publish(broker, "5", OTTO, "elsewhere", "no")
        expect("not authorized" in denied.stderr.lower(), True, f"what is said: {denied.stderr}")
        database.make_superuser("otto")
        expect(publish(broker, "5", OTTO, "elsewhere", "yes").returncode, 0, "a superuser publishes anywhere")


@case(each=DATABASES)
def lookup_hostile_names(broker, server):
    """A name stays a value whatever is in it."""
    with server() as database, guarded(database) as broker:
        for name in HOSTILE:
            expect(logs_in(broker, (name, "tulip")), False, f"{name} is refused")
        expect(logs_in(broker, ANNA), True, "anna still gets in")


@case(each=DATABASES)
def lookup_mosquitto_hash(broker, server):
    """A hash that mosquitto_passwd 2.0 made, of the password `secret`."""
    hash_ = (
        "$7$101$VfCN2QBxR393E5xb$12JnNYUPVA04OLbzceC4ZJqmWhBrmDYr/1r7AzVcrOJgIZZjF0sTQo4f+O6tyAF7FDoYJNc/"
        "Tn27Cj+/QO8hlQ=="
    )
    with server() as database, guarded(database) as broker:
        database.set_hash("anna", hash_)
        expect(logs_in(broker, ("anna", "secret")), True, "the new password")
        expect(logs_in(broker, ("anna", "tulip")), False, "the old one")


@case(each=DATABASES)
def lookup_entry_that_is_no_hash(broker, server):
    """A password in plain text admits nobody and stands in no log."""
    with server() as database, guarded(database) as broker:
        database.set_hash("anna", "hunter2")
        says(broker, ("anna", "hunter2"), "unavailable")
        expect("hunter2" in broker.log.read_text(), False, "the password in the log")
        expect(logs_in(broker, OTTO), True, "otto still gets in")


@case(each=DATABASES)
def lookup_rule_with_a_mistake(broker, server):
    with server() as database, guarded(database) as broker:
        database.spoil_rules("anna")
        says(broker, ANNA, "unavailable")
        expect(logs_in(broker, OTTO), True, "otto still gets in")


@case(each=DATABASES)
def lookup_server_is_gone_and_returns(broker, server):
    """Nobody gets in without the database; with it again, everybody does, and who is connected stays."""
    with server() as database, guarded(database) as broker:
        observer = watch(broker, "5", OTTO, "greenhouse/#", 1)
        database.stop()
        says(broker, ANNA, "unavailable")
        expect("raven" in broker.log.read_text(), False, "the database's password in the log")
        database.start()
        eventually(lambda: logs_in(broker, ANNA), "anna gets in again")
        publish(broker, "5", ANNA, "greenhouse/a", "back")
        expect(observer.lines(1, lambda line: line.startswith("got ")), ["got greenhouse/a back"], "what arrives")
        observer.ended()


@case(each=DATABASES)
def lookup_server_hangs(broker, server):
    """A database that answers nothing costs its deadline, and others nothing."""
    with server() as database, guarded(database, "timeout_ms = 3000\n") as broker:
        observer = watch(broker, "5", OTTO, "greenhouse/#", 1)
        database.suspend()
        try:
            says(broker, ANNA, "unavailable")
        finally:
            database.resume()
        eventually(lambda: logs_in(broker, ANNA), "anna gets in again")
        publish(broker, "5", ANNA, "greenhouse/a", "x")
        observer.ended()


@case(each=DATABASES)
def lookup_remembers(broker, server):
    """A login that was right is remembered, and no other one."""
    with server() as database, guarded(database, "remember_ms = 600000\n") as broker:
        words = ["-i", "same"]
        expect(publish(broker, "5", ANNA, "greenhouse/a", "x", *words).returncode, 0, "anna gets in")
        database.stop()
        expect(publish(broker, "5", ANNA, "greenhouse/a", "x", *words).returncode, 0, "anna is remembered")
        refused(publish(broker, "5", ("anna", "crocus"), "t", "x", *words), "unavailable")
        says(broker, OTTO, "unavailable")


class OnSealedRedis(SealedRedis, OnRedis):
    """The same over TLS."""


class OnSealedPostgres(SealedPostgres, OnPostgres):
    """The same over TLS."""


SEALED = {"redis": OnSealedRedis, "postgres": OnSealedPostgres}
# What stands in the place of the URL of a server that speaks no TLS.
INSISTING = {
    "redis": (OnRedis, lambda url: url.replace("redis:", "rediss:")),
    "postgres": (OnPostgres, lambda url: f"{url}?sslmode=require"),
}


def trusting(name):
    """Options that take certificates of one authority only."""
    return f'ca_file = "{pathlib.Path.cwd()}/{name}.crt"\n'


@case(each=SEALED)
def lookup_over_tls(broker, server):
    """Logins and rules over TLS, also after the server was started again."""
    authority("ca")
    certificate("database", "ca", "serverAuth")
    with server() as database, guarded(database, trusting("ca")) as broker:
        for version in ("311", "5"):
            expect(publish(broker, version, ANNA, "greenhouse/a", "x").returncode, 0, "anna gets in")
        says(broker, ("anna", "crocus"), "refused", "bad user name")
        denied = publish(broker, "5", ANNA, "elsewhere", "no")
        expect("not authorized" in denied.stderr.lower(), True, f"what is said: {denied.stderr}")
        database.stop()
        says(broker, ANNA, "unavailable")
        database.start()
        eventually(lambda: logs_in(broker, ANNA), "anna gets in again")


@case(each=SEALED)
def lookup_over_tls_of_an_unknown_authority(broker, server):
    """Whoever does not prove to be the database is told no name and no password."""
    authority("ca")
    authority("elsewhere")
    certificate("database", "ca", "serverAuth")
    with server() as database, guarded(database, trusting("elsewhere")) as broker:
        says(broker, ANNA, "unavailable")
        expect("raven" in broker.said() or "tulip" in broker.said(), False, "a password in the log")


@case(each=SEALED)
def lookup_over_tls_of_another_host(broker, server):
    authority("ca")
    certificate("database", "ca", "serverAuth", "DNS:elsewhere.example")
    with server() as database, guarded(database, trusting("ca")) as broker:
        says(broker, ANNA, "unavailable")


@case(each=INSISTING)
def lookup_server_without_tls(broker, variant):
    """Nothing falls back to plain text."""
    server, insist = variant
    authority("ca")
    with server() as database:
        database.fill()
        options = database.options().replace(database.url, insist(database.url)) + trusting("ca")
        with OwnBroker(f'{options}[[listener]]\nurl = "tcp://127.0.0.1:0"\n') as broker:
            says(broker, ANNA, "unavailable")


if __name__ == "__main__":
    main()
