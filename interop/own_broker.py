"""A broker with settings of its own, for the suites that need other listeners or users than the one xtask starts."""

import os
import pathlib
import re
import signal
import subprocess

from cases import PATIENCE_S, Skip, eventually, expect


class OwnBroker:
    """A running broker; inside `with`, and at its end it has to stop as an operator would expect."""

    def __init__(self, config: str):
        self.folder = pathlib.Path.cwd() / "own"
        self.folder.mkdir()
        (self.folder / "martlet.toml").write_text(config)

    def __enter__(self):
        addresses = self.folder / "addresses"
        self.log = self.folder / "broker.log"
        words = [martlet(), "serve", "--in-memory", "--config", "martlet.toml", "--print-addresses", str(addresses)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                words, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            eventually(lambda: self._listens(addresses), "the broker listens")
        except BaseException:
            self.process.kill()
            print(self.log.read_text(errors="replace"))
            raise
        return self

    def _listens(self, addresses) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the broker ended at once: {self.log.read_text(errors='replace')[-300:]}")
        # The file is complete when its last line is: it is written in one go.
        text = addresses.read_text() if addresses.exists() else ""
        self.ports = {scheme: int(port) for scheme, port in re.findall(r"(\w+)://127\.0\.0\.1:(\d+)", text)}
        return text.endswith("\n") and bool(self.ports)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def reload(self, config=None, good=True):
        """Has it read its files again, or another configuration, which it has to take over or to leave as a whole."""
        if config is not None:
            (self.folder / "martlet.toml").write_text(config)
        before = len(self._reloads())
        self.process.send_signal(signal.SIGHUP)
        eventually(lambda: len(self._reloads()) > before, "the broker says what became of its reload")
        expect(self._reloads()[before], "plug-ins" if good else "nothing was", "what was taken over")

    def _reloads(self) -> list:
        return re.findall(r"(nothing was|plug-ins) taken over", self.said())

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "no end in time"
        log = self.said()
        print(log)
        # The first failure is the one to report.
        if kind is None:
            expect("panicked at" in log, False, "a panic in the broker's log")
            expect(code, 0, "the broker's exit code")


def martlet() -> str:
    """The program under test, which xtask names."""
    if "MARTLET" not in os.environ:
        raise Skip("the environment variable MARTLET does not name the program")
    return os.environ["MARTLET"]
