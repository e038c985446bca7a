"""Runs commands and mounts, and says how long they took and how much memory. Nothing that was started here outlives it.

A process inherits the peak of who started it, so that whoever measures must stay small: some 20 MB.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

LIMIT_SECONDS = 3600  # No step takes as long unless it hangs.
READY_SECONDS = 300
POLL_SECONDS = 0.002
UNMOUNT_TRIES = 50
END_SECONDS = 10


class Failed(Exception):
    """A command or a check of the comparison failed; the text says how."""


@dataclass
class Taken:
    seconds: float
    peak_bytes: int
    output: int = 0  # Bytes, or lines, where they are counted.


class Runner:
    """Where the commands of one tool run: its environment, and what it last complained about."""

    def __init__(self, tool, home):
        self.tool = tool
        self.home = home
        self.complaints = os.path.join(home, "stderr")

    def start(self, command, output=subprocess.DEVNULL):
        environment = dict(os.environ, HOME=self.home, LC_ALL="C.UTF-8", TZ="UTC", **self.tool.environment)
        for name in ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "YESTERFS_REPO"]:
            environment.pop(name, None)
        with open(command.input or os.devnull, "rb") as source, open(self.complaints, "wb") as complaints:
            return subprocess.Popen(
                command.words,
                cwd=command.directory,
                env=environment,
                stdin=source,
                stdout=output,
                stderr=complaints,
                start_new_session=True,
            )

    def run(self, command, counting=None):
        """Runs it to its end. `counting`: what is counted in its output, by pieces."""
        started = time.monotonic()
        with self.process(command, subprocess.PIPE if counting else subprocess.DEVNULL) as process:
            output = count(process.stdout, counting) if counting else 0
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - started
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise Failed(f"{' '.join(command.words)} ended with {process.returncode}: {self.complaint()}")
        return Taken(seconds, usage.ru_maxrss * 1024, output)

    @contextmanager
    def process(self, command, output):
        """Whatever ends the block, the process is gone then."""
        process = timer = None
        try:
            with INTERRUPTIONS.held():
                process = self.start(command, output)
                timer = threading.Timer(LIMIT_SECONDS, kill, [process])
                timer.daemon = True
                timer.start()
            yield process
        finally:
            with INTERRUPTIONS.held():
                if timer:
                    timer.cancel()
                if process and process.returncode is None:
                    kill(process)
                    process.wait()

    def complaint(self):
        with open(self.complaints, encoding="utf-8", errors="replace") as file:
            return " / ".join(file.read().strip().split("\n")[-2:])

    @contextmanager
    def mounted(self, served, where):
        """Within it `served.root` can be read. Yields a function that says how much memory the daemon took at most."""
        daemon = None
        try:
            if served.mount:
                self.run(served.mount)
            if served.daemon:
                with INTERRUPTIONS.held():
                    daemon = self.start(served.daemon)
                self.wait_until_ready(daemon, served, where)
            yield lambda: peak_of(daemon.pid) if daemon else None
        finally:
            with INTERRUPTIONS.held():
                if daemon:
                    end(daemon, where)
                unmount(where)

    def wait_until_ready(self, daemon, served, where):
        deadline = time.monotonic() + READY_SECONDS
        while not (os.path.ismount(where) and os.path.lexists(served.root)):
            if daemon.poll() is not None:
                raise Failed(f"{' '.join(daemon.args)} ended with {daemon.returncode}: {self.complaint()}")
            if time.monotonic() > deadline:
                raise Failed(f"{' '.join(daemon.args)} was not ready after {READY_SECONDS} s: {self.complaint()}")
            time.sleep(POLL_SECONDS)


def count(pipe, counting):
    total = 0
    while piece := pipe.read(1 << 17):
        total += counting(piece)
    pipe.close()
    return total


def kill(process):
    """With all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Interruptions:
    """Signals that end the comparison, but not in the middle of starting or cleaning up something."""

    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

    def __init__(self):
        self.holders = 0
        self.pending = None

    def catch(self):
        for number in self.numbers:
            signal.signal(number, self.interrupt)

    def interrupt(self, number, _frame):
        if self.holders:
            self.pending = number
        else:
            sys.exit(128 + number)

    @contextmanager
    def held(self):
        self.holders += 1
        try:
            yield
        finally:
            self.holders -= 1
        if self.pending and not self.holders:
            sys.exit(128 + self.pending)


INTERRUPTIONS = Interruptions()


def unmount(where):
    """Does nothing where nothing is mounted."""
    politely = [["umount", where], ["fusermount3", "-u", where]]
    anyhow = [["umount", "--lazy", where], ["fusermount3", "-uz", where]]
    for words in politely * UNMOUNT_TRIES + anyhow:
        if not mounts_below(where):
            return
        try:
            subprocess.run(words, capture_output=True, check=False, start_new_session=True)
        except FileNotFoundError:
            continue
        time.sleep(POLL_SECONDS)


def mounts_below(directory):
    """Also those of dead daemons, which stat(2) would fail on."""
    with open("/proc/self/mounts", encoding="utf-8") as file:
        places = [line.split(" ")[1] for line in file]
    return [place for place in places if place == directory or place.startswith(directory + "/")]


def end(daemon, where):
    """It ends by itself once it is unmounted. One that was interrupted early may still be about to mount."""
    for number in [None, signal.SIGTERM, signal.SIGKILL]:
        if number:
            daemon.send_signal(number)
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline:
            unmount(where)
            try:
                daemon.wait(timeout=0.05)
                return
            except subprocess.TimeoutExpired:
                continue


def peak_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise Failed(f"process {pid} does not tell its peak")
