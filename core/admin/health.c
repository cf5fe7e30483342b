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

// A source that cannot be read is no reason to be unready, for its last state is served; but people
// who ask are told.
static void put_sources(struct sld_admin *a, const struct call *c, struct answer *out, bool verbose)
{
    struct sld_admin_source *s =
        SLD_ARENA_ARRAY(c->arena, struct sld_admin_source, SLD_ADMIN_SOURCES_MAX);
    size_t n = a->opt.host.sources(s, SLD_ADMIN_SOURCES_MAX, a->opt.host.user);
    for (size_t i = 0; i < n; i++) {
        char since[32] = "the beginning";
        if (s[i].stale_since_ms)
            sld_time_text(s[i].stale_since_ms, since);
        if (!s[i].up)
            sld_buf_addf(&out->body, "[!]source %.*s stale since %s: %.*s\n", SLD_FMT(s[i].name), since,
                         SLD_FMT(s[i].problem));
        else if (verbose)
            sld_buf_addf(&out->body, "[+]source %.*s ok\n", SLD_FMT(s[i].name));
    }
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
    if (!verbose && ok)
        sld_buf_addz(&out->body, "ok\n");
    if (!live)
        put_sources(a, c, out, verbose);
    if (verbose || !ok)
        sld_buf_addf(&out->body, "%s check %s\n", what, ok ? "passed" : "failed");
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
