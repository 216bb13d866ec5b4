/*
 * A small library with plain exports: no WASI, no imports, no libc. Good for calling with typed arguments
 * from the command line (`--invoke gcd … 48 18`), and for seeing a trap with its frames by name.
 */
#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name))) name
/* Keeps a function as a frame of its own, so that a trap's call stack shows it. */
#define FRAME __attribute__((noinline))

int32_t EXPORT(add)(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

/* The n-th Fibonacci number modulo 2^64: fib(0) = 0, fib(1) = 1; 0 for a negative n. */
int64_t EXPORT(fib)(int32_t n) {
    uint64_t a = 0, b = 1;
    for (int32_t i = 0; i < n; i++) {
        uint64_t next = a + b;
        a = b;
        b = next;
    }
    return (int64_t)a;
}

/* Greatest common divisor of the absolute values; gcd(0, 0) = 0. */
int32_t EXPORT(gcd)(int32_t a, int32_t b) {
    uint32_t x = a < 0 ? 0u - (uint32_t)a : (uint32_t)a;
    uint32_t y = b < 0 ? 0u - (uint32_t)b : (uint32_t)b;
    while (y != 0) {
        uint32_t rest = x % y;
        x = y;
        y = rest;
    }
    return (int32_t)x;
}

double EXPORT(mean)(double a, double b) {
    return a / 2 + b / 2;
}

/* The largest r with r * r <= n. A negative n is the caller's mistake: it traps (`unreachable`). */
int64_t EXPORT(isqrt)(int64_t n) {
    if (n < 0) {
        __builtin_trap();
    }
    uint64_t rest = (uint64_t)n, root = 0;
    for (uint64_t bit = UINT64_C(1) << 62; bit != 0; bit >>= 2) {
        if (rest >= root + bit) {
            rest -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return (int64_t)root;
}

/* CRC-32 (IEEE 802.3, as in zlib and PNG) of `len` bytes at `data` in the exported memory. */
uint32_t EXPORT(crc32)(const uint8_t *data, uint32_t len) {
    uint32_t crc = ~UINT32_C(0);
    for (uint32_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (UINT32_C(0xEDB88320) & (0u - (crc & 1)));
        }
    }
    return ~crc;
}

extern unsigned char __heap_base;
static uintptr_t heap_end = 0;

/*
 * Memory for the caller to write into: the address of `len` bytes, 16-aligned, or 0 when no more is to be
 * had. Nothing is ever freed: the host drops the whole instance.
 */
void *EXPORT(alloc)(uint32_t len) {
    const uint64_t page = 64 * 1024;
    uint64_t start = heap_end != 0 ? heap_end : (uintptr_t)&__heap_base;
    start = (start + 15) & ~UINT64_C(15);
    uint64_t end = start + len;
    uint64_t have = __builtin_wasm_memory_size(0) * page;
    if (end > have) {
        uint64_t pages = (end - have + page - 1) / page;
        if (end > UINT32_MAX || __builtin_wasm_memory_grow(0, (size_t)pages) == SIZE_MAX) {
            return NULL;
        }
    }
    heap_end = (uintptr_t)end;
    return (void *)(uintptr_t)start;
}

static FRAME int32_t checked_quotient(int32_t a, int32_t b) {
    return a / b;
}

/* Traps as the machine does: division by zero, and overflow for -2147483648 / -1. */
int32_t EXPORT(divide)(int32_t a, int32_t b) {
    return checked_quotient(a, b);
}

/* Calls itself n times and returns n: deep enough, it ends at the stack budget. */
int32_t FRAME __attribute__((disable_tail_calls)) EXPORT(recurse)(int32_t n) {
    return n <= 0 ? 0 : 1 + recurse(n - 1);
}
