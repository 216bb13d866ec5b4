/* An agent that counts: state in the instance between calls, and under a key beyond its life.
 *
 * init            goes on from what is stored, or from the number that is its configuration
 * handle_message  adds the number that is the message (1 if it is empty) and answers the sum
 * on_timer        adds the token
 * count           () -> i64, a plain export
 * shutdown        stores the sum
 */
#include "../sdk/c/cofferdam.h"

static int64_t sum;

/* The number in the input, or `otherwise`. */
static int64_t number(int64_t otherwise) {
    char text[24];
    int32_t len = cf_input_read(text, sizeof text, 0), at = 0;
    int64_t value = 0;
    int minus = len > 1 && text[0] == '-';
    for (at = minus; at < len && text[at] >= '0' && text[at] <= '9'; at++)
        value = value * 10 + (text[at] - '0');
    return len == 0 ? otherwise : minus ? -value : value;
}

static void answer(int64_t value) {
    char text[24];
    size_t at = sizeof text;
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do {
        text[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0)
        text[--at] = '-';
    cf_output_write(text + at, sizeof text - at);
}

CF_HOOK("init") int32_t init(void) {
    sum = number(0);
    int32_t stored = cf_kv_get("sum", 3, &sum, sizeof sum);
    return stored == CF_NOT_FOUND ? 0 : stored < 0 ? stored : 0;
}

CF_HOOK("handle_message") void handle_message(void) {
    sum += number(1);
    answer(sum);
}

CF_HOOK("on_timer") void on_timer(int64_t token) { sum += token; }

CF_HOOK("count") int64_t count(void) { return sum; }

CF_HOOK("shutdown") int32_t shutdown(void) { return cf_kv_set("sum", 3, &sum, sizeof sum); }
