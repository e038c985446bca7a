"""The tools of the comparison: the command line of each for everything that is measured.

Each keeps the dumps in one repository and the tree in another. Versions are numbered from 1.
"""

import grp
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass, field

PASSWORD = "not a secret"  # For tools that cannot do without.


@dataclass
class Command:
    words: list
    directory: str = None  # Where it runs.
    input: str = None  # The file that is its standard input.


@dataclass
class Served:
    """What it takes to look into a repository: the daemon, or a mount by the kernel, or nothing at all."""

    root: str  # Where the dump or the tree then is.
    daemon: Command = None
    mount: Command = None


@dataclass
class Tool:
    name: str
    program: str
    settings: str = ""
    state: str = None  # The directory for caches and configuration, which do not count as stored.
    environment: dict = field(default_factory=dict)

    def call(self, *words, **more):
        return Command([self.program, *words], **more)

    def version(self):
        done = subprocess.run([self.program, *self.version_words], capture_output=True, text=True, check=False)
        return (done.stdout or done.stderr).strip().split("\n")[0]

    version_words = ["--version"]
    not_stored = ()  # Names in the top directory of a repository that are caches.

    def init(self, _repository):
        return None

    def list(self, _repository):
        return None


class Yesterfs(Tool):
    compression = "lz4"
    not_stored = ("index",)

    def call(self, *words, **more):
        return super().call("--quiet", "--repo", *words, **more)

    def init(self, repository):
        return self.call(repository, "init", "--compression", self.compression)

    def store_dump(self, repository, dump, _number):
        return self.call(repository, "ingest", "stream", "--source", "shop", "--name", "dump.sql", input=dump)

    def store_tree(self, repository, tree, _number):
        return self.call(repository, "ingest", "dir", tree, "--source", "shop")

    def restore(self, repository, what, _number, to):
        root = to if what == "tree" else os.path.join(to, "dump.sql")
        return self.call(repository, "restore", "shop@latest", "--to", to), root

    def list(self, repository):
        return self.call(repository, "snapshots")

    def serve(self, repository, what, _number, where):
        latest = os.path.join(where, "snapshots", "shop", "latest")
        root = latest if what == "tree" else os.path.join(latest, "dump.sql")
        return Served(root, daemon=self.call(repository, "mount", "--foreground", where))


class YesterfsZstd(Yesterfs):
    compression = "zstd"


class Restic(Tool):
    version_words = ["version"]

    def call(self, *words, **more):
        return super().call("--quiet", "--repo", *words, **more)

    def init(self, repository):
        self.environment = {"RESTIC_PASSWORD": PASSWORD, "RESTIC_CACHE_DIR": os.path.join(self.state, "cache")}
        return self.call(repository, "init")

    def store_dump(self, repository, dump, _number):
        return self.call(repository, "backup", "--stdin", "--stdin-filename", "dump.sql", input=dump)

    def store_tree(self, repository, tree, _number):
        return self.call(repository, "backup", "tree", directory=os.path.dirname(tree))

    def restore(self, repository, what, _number, to):
        return self.call(repository, "restore", "latest", "--target", to), os.path.join(to, entry(what))

    def list(self, repository):
        return self.call(repository, "snapshots")

    def serve(self, repository, what, _number, where):
        root = os.path.join(where, "snapshots", "latest", entry(what))
        return Served(root, daemon=self.call(repository, "mount", where))


class Rustic(Tool):
    def call(self, *words, **more):
        return super().call("--repository", *words, **more)

    def init(self, repository):
        self.environment = {
            "RUSTIC_PASSWORD": PASSWORD,
            "RUSTIC_CACHE_DIR": os.path.join(self.state, "cache"),
            "RUSTIC_NO_PROGRESS": "true",
            "RUSTIC_LOG_LEVEL": "warn",
        }
        return self.call(repository, "init")

    def store_dump(self, repository, dump, _number):
        # From standard input it stores the bytes with a size of zero, so that its mount shows an empty file.
        return self.call(repository, "backup", "--as-path", "/dump.sql", dump)

    def store_tree(self, repository, tree, _number):
        return self.call(repository, "backup", "--as-path", "/tree", tree)

    def restore(self, repository, what, _number, to):
        return self.call(repository, "restore", "latest", to), os.path.join(to, entry(what))

    def list(self, repository):
        return self.call(repository, "snapshots")

    def serve(self, repository, what, _number, where):
        # Without --exclusive it takes root, or a line in fuse.conf.
        daemon = self.call(repository, "mount", "--exclusive", where, "latest")
        return Served(os.path.join(where, entry(what)), daemon=daemon)


class Borg(Tool):
    def init(self, repository):
        self.environment = {
            "BORG_BASE_DIR": self.state,
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        }
        return self.call("init", "--encryption", "none", repository)

    def store_dump(self, repository, dump, number):
        # Else it belongs to root, and nobody else can read it through the mount.
        user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
        owner = ["--stdin-user", user, "--stdin-group", group]
        archive = f"{repository}::{number}"
        words = ["create", "--compression", "lz4", "--stdin-name", "dump.sql", *owner, archive, "-"]
        return self.call(*words, input=dump)

    def store_tree(self, repository, tree, number):
        archive = f"{repository}::{number}"
        return self.call("create", "--compression", "lz4", archive, "tree", directory=os.path.dirname(tree))

    def restore(self, repository, what, number, to):
        return self.call("extract", f"{repository}::{number}", directory=to), os.path.join(to, entry(what))

    def list(self, repository):
        return self.call("list", repository)

    def serve(self, repository, what, number, where):
        daemon = self.call("mount", "--foreground", f"{repository}::{number}", where)
        return Served(os.path.join(where, entry(what)), daemon=daemon)


class Copy(Tool):
    """cp -a, which is read where it lies: what a local disk can do."""

    def call(self, source, to):
        return super().call("-a", "--reflink=never", source, to)

    def store_dump(self, repository, dump, number):
        return self.call(dump, os.path.join(repository, f"dump-{number}"))

    def store_tree(self, repository, tree, number):
        return self.call(tree, os.path.join(repository, f"tree-{number}"))

    def restore(self, repository, what, number, to):
        root = os.path.join(to, entry(what))
        return self.call(os.path.join(repository, f"{what}-{number}"), root), root

    def serve(self, repository, what, number, _where):
        return Served(os.path.join(repository, f"{what}-{number}"))


class Squashfs(Tool):
    version_words = ["-version"]

    def image(self, repository, number):
        return os.path.join(repository, f"{number}.squashfs")

    def store(self, repository, source, number):
        return self.call(source, self.image(repository, number), "-comp", "lz4", "-no-progress", "-quiet")

    store_dump = store_tree = store

    def restore(self, repository, what, number, to):
        words = ["unsquashfs", "-quiet", "-no-progress", "-force", "-dest", to, self.image(repository, number)]
        return Command(words), self.root(what, to)

    def root(self, what, top):
        return top if what == "tree" else os.path.join(top, "dump.sql")

    def serve(self, repository, what, number, where):
        image = self.image(repository, number)
        if os.geteuid() == 0 and os.path.exists("/dev/loop-control") and kernel_has("squashfs"):
            mount = Command(["mount", "-t", "squashfs", "-o", "loop,ro", image, where])
            return Served(self.root(what, where), mount=mount)
        if not shutil.which("squashfuse"):
            return None
        return Served(self.root(what, where), daemon=Command(["squashfuse", "-f", image, where]))


def entry(what):
    return {"dump": "dump.sql", "tree": "tree"}[what]


def kernel_has(filesystem):
    with open("/proc/filesystems", encoding="ascii") as file:
        return any(line.split()[-1] == filesystem for line in file)


def all_tools(yesterfs, directory):
    """Those that are installed, in the order of the columns. `directory` has what install.sh did not get from apt."""

    def installed(name):
        return os.path.join(directory, name, "bin", name)

    encrypted = "zstd (its default), encrypted (it always is)"
    candidates = [
        Yesterfs("yesterfs", yesterfs, "lz4 (its default)"),
        YesterfsZstd("yesterfs-zstd", yesterfs, "zstd"),
        Restic("restic", "restic", encrypted),
        Rustic("rustic", installed("rustic"), encrypted),
        Borg("borg", installed("borg"), "lz4 (its default), not encrypted"),
        Borg("borg-debian", "/usr/bin/borg", "lz4 (its default), not encrypted"),
        Copy("cp", "cp", "no compression; each version is a full copy, and is read where it lies"),
        Squashfs("squashfs", "mksquashfs", "lz4; each version is an image of its own"),
    ]
    return [tool for tool in candidates if shutil.which(tool.program)]
