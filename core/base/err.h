// Errors of operations. Mistakes in a user's document are findings (finding.h), not errors.
#pragma once

#include "base/assert.h"
#include "base/str.h"

enum sld_rc {
    SLD_OK = 0,
    SLD_INVALID,   // the input breaks a rule
    SLD_NOT_FOUND, // what was named is not there
    SLD_CONFLICT,  // somebody else holds or changed it
    SLD_DENIED,    // not allowed
    SLD_LIMIT,     // a ceiling was reached
    SLD_IO,        // the operating system or a peer failed
    SLD_AGAIN,     // not now, may work later
    SLD_INTERNAL,  // a bug of ours
};

// "invalid", "not found", ...
const char *sld_rc_name(enum sld_rc rc);

#define SLD_ERR_MAX 512

struct sld_err {
    enum sld_rc rc;
    int line, column;      // position in the input, from 1; 0 = unknown
    char msg[SLD_ERR_MAX]; // outermost context first
};

// Fills E (may be NULL; words too long are cut) and returns RC, so that `return sld_err_set(...)`
// reads well. [any]
enum sld_rc sld_err_set(struct sld_err *e, enum sld_rc rc, const char *fmt, ...) SLD_PRINTF(3, 4);
// The same with ": <strerror(errnum)>" behind it and rc SLD_IO.
enum sld_rc sld_err_errno(struct sld_err *e, int errnum, const char *fmt, ...) SLD_PRINTF(3, 4);
// Puts "<context>: " in front of E's message; returns E's rc (SLD_INTERNAL when E is NULL).
enum sld_rc sld_err_wrap(struct sld_err *e, const char *fmt, ...) SLD_PRINTF(2, 3);
