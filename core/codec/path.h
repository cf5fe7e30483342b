// Inside codec: where a walk over a message is.
#pragma once

#include "base/base.h"

// A chain on the stack, made into text only when somebody wants to read it.
struct path {
    const struct path *up;
    struct sld_str name; // a field's JSON name or a map key; absent for a list element
    long index;          // of a list element, else -1
    bool key;            // NAME is a map key
};

// Writes "virtualHost.routes[1].headers["x y"]".
void path_print(struct sld_buf *out, const struct path *at);
// Adds a finding at AT.
void path_finding(struct sld_report *r, const struct path *at, enum sld_severity sev,
                  enum sld_code code, const char *fmt, ...) SLD_PRINTF(5, 6);
void path_vfinding(struct sld_report *r, const struct path *at, enum sld_severity sev,
                   enum sld_code code, const char *fmt, va_list ap);
