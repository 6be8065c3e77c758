#!/usr/bin/env bash
# Builds examples/browser for WebAssembly and has headless Chromium continue a text in it, on any Debian machine.
#
#   tools/test-browser.sh [--install] [--screenshot FILE.png]
#
#   --install      first installs what is missing, from Debian's packages; needs root
#   --screenshot   also saves the page as it then looks
#
# The model is the default one, or the one that DINO_MODEL names; the text must say that the capital of France is Paris.
# With rustup, building is `rustup target add wasm32-wasip1` and `cargo build --release --target wasm32-wasip1`. Debian has no
# standard library for that target, but the sources of one (rust-web-src) and its C library (wasi-libc), which lacks some
# newer functions: tools/no_threads.rs.
#
# Where it cannot run it says so and fails: 2 for a wrong call, 3 where a tool is missing and may not be installed.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly TARGET_TRIPLE=wasm32-wasip1
readonly PACKAGES=(rustc-web rust-web-src wasi-libc lld-22 chromium python3)
readonly WASI_LIBRARY=/usr/lib/wasm32-wasi
readonly PAGE=examples/browser
server=''

cannot_run() {
    echo "WebAssembly was NOT tested: $*" >&2
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
    for missing in /usr/bin/rustc wasm-ld-22 "$WASI_LIBRARY/libc.a" chromium python3 \
        /usr/lib/rustlib/src/rust/library/Cargo.lock; do
        [ -e "$missing" ] || command -v "$missing" >/dev/null || return 1
    done
}

build() {
    export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
    local no_threads="$CARGO_TARGET_DIR/no_threads.o"
    mkdir -p "$CARGO_TARGET_DIR"
    "$RUSTC" --target "$TARGET_TRIPLE" --edition 2024 -O --emit=obj -o "$no_threads" "tools/no_threads.rs"
    export CARGO_TARGET_WASM32_WASIP1_LINKER=wasm-ld-22
    export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="-Ctarget-feature=+simd128 -Clink-self-contained=no -L$WASI_LIBRARY \
-Clink-arg=$WASI_LIBRARY/crt1-command.o -Clink-arg=$no_threads"
    (cd "$PAGE" && cargo build --release --target "$TARGET_TRIPLE" -Zbuild-std=std,panic_abort)
}

# Lays page, program and model into one folder.
lay_out() {
    local model
    model="${DINO_MODEL:-${DINO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dino-llm}/SmolLM2-135M-Instruct.Q4_1.gguf}"
    [ -e "$model" ] || cannot_run "$model is missing; the example \`generate\` fetches it"
    cp "$PAGE"/{index.html,worker.js,wasi.js} "$folder"
    cp "$CARGO_TARGET_DIR/$TARGET_TRIPLE/release/dino-browser.wasm" "$folder/dino_browser.wasm"
    ln -s "$(realpath "$model")" "$folder/model.gguf"
}

serve() {
    python3 -u -m http.server --bind 127.0.0.1 --directory "$folder" 0 >"$folder/served" 2>&1 &
    server=$!
    until port="$(sed -n 's/^Serving HTTP on .* port \([0-9]*\) .*/\1/p' "$folder/served")" && [ -n "$port" ]; do
        kill -0 "$server" && sleep 0.1
    done
}

finish() {
    [ -z "$server" ] || kill "$server"
    rm -rf "$folder"
}

main() {
    local text install='' screenshot=()
    while [ $# -gt 0 ]; do
        case "$1" in
            --install) install=1 ;;
            --screenshot) screenshot=(--screenshot "${2:?a file}"); shift ;;
            *) echo "usage: ${0##*/} [--install] [--screenshot FILE.png]" >&2; exit 2 ;;
        esac
        shift
    done
    if ! has_tools; then
        [ -n "$install" ] || cannot_run "$missing is missing; --install brings it"
        install_packages
        has_tools || cannot_run "$missing is missing"
    fi
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target/wasm}"
    folder="$(mktemp -d)"
    trap finish EXIT
    build
    lay_out
    serve
    text="$(tools/browse.py "http://127.0.0.1:$port/index.html?model=model.gguf&tokens=8" "${screenshot[@]}")"
    printf '%s\n' "$text"
    grep -q "France is Paris" <<<"$text"
}

main "$@"
