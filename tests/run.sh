#!/bin/bash
# Installs what the tests need (Debian, Ubuntu), then runs every check there is: formatting, scripts, clippy, documentation,
# the tests, and the tour. Ends with how many passed and failed; the exit code is 0 only if all passed. Nothing is skipped:
# what is missing and cannot be installed is an error. Two of the servers that tests start, MariaDB 11.4.5 and MySQL 5.6.24, come
# in packages for x86-64 only: elsewhere their tests fail.
#
# Usage: tests/run.sh
#
#   CARGO_TARGET_DIR  where to build; see target_directory in mount-scripts/toolchain.sh
set -euo pipefail

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=mount-scripts/toolchain.sh
. "$checkout/mount-scripts/toolchain.sh"
cd "$checkout"

# Above this a test hangs: all of them together take a few minutes.
test_limit=45m

passed=0
failed=()

heading() { printf '\n=== %s [%s after the start] %s\n' "$(date +%T)" "$(minutes $SECONDS)" "$*"; }

# check NAME COMMAND...: runs one check; a failure is counted, and the rest still runs.
check() {
    local name=$1 started=$SECONDS
    shift
    heading "$name"
    if "$@" </dev/null; then
        passed=$((passed + 1))
        say "--- $name: passed in $(minutes $((SECONDS - started)))"
    else
        failed+=("$name")
        say "--- $name: FAILED after $(minutes $((SECONDS - started)))"
    fi
}

prepare() {
    want_build_tools
    want_rust_lints
    want_mariadb
    want_postgres
    want_mongo
    want_other_servers
    want_fuse
    want rsync have rsync
    want acl have setfacl
    want attr have setfattr
    want libcap2-bin have setcap
    want fio have fio
    want procps have ps
    want psmisc have fuser
    want util-linux have setpriv
    want bsdutils have script
    want groff-base have groff
    want systemd have systemd-analyze
    want diffutils have cmp
    want gzip have gzip
    want pigz have pigz
    want mydumper have mydumper
    want zstd have zstd
    want bzip2 have bzip2
    want xz-utils have xz
    want lz4 have lz4
    want python3-minimal have python3
    want shellcheck have shellcheck
    install_wanted
    require_rust
    require_mongo
    require_fuse
}

# The scripts: by name, and by first line where they have no suffix.
scripts() {
    local file line
    while IFS= read -r file; do
        line=''
        IFS= read -r line <"$file" || true
        if [[ $file == *.sh || $line =~ ^'#!'.*/(env\ )?(ba|da)?sh($|\ ) ]]; then printf '%s\n' "$file"; fi
    done < <(find .ci benches mount-scripts tests -type f 2>/dev/null | sort)
}

check_scripts() {
    local files
    mapfile -t files < <(scripts)
    printf '%s\n' "${files[@]}"
    shellcheck --external-sources --source-path="$checkout" "${files[@]}"
}

check_documentation() {
    RUSTDOCFLAGS='-D warnings -D rustdoc::broken_intra_doc_links' with_heartbeat cargo doc --release --locked --no-deps
}

# Off a terminal, a test that hangs is ended together with all that it started, so that the summary is still printed.
run_tests() {
    local limited=(timeout --kill-after=30s "$test_limit")
    if [ -t 1 ]; then limited=(); fi
    with_heartbeat "${limited[@]}" cargo test --release --locked --no-fail-fast
}

# The tour again as somebody who may not do much, where it was root who ran it the first time. In a namespace of its own,
# where /dev/fuse is open to all, as every distribution has it: some sandboxes let only root open it.
tour_as_ordinary_user() {
    local place status=0
    place=$(mktemp -d /tmp/yesterfs-tour.XXXXXX)
    mkdir "$place/devices"
    cp -r mount-scripts Cargo.toml "$CARGO_TARGET_DIR/release/yesterfs" "$place/"
    chmod -R a+rX "$place"
    # shellcheck disable=SC2016  # what is in single quotes is for the inner shell
    env -u XDG_CACHE_HOME -u XDG_RUNTIME_DIR -u TMPDIR -u CARGO_TARGET_DIR HOME="$place" YESTERFS_BIN="$place/yesterfs" \
        unshare --mount sh -euc '
            mount -t tmpfs -o mode=755 none "$HOME/devices"
            mknod -m 666 "$HOME/devices/fuse" c 10 229
            mount --bind "$HOME/devices/fuse" /dev/fuse
            cd "$HOME"
            exec setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups mount-scripts/try.sh' || status=$?
    rm -rf --one-file-system "$place"
    return $status
}

# A second compilation of RocksDB in one run means that two profiles, or two target directories, have crept in.
rocksdb_is_compiled_once() {
    local libraries
    libraries=$(find "$CARGO_TARGET_DIR" -path '*librocksdb-sys-*' -name librocksdb.a -newer "$1")
    printf '%s\n' "${libraries:-it was there already}"
    [ "$(printf '%s' "$libraries" | grep -c .)" -le 1 ]
}

summarize() {
    printf '\n=== %s after %s, on %s cores, built in %s\n' "$(date +%T)" "$(minutes $SECONDS)" "$(nproc)" "$CARGO_TARGET_DIR"
    if [ ${#failed[@]} = 0 ]; then
        say "tests/run.sh: everything passed"
    else
        printf 'tests/run.sh: FAILED: %s\n' "${failed[@]}"
    fi
    printf '%s passed, %s failed\n' "$passed" ${#failed[@]}
    [ ${#failed[@]} = 0 ]
}

main() {
    local started
    heading "what is needed"
    prepare
    started=$(mktemp)
    # Expanded now: `started` is gone when the script ends.
    # shellcheck disable=SC2064
    trap "rm -f '$started'" EXIT
    check "formatting" cargo fmt --check
    check "scripts" check_scripts
    check "build" build_yesterfs cargo test --release --locked --no-run
    check "clippy" with_heartbeat cargo clippy --release --locked --all-targets -- -D warnings
    check "documentation" check_documentation
    check "tests" run_tests
    check "tour" mount-scripts/try.sh
    if [ "$(id -u)" = 0 ]; then check "tour as an ordinary user" tour_as_ordinary_user; fi
    check "RocksDB compiled at most once" rocksdb_is_compiled_once "$started"
    summarize
}

main
