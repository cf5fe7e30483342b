// Structured logging to stderr: one line per event, JSON or text. [any]
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum sld_level { SLD_DEBUG, SLD_INFO, SLD_WARN, SLD_LOG_ERROR };

// One key and value. Built by the macros below; keys are literals.
struct sld_kv {
    const char *key;
    enum { SLD_KV_STR, SLD_KV_INT, SLD_KV_BOOL } type;
    struct sld_str s;
    int64_t i;
};

#define SLD_KS(k, v) ((struct sld_kv){.key = (k), .type = SLD_KV_STR, .s = (v)})
#define SLD_KC(k, v) ((struct sld_kv){.key = (k), .type = SLD_KV_STR, .s = sld_str_c(v)})
#define SLD_KI(k, v) ((struct sld_kv){.key = (k), .type = SLD_KV_INT, .i = (int64_t)(v)})
#define SLD_KB(k, v) ((struct sld_kv){.key = (k), .type = SLD_KV_BOOL, .i = (v)})

// Logs EVENT (a stable name, listed in the room's README) of ROOM with key=value pairs.
// The message for people is the event name plus the pairs; put a sentence under key "msg". A pair
// that makes the line longer than 16 KiB is left out; bytes that are not UTF-8 become U+FFFD.
void sld_log_kv(enum sld_level level, const char *room, const char *event, const struct sld_kv *kv,
                size_t n);
#define SLD_LOG(level, room, event, ...)                                                           \
    do {                                                                                           \
        if (sld_log_enabled(level)) {                                                              \
            const struct sld_kv sld_kv_[] = {__VA_ARGS__};                                         \
            sld_log_kv((level), (room), (event), sld_kv_, sizeof(sld_kv_) / sizeof(sld_kv_[0]));   \
        }                                                                                          \
    } while (0)

// Lines below LEVEL (info at first) are dropped, and their arguments not computed. [any]
bool sld_log_enabled(enum sld_level level);
void sld_log_set_level(enum sld_level level);
// "debug", "info", "warn", "error"; false on anything else.
bool sld_log_level_parse(struct sld_str s, enum sld_level *out);
// JSON lines (true) or text (false). Before the first call: text on a terminal, JSON elsewhere.
void sld_log_set_json(bool json);

// Lets the first event of a kind through, then at most one per INTERVAL_MS with the count of those
// left out under key "suppressed". A zeroed struct is ready.
struct sld_log_gate {
    uint64_t last_ns;
    uint64_t suppressed;
};
// True when the caller should log now; *SUPPRESSED gets how many were left out since.
bool sld_log_gate_open(struct sld_log_gate *g, uint64_t interval_ms, uint64_t *suppressed);

// Lines logged per level, and events left out by gates, since the start of the process. [any]
uint64_t sld_log_lines(enum sld_level level);
uint64_t sld_log_suppressed(void);
