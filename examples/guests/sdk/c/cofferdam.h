/* What an agent may call of Cofferdam, version 1 (docs/abi.md). One header, no library, no libc.
 *
 *     #include "cofferdam.h"
 *
 *     CF_HOOK("handle_message") void handle_message(void) {
 *         unsigned char buffer[256];
 *         int32_t n = cf_input_read(buffer, sizeof buffer, 0);
 *         cf_output_write(buffer, n);
 *     }
 *
 * Build with: clang --target=wasm32 -O2 -ffreestanding -nostdlib -Wl,--no-entry
 * Only what is called is imported, and only what is granted may be imported.
 */
#ifndef COFFERDAM_H
#define COFFERDAM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Every function that can fail answers one of these; results are 0 or above. */
enum {
    CF_NOT_FOUND = -1,
    CF_DENIED = -2,
    CF_TOO_LARGE = -3,
    CF_FULL = -4,
    CF_TIMED_OUT = -5,
    CF_INVALID = -6,
    CF_GONE = -7,
    CF_NO_REPLY_EXPECTED = -8,
    CF_FAILED = -9,
    CF_NOT_NOW = -10
};

enum { CF_ERROR = 0, CF_WARN = 1, CF_INFO = 2, CF_DEBUG = 3, CF_TRACE = 4 };

/* What cf_message_kind answers. */
enum { CF_MESSAGE = 0, CF_REPLY = 1, CF_NO_REPLY = 2 };

#define CF_IMPORT(name) __attribute__((import_module("cofferdam_v1"), import_name(name)))
/* Makes a function an export: a hook, or whatever the host is to call. */
#define CF_HOOK(name) __attribute__((export_name(name)))

/* Bytes into a call and out of it. */
CF_IMPORT("input_len") int32_t cf_input_len(void);
CF_IMPORT("input_read") int32_t cf_input_read(void *to, size_t len, size_t offset);
CF_IMPORT("output_write") int32_t cf_output_write(const void *from, size_t len);
CF_IMPORT("result_read") int32_t cf_result_read(void *to, size_t len, size_t offset);

/* log */
CF_IMPORT("log") int32_t cf_log(int32_t level, const char *text, size_t len);

/* time: nanoseconds since 1970 */
CF_IMPORT("get_time") int64_t cf_get_time(void);

/* random */
CF_IMPORT("random") int32_t cf_random(void *to, size_t len);

/* messages: `to` is an agent's name, its id, or `#topic`; a request goes to one agent, not to a topic */
CF_IMPORT("send_message") int64_t cf_send_message(const char *to, size_t to_len, const void *body, size_t len);
CF_IMPORT("request")
int64_t cf_request(const char *to, size_t to_len, const void *body, size_t len, uint32_t timeout_ms);
CF_IMPORT("receive_message") int32_t cf_receive_message(void *to, size_t cap, uint32_t timeout_ms);
CF_IMPORT("message_from") int32_t cf_message_from(char *to, size_t cap);
CF_IMPORT("message_topic") int32_t cf_message_topic(char *to, size_t cap);
CF_IMPORT("message_kind") int32_t cf_message_kind(void);
CF_IMPORT("message_correlation") int64_t cf_message_correlation(void);
CF_IMPORT("reply") int32_t cf_reply(const void *body, size_t len);

/* timers */
CF_IMPORT("set_timer") int32_t cf_set_timer(uint32_t after_ms, int64_t token);

/* kv: only CF_NOT_FOUND says that nothing is stored. After CF_FAILED it still is: do not begin anew and overwrite it. */
CF_IMPORT("kv_get") int32_t cf_kv_get(const void *key, size_t key_len, void *to, size_t cap);
CF_IMPORT("kv_set") int32_t cf_kv_set(const void *key, size_t key_len, const void *value, size_t len);
CF_IMPORT("kv_delete") int32_t cf_kv_delete(const void *key, size_t key_len);
CF_IMPORT("kv_list") int32_t cf_kv_list(const void *prefix, size_t prefix_len, void *to, size_t cap);

/* tools: after CF_FAILED, and only then, cf_result_read gives what the tool says. */
CF_IMPORT("call_tool")
int32_t cf_call_tool(const char *name, size_t name_len, const void *json, size_t len, void *to, size_t cap);

#ifdef __cplusplus
}
#endif

#endif
