# shellcheck shell=bash
# Installs the tools that yesterfs is compared with: Debian's packages by apt, the others below the directory `tools`.
# Sourced by run.sh, after mount-scripts/toolchain.sh, with `checkout` and `tools` set. A tool that cannot be had is no
# error: $tools/missing/TOOL then says why, and the table does too.

: "${checkout:?}" "${tools:?install.sh is sourced by a script that has set tools}"

rustic_version=0.11.4
borg_version=1.4.5

# missing TOOL WHY
missing() {
    printf '%s\n' "$2" >"$tools/missing/$1"
    say "$1: left out: $2"
}

may_install_packages() { have apt-get && { [ "$(id -u)" = 0 ] || have sudo; }; }

package_exists() { [ "$(candidate_version "$1")" != '(none)' ]; }

lists_are_fresh=no

# packages PACKAGE...: installs those that are not there. A subshell: what dies in there is one tool, not the comparison.
packages() {
    local package lacking=()
    for package in "$@"; do
        if ! dpkg -s "$package" >/dev/null 2>&1; then lacking+=("$package"); fi
    done
    if [ ${#lacking[@]} = 0 ]; then return; fi
    may_install_packages || return
    if [ $lists_are_fresh = no ]; then
        apt_get -qq update || say "apt-get update failed; going on with the lists that are there"
        lists_are_fresh=yes
    fi
    for package in "${lacking[@]}"; do
        package_exists "$package" || return
    done
    (install_packages "${lacking[@]}")
}

# logged NAME COMMAND...: runs it with its output in a file, whose end is shown if it fails.
logged() {
    local log=$tools/log/$1
    shift
    if with_heartbeat "$@" >"$log" 2>&1 </dev/null; then return; fi
    tail -n 5 "$log" >&2
    say "all of it: $log"
    return 1
}

install_yesterfs() {
    if [ -n "${YESTERFS_BIN:-}" ]; then return; fi
    (cd "$checkout" && build_yesterfs cargo build --release --locked)
}

install_restic() {
    have restic || packages restic || true
    have restic || missing restic "no restic in PATH, and its package could not be installed"
}

install_rustic() {
    if [ "$("$tools/rustic/bin/rustic" --version 2>/dev/null)" = "rustic $rustic_version" ]; then return; fi
    if ! have cargo; then
        missing rustic "there is no cargo to compile it"
        return
    fi
    # Headers of FUSE: for its mount.
    packages gcc libfuse3-dev libfuse-dev pkg-config || true
    say "rustic: compiling $rustic_version (15 minutes on two cores)"
    if logged rustic cargo install --locked rustic-rs --version "$rustic_version" --no-default-features --features mount \
        --root "$tools/rustic" --target-dir "$tools/build"; then
        rm -rf "$tools/build"
    else
        missing rustic "cargo install rustic-rs $rustic_version failed"
    fi
}

# A Borg of today, which Debian does not have, in a Python environment of its own.
install_borg() {
    local python=/usr/bin/python3
    if [ "$("$tools/borg/bin/borg" --version 2>/dev/null)" = "borg $borg_version" ]; then return; fi
    packages gcc python3-dev python3-venv pkg-config libfuse3-dev libssl-dev libacl1-dev liblz4-dev libzstd-dev \
        libxxhash-dev || true
    [ -x $python ] || python=python3
    say "borg: installing $borg_version into $tools/borg"
    rm -rf "$tools/borg"
    if ! logged borg install_borg_into "$python" "$tools/borg"; then
        missing borg "pip install borgbackup==$borg_version failed"
    fi
}

install_borg_into() {
    "$1" -m venv "$2" && "$2/bin/pip" install "borgbackup[pyfuse3]==$borg_version"
}

install_borg_debian() {
    packages borgbackup python3-pyfuse3 || true
    [ -x /usr/bin/borg ] || missing borg-debian "no /usr/bin/borg, and the package borgbackup could not be installed"
}

install_squashfs() {
    packages squashfs-tools || true
    have mksquashfs || missing squashfs "no mksquashfs, and the package squashfs-tools could not be installed"
    packages squashfuse || true
}

# install_tools TOOL...: yesterfs first, so that what fails for good fails early.
install_tools() {
    local tool
    if [[ " $* " = *" yesterfs"* ]]; then install_yesterfs; fi
    mkdir -p "$tools/log"
    rm -rf "$tools/missing"
    mkdir "$tools/missing"
    missing dwarfs "neither Debian nor Rust's or Python's registry has its programs"
    missing kopia "neither Debian nor Rust's or Python's registry has it"
    for tool in "$@"; do
        case $tool in
            restic) install_restic ;;
            rustic) install_rustic ;;
            borg) install_borg ;;
            borg-debian) install_borg_debian ;;
            squashfs) install_squashfs ;;
            yesterfs | yesterfs-zstd | cp) ;;
            *) die "there is no tool named $tool" ;;
        esac
    done
}
