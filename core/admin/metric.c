// /metrics: Prometheus' text format 0.0.4. The model thread writes its families first; those of the
// io thread follow when it has answered, or without its answer when it takes too long.
#include "admin/inside.h"

#include <math.h>

// ---- Writing ----

void metric_family(struct sld_buf *b, const char *name, const char *type, const char *help)
{
    sld_buf_addf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_label_value(struct sld_buf *b, struct sld_str v)
{
    if (!sld_str_utf8(v, NULL))
        v = SLD_STR("(not UTF-8)");
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] == '\n')
            sld_buf_addz(b, "\\n");
        else if (v.p[i] == '\\' || v.p[i] == '"')
            sld_buf_addf(b, "\\%c", v.p[i]);
        else
            sld_buf_addc(b, v.p[i]);
    }
}

static void put_value(struct sld_buf *b, double v)
{
    if (isinf(v))
        sld_buf_addz(b, v > 0 ? "+Inf" : "-Inf");
    else if (v == floor(v) && fabs(v) < 1e15)
        sld_buf_addf(b, "%.0f", v);
    else
        sld_buf_addf(b, "%.15g", v);
}

void metric_put(struct sld_buf *b, const char *name, const struct metric_label *labels, size_t n,
                double v)
{
    sld_buf_addz(b, name);
    for (size_t i = 0; i < n; i++) {
        sld_buf_addf(b, "%s%s=\"", i ? "," : "{", labels[i].name);
        put_label_value(b, labels[i].value);
        sld_buf_addc(b, '"');
    }
    sld_buf_addz(b, n ? "} " : " ");
    put_value(b, v);
    sld_buf_addc(b, '\n');
}

void metric_one(struct sld_buf *b, const char *name, const char *type, double v, const char *help)
{
    metric_family(b, name, type, help);
    metric_put(b, name, NULL, 0, v);
}

void metric_histogram(struct sld_buf *b, const char *name, const char *help, const double *bounds,
                      const uint64_t *counts, size_t n, double sum)
{
    uint64_t total = 0;
    metric_family(b, name, "histogram", help);
    for (size_t i = 0; i < n; i++) {
        total += counts[i];
        sld_buf_addf(b, "%s_bucket{le=\"", name);
        put_value(b, bounds[i]);
        sld_buf_addf(b, "\"} %llu\n", (unsigned long long)total);
    }
    sld_buf_addf(b, "%s_sum %.15g\n%s_count %llu\n", name, sum, name, (unsigned long long)total);
}

// ---- The io thread's ----

struct clients {
    size_t count, converged;
};

static void count_client(const struct sld_xds_client_info *c, void *arg)
{
    struct clients *n = arg;
    n->count++;
    n->converged += c->converged;
}

enum total { TOTAL_ACKS, TOTAL_NACKS, TOTAL_PUSHES, TOTAL_BYTES };

static uint64_t total_of(const struct sld_xds_type_stat *s, enum total what)
{
    switch (what) {
    case TOTAL_ACKS:
        return s->acks;
    case TOTAL_NACKS:
        return s->nacks;
    case TOTAL_PUSHES:
        return s->pushes;
    default:
        return s->bytes;
    }
}

static void put_xds(struct sld_buf *b, const struct sld_xds *x)
{
    static const struct {
        const char *name, *help;
    } totals[] = {
        [TOTAL_ACKS] = {"solder_xds_acks_total", "Responses that an Envoy acknowledged."},
        [TOTAL_NACKS] = {"solder_xds_nacks_total", "Responses that an Envoy refused."},
        [TOTAL_PUSHES] = {"solder_xds_pushes_total", "Responses sent to Envoys."},
        [TOTAL_BYTES] = {"solder_xds_sent_bytes_total", "Bytes of responses sent to Envoys."},
    };
    struct sld_xds_type_stat stat[SLD_XDS_TYPE_COUNT];
    uint64_t buckets[SLD_XDS_BUCKETS];
    struct clients n = {0};
    double sum;
    sld_xds_clients(x, count_client, &n);
    metric_one(b, "solder_xds_connected_proxies", "gauge", (double)n.count, "Connected Envoys.");
    metric_one(b, "solder_xds_converged_proxies", "gauge", (double)n.converged,
               "Connected Envoys that have acknowledged all they are meant to hold.");
    sld_xds_totals(x, stat);
    for (size_t i = 0; i < SLD_ARRAY_LEN(totals); i++) {
        metric_family(b, totals[i].name, "counter", totals[i].help);
        for (int t = 0; t < SLD_XDS_TYPE_COUNT; t++) {
            struct metric_label l = {"type", sld_str_c(sld_xds_type_name((enum sld_xds_type)t))};
            metric_put(b, totals[i].name, &l, 1, (double)total_of(&stat[t], (enum total)i));
        }
    }
    sld_xds_latency(x, buckets, &sum);
    metric_histogram(b, "solder_xds_push_seconds",
                     "Time from the end of a round to an Envoy's acknowledgement of a response.",
                     sld_xds_bucket_bounds, buckets, SLD_XDS_BUCKETS, sum);
}

static void put_rounds(struct sld_buf *b, const struct sld_admin *a)
{
    metric_one(b, "solder_config_generation", "gauge", (double)a->rounds.generation,
               "Number of the last round of translation.");
    metric_one(b, "solder_config_last_success_timestamp_seconds", "gauge",
               (double)a->rounds.last_ms / 1000,
               "Unix time of the last round of translation that was handed on; 0 before the first.");
    metric_histogram(b, "solder_config_round_seconds", "Time that a round of translation took.",
                     round_bounds, a->rounds.buckets, ROUND_BUCKETS, a->rounds.seconds);
    metric_one(b, "solder_config_steps_total", "counter", (double)a->rounds.computed,
               "Steps of translation that were run.");
    metric_one(b, "solder_config_steps_unchanged_total", "counter", (double)a->rounds.cut,
               "Steps of translation that changed nothing.");
    metric_histogram(b, "solder_config_convergence_seconds",
                     "Time from the arrival of a change until all connected Envoys had acknowledged it.",
                     round_bounds, a->converge.buckets, ROUND_BUCKETS, a->converge.seconds);
}

static bool is_state(const struct sld_admin_source *s)
{
    return strcmp(s->type, "state") == 0;
}

static void put_sources(struct sld_buf *b, const struct sld_admin *a)
{
    struct sld_admin_source *s = sld_xcalloc(SLD_ADMIN_SOURCES_MAX, sizeof(*s));
    size_t n = a->opt.host.sources(s, SLD_ADMIN_SOURCES_MAX, a->opt.host.user);
    metric_family(b, "solder_source_up", "gauge", "Whether a source of configuration can be read.");
    for (size_t i = 0; i < n; i++) {
        if (!is_state(&s[i]))
            metric_put(b, "solder_source_up", &(struct metric_label){"source", s[i].name}, 1, s[i].up);
    }
    metric_family(b, "solder_source_last_sync_timestamp_seconds", "gauge",
                  "Unix time of the last complete reading of a source; 0 before the first.");
    for (size_t i = 0; i < n; i++) {
        if (!is_state(&s[i]))
            metric_put(b, "solder_source_last_sync_timestamp_seconds", &(struct metric_label){"source", s[i].name}, 1,
                       (double)s[i].last_sync_ms / 1000);
    }
    metric_family(b, "solder_source_stale_since_timestamp_seconds", "gauge",
                  "Unix time since when a source cannot be read, so that its last state stays; 0 when it can.");
    for (size_t i = 0; i < n; i++) {
        if (!is_state(&s[i]))
            metric_put(b, "solder_source_stale_since_timestamp_seconds",
                       &(struct metric_label){"source", s[i].name}, 1, (double)s[i].stale_since_ms / 1000);
    }
    metric_family(b, "solder_source_status_writer", "gauge",
                  "Whether this Solder is the one of several that writes statuses to a source.");
    for (size_t i = 0; i < n; i++) {
        if (s[i].writer.lock.p)
            metric_put(b, "solder_source_status_writer", &(struct metric_label){"source", s[i].name}, 1,
                       s[i].writer.ours);
    }
    metric_family(b, "solder_source_decoded_total", "counter",
                  "Values of a source that were decoded; one that did not change is not decoded again.");
    for (size_t i = 0; i < n; i++) {
        if (s[i].counted)
            metric_put(b, "solder_source_decoded_total", &(struct metric_label){"source", s[i].name}, 1,
                       (double)s[i].counts.decoded);
    }
    metric_family(b, "solder_state_directory_up", "gauge", "Whether the state directory can be written.");
    for (size_t i = 0; i < n; i++) {
        if (is_state(&s[i]))
            metric_put(b, "solder_state_directory_up", NULL, 0, s[i].up);
    }
    sld_xfree(s);
}

enum { FACTS_MAX = 1000 };

struct facts {
    struct sld_buf *b;
    size_t count;
};

static void put_fact(struct sld_str source, const struct sld_source_fact *f, void *arg)
{
    struct facts *all = arg;
    struct metric_label l[] = {{"source", source}, {"kind", f->kind}, {"name", f->name}};
    if (f->expires_s && all->count++ < FACTS_MAX)
        metric_put(all->b, "solder_source_expiry_timestamp_seconds", l, 3, (double)f->expires_s);
}

static void put_facts(struct sld_buf *b, const struct sld_admin *a)
{
    struct facts all = {.b = b};
    metric_family(b, "solder_source_expiry_timestamp_seconds", "gauge",
                  "Unix time at which a token, lease, certificate or secret that a source holds expires.");
    a->opt.host.facts(put_fact, &all, a->opt.host.user);
}

static void put_counted(struct sld_buf *b, const struct sld_admin *a)
{
    struct sld_source_metric m[SLD_ADMIN_METRICS_MAX];
    const struct sld_admin_host *h = &a->opt.host;
    size_t n = h->metrics(m, SLD_ADMIN_METRICS_MAX, h->user);
    for (size_t i = 0; i < n; i++)
        metric_one(b, m[i].name, m[i].type, m[i].value, m[i].help);
}

static void put_edge(struct sld_buf *b, const struct sld_admin *a)
{
    struct sld_admin_edge e = {0};
    a->opt.host.edge(&e, a->opt.host.user);
    if (!e.supervised)
        return;
    metric_one(b, "solder_envoy_up", "gauge", e.up, "Whether the supervised Envoy is running.");
    metric_one(b, "solder_envoy_restarts_total", "counter", (double)e.restarts,
               "Times the supervised Envoy was started again.");
}

static void put_ready(struct sld_buf *b, const struct sld_admin *a)
{
    struct sld_admin_check c[SLD_ADMIN_CHECKS_MAX];
    size_t n = a->opt.host.checks(c, SLD_ADMIN_CHECKS_MAX, a->opt.host.user);
    metric_family(b, "solder_check_ok", "gauge", "Whether a check of /readyz passes.");
    for (size_t i = 0; i < n; i++)
        metric_put(b, "solder_check_ok", &(struct metric_label){"check", sld_str_c(c[i].name)}, 1,
                   c[i].ok);
}

static void put_own(struct sld_buf *b, const struct sld_admin *a)
{
    static const char *const classes[] = {NULL, NULL, "2xx", "3xx", "4xx", "5xx"};
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    struct metric_label build[] = {
        {"version", a->opt.version},
        {"commit", a->opt.commit.p ? a->opt.commit : SLD_STR("")},
    };
    metric_family(b, "solder_build_info", "gauge", "Always 1; the labels tell the build.");
    metric_put(b, "solder_build_info", build, 2, 1);
    metric_family(b, "solder_admin_requests_total", "counter", "Answers of the admin API by status.");
    for (size_t i = 2; i < SLD_ARRAY_LEN(classes); i++)
        metric_put(b, "solder_admin_requests_total",
                   &(struct metric_label){"status", sld_str_c(classes[i])}, 1,
                   (double)a->requests[i]);
    metric_one(b, "solder_admin_watches", "gauge", (double)a->parked_count,
               "Requests of the admin API that wait for news.");
    metric_family(b, "solder_log_lines_total", "counter", "Lines logged by level.");
    for (size_t i = 0; i < SLD_ARRAY_LEN(levels); i++)
        metric_put(b, "solder_log_lines_total",
                   &(struct metric_label){"level", sld_str_c(levels[i])}, 1,
                   (double)sld_log_lines((enum sld_level)i));
    metric_one(b, "solder_log_suppressed_total", "counter", (double)sld_log_suppressed(),
               "Lines not logged because the same event was logged a short time before.");
}

void metrics_finish(struct sld_admin *a, struct answer *out)
{
    bool answered = out->body.n > 0;
    if (answered) {
        sld_buf_reset(&a->model_metrics);
        sld_buf_add(&a->model_metrics, sld_buf_str(&out->body));
    } else if (a->model_metrics.n) {
        sld_buf_add(&out->body, sld_buf_str(&a->model_metrics));
    }
    out->status = 200;
    out->type = "text/plain; version=0.0.4; charset=utf-8";
    metric_one(&out->body, "solder_model_answers", "gauge", answered,
               "Whether the thread that computes the configuration answered this scrape in time; "
               "otherwise what it tells is of an earlier one.");
    put_rounds(&out->body, a);
    put_xds(&out->body, a->opt.xds);
    put_sources(&out->body, a);
    put_facts(&out->body, a);
    put_counted(&out->body, a);
    put_edge(&out->body, a);
    put_ready(&out->body, a);
    put_own(&out->body, a);
    metrics_process(&out->body, a->start_ms);
}
