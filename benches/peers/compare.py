#!/usr/bin/env python3
"""Measures yesterfs and other tools on the same data, step by step in turns, and prints a table. run.sh starts it."""

import argparse
import filecmp
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from processes import INTERRUPTIONS, Failed, Runner, Taken, mounts_below
from table import render
from tools import Command, all_tools

HERE = os.path.dirname(os.path.abspath(__file__))
FULL = ["--rows", "1000000", "--files", "100000", "--large-mib", "256"]
QUICK = ["--rows", "50000", "--files", "5000", "--large-mib", "16"]
READ_BYTES = 128 << 10  # As cat(1) reads.
RANDOM_READS = 200
RANDOM_BYTES = 4096
LIST_REPEATS = 5
DUMPS = 4


class Contestant:
    """A tool with its repositories of one run."""

    def __init__(self, tool, place):
        self.tool = tool
        self.place = os.path.join(place, tool.name)
        self.runner = Runner(tool, self.place)
        self.mount_point = os.path.join(self.place, "mnt")
        self.versions = {"dump": 0, "tree": 0}

    def begin(self):
        """With empty repositories. What was restored goes only now: for minutes after many files were removed, ext4 looks
        at each of their inodes before it makes a new file (`recently_deleted`), which whoever comes next would pay for.
        """
        shutil.rmtree(self.place, ignore_errors=True)
        os.makedirs(self.mount_point)
        self.tool.state = os.path.join(self.place, "state")
        self.versions = {"dump": 0, "tree": 0}
        for what in ["empty", "dump", "tree"]:
            os.makedirs(self.repository(what))
            if command := self.tool.init(self.repository(what)):
                self.runner.run(command)

    def repository(self, what):
        return os.path.join(self.place, what)

    def restored(self, what):
        return os.path.join(self.place, "restored-" + what)

    def stored_bytes(self, what):
        total = 0
        top = self.repository(what)
        for directory, below, files in os.walk(top):
            if directory == top:
                below[:] = [name for name in below if name not in self.tool.not_stored]
            total += sum(os.lstat(os.path.join(directory, name)).st_size for name in files)
        return total

    def store(self, what, source):
        """Returns what it took, and by how many bytes the repository grew."""
        before = self.stored_bytes(what)
        self.versions[what] += 1
        make = self.tool.store_dump if what == "dump" else self.tool.store_tree
        command = make(self.repository(what), source, self.versions[what])
        taken = self.runner.run(command)
        return taken, self.stored_bytes(what) - before, command

    def serve(self, what):
        return self.tool.serve(self.repository(what), what, self.versions[what], self.mount_point)


class Comparison:
    def __init__(self, given, work):
        self.given = given
        self.work = work
        self.data = os.path.join(work, "data")
        self.tree = os.path.join(self.data, "tree")
        self.last_dump = self.dump(DUMPS)
        self.results = {"tools": {}, "missing": missing_tools(given), "machine": machine(work, given)}
        wanted = given.only.split(",") if given.only else None
        tools = [tool for tool in all_tools(given.yesterfs, given.tools) if not wanted or tool.name in wanted]
        if not tools:
            sys.exit("none of these tools is installed")
        self.contestants = [Contestant(tool, work) for tool in tools]
        for tool in tools:
            about = {"version": tool.version(), "settings": tool.settings}
            self.results["tools"][tool.name] = {**about, "figures": {}, "commands": {}, "failures": {}}
        self.expected = {}

    def dump(self, number):
        return os.path.join(self.data, str(number), "dump.sql")

    # --- What is measured ---------------------------------------------------------------------------------------------

    def steps(self):
        return [
            ("begin", lambda one: one.begin()),
            ("list", self.list),
            ("dump-first", lambda one: self.ingest(one, "dump-first", "dump", self.dump(1))),
            ("dump-again", lambda one: self.ingest(one, "dump-again", "dump", self.dump(2))),
            ("dump-1%", lambda one: self.ingest(one, "dump-1%", "dump", self.dump(3))),
            ("dump-0.1%", lambda one: self.ingest(one, "dump-0.1%", "dump", self.dump(4))),
            ("tree-first", lambda one: self.ingest(one, "tree-first", "tree", self.tree)),
            ("tree-again", lambda one: self.ingest(one, "tree-again", "tree", self.tree)),
            ("restore-dump", lambda one: self.restore(one, "dump")),
            ("restore-tree", lambda one: self.restore(one, "tree")),
            ("mount-read", self.read_sequentially),
            ("mount-random", self.read_randomly),
            ("mount-ls", lambda one: self.walk(one, "mount-ls", ["ls", "-lR"], "", lines)),
            ("mount-tar", lambda one: self.walk(one, "mount-tar", ["tar", "-cf", "-"], "small", len)),
        ]

    def list(self, one):
        command = one.tool.list(one.repository("empty"))
        if command:
            times = [one.runner.run(command).seconds for _ in range(LIST_REPEATS)]
            self.note(one, "list", statistics.median(times), command)

    def ingest(self, one, step, what, source):
        warm(source)
        os.sync()
        taken, stored, command = one.store(what, source)
        self.note(one, step, taken.seconds, command if one.versions[what] == 1 else None)
        self.note(one, step + "-stored", stored)
        self.note(one, "peak-ingest", taken.peak_bytes)

    def restore(self, one, what):
        os.makedirs(one.restored(what))
        command, root = one.tool.restore(one.repository(what), what, one.versions[what], one.restored(what))
        drop_caches(one.repository(what))
        self.note(one, "restore-" + what, one.runner.run(command).seconds, command)
        if what == "dump":
            same = filecmp.cmp(root, self.last_dump, shallow=False)
        else:
            words = ["diff", "-rq", "--no-dereference", root, self.tree]
            same = subprocess.run(words, stdout=subprocess.DEVNULL, check=False).returncode == 0
        if not same:
            raise Failed(f"what was restored differs from the {what}")

    def served(self, one, what, measure):
        """Calls `measure` with what is mounted, the kernel's caches dropped once it is."""
        served = one.serve(what)
        if served is None:
            return
        with one.runner.mounted(served, one.mount_point) as peak:
            drop_caches(one.repository(what))
            measure(served)
            if (most := peak()) is not None:
                self.note(one, "peak-mount", most)

    def read_sequentially(self, one):
        def measure(served):
            command = served.daemon or served.mount
            for row in ["mount-cold", "mount-again"]:
                taken = read_whole(served.root)
                self.note(one, row, taken.output / taken.seconds, command)
            if not filecmp.cmp(served.root, self.last_dump, shallow=False):
                raise Failed("what the mount shows differs from the dump")

        self.served(one, "dump", measure)

    def read_randomly(self, one):
        def measure(served):
            self.note(one, "mount-random", statistics.median(random_reads(served.root)))

        self.served(one, "dump", measure)

    def walk(self, one, step, words, below, counting):
        def measure(served):
            command = Command([*words, "."], directory=os.path.join(served.root, below))
            taken = one.runner.run(command, counting)
            if taken.output != self.expected[step]:
                raise Failed(f"{words[0]} printed {taken.output} instead of {self.expected[step]}")
            self.note(one, step, taken.seconds)

        self.served(one, "tree", measure)

    # --- In turns -----------------------------------------------------------------------------------------------------

    def make_data(self):
        say(f"making the data in {self.data}")
        size = QUICK if self.given.quick else FULL
        runner = self.contestants[0].runner
        os.makedirs(runner.home, exist_ok=True)
        # Not in this process, which must stay small.
        runner.run(Command([sys.executable, os.path.join(HERE, "data.py"), self.data, *size]))
        self.expected["mount-ls"] = runner.run(Command(["ls", "-lR", "."], directory=self.tree), lines).output
        small = os.path.join(self.tree, "small")
        self.expected["mount-tar"] = runner.run(Command(["tar", "-cf", "-", "."], directory=small), len).output
        self.results["machine"]["dump bytes"] = os.path.getsize(self.dump(1))

    def run(self):
        self.make_data()
        for number in range(self.given.runs):
            # Who is first in a step is last in it at some other time.
            turn = number % len(self.contestants)
            for step, function in self.steps():
                for one in self.contestants[turn:] + self.contestants[:turn]:
                    say(f"{time.strftime('%T')} run {number + 1} of {self.given.runs}: {step}: {one.tool.name}")
                    self.attempt(step, function, one)
            self.results["machine"]["runs"] = number + 1
            self.save()

    def attempt(self, step, function, one):
        try:
            function(one)
        except (Failed, OSError) as error:
            say(f"    failed: {error}")
            self.about(one)["failures"][step] = self.short(str(error))

    def about(self, one):
        return self.results["tools"][one.tool.name]

    def note(self, one, row, value, command=None):
        self.about(one)["figures"].setdefault(row, []).append(value)
        if command:
            line = self.short(" ".join(command.words))
            self.about(one)["commands"][row] = line + (f" <{self.short(command.input)}" if command.input else "")

    def short(self, text):
        """Without the names of directories that say nothing."""
        return text.replace(self.work, "").replace(self.given.tools + "/", "").replace(self.given.yesterfs, "yesterfs")

    def save(self):
        with open(os.path.join(self.given.out, "figures.json"), "w", encoding="utf-8") as file:
            json.dump(self.results, file, indent=1)
        with open(os.path.join(self.given.out, "table.md"), "w", encoding="utf-8") as file:
            file.write(render(self.results))


def read_whole(path):
    started = time.monotonic()
    total = 0
    piece = bytearray(READ_BYTES)
    with open(path, "rb", buffering=0) as file:
        while some := file.readinto(piece):
            total += some
    return Taken(time.monotonic() - started, 0, total)


def random_reads(path):
    """The seconds that each took."""
    rng = random.Random(7)
    times = []
    with open(path, "rb", buffering=0) as file:
        pages = os.fstat(file.fileno()).st_size // RANDOM_BYTES
        if pages == 0:
            raise Failed(f"{path} is empty")
        for _ in range(RANDOM_READS):
            offset = rng.randrange(pages) * RANDOM_BYTES
            started = time.monotonic()
            os.pread(file.fileno(), RANDOM_BYTES, offset)
            times.append(time.monotonic() - started)
    return times


def lines(piece):
    return piece.count(b"\n")


def warm(source):
    """Brings it into the page cache: ingests are measured from there."""
    for path in files_below(source) if os.path.isdir(source) else [source]:
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 20):
                pass


def files_below(directory):
    for parent, _, files in os.walk(directory):
        for name in files:
            yield os.path.join(parent, name)


def drop_caches(repository):
    """As root, everything that the kernel holds; else the pages of the repository's files."""
    os.sync()
    if may_drop_caches():
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("3")
        return
    for path in files_below(repository):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def may_drop_caches():
    return os.access("/proc/sys/vm/drop_caches", os.W_OK)


def missing_tools(given):
    directory = os.path.join(given.tools, "missing")
    found = {}
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            found[name] = file.read().strip()
    return found


def machine(work, given):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "day": time.strftime("%Y-%m-%d"),
        "processor": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory bytes": memory,
        "kernel": platform.release(),
        "file system": file_system(work),
        "load at the start": os.getloadavg()[0],
        "cold": "all caches dropped" if may_drop_caches() else "only the pages of the repository dropped",
        "quick": given.quick,
    }


def file_system(path):
    done = subprocess.run(["stat", "--file-system", "--format=%T", path], capture_output=True, text=True, check=False)
    return done.stdout.strip().replace("ext2/ext3", "ext4")


def say(text):
    print(text, file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--yesterfs", required=True, help="the binary")
    parser.add_argument("--tools", required=True, help="the directory where install.sh installed")
    parser.add_argument("--work", required=True, help="an existing directory to work in")
    parser.add_argument("--out", required=True, help="an existing directory for table.md and figures.json")
    parser.add_argument("--only", help="names of tools, with commas")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if given.runs < 1:
        parser.error("--runs: at least 1")
    return given


def remove(work):
    left = mounts_below(work)
    if left:
        say(f"error: still mounted, so that {work} was not removed: {' '.join(left)}")
    else:
        shutil.rmtree(work, ignore_errors=True)


def main():
    INTERRUPTIONS.catch()
    os.umask(0o022)
    given = arguments()
    work = tempfile.mkdtemp(prefix="yesterfs-peers-", dir=os.path.realpath(given.work))
    try:
        comparison = Comparison(given, work)
        comparison.run()
    finally:
        with INTERRUPTIONS.held():
            remove(work)
    print(render(comparison.results))
    say(f"written to {given.out}: table.md, figures.json")


if __name__ == "__main__":
    main()
