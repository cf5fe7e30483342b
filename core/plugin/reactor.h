// plugin/reactor: what the calls of plugins may wait for, on one loop.
#pragma once

#include "net/dns.h"
#include "net/http_stream.h"

// What a reactor is made of: the loop, or a test's own time and world. What a method returns is let go by the matching one, once,
// whether its callback came or not; no callback comes after that, nor before the method that starts it has returned.
struct sld_reactor_ops {
    uint64_t (*mono_ms)(void *user);
    int64_t (*wall_ms)(void *user); // since 1970
    // The pause after so many failures in a row; as sld_backoff, which leaves some of it to chance.
    uint64_t (*pause)(void *user, unsigned failures, uint64_t least, uint64_t most);
    // FN(ARG) once after DELAY_MS.
    void *(*timer)(void *user, uint64_t delay_ms, void (*fn)(void *arg), void *arg);
    void (*timer_end)(void *user, void *timer);
    // Starts CALL, copied. The answer is borrowed during DONE.
    void *(*http)(void *user, const struct sld_http_call *call, sld_http_done *done, void *arg);
    void (*http_end)(void *user, void *http);
    // The same for an answer that is read as it comes, as of net/http_stream.h. Ended after the calls of the plugin that read it.
    void *(*stream)(void *user, const struct sld_http_call *call, void (*news)(void *arg), void *arg);
    struct sld_http_stream_state (*stream_look)(void *user, void *stream);
    void (*stream_take)(void *user, void *stream, size_t n);
    void (*stream_end)(void *user, void *stream);
    // Asks SERVER ("host:port"; absent: as the system does). NULL and ERR: it cannot be asked. The answer is borrowed during DONE.
    void *(*dns)(void *user, struct sld_str server, enum sld_dns_type type, struct sld_str name, sld_dns_done *done, void *arg,
                 struct sld_err *err);
    void (*dns_end)(void *user, void *dns);
    // Reads the first MAX bytes of the file at PATH into TO. *N: how many the file has; *STAMP changes when the file does, and is all zero
    // for one that cannot be read. SLD_NOT_FOUND, SLD_INVALID (no plain file), SLD_IO.
    enum sld_rc (*file)(void *user, const char *path, char *to, size_t max, size_t *n, struct sld_hash *stamp, struct sld_err *err);
};
struct sld_reactor {
    const struct sld_reactor_ops *ops;
    void *user;
};

// A reactor of L. Plugins that run on it belong to L's thread. [owner of L]
struct sld_reactor *sld_reactor_create(struct sld_loop *l);
// After all calls that run on it. The loop has to turn once more before it can be destroyed. NULL is fine.
void sld_reactor_destroy(struct sld_reactor *r);
