// Field paths as text.
#include "codec/path.h"

static bool plain_key(struct sld_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-';
        if (!word)
            return false;
    }
    return s.n > 0;
}

void path_print(struct sld_buf *out, const struct path *at)
{
    if (!at)
        return;
    path_print(out, at->up);
    if (at->index >= 0) {
        sld_buf_addf(out, "[%ld]", at->index);
    } else if (at->key && !plain_key(at->name)) {
        sld_buf_addf(out, "[\"%.*s\"]", SLD_FMT(at->name));
    } else {
        if (out->n)
            sld_buf_addc(out, '.');
        sld_buf_add(out, at->name);
    }
}

void path_vfinding(struct sld_report *r, const struct path *at, enum sld_severity sev,
                   enum sld_code code, const char *fmt, va_list ap)
{
    struct sld_buf path, text;
    sld_buf_init(&path, 2048);
    sld_buf_init(&text, 2048);
    path_print(&path, at);
    sld_buf_vaddf(&text, fmt, ap);
    sld_report_add(r, sev, code, sld_buf_str(&path), "%.*s", SLD_FMT(sld_buf_str(&text)));
    sld_buf_fini(&text);
    sld_buf_fini(&path);
}

void path_finding(struct sld_report *r, const struct path *at, enum sld_severity sev,
                  enum sld_code code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    path_vfinding(r, at, sev, code, fmt, ap);
    va_end(ap);
}
