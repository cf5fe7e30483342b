// /livez, /readyz and /healthz: the answer is the status code; the text is for people.
#include "admin/inside.h"

static void text_answer(struct answer *out, bool ok)
{
    out->type = "text/plain; charset=utf-8";
    out->status = ok ? 200 : 503;
}

static void put_check(struct answer *out, const struct sld_admin_check *c, bool excluded)
{
    if (excluded)
        sld_buf_addf(&out->body, "[+]%s excluded: %s\n", c->name, c->ok ? "ok" : "failed");
    else if (c->ok)
        sld_buf_addf(&out->body, "[+]%s ok\n", c->name);
    else
        sld_buf_addf(&out->body, "[-]%s failed: %.*s\n", c->name, SLD_FMT(c->reason));
}

// Only checks that count for LIVE when that is asked.
static void health(struct sld_admin *a, const struct call *c, struct answer *out, bool live,
                   const char *what)
{
    struct sld_admin_check checks[SLD_ADMIN_CHECKS_MAX];
    size_t n = a->opt.host.checks(checks, SLD_ADMIN_CHECKS_MAX, a->opt.host.user);
    struct sld_str exclude = call_param(c, "exclude");
    bool verbose = false, ok = true, found = !exclude.p;
    if (!call_bool(c, "verbose", &verbose, out))
        return;
    for (size_t i = 0; i < n; i++) {
        bool excluded = exclude.p && sld_str_eq(exclude, sld_str_c(checks[i].name));
        found |= excluded;
        if (live && !checks[i].live)
            continue;
        if (!checks[i].ok && !excluded)
            ok = false;
        if (verbose || (!checks[i].ok && !excluded))
            put_check(out, &checks[i], excluded);
    }
    if (!found) {
        sld_buf_reset(&out->body);
        answer_problem(out, PROBLEM_BAD_PARAMETER, "?verbose lists the checks",
                       "exclude=%.*s is none of the checks", SLD_FMT(sld_str_sub(exclude, 0, 256)));
        return;
    }
    text_answer(out, ok);
    if (verbose || !ok)
        sld_buf_addf(&out->body, "%s check %s\n", what, ok ? "passed" : "failed");
    else
        sld_buf_addz(&out->body, "ok\n");
}

void health_live(struct sld_admin *a, const struct call *c, struct answer *out)
{
    health(a, c, out, true, "livez");
}

void health_ready(struct sld_admin *a, const struct call *c, struct answer *out)
{
    health(a, c, out, false, "readyz");
}

void health_check(struct sld_admin *a, const struct call *c, struct answer *out)
{
    struct sld_admin_check checks[SLD_ADMIN_CHECKS_MAX];
    size_t n = a->opt.host.checks(checks, SLD_ADMIN_CHECKS_MAX, a->opt.host.user);
    for (size_t i = 0; i < n; i++) {
        if (!sld_str_eq(c->args[0], sld_str_c(checks[i].name)))
            continue;
        text_answer(out, checks[i].ok);
        if (checks[i].ok)
            sld_buf_addz(&out->body, "ok\n");
        else
            put_check(out, &checks[i], false);
        return;
    }
    answer_problem(out, PROBLEM_NO_RESOURCE, "/readyz?verbose lists the checks",
                   "%.*s is none of the checks", SLD_FMT(sld_str_sub(c->args[0], 0, 256)));
}
