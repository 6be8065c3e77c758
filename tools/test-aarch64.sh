#!/usr/bin/env bash
# Builds for 64-bit Arm and runs what NEON computes under qemu, on any Debian machine.
#
#   tools/test-aarch64.sh [--install] [--model]
#
#   --install   first installs what is missing, from Debian's packages; needs root
#   --model     then also continues a text with the default model, or with the one that DINO_MODEL names, by each set
#
# The whole workspace is checked for the target, the tests of kernels run with all sets, and those of whole (tiny) models
# once with each set of Arm. Debian's rustc-web has a standard library for arm64; with rustup, set RUSTC to one that has
# the target aarch64-unknown-linux-gnu. CARGO_TARGET_DIR says where it builds, QEMU_CPU which processor is emulated.
#
# Where it cannot run it says so and fails: 2 for a wrong call, 3 where a tool is missing and may not be installed.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly TARGET_TRIPLE=aarch64-unknown-linux-gnu
readonly PACKAGES=(rustc-web libstd-rust-web-dev:arm64 libc6:arm64 gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)
# Programs run with the C library of libc6:arm64. With that of libc6-dev-arm64-cross (qemu's option -L) they stop at their
# first thread where both are installed: its loader finds the other's libc.so, of another version.
readonly LOADER=/lib/ld-linux-aarch64.so.1

cannot_run() {
    echo "64-bit Arm was NOT tested: $*" >&2
    exit 3
}

install_packages() {
    command -v apt-get >/dev/null || cannot_run "--install needs apt-get, of Debian or what derives from it"
    [ "$(id -u)" -eq 0 ] || cannot_run "--install needs root"
    export DEBIAN_FRONTEND=noninteractive
    dpkg --add-architecture arm64
    apt-get update -qq || cannot_run "apt-get update failed"
    apt-get install -y -qq --no-install-recommends "${PACKAGES[@]}" >/dev/null || cannot_run "apt-get install failed"
}

# Whether a program for the target can be built and run.
has_tools() {
    local tool
    for tool in "$RUSTC" aarch64-linux-gnu-gcc qemu-aarch64 "$LOADER"; do
        command -v "$tool" >/dev/null || { missing="$tool"; return 1; }
    done
    missing="the standard library of $RUSTC for $TARGET_TRIPLE"
    [ -d "$("$RUSTC" --print sysroot)/lib/rustlib/$TARGET_TRIPLE/lib" ]
}

use_cross_tools() {
    export RUSTC="${RUSTC:-/usr/bin/rustc}"
    if ! has_tools; then
        [ -n "$1" ] || cannot_run "$missing is missing; --install brings it"
        install_packages
        has_tools || cannot_run "$missing is missing"
    fi
    export CARGO_BUILD_TARGET="$TARGET_TRIPLE"
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64
    export QEMU_CPU="${QEMU_CPU:-max}"
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target/aarch64}"
}

say() {
    printf -- '--> %s (%d s)\n' "$*" "$SECONDS"
}

test_kernels() {
    DINO_REQUIRE_ISA=neon,neon-dotprod cargo test --locked --release --package dino-kernels \
        --lib --test conformance --test pool
}

continue_text() {
    local text
    text="$(cargo run --quiet --locked --release --example generate -- \
        --max-tokens 4 --temperature 0 "The capital of France is")"
    printf '%s\n' "$text"
    grep -q " Paris" <<<"$text"
}

main() {
    local argument isa install='' model=''
    for argument in "$@"; do
        case "$argument" in
            --install) install=1 ;;
            --model) model=1 ;;
            *) echo "usage: ${0##*/} [--install] [--model]" >&2; exit 2 ;;
        esac
    done
    use_cross_tools "$install"
    say "the workspace for $TARGET_TRIPLE, by $("$RUSTC" --version)"
    cargo check --locked --release --workspace --all-targets
    say "the tests of kernels"
    test_kernels
    for isa in neon neon-dotprod; do
        say "the tests of models with $isa"
        DINO_ISA=$isa cargo test --locked --release --package dino-models --test decoder --test encoder
    done
    if [ -n "$model" ]; then
        for isa in neon neon-dotprod; do
            say "the default model with $isa"
            DINO_ISA=$isa continue_text
        done
    fi
    say "64-bit Arm was tested"
}

main "$@"
