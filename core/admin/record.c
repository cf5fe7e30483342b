// /v1/plugins/<name>/requests: what a plugin decides from now on, for as long as the client waits.
#include "admin/inside.h"

#include "codec/text.h"

enum { COUNT_DEFAULT = 100, COUNT_MAX = 1000, FOR_DEFAULT_MS = 2000, MOST_MS = 30000 };

static bool read_ms(struct job *j, uint64_t *ms)
{
    struct sld_str given = call_param(&j->call, "for");
    int64_t s = 0;
    int32_t ns = 0;
    *ms = FOR_DEFAULT_MS;
    if (!given.p)
        return true;
    if (!sld_duration_parse(given, &s, &ns) || s < 0 || ns < 0 || s >= MOST_MS / 1000) {
        answer_problem(&j->answer, PROBLEM_BAD_PARAMETER, "write it like 2s, and ask again for more", "for=%.*s is no duration below %d s",
                       SLD_FMT(sld_str_sub(given, 0, 256)), MOST_MS / 1000);
        return false;
    }
    *ms = (uint64_t)s * 1000 + (uint64_t)ns / 1000000;
    return true;
}

void v1_requests(struct job *j)
{
    uint64_t ms = 0, count = COUNT_DEFAULT;
    if (!read_ms(j, &ms) || !call_u64(&j->call, "limit", 1, COUNT_MAX, &count, &j->answer)) {
        job_finish(j);
        return;
    }
    const struct sld_admin *a = j->admin;
    enum sld_rc rc = a->opt.host.record(&j->query, j->call.args[0], (unsigned)count, (unsigned)ms, a->opt.host.user);
    if (!rc)
        return;
    if (rc == SLD_AGAIN)
        answer_problem(&j->answer, PROBLEM_BUSY, "try again in some seconds", "requests are recorded for somebody else");
    else
        answer_problem(&j->answer, PROBLEM_NO_OBJECT, "/v1/plugins lists what there is: the hook authorize, of plugins that run in Solder, is recorded",
                       "there is no plugin %.*s that is asked about requests", SLD_FMT(sld_str_sub(j->call.args[0], 0, 100)));
    job_finish(j);
}

void sld_admin_recorded(struct sld_admin_query *q, struct sld_str lines)
{
    struct job *j = (struct job *)(void *)q;
    j->answer.status = 200;
    j->answer.type = "application/x-ndjson";
    sld_buf_add(&j->answer.body, lines);
    sld_buf_addc(&j->answer.body, '\n'); // an answer is never empty
    job_finish(j);
}
