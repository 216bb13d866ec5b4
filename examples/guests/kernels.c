/*
 * Compute kernels for benchmarks, with integers, floats, memory, calls and branches in different mixes.
 * kernels.h says what they have in common; kernels_coremark.c holds the largest one.
 */
#include "kernels.h"

/* The compiler may call these two for copies and fills that it finds in the code. */
void *memcpy(void *restrict to, const void *restrict from, size_t len) {
    unsigned char *t = to;
    const unsigned char *f = from;
    while (len-- > 0) {
        *t++ = *f++;
    }
    return to;
}

void *memset(void *to, int byte, size_t len) {
    unsigned char *t = to;
    while (len-- > 0) {
        *t++ = (unsigned char)byte;
    }
    return to;
}

/* Working memory, lent to one kernel at a time. */
static union {
    uint8_t bytes[128 * 1024];
    uint32_t words[32 * 1024];
    double doubles[16 * 1024];
} work;

/* ---- sha256: 32-bit rotations and additions ------------------------------------------------------ */

static const uint32_t SHA_K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline uint32_t rotate_right(uint32_t x, int by) {
    return (x >> by) | (x << (32 - by));
}

static void sha_block(uint32_t h[8], const uint8_t *block) {
    uint32_t w[64];
    for (int i = 0; i < 16; i++) {
        const uint8_t *b = block + 4 * i;
        w[i] = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    }
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        uint32_t s0 = rotate_right(a, 7) ^ rotate_right(a, 18) ^ (a >> 3);
        uint32_t s1 = rotate_right(b, 17) ^ rotate_right(b, 19) ^ (b >> 10);
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    uint32_t v[8];
    for (int i = 0; i < 8; i++) {
        v[i] = h[i];
    }
    for (int i = 0; i < 64; i++) {
        uint32_t s1 = rotate_right(v[4], 6) ^ rotate_right(v[4], 11) ^ rotate_right(v[4], 25);
        uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t t1 = v[7] + s1 + choice + SHA_K[i] + w[i];
        uint32_t s0 = rotate_right(v[0], 2) ^ rotate_right(v[0], 13) ^ rotate_right(v[0], 22);
        uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        v[7] = v[6], v[6] = v[5], v[5] = v[4], v[4] = v[3] + t1;
        v[3] = v[2], v[2] = v[1], v[1] = v[0], v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) {
        h[i] += v[i];
    }
}

/* Round: SHA-256 of 64 KiB of zeros that begin with the last round's first word, padded as the standard
 * says. Result: the first word, so that n = 1 is the well-known digest of 65,536 zero bytes. */
int32_t KERNEL(sha256)(int32_t n) {
    const size_t len = 64 * 1024;
    uint32_t result = 0;
    for (int32_t i = 0; i < n; i++) {
        uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
        memset(work.bytes, 0, len + 64);
        for (int b = 0; b < 4; b++) {
            work.bytes[b] = (uint8_t)(result >> (24 - 8 * b));
        }
        work.bytes[len] = 0x80;
        work.bytes[len + 61] = 0x08; /* 65,536 bytes are 0x80000 bits */
        for (size_t at = 0; at < len + 64; at += 64) {
            sha_block(h, work.bytes + at);
        }
        result = h[0];
    }
    return (int32_t)result;
}

/* ---- sieve: strided byte stores ------------------------------------------------------------------ */

/* Round: counts the primes below 131,072. */
int32_t KERNEL(sieve)(int32_t n) {
    const uint32_t end = sizeof work.bytes;
    uint32_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        memset(work.bytes, 1, end);
        for (uint32_t p = 2; p * p < end; p++) {
            for (uint32_t m = p * p; work.bytes[p] && m < end; m += p) {
                work.bytes[m] = 0;
            }
        }
        uint32_t primes = 0;
        for (uint32_t p = 2; p < end; p++) {
            primes += work.bytes[p];
        }
        sum = sum * 31 + primes;
    }
    return (int32_t)sum;
}

/* ---- nbody: f64 arithmetic with square roots ----------------------------------------------------- */

struct body {
    double at[3], speed[3], mass;
};

#define BODIES 5

static void nbody_step(struct body *bodies, double dt) {
    for (int i = 0; i < BODIES; i++) {
        struct body *a = &bodies[i];
        for (int j = i + 1; j < BODIES; j++) {
            struct body *b = &bodies[j];
            double d[3], square = 0;
            for (int k = 0; k < 3; k++) {
                d[k] = a->at[k] - b->at[k];
                square += d[k] * d[k];
            }
            double pull = dt / (square * __builtin_sqrt(square));
            for (int k = 0; k < 3; k++) {
                a->speed[k] -= d[k] * b->mass * pull;
                b->speed[k] += d[k] * a->mass * pull;
            }
        }
    }
    for (int i = 0; i < BODIES; i++) {
        for (int k = 0; k < 3; k++) {
            bodies[i].at[k] += dt * bodies[i].speed[k];
        }
    }
}

/* Round: 2,000 steps of a small made-up solar system. Result: the bits of a coordinate. */
int64_t KERNEL(nbody)(int32_t n) {
    struct body bodies[BODIES] = {
        {{0, 0, 0}, {0, 0, 0}, 40},
        {{5, -1, -0.1}, {0.5, 2.8, -0.02}, 0.04},
        {{8, 4, -0.4}, {-1.0, 1.8, 0.008}, 0.01},
        {{13, -15, -0.2}, {1.1, 0.9, -0.01}, 0.002},
        {{15, -26, 0.2}, {1.0, 0.6, -0.03}, 0.002},
    };
    for (int64_t i = 0; i < (int64_t)n * 2000; i++) {
        nbody_step(bodies, 0.01);
    }
    union {
        double value;
        int64_t bits;
    } x = {bodies[1].at[0]};
    return n > 0 ? x.bits : 0;
}

/* ---- matmul: f64 loads, multiplications, additions ------------------------------------------------ */

#define SIDE 64

/* Round: one product of 64 × 64 matrices. Result: the bits of an element. */
int64_t KERNEL(matmul)(int32_t n) {
    double *a = work.doubles, *b = a + SIDE * SIDE, *c = b + SIDE * SIDE;
    for (int i = 0; i < SIDE * SIDE; i++) {
        a[i] = (double)(i % 17) / 17 - 0.5;
        b[i] = (double)(i % 23) / 23 - 0.5;
    }
    for (int32_t round = 0; round < n; round++) {
        for (int i = 0; i < SIDE; i++) {
            for (int j = 0; j < SIDE; j++) {
                double sum = 0;
                for (int k = 0; k < SIDE; k++) {
                    sum += a[i * SIDE + k] * b[k * SIDE + j];
                }
                c[i * SIDE + j] = sum;
            }
        }
        for (int i = 0; i < SIDE; i++) {
            a[i * SIDE + i] = c[i * SIDE + i] / SIDE;
        }
    }
    union {
        double value;
        int64_t bits;
    } x = {a[SIDE + 1]};
    return n > 0 ? x.bits : 0;
}

/* ---- fib: nothing but calls ---------------------------------------------------------------------- */

static __attribute__((noinline, disable_tail_calls)) uint32_t fib(uint32_t n) {
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

/* Round: the 25th Fibonacci number the slow way, 242,785 calls. */
int32_t KERNEL(fib)(int32_t n) {
    uint32_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        uint32_t depth = 25;
        __asm__ volatile("" : "+r"(depth)); /* or the compiler would call it once and reuse the result */
        sum = sum * 31 + fib(depth);
    }
    return (int32_t)sum;
}

/* ---- quicksort: branches that cannot be predicted, recursion ------------------------------------- */

static void quicksort(uint32_t *v, int32_t low, int32_t high) {
    while (low < high) {
        uint32_t pivot = v[low + (high - low) / 2];
        int32_t i = low, j = high;
        while (i <= j) {
            while (v[i] < pivot) {
                i++;
            }
            while (v[j] > pivot) {
                j--;
            }
            if (i <= j) {
                uint32_t t = v[i];
                v[i++] = v[j];
                v[j--] = t;
            }
        }
        quicksort(v, low, j);
        low = i;
    }
}

/* Round: sorts 8,192 random words. */
int64_t KERNEL(quicksort)(int32_t n) {
    const int32_t len = 8192;
    uint64_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        uint32_t seed = seed_of(i, sum);
        for (int32_t k = 0; k < len; k++) {
            work.words[k] = next_random(&seed);
        }
        quicksort(work.words, 0, len - 1);
        for (int32_t k = 0; k < len; k += 64) {
            sum = sum * 31 + work.words[k];
        }
    }
    return (int64_t)sum;
}

/* ---- base64: byte loads and stores, table look-ups ------------------------------------------------ */

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Round: encodes 48,000 random bytes, decodes them again, counts bytes that came back. */
int32_t KERNEL(base64)(int32_t n) {
    const uint32_t len = 48000, text_len = len / 3 * 4;
    uint8_t *plain = work.bytes, *text = plain + len, values[256];
    uint32_t sum = 0;
    for (int i = 0; i < 64; i++) {
        values[(uint8_t)BASE64[i]] = (uint8_t)i;
    }
    for (int32_t i = 0; i < n; i++) {
        uint32_t seed = seed_of(i, sum), at = 0;
        for (uint32_t k = 0; k < len; k++) {
            plain[k] = (uint8_t)next_random(&seed);
        }
        for (uint32_t k = 0; k < len; k += 3) {
            uint32_t group = (uint32_t)plain[k] << 16 | (uint32_t)plain[k + 1] << 8 | plain[k + 2];
            for (int shift = 18; shift >= 0; shift -= 6) {
                text[at++] = (uint8_t)BASE64[group >> shift & 63];
            }
        }
        uint32_t same = 0, out = 0;
        for (uint32_t k = 0; k < text_len; k += 4) {
            uint32_t group = 0;
            for (int c = 0; c < 4; c++) {
                group = group << 6 | values[text[k + (uint32_t)c]];
                sum = sum * 31 + text[k + (uint32_t)c];
            }
            for (int shift = 16; shift >= 0; shift -= 8) {
                same += plain[out++] == (uint8_t)(group >> shift);
            }
        }
        sum += same;
    }
    return (int32_t)sum;
}

/* ---- hashmap: scattered loads --------------------------------------------------------------------- */

/* Round: counts 40,000 keys out of 14,000 in a table of 16,384 slots with linear probing, then looks up
 * as many. */
int64_t KERNEL(hashmap)(int32_t n) {
    const uint32_t slots = 16384, insertions = 40000;
    uint32_t *keys = work.words, *counts = keys + slots;
    uint64_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        uint32_t seed = seed_of(i, sum);
        memset(keys, 0, 2 * slots * sizeof *keys);
        for (uint32_t k = 0; k < 2 * insertions; k++) {
            uint32_t key = 1 + next_random(&seed) % 14000, at = key * UINT32_C(2654435769) >> 18;
            int inserting = k < insertions;
            while (keys[at] != 0 && keys[at] != key) {
                at = (at + 1) & (slots - 1);
                sum++;
            }
            if (inserting) {
                keys[at] = key;
                counts[at]++;
            } else {
                sum = sum * 31 + counts[at];
            }
        }
    }
    return (int64_t)sum;
}

/* ---- mandelbrot: f64 in a tight loop -------------------------------------------------------------- */

/* Round: 64 × 64 points, at most 100 steps each; sums the steps. */
int32_t KERNEL(mandelbrot)(int32_t n) {
    uint32_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        double left = -2.2 + (double)(sum & 7) / 1024;
        for (int y = 0; y < 64; y++) {
            for (int x = 0; x < 64; x++) {
                double cr = left + x * (3.2 / 64), ci = -1.5 + y * (3.0 / 64), zr = 0, zi = 0;
                int steps = 0;
                while (steps < 100 && zr * zr + zi * zi < 4) {
                    double t = zr * zr - zi * zi + cr;
                    zi = 2 * zr * zi + ci;
                    zr = t;
                    steps++;
                }
                sum = sum * 31 + (uint32_t)steps;
            }
        }
    }
    return (int32_t)sum;
}

/* ---- strsearch: skipping through text ------------------------------------------------------------- */

static uint32_t count_matches(const uint8_t *text, uint32_t len, const uint8_t *word, uint32_t word_len) {
    uint32_t skip[256], found = 0;
    for (int i = 0; i < 256; i++) {
        skip[i] = word_len;
    }
    for (uint32_t i = 0; i + 1 < word_len; i++) {
        skip[word[i]] = word_len - 1 - i;
    }
    for (uint32_t at = 0; at + word_len <= len; at += skip[text[at + word_len - 1]]) {
        uint32_t k = word_len;
        while (k > 0 && text[at + k - 1] == word[k - 1]) {
            k--;
        }
        found += k == 0;
    }
    return found;
}

/* Round: looks for 8 words of 3 to 6 letters in 64 KiB of text over four letters (Horspool). */
int32_t KERNEL(strsearch)(int32_t n) {
    const uint32_t len = 64 * 1024;
    uint32_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        uint32_t seed = seed_of(i, sum);
        for (uint32_t k = 0; k < len; k++) {
            work.bytes[k] = "acgt"[next_random(&seed) >> 30];
        }
        for (uint32_t w = 0; w < 8; w++) {
            uint32_t from = next_random(&seed) % (len - 16);
            sum = sum * 31 + count_matches(work.bytes, len, work.bytes + from, 3 + w % 4);
        }
    }
    return (int32_t)sum;
}

/* ---- interpreter: one big switch (br_table) in a loop --------------------------------------------- */

enum op { PUSH, LOAD, STORE, ADD, MUL, XOR, AND, SHR, DUP, DROP, SUB, JUMP, JUMP_ZERO, HALT };

/* x = seed; for (k = 16000; k != 0; k--) if (x & 1) x = x * 3 + 1 ^ k; else x = x >> 1 ^ k * 5; return x */
static const int32_t PROGRAM[] = {
    PUSH, 16000, STORE, 1,                                      /* 0: k = 16000 */
    LOAD, 1, JUMP_ZERO, 48,                                     /* 4: while k != 0 */
    LOAD, 0, PUSH, 1, AND, JUMP_ZERO, 28,                       /* 8: if x & 1 */
    LOAD, 0, PUSH, 3, MUL, PUSH, 1, ADD, LOAD, 1, XOR, JUMP, 39, /* 15 */
    LOAD, 0, PUSH, 1, SHR, LOAD, 1, PUSH, 5, MUL, XOR,          /* 28: else */
    STORE, 0, LOAD, 1, PUSH, 1, SUB, JUMP, 51,                  /* 39: x = …; k - 1 on the stack */
    LOAD, 0, HALT,                                              /* 48: return x */
    DUP, DROP, STORE, 1, JUMP, 4,                               /* 51: k = … */
};

static uint32_t interpret(const int32_t *program, uint32_t input) {
    uint32_t stack[16], variables[2] = {input, 0};
    int top = 0;
    for (int32_t at = 0;;) {
        switch ((enum op)program[at++]) {
        case PUSH: stack[top++] = (uint32_t)program[at++]; break;
        case LOAD: stack[top++] = variables[program[at++]]; break;
        case STORE: variables[program[at++]] = stack[--top]; break;
        case ADD: top--; stack[top - 1] += stack[top]; break;
        case SUB: top--; stack[top - 1] -= stack[top]; break;
        case MUL: top--; stack[top - 1] *= stack[top]; break;
        case XOR: top--; stack[top - 1] ^= stack[top]; break;
        case AND: top--; stack[top - 1] &= stack[top]; break;
        case SHR: top--; stack[top - 1] >>= stack[top] & 31; break;
        case DUP: stack[top] = stack[top - 1]; top++; break;
        case DROP: top--; break;
        case JUMP: at = program[at]; break;
        case JUMP_ZERO: at = stack[--top] == 0 ? program[at] : at + 1; break;
        case HALT: return stack[top - 1];
        }
    }
}

/* Round: about 400,000 operations of a small stack machine. */
int32_t KERNEL(interpreter)(int32_t n) {
    uint32_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        sum = sum * 31 + interpret(PROGRAM, seed_of(i, sum));
    }
    return (int32_t)sum;
}

/* ---- dispatch: indirect calls ---------------------------------------------------------------------- */

static uint32_t turn(uint32_t x) { return x << 7 | x >> 25; }
static uint32_t mix(uint32_t x) { return x * UINT32_C(2246822519); }
static uint32_t fold(uint32_t x) { return x ^ x >> 15; }
static uint32_t bump(uint32_t x) { return x + UINT32_C(374761393); }

static uint32_t (*const volatile HANDLERS[8])(uint32_t) = {turn, mix, fold, bump, mix, bump, turn, fold};

/* Round: 100,000 calls through a table, each chosen by the value so far. */
int32_t KERNEL(dispatch)(int32_t n) {
    uint32_t x = 1;
    for (int64_t i = 0; i < (int64_t)n * 100000; i++) {
        x = HANDLERS[(x ^ (uint32_t)i) & 7](x + (uint32_t)i);
    }
    return n > 0 ? (int32_t)x : 0;
}
