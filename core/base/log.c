// Structured logging. One write(2) per line, so lines of threads never mix.
#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

enum { LINE_MAX_BYTES = 16 * 1024 };

static atomic_int log_level = SLD_INFO;
static atomic_int log_json = -1; // -1: not chosen yet
static atomic_uint_fast64_t lines[SLD_LOG_ERROR + 1], suppressed_total;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

bool sld_log_enabled(enum sld_level level)
{
    return (int)level >= atomic_load_explicit(&log_level, memory_order_relaxed);
}

void sld_log_set_level(enum sld_level level)
{
    atomic_store(&log_level, (int)level);
}

bool sld_log_level_parse(struct sld_str s, enum sld_level *out)
{
    for (size_t i = 0; i < SLD_ARRAY_LEN(level_names); i++) {
        if (sld_str_eq(s, sld_str_c(level_names[i]))) {
            *out = (enum sld_level)i;
            return true;
        }
    }
    return false;
}

void sld_log_set_json(bool json)
{
    atomic_store(&log_json, json ? 1 : 0);
}

static bool use_json(void)
{
    int v = atomic_load(&log_json);
    if (v < 0) {
        v = isatty(STDERR_FILENO) ? 0 : 1;
        atomic_store(&log_json, v);
    }
    return v == 1;
}

static void add_escaped(struct sld_buf *b, struct sld_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            sld_buf_addc(b, '\\');
            sld_buf_addc(b, (char)c);
        } else if (c == '\n') {
            sld_buf_addz(b, "\\n");
        } else if (c < 0x20 || c == 0x7f) {
            sld_buf_addf(b, "\\u%04x", c);
        } else {
            sld_buf_addc(b, (char)c);
        }
    }
}

static void add_quoted(struct sld_buf *b, struct sld_str s)
{
    size_t bad;
    sld_buf_addc(b, '"');
    while (!sld_str_utf8(s, &bad)) {
        add_escaped(b, sld_str_sub(s, 0, bad));
        sld_buf_addz(b, "\\ufffd");
        s = sld_str_sub(s, bad + 1, s.n);
    }
    add_escaped(b, s);
    sld_buf_addc(b, '"');
}

static bool plain(struct sld_str s)
{
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c == '"' || c == '=' || c == 0x7f)
            return false;
    }
    return sld_str_utf8(s, NULL);
}

static void add_value(struct sld_buf *b, const struct sld_kv *kv, bool json)
{
    switch (kv->type) {
    case SLD_KV_STR:
        if (!json && plain(kv->s))
            sld_buf_add(b, kv->s);
        else
            add_quoted(b, kv->s);
        break;
    case SLD_KV_INT:
        sld_buf_addf(b, "%lld", (long long)kv->i);
        break;
    case SLD_KV_BOOL:
        sld_buf_addz(b, kv->i ? "true" : "false");
        break;
    }
}

void sld_log_kv(enum sld_level level, const char *room, const char *event, const struct sld_kv *kv,
                size_t n)
{
    if (!sld_log_enabled(level))
        return;
    atomic_fetch_add_explicit(&lines[level], 1, memory_order_relaxed);
    char time[32];
    struct sld_buf b;
    bool json = use_json();
    sld_time_text(sld_wall_ms(), time);
    sld_buf_init(&b, LINE_MAX_BYTES);
    if (json)
        sld_buf_addf(&b, "{\"ts\":\"%s\",\"level\":\"%s\",\"component\":\"%s\",\"event\":\"%s\"",
                     time, level_names[level], room, event);
    else
        sld_buf_addf(&b, "%s %-5s %s: %s", time, level_names[level], room, event);
    for (size_t i = 0; i < n; i++) {
        size_t before = b.n;
        sld_buf_addf(&b, json ? ",\"%s\":" : " %s=", kv[i].key);
        add_value(&b, &kv[i], json);
        if (b.full) { // this pair does not fit: leave it out, keep the line whole
            b.n = before;
            b.full = false;
        }
    }
    b.max += 4;
    sld_buf_addz(&b, json ? "}\n" : "\n");
    ssize_t done = write(STDERR_FILENO, b.p, b.n);
    (void)done; // nowhere to complain
    sld_buf_fini(&b);
}

bool sld_log_gate_open(struct sld_log_gate *g, uint64_t interval_ms, uint64_t *suppressed)
{
    uint64_t now = sld_mono_ns();
    if (g->last_ns && now - g->last_ns < interval_ms * 1000000u) {
        g->suppressed++;
        atomic_fetch_add_explicit(&suppressed_total, 1, memory_order_relaxed);
        return false;
    }
    *suppressed = g->suppressed;
    g->suppressed = 0;
    g->last_ns = now;
    return true;
}

uint64_t sld_log_lines(enum sld_level level)
{
    return atomic_load_explicit(&lines[level], memory_order_relaxed);
}

uint64_t sld_log_suppressed(void)
{
    return atomic_load_explicit(&suppressed_total, memory_order_relaxed);
}
