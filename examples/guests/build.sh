#!/bin/sh
# Rebuilds the guests beside this script from their sources.
# Needs Debian 12's packages: apt-get update && apt-get install clang lld wasi-libc libclang-rt-14-dev-wasm32
# and for the agents in other languages: rustc libstd-rust-dev-wasm32, and npm's assemblyscript@0.28.20, whose `asc`
# is found on the path or named by ASC. What is missing is left out, and said.
# Other compilers build them too, but not to the same bytes as the committed binaries.
set -eu
cd "$(dirname "$0")"
CC=${CC:-clang}
# Debian's own: a newer one on the path may lack the target.
RUSTC=${RUSTC:-/usr/bin/rustc}
ASC=${ASC:-asc}

# Names stay, so that a trap can show the guest's functions; debug sections go.
common="-O2 -Wall -Wextra -Werror -Wl,--strip-debug"
# A stack below the data cannot grow into it unseen: it runs off the memory's start and traps.
common="$common -Wl,--stack-first -Wl,-z,stack-size=65536"
plain="--target=wasm32 -ffreestanding -nostdlib -Wl,--no-entry"

# shellcheck disable=SC2086 # the flag lists are meant to be split
{
    "$CC" --target=wasm32-wasi $common -o wordcount.wasm wordcount.c
    "$CC" --target=wasm32-wasi $common -o words.wasm words.c
    "$CC" --target=wasm32-wasi $common -o scale.wasm scale.c
    "$CC" $plain $common -o mathlib.wasm mathlib.c
    "$CC" $plain $common -o statistics.wasm statistics.c
    "$CC" $plain $common -fno-builtin -o kernels.wasm kernels.c kernels_coremark.c
    for agent in counter ping; do
        "$CC" $plain $common -o agents/$agent.wasm agents/$agent.c
    done
}

if [ -d "$("$RUSTC" --print sysroot 2>/dev/null)/lib/rustlib/wasm32-unknown-unknown" ]; then
    library=$(mktemp -d)
    trap 'rm -r "$library"' EXIT
    rust="--edition 2021 --target wasm32-unknown-unknown"
    # shellcheck disable=SC2086
    {
        "$RUSTC" $rust --crate-type rlib --crate-name cofferdam_guest -O -o "$library/libcofferdam_guest.rlib" \
            sdk/rust/cofferdam-guest/src/lib.rs
        "$RUSTC" $rust --crate-type cdylib --crate-name notes -C opt-level=s -C lto -C panic=abort \
            -C strip=debuginfo -C link-arg=-zstack-size=65536 -C link-arg=--stack-first \
            --extern "cofferdam_guest=$library/libcofferdam_guest.rlib" -o agents/notes.wasm agents/notes.rs
    }
else
    echo "notes.wasm is left as it is: $RUSTC has no wasm32-unknown-unknown" >&2
fi

if command -v "$ASC" >/dev/null; then
    for agent in echo pong; do
        "$ASC" agents/$agent.ts --runtime minimal --use abort= -O --outFile agents/$agent.wasm
    done
else
    echo "echo.wasm and pong.wasm are left as they are: there is no $ASC" >&2
fi
chmod 644 ./*.wasm agents/*.wasm
ls -l ./*.wasm agents/*.wasm
