// plugin/request: hooks that run once for each request. What they are called with is made of nothing but the arena of the
// exchange; a handle in a script's hands knows the call it was lent to.
#pragma once

#include "plugin/plugin.h"

struct sld_pair {
    struct sld_str name, value;
};

// The client's certificate, as far as Envoy tells.
struct sld_req_peer {
    struct sld_str cert;      // PEM, percent-encoded
    struct sld_str principal; // its first URI or DNS name, or its subject
};

enum sld_edit_kind {
    SLD_EDIT_HEADER,       // of the request: VALUE is all there is of it then; absent: removed
    SLD_EDIT_QUERY,        // a parameter; absent: removed
    SLD_EDIT_RESPONSE_SET, // a header of the response
    SLD_EDIT_RESPONSE_ADD,
    SLD_EDIT_TRAILER,
};
struct sld_edit {
    enum sld_edit_kind kind;
    struct sld_str name, value;
};

// Metadata that a plugin sets.
struct sld_note {
    struct sld_str plugin, key;
    Google__Protobuf__Value *value;
};

// Ceilings of an exchange.
enum {
    SLD_EDITS_MAX = 200,
    SLD_HEADER_BYTES_MAX = 16 << 10,
    SLD_EXCHANGE_BYTES_MAX = 1 << 20, // that scripts make of it
};

// A request, or the response to one, on its way through the plugins of its route: each sees what those before it made of
// it. Fill a zeroed one.
struct sld_exchange {
    struct sld_arena *arena; // of all that is made here
    // What came, and what it is now. Absent is nil.
    struct sld_str method, path, query, host, scheme, id, source, sni, route, body;
    unsigned code;                // of a response
    struct sld_exchange *request; // of a response; NULL: it is not known
    struct sld_pair *trailers;
    size_t trailer_count;
    bool trailers_known, has_trailers; // whether there are any is known; there are
    struct sld_pair *headers; // names in lower case, in order; made by SLD_PUSH, changed by edits
    size_t header_count;
    const struct sld_req_peer *peer; // NULL: no certificate
    // What is made of it.
    struct sld_edit *edits; // one of a kind and name, but for SLD_EDIT_RESPONSE_ADD
    size_t edit_count;
    struct sld_note *notes;
    size_t note_count;
    bool body_set; // BODY is the plugins'
    bool denied; // once, and for good
    unsigned status;
    struct sld_pair *deny_headers;
    size_t deny_header_count;
    struct sld_str deny_body;
    // Private.
    size_t body_bytes;       // of bodies that were set
    uint32_t start_bytes;    // of the arena, before scripts made anything
    struct sld_pair *params; // of QUERY, decoded
    size_t param_count;
    bool parsed, peer_read;
    struct sld_str subject;
    struct sld_str *dns_names;
    size_t dns_name_count;
};

// Appends what X's path and query are now, as ":path" has them: what nobody edited stays as it was written.
void sld_exchange_target(const struct sld_exchange *x, struct sld_buf *out);

// A configuration in the state of P: checked by P's schema, read-only, with defaults. A number in *REF, to be given back by
// sld_plugin_drop_conf. SLD_INVALID with words.
SLD_NODISCARD enum sld_rc sld_plugin_keep_conf(struct sld_plugin *p, const Google__Protobuf__Value *value, int *ref,
                                               struct sld_err *err);
void sld_plugin_drop_conf(struct sld_plugin *p, int ref);

struct sld_reactor;

// A call of authorize; the caller's, valid until DONE or until it is cancelled. Fill a zeroed one.
struct sld_authorize {
    struct sld_exchange *x; // says afterwards whether the request is denied
    int ref;                // of the configuration
    bool undo;              // where the hook fails X is as it was before, but for a denial
    uint64_t deadline_ms;   // from start to end, waiting included
    // SLD_OK, or how it failed: SLD_INVALID, SLD_LIMIT; SLD_AGAIN: it took longer than it may. ERR is borrowed.
    void (*done)(void *user, enum sld_rc rc, const struct sld_err *err);
    void *user;
    // Private.
    struct pl_task *task;
    struct sld_exchange before;
};
// Starts C of P; DONE may come before this returns. SLD_AGAIN, SLD_LIMIT: it was not started, and DONE does not come.
SLD_NODISCARD enum sld_rc sld_plugin_authorize(struct sld_plugin *p, struct sld_reactor *r, struct sld_authorize *c,
                                               struct sld_err *err);
// Ends a call that waits; DONE does not come.
void sld_plugin_authorize_cancel(struct sld_authorize *c);
