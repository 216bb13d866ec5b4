/*
 * A schema tool: it says what it takes (`__tool_schema`) and is called with JSON in its own memory
 * (`__tool_execute`). {"numbers": [3, 5, 4]} gives {"count": 3, "sum": 12, "min": 3, "max": 5, "mean": 4}.
 * No WASI, no imports, no libc. See README.md for how to build and call it.
 */
#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name))) name

static const char SCHEMA[] =
    "{\"description\": \"Count, sum, least, greatest and rounded mean of whole numbers.\","
    " \"input_schema\": {\"type\": \"object\", \"required\": [\"numbers\"], \"properties\": {"
    "\"numbers\": {\"type\": \"array\", \"minItems\": 1, \"items\":"
    " {\"type\": \"integer\", \"minimum\": -1000000000, \"maximum\": 1000000000}}}},"
    " \"output_schema\": {\"type\": \"object\", \"required\": [\"count\", \"sum\", \"min\", \"max\", \"mean\"]}}";

/* Pointer and length in one number, for C gives no two. */
static uint64_t pair(const char *pointer, size_t length) {
    return (uint64_t)(uintptr_t)pointer << 32 | length;
}

uint64_t EXPORT(__tool_schema)(void) {
    return pair(SCHEMA, sizeof SCHEMA - 1);
}

extern char __heap_base;
static uintptr_t used;

/* Room for the arguments. The host makes an instance for each call, so nothing is ever freed. */
void *EXPORT(alloc)(size_t bytes) {
    uintptr_t at = used ? used : (uintptr_t)&__heap_base;
    uintptr_t end = at + bytes;
    uintptr_t have = __builtin_wasm_memory_size(0) * 65536;
    if (end < at || (end > have && __builtin_wasm_memory_grow(0, (end - have + 65535) / 65536) == (size_t)-1)) {
        return NULL;
    }
    used = end;
    return (void *)at;
}

static char answer[256];
static size_t written;

static void put(const char *text) {
    while (*text != '\0' && written < sizeof answer) {
        answer[written++] = *text++;
    }
}

static void put_number(int64_t n) {
    char digits[24];
    size_t at = sizeof digits - 1;
    uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + rest % 10);
    } while ((rest /= 10) > 0);
    if (n < 0) {
        digits[--at] = '-';
    }
    put(digits + at);
}

/* Trust what the schema says: the host has compared the arguments with it. */
uint64_t EXPORT(__tool_execute)(const char *json, size_t length) {
    int64_t count = 0, sum = 0, min = INT64_MAX, max = INT64_MIN;
    const char *end = json + length;
    while (json < end && *json != '[') {
        json++;
    }
    while (json < end && *json != ']') {
        if (*json != '-' && (*json < '0' || *json > '9')) {
            json++;
            continue;
        }
        int64_t sign = 1, n = 0;
        if (*json == '-') {
            sign = -1;
            json++;
        }
        for (; json < end && *json >= '0' && *json <= '9'; json++) {
            n = n * 10 + (*json - '0');
        }
        /* 3.0 is a whole number too. */
        while (json < end && *json != ',' && *json != ']') {
            json++;
        }
        n *= sign;
        count++;
        sum += n;
        min = n < min ? n : min;
        max = n > max ? n : max;
    }
    int64_t mean = count == 0 ? 0 : (sum + (sum < 0 ? -count : count) / 2) / count;
    const char *const names[] = {"{\"count\":", ",\"sum\":", ",\"min\":", ",\"max\":", ",\"mean\":"};
    const int64_t values[] = {count, sum, min, max, mean};
    for (size_t i = 0; i < 5; i++) {
        put(names[i]);
        put_number(values[i]);
    }
    put("}");
    return pair(answer, written);
}
