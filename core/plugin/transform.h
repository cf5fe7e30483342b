// plugin/transform: hooks that change requests and responses. One runs beside what it changes: it may wait for the next piece
// of a body, or for trailers, which its caller gives it.
#pragma once

#include "plugin/request.h"

enum { SLD_CHUNK_BYTES_MAX = 8 << 20, SLD_SET_BODY_BYTES_MAX = 4 << 20 };

enum sld_wants { SLD_WANTS_NOTHING, SLD_WANTS_CHUNK, SLD_WANTS_TRAILERS };

// A call of transform_request or transform_response; the caller's, valid until DONE or until it is cancelled. Fill a zeroed one.
struct sld_transform {
    enum sld_hook hook;
    struct sld_exchange *x; // says afterwards whether it is answered by the plugin, and what became of it
    int ref;                // of the configuration
    bool undo;              // where the hook fails before it sent headers X is as it was before, but for an answer
    bool streamed;          // it gets the body in pieces; else as a whole, X's, or not at all
    uint64_t deadline_ms;   // from start to end, and from each piece it is given
    // It began to wait for what WANTS says, some time after it was started or given something. The plugin's state is at work: do
    // not call into it from here.
    void (*waits)(void *user);
    // SLD_OK, or how it failed: as of struct sld_authorize.
    void (*done)(void *user, enum sld_rc rc, const struct sld_err *err);
    void *user;
    // What it is at.
    enum sld_wants wants;
    bool sent;              // it cannot edit headers any more
    bool closed;            // set by the caller: nothing can be written any more
    struct sld_buf written; // since it was given a piece; the caller takes it, and ends it by sld_buf_fini
    // Private.
    struct pl_task *task;
    struct sld_exchange before;
    bool read, ended; // the body is asked for; it is over
};
// Starts T of P; DONE may come before this returns. SLD_AGAIN, SLD_LIMIT: it was not started, and DONE does not come.
SLD_NODISCARD enum sld_rc sld_plugin_transform(struct sld_plugin *p, struct sld_reactor *r, struct sld_transform *t,
                                               struct sld_err *err);
// T, which wants a chunk, gets this one, not empty; absent: the body is over. DONE may come before this returns.
void sld_transform_chunk(struct sld_transform *t, struct sld_str chunk);
// T, which wants trailers, gets those of its exchange; or there are none, as that says.
void sld_transform_trailers(struct sld_transform *t);
// Ends a call under way; DONE does not come.
void sld_plugin_transform_cancel(struct sld_transform *t);
