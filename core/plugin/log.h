// plugin/log: the hook that gets what Envoys log of requests.
#pragma once

#include "plugin/plugin.h"

struct sld_reactor;
struct Env__DataAccesslog__HTTPAccessLogEntry;

// A call of log; the caller's, valid until DONE or until it is cancelled. Fill a zeroed one.
struct sld_log {
    int ref; // of the configuration
    const struct Env__DataAccesslog__HTTPAccessLogEntry *const *entries;
    size_t entry_count;
    const Google__Protobuf__Value *made; // instead of them: a list of entries as they are to be
    uint64_t deadline_ms;
    // As of struct sld_authorize.
    void (*done)(void *user, enum sld_rc rc, const struct sld_err *err);
    void *user;
    // Private.
    struct pl_task *task;
};
// Starts C of P; DONE may come before this returns. SLD_AGAIN, SLD_LIMIT: it was not started, and DONE does not come.
SLD_NODISCARD enum sld_rc sld_plugin_log(struct sld_plugin *p, struct sld_reactor *r, struct sld_log *c, struct sld_err *err);
// Ends a call under way; DONE does not come.
void sld_plugin_log_cancel(struct sld_log *c);
