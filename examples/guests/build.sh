#!/bin/sh
# Rebuilds the guests beside this script from their sources.
# Needs Debian 12's packages: apt-get update && apt-get install clang lld wasi-libc libclang-rt-14-dev-wasm32
# Another clang builds them too, but not to the same bytes as the committed binaries.
set -eu
cd "$(dirname "$0")"
CC=${CC:-clang}

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
}
chmod 644 ./*.wasm
ls -l ./*.wasm
