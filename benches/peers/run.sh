#!/bin/bash
# Compares yesterfs with other tools for the same work, on the same data in the same run, and prints a table: installs
# what is missing (Debian, Ubuntu), builds, makes the data, and measures. README.md beside this tells what the rows mean.
# Leaves nothing behind but the packages, the tools, the build, and the figures.
#
# Usage: benches/peers/run.sh [--quick] [--runs N] [--only TOOL,...] [--tools DIR] [--work DIR] [--out DIR]
#
#   --quick       small data, one run: for a try, in two minutes once everything is installed
#   --runs N      how often everything is measured [3]
#   --only TOOLS  only these: yesterfs, yesterfs-zstd, restic, rustic, borg, borg-debian, cp, squashfs
#   --tools DIR   where to install what apt does not have [~/.cache/yesterfs/peers]
#   --work DIR    where to make a temporary directory for data and repositories, 14 GB [/var/tmp]
#   --out DIR     where to write table.md and figures.json [peers in the target directory]
#
#   YESTERFS_BIN      use this binary, and do not build
#   CARGO_TARGET_DIR  where to build; see target_directory in mount-scripts/toolchain.sh
set -euo pipefail

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
# shellcheck source=mount-scripts/toolchain.sh
. "$checkout/mount-scripts/toolchain.sh"

tools=${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/yesterfs/peers
work=${TMPDIR:-/var/tmp}
out=$CARGO_TARGET_DIR/peers
runs='' only='' quick=no
every_tool=yesterfs,yesterfs-zstd,restic,rustic,borg,borg-debian,cp,squashfs

usage() { sed -n '/^# Usage/,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

parse() {
    while [ $# != 0 ]; do
        case $1 in
            --quick) quick=yes ;;
            --help | -h)
                usage
                exit
                ;;
            --runs | --only | --tools | --work | --out)
                [ $# -ge 2 ] || die "$1 needs a value"
                printf -v "${1#--}" '%s' "$2"
                shift
                ;;
            *)
                usage >&2
                exit 2
                ;;
        esac
        shift
    done
}

prepare() {
    local chosen
    mkdir -p "$tools" "$work" "$out"
    tools=$(cd "$tools" && pwd -P)
    # shellcheck source=benches/peers/install.sh
    . "$checkout/benches/peers/install.sh"
    want python3 have python3
    want_fuse
    if [ -z "${YESTERFS_BIN:-}" ]; then
        want_build_tools
        want_rust
    fi
    install_wanted
    if [ -z "${YESTERFS_BIN:-}" ]; then require_rust; fi
    require_fuse
    IFS=, read -ra chosen <<<"${only:-$every_tool}"
    install_tools "${chosen[@]}"
}

main() {
    local options=()
    parse "$@"
    prepare >&2
    if [ $quick = yes ]; then options+=(--quick); fi
    if [ -n "$only" ]; then options+=(--only "$only"); fi
    if [ -z "$runs" ]; then if [ $quick = yes ]; then runs=1; else runs=3; fi; fi
    exec python3 "$checkout/benches/peers/compare.py" --yesterfs "${YESTERFS_BIN:-$CARGO_TARGET_DIR/release/yesterfs}" \
        --tools "$tools" --work "$work" --out "$out" --runs "$runs" "${options[@]}"
}

main "$@"
