#!/usr/bin/env bash
# Builds the example `generate` as one static program, with musl instead of glibc, on any Debian machine, and runs it.
#
#   tools/build-musl.sh [--install] [CARGO ARGUMENTS…]
#
#   --install   first installs what is missing, from Debian's packages; needs root
#
# With rustup this is `rustup target add x86_64-unknown-linux-musl` and `cargo build --target x86_64-unknown-linux-musl`.
# Debian has no standard library for that target, but the sources of one (rust-web-src), which cargo compiles here; the
# program's exceptions are unwound by LLVM's libunwind. The program is left in $CARGO_TARGET_DIR, else target/musl.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly TARGET_TRIPLE=x86_64-unknown-linux-musl
readonly PACKAGES=(rustc-web rust-web-src musl-tools libunwind-22-dev)
readonly UNWIND=/usr/lib/llvm-22/lib/libunwind.a

cannot_run() {
    echo "no static program was built: $*" >&2
    exit 3
}

install_packages() {
    command -v apt-get >/dev/null || cannot_run "--install needs apt-get, of Debian or what derives from it"
    [ "$(id -u)" -eq 0 ] || cannot_run "--install needs root"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || cannot_run "apt-get update failed"
    apt-get install -y -qq --no-install-recommends "${PACKAGES[@]}" >/dev/null || cannot_run "apt-get install failed"
}

has_tools() {
    local tool
    for tool in /usr/bin/rustc musl-gcc "$UNWIND" /usr/lib/rustlib/src/rust/library/Cargo.lock; do
        missing="$tool"
        [ -e "$tool" ] || command -v "$tool" >/dev/null || return 1
    done
}

# libunwind for musl. Debian's is compiled for glibc, whose checked `fprintf` musl lacks.
make_unwind() {
    cp "$UNWIND" "$1/libunwind.a"
    musl-gcc -O2 -x c -c -o "$1/checked.o" - <<'C'
#include <stdarg.h>
#include <stdio.h>

int __fprintf_chk(FILE *to, int flag, const char *format, ...) {
    va_list values;
    va_start(values, format);
    int written = vfprintf(to, format, values);
    va_end(values);
    return written;
}
C
    ar r "$1/libunwind.a" "$1/checked.o"
}

build() {
    export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=musl-gcc
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="-Clink-self-contained=no -Crelocation-model=static -L$1"
    cargo build --release --target "$TARGET_TRIPLE" -Zbuild-std=std,panic_unwind --example generate "${@:2}"
}

main() {
    local program text
    if [ "${1:-}" = --install ]; then
        shift
        has_tools || install_packages
    fi
    has_tools || cannot_run "$missing is missing; --install brings it"
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target/musl}"
    mkdir -p "$CARGO_TARGET_DIR/unwind"
    make_unwind "$CARGO_TARGET_DIR/unwind"
    build "$CARGO_TARGET_DIR/unwind" "$@"
    program="$CARGO_TARGET_DIR/$TARGET_TRIPLE/release/examples/generate"
    if readelf --program-headers "$program" | grep -q INTERP; then
        echo "$program is not static" >&2
        exit 1
    fi
    text="$("$program" --max-tokens 8 --temperature 0 "The capital of France is")"
    printf '%s\n' "$text"
    grep -q " Paris" <<<"$text"
    ls -l "$program"
}

main "$@"
