#!/usr/bin/env bash
# Builds for 64-bit Arm and runs the kernels' tests, NEON's among them, under qemu, on any Debian machine.
#
#   tools/test-aarch64.sh [--install] [--model]
#
#   --install   first installs what it needs from Debian's packages (as root); else nothing is installed
#   --model     then also generates four tokens with the default model, or with the one that DINO_MODEL names
#
# Debian's rustc-web has a standard library for arm64; with rustup, set RUSTC to one that has the target
# aarch64-unknown-linux-gnu. The programs run with the C library of Debian's arm64 packages.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly TARGET_TRIPLE=aarch64-unknown-linux-gnu
readonly PACKAGES=(rustc-web libstd-rust-web-dev:arm64 libc6:arm64 gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)

install_packages() {
    dpkg --add-architecture arm64
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${PACKAGES[@]}"
}

use_cross_tools() {
    local command
    export RUSTC="${RUSTC:-/usr/bin/rustc}"
    for command in "$RUSTC" aarch64-linux-gnu-gcc qemu-aarch64; do
        command -v "$command" >/dev/null || { echo "$command is missing: run with --install" >&2; exit 1; }
    done
    [ -e /lib/ld-linux-aarch64.so.1 ] || { echo "libc6:arm64 is missing: run with --install" >&2; exit 1; }
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -cpu max"
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/aarch64-build"
}

main() {
    local argument model=
    for argument in "$@"; do
        case "$argument" in
            --install) install_packages ;;
            --model) model=1 ;;
            *) echo "usage: ${0##*/} [--install] [--model]" >&2; exit 2 ;;
        esac
    done
    use_cross_tools
    export DINO_REQUIRE_ISA=neon,neon-dotprod
    cargo test --release --target "$TARGET_TRIPLE" -p dino-kernels --test conformance
    cargo test --release --target "$TARGET_TRIPLE" -p dino-kernels --lib
    if [ -n "$model" ]; then
        local text
        text="$(cargo run --release --target "$TARGET_TRIPLE" --example generate -- \
            --max-tokens 4 --temperature 0 "The capital of France is")"
        printf '%s\n' "$text"
        grep -q " Paris" <<<"$text"
    fi
}

main "$@"
