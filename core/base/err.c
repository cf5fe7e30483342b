#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const names[] = {
    [SLD_OK] = "ok",
    [SLD_INVALID] = "invalid",
    [SLD_NOT_FOUND] = "not found",
    [SLD_CONFLICT] = "conflict",
    [SLD_DENIED] = "denied",
    [SLD_LIMIT] = "limit reached",
    [SLD_IO] = "i/o error",
    [SLD_AGAIN] = "try again",
    [SLD_INTERNAL] = "internal error",
};

const char *sld_rc_name(enum sld_rc rc)
{
    return (size_t)rc < SLD_ARRAY_LEN(names) ? names[rc] : "unknown";
}

// Half a character at the end of words that were cut would make them invalid as a whole.
static void mend_end(struct sld_err *e)
{
    size_t bad;
    struct sld_str s = sld_str_c(e->msg);
    if (s.n == sizeof(e->msg) - 1 && !sld_str_utf8(s, &bad) && bad + 4 > s.n)
        e->msg[bad] = 0;
}

enum sld_rc sld_err_set(struct sld_err *e, enum sld_rc rc, const char *fmt, ...)
{
    SLD_PRE(rc != SLD_OK);
    if (!e)
        return rc;
    e->rc = rc;
    e->line = e->column = 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
    va_end(ap);
    mend_end(e);
    return rc;
}

enum sld_rc sld_err_errno(struct sld_err *e, int errnum, const char *fmt, ...)
{
    if (!e)
        return SLD_IO;
    e->rc = SLD_IO;
    e->line = e->column = 0;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(e->msg))
        snprintf(e->msg + n, sizeof(e->msg) - (size_t)n, ": %s", strerror(errnum));
    mend_end(e);
    return SLD_IO;
}

enum sld_rc sld_err_wrap(struct sld_err *e, const char *fmt, ...)
{
    if (!e)
        return SLD_INTERNAL;
    char inner[SLD_ERR_MAX];
    memcpy(inner, e->msg, sizeof(inner));
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(e->msg))
        snprintf(e->msg + n, sizeof(e->msg) - (size_t)n, ": %s", inner);
    mend_end(e);
    return e->rc;
}
