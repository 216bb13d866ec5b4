/* One of a pair. `start` sends the first ball to `pong`; each reply is answered with the next ball, until as many
 * went over as the message that `start` was given says. The body of a ball is its number, four bytes.
 *
 * start   () -> i32, input: how often, as a decimal number; answers 0, or the error of the first send
 * played  () -> i32: balls that came back
 */
#include "../sdk/c/cofferdam.h"

static uint32_t wanted, back;

static int64_t serve(void) {
    uint32_t ball = back;
    return cf_request("pong", 4, &ball, sizeof ball, 1000);
}

CF_HOOK("start") int32_t start(void) {
    char text[8];
    int32_t len = cf_input_read(text, sizeof text, 0);
    wanted = back = 0;
    for (int32_t at = 0; at < len && text[at] >= '0' && text[at] <= '9'; at++)
        wanted = wanted * 10 + (uint32_t)(text[at] - '0');
    int64_t sent = wanted ? serve() : 0;
    return sent < 0 ? (int32_t)sent : 0;
}

CF_HOOK("handle_message") int32_t handle_message(void) {
    if (cf_message_kind() != CF_REPLY) {
        cf_log(CF_WARN, "pong does not answer", 20);
        return 0;
    }
    back++;
    if (back < wanted)
        return serve() < 0 ? CF_FAILED : 0;
    cf_log(CF_INFO, "done", 4);
    return 0;
}

CF_HOOK("played") uint32_t played(void) { return back; }
