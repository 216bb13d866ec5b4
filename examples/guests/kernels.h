/*
 * What the compute kernels share. Each kernel is an export `k_<name>(n)`: it does a fixed piece of work
 * n times, feeding every round's result into the next so that no round can be left out, and returns a
 * checksum that depends on all of them. No imports, no libc; the same n gives the same result everywhere.
 */
#ifndef KERNELS_H
#define KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __wasm__
#define KERNEL(name) __attribute__((export_name("k_" #name))) k_##name
#else /* for comparing the results with a native build */
#define KERNEL(name) k_##name
#endif

/* xorshift32: small, good enough to make unordered input, never 0. */
static inline uint32_t next_random(uint32_t *state) {
    uint32_t x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    *state = x;
    return x;
}

/* A seed that depends on the round and on what the rounds before returned. */
static inline uint32_t seed_of(int32_t round, uint64_t so_far) {
    uint64_t mixed = (so_far + (uint32_t)round) * UINT64_C(0x9E3779B97F4A7C15);
    uint32_t seed = (uint32_t)(mixed >> 32);
    return seed != 0 ? seed : 1;
}

#endif
