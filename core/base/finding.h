// Findings: what is wrong with a user's object, where, and how to mend it. A finding never stops
// the rest.
#pragma once

#include <stddef.h>

#include "base/alloc.h"
#include "base/str.h"

enum sld_severity { SLD_NOTE, SLD_WARNING, SLD_ERROR };

// Every finding has a stable code, printed as SLD%04d. The list with text and remedy is
// base/codes.h.
#define SLD_CODE(id, number, title, remedy) SLD_##id = number,
enum sld_code {
#include "base/codes.h"
};
#undef SLD_CODE

struct sld_finding {
    enum sld_code code;
    enum sld_severity severity;
    struct sld_str path;    // field path in the object: "virtualHost.routes[2].matchers[0].regex"
    struct sld_str message; // what is wrong, and how to mend it
    struct sld_str origin;  // file or store key, when it is not the object's own
    int line, column;       // from 1; 0 = look it up by path
};

// Collects findings into an arena. A zeroed struct with `arena` set is empty.
struct sld_report {
    struct sld_arena *arena;
    struct sld_finding *items;
    size_t count;
    size_t errors, warnings; // how many of them
    struct sld_str prefix;   // put in front of every path (see sld_report_enter)
};

// Adds a finding; PATH is relative to the report's prefix and copied, as is the text (cut to 4 KiB).
// Only the first SLD_REPORT_MAX are kept, counts go on; a more severe one takes the place of the last
// of the mildest.
void sld_report_add(struct sld_report *r, enum sld_severity sev, enum sld_code code,
                    struct sld_str path, const char *fmt, ...) SLD_PRINTF(5, 6);
#define SLD_REPORT_MAX 100

// Appends PART (and "[index]" when INDEX >= 0) to the prefix; returns the previous prefix, to be
// given to sld_report_leave.
struct sld_str sld_report_enter(struct sld_report *r, const char *part, long index);
void sld_report_leave(struct sld_report *r, struct sld_str previous);

// "error", "warning", "note".
const char *sld_severity_name(enum sld_severity s);
// Title and remedy of a code, or NULL.
const char *sld_code_title(enum sld_code c);
const char *sld_code_remedy(enum sld_code c);
