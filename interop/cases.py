"""What the Python suites of this folder share: a register of cases and the small command line that xtask calls.

    SUITE.py list
    SUITE.py run CASE tcp://HOST:PORT ws://HOST:PORT/PATH

Exit code 0 means passed, 77 skipped, anything else failed; the last line that is printed says why.
"""

import sys
import time
import traceback
from dataclasses import dataclass
from urllib.parse import urlsplit

SKIPPED = 77

# How long something that has to happen may take on a busy machine.
PATIENCE_S = 10.0
# How long to wait before believing that something does not happen.
QUIET_S = 0.4

_CASES = {}


@dataclass(frozen=True)
class Broker:
    """Where the broker under test listens."""

    tcp: str
    ws: str

    @property
    def host(self) -> str:
        return urlsplit(self.tcp).hostname

    @property
    def port(self) -> int:
        return urlsplit(self.tcp).port

    @property
    def ws_port(self) -> int:
        return urlsplit(self.ws).port

    @property
    def ws_path(self) -> str:
        return urlsplit(self.ws).path


class Skip(Exception):
    """The case cannot run here, for the reason given."""


def case(function=None, *, each=None):
    """Registers a case: once, or once for each variant, whose name is appended and whose value is passed on."""

    def register(function):
        # A suite may take a peer from another one without taking its cases.
        if function.__module__ != "__main__":
            return function
        if each is None:
            _CASES[function.__name__] = function
        for name, value in (each or {}).items():
            _CASES[f"{function.__name__}_{name}"] = lambda broker, value=value: function(broker, value)
        return function

    return register if function is None else register(function)


def expect(actual, expected, what: str) -> None:
    """Fails the case unless both are equal."""
    if actual != expected:
        raise AssertionError(f"{what}: expected {expected!r}, got {actual!r}")


def eventually(condition, what: str, patience_s: float = PATIENCE_S) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: did not happen within {patience_s} s")
        time.sleep(0.01)


def main() -> None:
    """Lists the cases or runs one, and ends the process with its exit code."""
    verb, *rest = sys.argv[1:]
    if verb == "list":
        print("\n".join(_CASES))
        sys.exit(0)
    name, tcp, ws = rest
    try:
        _CASES[name](Broker(tcp, ws))
    except Skip as reason:
        print(reason)
        sys.exit(SKIPPED)
    except BaseException:
        traceback.print_exc()
        sys.exit(1)
    sys.exit(0)
