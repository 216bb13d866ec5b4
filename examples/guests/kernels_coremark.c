/*
 * A kernel shaped like CoreMark: each round walks, searches and sorts a linked list, multiplies small
 * integer matrices, runs a state machine over text that looks like numbers, and folds everything into a
 * CRC-16. Our own code; its numbers are not CoreMark scores.
 */
#include "kernels.h"

static uint16_t crc16(uint16_t crc, uint32_t value, int bits) {
    for (int i = 0; i < bits; i++) {
        uint16_t low = (uint16_t)((crc ^ (value >> i)) & 1);
        crc = (uint16_t)(crc >> 1);
        if (low) {
            crc ^= 0xA001;
        }
    }
    return crc;
}

/* ---- linked list -------------------------------------------------------------------------------- */

#define NODES 128

struct node {
    struct node *next;
    int16_t key;
    int16_t value;
};

static struct node nodes[NODES];

static struct node *list_build(uint32_t seed) {
    for (int i = 0; i < NODES; i++) {
        uint32_t r = next_random(&seed);
        nodes[i].key = (int16_t)(r & 0x7FFF);
        nodes[i].value = (int16_t)(r >> 17);
        /* 45 and 128 have no common factor, so the list visits every node, not in memory order. */
        nodes[(i * 45) % NODES].next = i + 1 < NODES ? &nodes[((i + 1) * 45) % NODES] : NULL;
    }
    return &nodes[0];
}

static struct node *list_reverse(struct node *head) {
    struct node *done = NULL;
    while (head != NULL) {
        struct node *next = head->next;
        head->next = done;
        done = head;
        head = next;
    }
    return done;
}

static const struct node *list_find(const struct node *head, int16_t key) {
    while (head != NULL && head->key < key) {
        head = head->next;
    }
    return head;
}

static int by_key(const struct node *a, const struct node *b) {
    return a->key - b->key;
}

static int by_value(const struct node *a, const struct node *b) {
    return a->value != b->value ? a->value - b->value : a->key - b->key;
}

/* Merge sort from the bottom up; the order comes through a pointer, as in CoreMark. */
static struct node *list_sort(struct node *list, int (*order)(const struct node *, const struct node *)) {
    for (int width = 1;; width *= 2) {
        struct node *p = list, *tail = NULL;
        int merges = 0;
        list = NULL;
        while (p != NULL) {
            struct node *q = p;
            int p_left = 0, q_left = width;
            merges++;
            for (; p_left < width && q != NULL; p_left++) {
                q = q->next;
            }
            while (p_left > 0 || (q_left > 0 && q != NULL)) {
                struct node *smallest;
                if (p_left > 0 && (q_left == 0 || q == NULL || order(p, q) <= 0)) {
                    smallest = p;
                    p = p->next;
                    p_left--;
                } else {
                    smallest = q;
                    q = q->next;
                    q_left--;
                }
                if (tail != NULL) {
                    tail->next = smallest;
                } else {
                    list = smallest;
                }
                tail = smallest;
            }
            p = q;
        }
        tail->next = NULL;
        if (merges <= 1) {
            return list;
        }
    }
}

static uint16_t list_round(uint32_t seed, uint16_t crc) {
    struct node *list = list_sort(list_reverse(list_build(seed)), by_key);
    for (int i = 0; i < 32; i++) {
        const struct node *found = list_find(list, (int16_t)(next_random(&seed) & 0x7FFF));
        crc = crc16(crc, found != NULL ? (uint16_t)found->value : 0xFFFF, 16);
    }
    for (struct node *n = list_sort(list, by_value); n != NULL; n = n->next) {
        crc = crc16(crc, (uint16_t)n->key, 16);
    }
    return crc;
}

/* ---- matrices ------------------------------------------------------------------------------------ */

#define SIDE 16

static int16_t left[SIDE][SIDE], right[SIDE][SIDE];
static int32_t product[SIDE][SIDE];

static uint16_t matrix_round(uint32_t seed, uint16_t crc) {
    for (int i = 0; i < SIDE; i++) {
        for (int j = 0; j < SIDE; j++) {
            left[i][j] = (int16_t)(next_random(&seed) & 0xFFF);
            right[i][j] = (int16_t)(next_random(&seed) & 0xFFF);
        }
    }
    for (int i = 0; i < SIDE; i++) {
        for (int j = 0; j < SIDE; j++) {
            int32_t sum = 0;
            for (int k = 0; k < SIDE; k++) {
                int32_t p = left[i][k] * right[k][j];
                sum += ((p >> 2) & 0xF) * ((p >> 5) & 0x7F);
            }
            product[i][j] = sum;
        }
    }
    for (int i = 0; i < SIDE; i++) {
        crc = crc16(crc, (uint32_t)product[i][(i * 7) % SIDE], 32);
    }
    return crc;
}

/* ---- state machine ------------------------------------------------------------------------------- */

enum state { START, SIGN, INTEGER, POINT, EXPONENT, EXPONENT_SIGN, SCIENTIFIC, INVALID, STATES };

static enum state step(enum state s, char c) {
    int digit = c >= '0' && c <= '9';
    switch (s) {
    case START:
        return digit ? INTEGER : c == '+' || c == '-' ? SIGN : c == '.' ? POINT : INVALID;
    case SIGN:
        return digit ? INTEGER : c == '.' ? POINT : INVALID;
    case INTEGER:
        return digit ? INTEGER : c == '.' ? POINT : INVALID;
    case POINT:
        return digit ? POINT : c == 'e' || c == 'E' ? EXPONENT : INVALID;
    case EXPONENT:
        return c == '+' || c == '-' ? EXPONENT_SIGN : INVALID;
    case EXPONENT_SIGN:
    case SCIENTIFIC:
        return digit ? SCIENTIFIC : INVALID;
    default:
        return INVALID;
    }
}

static uint16_t state_round(uint32_t seed, uint16_t crc) {
    static const char *const WORDS[] = {"5012", "1234", "-874", "+122", "35.54", ".1234500", "-110.700",
                                        "+0.6440", "5.500e+3", "-.123e-2", "-87e+832", "+0.6e-12",
                                        "T0.3e-1F", "-T.T++Tq", "1T3.4e4z", "34.0e-T^"};
    uint32_t ends[STATES] = {0}, steps = 0;
    for (int i = 0; i < 256; i++) {
        uint32_t r = next_random(&seed);
        enum state s = START;
        for (const char *c = WORDS[r & 15]; *c != '\0' && s != INVALID; c++) {
            /* Now and then a character is damaged on the way. */
            s = step(s, (r >> 24) == 0 ? (char)(*c ^ 1) : *c);
            steps++;
        }
        ends[s]++;
    }
    for (int i = 0; i < STATES; i++) {
        crc = crc16(crc, ends[i], 16);
    }
    return crc16(crc, steps, 16);
}

int32_t KERNEL(coremark)(int32_t n) {
    uint16_t crc = 0;
    for (int32_t i = 0; i < n; i++) {
        uint32_t seed = seed_of(i, crc);
        for (int part = 0; part < 16; part++) {
            crc = list_round(seed + (uint32_t)part, crc);
            crc = matrix_round(seed + (uint32_t)part, crc);
            crc = state_round(seed + (uint32_t)part, crc);
        }
    }
    return crc;
}
