// Telling of statuses in the log.
#include "app/model_status.h"

#include <stdio.h>

#include "base/log.h"

enum { STATUS_LINES = 20 }; // per round; the rest is counted

static void log_status(struct sld_translate *t, const struct sld_status_change *c)
{
    struct sld_arena a = {0};
    struct sld_str key = sld_ident_key(&a, c->id);
    const struct sld_raw *raw = sld_translate_raw(t, key);
    const struct sld_status *s = c->status;
    struct sld_finding f = s->count ? s->findings[0] : (struct sld_finding){0};
    char code[16] = "";
    if (s->count && raw) {
        sld_raw_locate(raw, &f);
        snprintf(code, sizeof(code), "SLD%04d", (int)f.code);
    }
    SLD_LOG(
        s->state == SLD_ACCEPTED ? SLD_INFO : SLD_WARN, "app", "status",
        SLD_KC("kind", sld_kind_info(c->id.kind)->name), SLD_KS("namespace", c->id.ns),
        SLD_KS("name", c->id.name), SLD_KC("state", sld_status_state_name(s->state)),
        SLD_KB("last_good", s->last_good), SLD_KC("code", code),
        SLD_KS("place", f.line ? sld_arena_fmt(&a, "%.*s:%d:%d",
                                               SLD_FMT(f.origin.n || !raw ? f.origin : sld_raw_origin(raw)),
                                               f.line, f.column)
                               : SLD_STR("")),
        SLD_KS("reason", s->reason));
    sld_arena_fini(&a);
}

void model_statuses_log(struct sld_translate *t, const struct sld_translate_result *r)
{
    size_t told = 0, more = 0;
    for (size_t i = 0; i < r->status_count; i++) {
        const struct sld_status_change *c = &r->statuses[i];
        bool well = !c->status || c->status->state == SLD_ACCEPTED;
        if (well && (!c->status || c->before == SLD_PENDING || c->before == SLD_ACCEPTED))
            continue;
        if (told++ < STATUS_LINES)
            log_status(t, c);
        else
            more++;
    }
    if (more)
        SLD_LOG(SLD_WARN, "app", "statuses_left_out", SLD_KI("count", more));
}
