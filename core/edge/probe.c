// Envoy's admin interface: is it live, and are requests under way? Narrow questions only: a dump or
// all statistics of a big Envoy stall its main thread for seconds.
#include "edge/inside.h"

enum {
    CALL_TIMEOUT_MS = 2000,
    ANSWER_MAX_BYTES = 1024 * 1024,
    EAGER_MS = 50, // between questions while it starts
    EAGER_FOR_MS = 5000,
    SLOW_MS = 500, // while it takes longer
    LIVE_MS = 1000,
    DRAIN_MS = 50,
    IDLE_ANSWERS = 2,  // in a row
    SILENT_MS = 30000, // without any answer until that is reported
};

static uint64_t since_ms(uint64_t ns)
{
    return (sld_mono_ns() - ns) / 1000000;
}

static void ask(struct sld_edge *e, const char *method, const char *url, sld_http_done *done)
{
    SLD_PRE(!e->call);
    struct sld_http_call call = {.method = sld_str_c(method),
                                 .url = sld_str_c(url),
                                 .unix_socket = sld_str_c(e->admin_path),
                                 .timeout_ms = CALL_TIMEOUT_MS,
                                 .max_body_bytes = ANSWER_MAX_BYTES};
    e->call = sld_http_start(e->http, &call, done, e);
}

void edge_probe_stop(struct sld_edge *e)
{
    sld_http_cancel(e->call);
    e->call = NULL;
    sld_timer_stop(e->probe);
}

// ---- Live ----

static void report_silence(struct sld_edge *e, bool answered)
{
    if (answered) {
        e->answered_ns = sld_mono_ns();
        e->silent = false;
    } else if (!e->silent && since_ms(e->answered_ns) > SILENT_MS) {
        // It is left alone: its workers may serve all the same.
        e->silent = true;
        SLD_LOG(SLD_WARN, "edge", "envoy_silent", SLD_KI("pid", e->pid),
                SLD_KC("msg", "Envoy's admin interface has not answered for 30 s"));
    }
}

static void on_ready(const struct sld_http_answer *a, void *user)
{
    struct sld_edge *e = user;
    e->call = NULL;
    report_silence(e, a->status != 0);
    bool live = a->status == 200;
    sld_timer_start(e->probe, live                                           ? LIVE_MS
                              : since_ms(e->probing_since_ns) < EAGER_FOR_MS ? EAGER_MS
                                                                             : SLOW_MS);
    edge_set_live(e, live);
}

void edge_probe_start(struct sld_edge *e)
{
    edge_probe_stop(e);
    e->probing_since_ns = e->answered_ns = sld_mono_ns();
    e->silent = false;
    ask(e, "GET", "http://envoy/ready", on_ready);
}

// ---- Draining ----

// The sum of "http.<prefix>.downstream_rq_active: N", but for the admin interface's own request.
static int64_t count_active(struct sld_str body)
{
    int64_t sum = 0;
    struct sld_str line = SLD_STR_NONE;
    while (sld_str_cut(&body, '\n', &line)) {
        ptrdiff_t colon = sld_str_find(line, SLD_STR(".downstream_rq_active: "));
        int64_t n = 0;
        if (colon > 0 && !sld_str_starts(line, SLD_STR("http.admin.")) &&
            sld_str_i64(sld_str_trim(sld_str_sub(line, (size_t)colon + 23, line.n)), &n))
            sum += n;
    }
    return sum;
}

static void on_active(const struct sld_http_answer *a, void *user)
{
    struct sld_edge *e = user;
    e->call = NULL;
    if (a->status == 200) {
        e->active = count_active(a->body);
        e->idle_answers = e->active == 0 ? e->idle_answers + 1 : 0;
    }
    if (e->idle_answers >= IDLE_ANSWERS && since_ms(e->probing_since_ns) >= e->o.drain_min_ms)
        edge_drained(e);
    else
        sld_timer_start(e->probe, DRAIN_MS);
}

static void on_unhealthy(const struct sld_http_answer *a, void *user)
{
    struct sld_edge *e = user;
    e->call = NULL;
    if (a->status == 200) {
        sld_timer_start(e->probe, 0);
        return;
    }
    SLD_LOG(SLD_WARN, "edge", "drain_failed", SLD_KI("status", a->status),
            SLD_KC("error", a->err ? a->err->msg : ""),
            SLD_KC("msg", "Envoy does not take /healthcheck/fail, so it is stopped at once"));
    edge_drained(e);
}

void edge_drain_start(struct sld_edge *e)
{
    edge_probe_stop(e);
    e->probing_since_ns = sld_mono_ns();
    e->idle_answers = 0;
    e->active = -1;
    ask(e, "POST", "http://envoy/healthcheck/fail", on_unhealthy);
}

void edge_on_probe(void *user)
{
    struct sld_edge *e = user;
    if (e->state == SLD_EDGE_DRAINING)
        ask(e, "GET",
            "http://envoy/stats?type=Gauges&filter=%5Ehttp%5C..*%5C.downstream_rq_active%24",
            on_active);
    else
        ask(e, "GET", "http://envoy/ready", on_ready);
}
