// plugin/record: a request and what a plugin made of it as a line of JSON, for who wants to know what another version would
// make of it. What tells who somebody is does not go into it: values of headers and query parameters that are called like secrets
// are "***", as are secrets of the configuration; bodies are cut.
#pragma once

#include "codec/doc.h"
#include "plugin/request.h"

enum {
    SLD_RECORD_BODY_MAX = 1024,       // bytes of a body that are kept
    SLD_RECORD_LINE_MAX = 128 * 1024, // of a line
};

// A record in the making. Zeroed before sld_record_begin; ends with sld_record_fini.
struct sld_record {
    struct sld_arena arena;
    struct sld_buf line;
    struct sld_json json;
    struct sld_str plugin;
    struct sld_edit *edits; // of plugins before
    size_t edit_count, note_count;
};

// X as P is about to see it, with configuration CONF (may be NULL) at Unix time WALL_MS.
void sld_record_begin(struct sld_record *r, const struct sld_plugin *p, struct sld_exchange *x, const Google__Protobuf__Value *conf,
                      int64_t wall_ms);
// X as P left it, which ended with RC (and ERR when that is not SLD_OK): the line, with its end, borrowed from R; absent when it is
// longer than lines may be.
struct sld_str sld_record_end(struct sld_record *r, const struct sld_exchange *x, enum sld_rc rc, const struct sld_err *err);
void sld_record_fini(struct sld_record *r);

// Whether a header or query parameter of this name is likely to tell a secret.
bool sld_record_hides(struct sld_str name);
