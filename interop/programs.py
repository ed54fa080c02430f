"""Starting the programs of other makers, and reading what they print line by line."""

import queue
import subprocess
import threading
import time

from cases import PATIENCE_S, expect


def run(words, text=None) -> str:
    """Runs a program that has to end well, and gives what it printed."""
    ended = subprocess.run(words, input=text, capture_output=True, text=True, timeout=2 * PATIENCE_S)
    if ended.returncode != 0:
        raise AssertionError(f"{words[0]} ended with {ended.returncode}: {ended.stderr.strip() or ended.stdout.strip()}")
    return ended.stdout


class Program:
    """A program that runs beside the case."""

    def __init__(self, words):
        self.words = words
        # Whatever ends the case also ends the programs that it started: they are in one process group.
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        self.printed = queue.Queue()
        self.pending = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            print(f"{self.process.pid}: {line.rstrip()[:200]}")
            self.printed.put(line.rstrip("\n"))

    def wait_for(self, part: str) -> None:
        """Waits for a line with this part; the lines before it are kept."""
        end = time.monotonic() + PATIENCE_S
        while True:
            line = self._next(end, f"a line with `{part}`")
            if part in line:
                return
            self.pending.append(line)

    def lines(self, count: int, wanted=lambda line: True):
        """The next lines of the wanted kind."""
        end = time.monotonic() + PATIENCE_S
        seen = []
        while len(seen) < count:
            line = self.pending.pop(0) if self.pending else self._next(end, f"{count} lines, has {seen[-3:]}")
            if wanted(line):
                seen.append(line)
        return seen

    @staticmethod
    def lines_of_all(programs, count: int, wanted):
        """The next lines of the wanted kind, whichever of the programs prints them."""
        end = time.monotonic() + PATIENCE_S
        seen = []
        while len(seen) < count:
            for program in programs:
                while program.pending or not program.printed.empty():
                    line = program.pending.pop(0) if program.pending else program.printed.get()
                    seen += [line] if wanted(line) else []
            if time.monotonic() > end:
                raise AssertionError(f"{len(seen)} lines came instead of {count}")
            time.sleep(0.01)
        return seen

    def _next(self, end, what):
        try:
            return self.printed.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"{self.words[:3]} did not print {what}") from None

    def ended(self) -> None:
        """Waits until the program has ended by itself, and well."""
        expect(self.process.wait(timeout=PATIENCE_S), 0, f"the exit code of {self.words[:3]}")

    def kill(self) -> None:
        """Ends the program as a crash would."""
        self.process.kill()
        self.process.wait(timeout=PATIENCE_S)
