#!/bin/bash
# A tour of yesterfs on this machine, from nothing: installs what is missing (Debian, Ubuntu), builds, and then, in a
# temporary directory, keeps a real MariaDB database and a real directory, changes both, keeps them again, mounts, browses,
# copies back, compares, diffs and restores. Every command is shown before it runs. Ends at the first thing that is not as
# it should be, with a non-zero exit code, and leaves nothing behind but the packages and the build.
#
# Usage: mount-scripts/try.sh
# Runs as root, or as an ordinary user (who needs sudo only where packages are missing).
#
#   YESTERFS_BIN      use this binary, and neither install a compiler nor build
#   CARGO_TARGET_DIR  where to build; see target_directory in toolchain.sh
#   TMPDIR            where to put the temporary directory (about 200 MB)
set -euo pipefail

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=mount-scripts/toolchain.sh
. "$checkout/mount-scripts/toolchain.sh"

export LC_ALL=C.UTF-8 TZ=UTC
work='' server=''

# --- How the tour talks -----------------------------------------------------------------------------------------------

bold='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; fi

chapter() { printf '\n%s== %s ==%s\n' "$bold" "$*" "$plain"; }

explain() {
    printf '\n'
    printf '# %s\n' "$@"
}

# run COMMANDLINE: shows it as one would type it, then runs it. Any failure ends the tour.
run() { run_expecting 0 "$1"; }

# run_expecting STATUS COMMANDLINE: for commands whose exit code says something.
run_expecting() {
    local status=0
    printf '%s$ %s%s\n' "$bold" "$2" "$plain"
    eval "$2" || status=$?
    [ "$status" = "$1" ] || die "this should have ended with exit code $1, but it was $status: $2"
}

# --- Cleaning up ------------------------------------------------------------------------------------------------------

is_mounted() { [ -n "$work" ] && grep -qF " $work/mnt " /proc/self/mounts; }

unmount_anyhow() {
    if ! is_mounted; then return; fi
    yesterfs umount "$work/mnt" || fusermount3 -uz "$work/mnt" || umount -l "$work/mnt" || true
}

stop_mariadb() {
    local tenths=0
    if [ -z "$server" ]; then return; fi
    kill "$server" 2>/dev/null || true
    while kill -0 "$server" 2>/dev/null && [ $tenths -lt 300 ]; do
        sleep 0.1
        tenths=$((tenths + 1))
    done
    kill -KILL "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=''
}

clean_up() {
    local status=$?
    trap - EXIT
    trap '' INT TERM HUP
    set +e
    cd /
    unmount_anyhow >&2
    stop_mariadb
    if is_mounted; then
        printf 'error: %s is still mounted, so %s was not removed\n' "$work/mnt" "$work" >&2
        exit 1
    fi
    # One file system: were anything still mounted in there, its files would not be touched.
    if [ -n "$work" ]; then rm -rf --one-file-system "$work"; fi
    exit $status
}

# --- Getting ready ----------------------------------------------------------------------------------------------------

prepare() {
    chapter "What is needed"
    want_mariadb
    want_fuse
    want diffutils have cmp
    want procps have ps
    if [ -z "${YESTERFS_BIN:-}" ]; then
        want_build_tools
        want_rust
    fi
    install_wanted
    require_fuse
    if [ -n "${YESTERFS_BIN:-}" ]; then
        say "using $YESTERFS_BIN"
    else
        require_rust
        cd "$checkout"
        build_yesterfs cargo build --release --locked
    fi
}

# Puts the tour's own directory, and a `yesterfs` that is found in PATH, into a fresh temporary directory.
make_workplace() {
    local parent=${TMPDIR:-/tmp}
    # A socket's path has at most 107 bytes; and the commands shown should need no quoting.
    if [[ ! $parent =~ ^/[A-Za-z0-9/._-]*$ ]] || [ ${#parent} -gt 70 ] || ! server_can_enter "$parent"; then parent=/tmp; fi
    work=$(mktemp -d "$parent/yesterfs-try.XXXXXX")
    # The server runs as another user than root, and has to pass through.
    if [ "$(id -u)" = 0 ]; then chmod 711 "$work"; fi
    cd "$work"
    # As /proc/self/mounts names it.
    work=$(pwd -P)
    mkdir bin mnt
    ln -s "$(readlink -f "${YESTERFS_BIN:-$CARGO_TARGET_DIR/release/yesterfs}")" bin/yesterfs
    PATH=$work/bin:$PATH
    export YESTERFS_REPO=$work/repo
}

# MariaDB refuses to run as root.
server_user() {
    if id mysql >/dev/null 2>&1; then say mysql; else say nobody; fi
}

server_can_enter() { [ "$(id -u)" != 0 ] || runuser -u "$(server_user)" -- test -x "$1"; }

client_options=(--no-defaults --user=root --socket=db/socket)
client=${client_options[*]}

# Starts a MariaDB of our own: its data in ./db, a Unix socket as its only door, and root without a password.
start_mariadb() {
    local as_user=()
    if [ "$(id -u)" = 0 ]; then as_user=("--user=$(server_user)"); fi
    install -d -m 700 "${as_user[@]/#--user=/--owner=}" db
    # --force: the machine's host name need not resolve.
    mariadb-install-db --no-defaults "${as_user[@]}" --datadir="$work/db/data" --auth-root-authentication-method=normal \
        --force --skip-test-db >mariadb.log 2>&1 || mariadb_failed
    mariadbd --no-defaults "${as_user[@]}" --datadir="$work/db/data" --socket="$work/db/socket" --pid-file="$work/db/pid" \
        --tmpdir="$work/db" --skip-networking --innodb-buffer-pool-size=64M --innodb-log-file-size=16M \
        >>mariadb.log 2>&1 &
    server=$!
    for _ in {1..600}; do
        if mariadb-admin "${client_options[@]}" ping >/dev/null 2>&1; then return; fi
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    mariadb_failed
}

mariadb_failed() {
    tail -n 30 mariadb.log >&2
    die "the private MariaDB did not start (its log is above)"
}

# --- The tour ---------------------------------------------------------------------------------------------------------


make_database() {
    chapter "A real database: MariaDB on a private socket"
    start_mariadb
    cat >shop.sql <<'SQL'
create table customers (id int primary key, name varchar(60) not null, since date not null);
create table orders (id int primary key, customer int not null, status varchar(10) not null, amount decimal(10,2) not null,
    ordered datetime not null, note text, key (customer));
insert into customers select seq, concat('customer ', seq), '2020-01-01' + interval seq day from seq_1_to_2000;
insert into orders select seq, 1 + seq * 7919 % 2000, elt(1 + seq % 3, 'new', 'paid', 'sent'), seq * 37 % 100000 / 100,
    '2026-01-01' + interval seq minute, md5(seq) from seq_1_to_50000;
SQL
    run "cat shop.sql"
    run "mariadb $client --execute='create database shop'"
    run "mariadb $client shop < shop.sql"
}

make_lake() {
    local directory real=()
    chapter "A real directory"
    for directory in /usr/include/linux /usr/include/c++ /usr/share/perl; do
        if [ -d "$directory" ]; then real+=("$directory"); fi
    done
    [ ${#real[@]} != 0 ] || die "neither /usr/include/linux nor /usr/share/perl is there to be copied"
    run "mkdir lake lake/etc lake/events"
    run "cp -a ${real[*]} lake/"
    run "cp /etc/passwd /etc/group lake/etc/ && echo 'listen = 8080' > lake/etc/app.conf"
    run "for n in 1 2 3 4; do head -c 1M /dev/urandom > lake/events/part-000\$n; done"
    explain "Some that a backup easily loses: links, a hole of 64 MiB, a name that is not UTF-8."
    run "ln -s events/part-0004 lake/newest && ln lake/etc/app.conf lake/etc/app.conf.link"
    run "truncate -s 64M lake/sparse.img && printf end >> lake/sparse.img"
    run "echo crème > \$'lake/cr\\xe8me.txt'"
}

ingest_both() {
    run "yesterfs ingest stream --source shop --name dump.sql -- mariadb-dump $client --single-transaction shop"
    run "yesterfs ingest dir lake --source lake"
}

checksums="mariadb $client --skip-column-names --batch --execute='checksum table customers, orders'"

first_snapshots() {
    chapter "Keep both"
    explain "A repository is one directory. YESTERFS_REPO=$YESTERFS_REPO saves typing --repo."
    run "yesterfs init $YESTERFS_REPO"
    ingest_both
    explain "For the comparisons below only: a copy of the directory, and the tables' checksums as they are now."
    run "cp -a lake lake.before"
    run "$checksums shop | sed 's/.*[.]//' | tee shop.before"
    before=$(date -u +%Y-%m-%dT%H%M%SZ)
    # Times of snapshots have whole seconds: the next ones shall be later than $before.
    sleep 1.1
}

change_both() {
    chapter "Time passes: rows and files change"
    run "mariadb $client shop --execute='update orders set status = \"refunded\" where id between 48000 and 48499'"
    run "mariadb $client shop --execute='delete from orders where id between 20000 and 20100'"
    run "$checksums shop | sed 's/.*[.]//' | tee shop.now"
    run "echo 'listen = 9090' >> lake/etc/app.conf && chmod 600 lake/etc/passwd"
    run "rm lake/events/part-0002 && head -c 1M /dev/urandom > lake/events/part-0005"
    run "ln -sfn events/part-0005 lake/newest"
}

second_snapshots() {
    chapter "Keep both again"
    explain "Only what changed is stored."
    ingest_both
    run "yesterfs snapshots"
}

browse() {
    chapter "Mount, and look around with ordinary tools"
    run "yesterfs mount mnt"
    run "ls mnt mnt/snapshots mnt/snapshots/*"
    run "ls -lb mnt/snapshots/lake/latest/"
    run "ls -l mnt/snapshots/shop/latest/"
    explain "at/ takes any time: each source as it was then. The changes came after $before."
    run "ls -l mnt/at/$before/"
    run "cat mnt/at/$before/lake/etc/app.conf"
    run "cat mnt/snapshots/lake/latest/etc/app.conf"
    run "grep -c refunded mnt/snapshots/shop/latest/dump.sql"
    explain "Nothing can be written."
    run_expecting 1 "touch mnt/snapshots/lake/latest/new"
}

copy_back() {
    chapter "Get yesterday back"
    explain "A file that was deleted since:"
    run "cp -a mnt/at/$before/lake/events/part-0002 ."
    run "cmp part-0002 lake.before/events/part-0002"
    explain "The whole directory, then and now:"
    run "diff -r --no-dereference lake.before mnt/at/$before/lake/"
    run "diff -r --no-dereference lake mnt/snapshots/lake/latest/"
}

load_back() {
    chapter "Load the dumps from the mount, then and now"
    run "mariadb $client --execute='create database shop_before; create database shop_now'"
    run "mariadb $client shop_before < mnt/at/$before/shop/dump.sql"
    run "mariadb $client shop_now < mnt/snapshots/shop/latest/dump.sql"
    explain "Same checksums, same rows:"
    run "$checksums shop_before | sed 's/.*[.]//' | diff - shop.before"
    run "$checksums shop_now | sed 's/.*[.]//' | diff - shop.now"
}

show_differences() {
    chapter "What changed"
    explain "As rsync itemizes it. Exit code 1: there are differences."
    run_expecting 1 "yesterfs diff lake@latest~1 lake@latest"
    run_expecting 1 "yesterfs diff shop@latest~1 shop@latest"
    explain "The same as files:"
    run "find mnt/diff/lake@latest~1..lake@latest/ | sort"
    explain "Nothing differs from the directory as it is now. Exit code 0."
    run "yesterfs diff lake@latest ./lake"
}

restore() {
    chapter "Restore without a mount"
    run "yesterfs restore lake@latest --to restored"
    run "diff -r --no-dereference lake restored"
}

main() {
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    prepare
    make_workplace
    make_database
    make_lake
    first_snapshots
    change_both
    second_snapshots
    browse
    copy_back
    load_back
    show_differences
    restore
    chapter "Done"
    run "yesterfs umount mnt"
    run "yesterfs check --read-data"
    cd /
    explain "Everything above was as it should be. The server, the mount and $work are removed now." \
        "The binary stays: $(readlink -f "$work/bin/yesterfs")"
}

main
