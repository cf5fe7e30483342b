// What the tests of routes share: a small world of documents, and route tables as terse text.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "translate/translate.h"

#include "envoy/config/cluster/v3/cluster.pb-c.h"
#include "envoy/config/core/v3/base.pb-c.h"
#include "envoy/config/route/v3/route.pb-c.h"
#include "envoy/config/route/v3/route_components.pb-c.h"
#include "envoy/type/matcher/v3/regex.pb-c.h"
#include "envoy/type/matcher/v3/string.pb-c.h"
#include "settings.pb-c.h"
#include "settings_gloo.pb-c.h"

struct world {
    struct sld_translate *t;
    struct sld_arena a;
};

static inline struct world *world_create(const struct sld_feature *const *features, size_t n)
{
    struct world *w = SLD_NEW(struct world);
    w->t = sld_translate_create(
        &(struct sld_translate_options){.features = features, .feature_count = n});
    return w;
}

static inline void world_destroy(struct world *w)
{
    sld_translate_destroy(w->t);
    sld_arena_fini(&w->a);
    sld_xfree(w);
}

static inline void world_run(struct world *w)
{
    struct sld_translate_result r = {0};
    sld_translate_run(w->t, &r);
    sld_translate_result_fini(&r);
    struct sld_err err = {0};
    if (sld_translate_verify(w->t, &err) != SLD_OK)
        fail_msg("incremental state differs from a rebuild: %s", err.msg);
}

// Gives all documents of TEXT, and runs.
static inline void put(struct world *w, const char *text)
{
    struct sld_document *docs;
    size_t n = 0;
    enum sld_code code;
    struct sld_err err = {0};
    struct sld_doc_place place = {.path = SLD_STR("test.yaml"),
                                  .default_ns = SLD_STR("gloo-system")};
    if (sld_doc_read(&w->a, sld_str_c(text), &sld_doc_limits_default, &docs, &n, &code, &err) !=
        SLD_OK)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < n; i++) {
        struct sld_ident id;
        if (!docs[i].root)
            continue;
        if (sld_model_identify(docs[i].root, &place, &id, &code, &err) != SLD_OK)
            fail_msg("%s", err.msg);
        struct sld_raw *raw =
            sld_raw_create(id, docs[i].text, docs[i].line, -1, SLD_STR("file:test.yaml"), &place);
        sld_translate_set(w->t, id, raw);
        SLD_UNREF(raw);
    }
    world_run(w);
}

static inline void drop(struct world *w, const char *key)
{
    struct sld_ident id;
    assert_true(sld_ident_parse(sld_str_c(key), &id));
    sld_translate_set(w->t, id, NULL);
    world_run(w);
}

// ---- Route tables as text ----

static inline void text_match(struct sld_buf *b, const char *name,
                              const Env__TypeMatcher__StringMatcher *s)
{
    if (!s)
        sld_buf_addf(b, " %s", name);
    else if (s->match_pattern_case == ENV__TYPE_MATCHER__STRING_MATCHER__MATCH_PATTERN_EXACT)
        sld_buf_addf(b, " %s=%s", name, s->exact);
    else
        sld_buf_addf(b, " %s~%s", name, s->safe_regex->regex);
}

static inline void match_text(struct sld_buf *b, const Env__Route__RouteMatch *m)
{
    switch (m->path_specifier_case) {
    case ENV__ROUTE__ROUTE_MATCH__PATH_SPECIFIER_PREFIX:
        sld_buf_addf(b, "%s*", m->prefix);
        break;
    case ENV__ROUTE__ROUTE_MATCH__PATH_SPECIFIER_PATH:
        sld_buf_addf(b, "%s", m->path);
        break;
    case ENV__ROUTE__ROUTE_MATCH__PATH_SPECIFIER_SAFE_REGEX:
        sld_buf_addf(b, "~%s", m->safe_regex->regex);
        break;
    default:
        sld_buf_addz(b, "CONNECT");
        break;
    }
    if (m->case_sensitive)
        sld_buf_addf(b, " case:%s", m->case_sensitive->value ? "true" : "false");
    for (size_t i = 0; i < m->n_headers; i++) {
        const Env__Route__HeaderMatcher *h = m->headers[i];
        bool text = h->header_match_specifier_case ==
                    ENV__ROUTE__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_STRING_MATCH;
        sld_buf_addz(b, h->invert_match ? " not" : "");
        text_match(b, h->name, text ? h->string_match : NULL);
    }
    for (size_t i = 0; i < m->n_query_parameters; i++) {
        const Env__Route__QueryParameterMatcher *q = m->query_parameters[i];
        bool text =
            q->query_parameter_match_specifier_case ==
            ENV__ROUTE__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_STRING_MATCH;
        sld_buf_addz(b, " ?");
        text_match(b, q->name, text ? q->string_match : NULL);
    }
}

static inline void subset_text(struct sld_buf *b, const Env__Core__Metadata *m)
{
    for (size_t i = 0; m && i < m->n_filter_metadata; i++) {
        const Google__Protobuf__Struct *s = m->filter_metadata[i]->value;
        for (size_t k = 0; k < s->n_fields; k++)
            sld_buf_addf(b, "{%s:%s}", s->fields[k]->key, s->fields[k]->value->string_value);
    }
}

static inline void action_text(struct sld_buf *b, const Env__Route__Route *r)
{
    if (r->action_case == ENV__ROUTE__ROUTE__ACTION_DIRECT_RESPONSE) {
        sld_buf_addf(b, "answer %u %s", r->direct_response->status,
                     r->direct_response->body ? r->direct_response->body->inline_string : "");
        return;
    }
    if (r->action_case == ENV__ROUTE__ROUTE__ACTION_REDIRECT) {
        const Env__Route__RedirectAction *d = r->redirect;
        sld_buf_addf(b, "redirect %d host=%s port=%u", (int)d->response_code, d->host_redirect,
                     d->port_redirect);
        if (d->path_rewrite_specifier_case ==
            ENV__ROUTE__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PATH_REDIRECT)
            sld_buf_addf(b, " path=%s", d->path_redirect);
        if (d->path_rewrite_specifier_case ==
            ENV__ROUTE__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PREFIX_REWRITE)
            sld_buf_addf(b, " prefix=%s", d->prefix_rewrite);
        if (d->path_rewrite_specifier_case ==
            ENV__ROUTE__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_REGEX_REWRITE)
            sld_buf_addf(b, " regex=%s", d->regex_rewrite->substitution);
        if (d->scheme_rewrite_specifier_case)
            sld_buf_addz(b, " https");
        if (d->strip_query)
            sld_buf_addz(b, " strip");
        return;
    }
    const Env__Route__RouteAction *a = r->route;
    if (a->cluster_specifier_case == ENV__ROUTE__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER) {
        sld_buf_addz(b, a->cluster);
        subset_text(b, a->metadata_match);
    } else if (a->cluster_specifier_case ==
               ENV__ROUTE__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER_HEADER) {
        sld_buf_addf(b, "header %s", a->cluster_header);
    } else {
        for (size_t i = 0; i < a->weighted_clusters->n_clusters; i++) {
            const Env__Route__WeightedCluster__ClusterWeight *w = a->weighted_clusters->clusters[i];
            sld_buf_addf(b, "%s%s:%u", i ? " " : "", w->name, w->weight->value);
            subset_text(b, w->metadata_match);
        }
    }
    if (a->timeout)
        sld_buf_addf(b, " timeout=%d", (int)a->timeout->seconds);
}

// The message of O; lives as long as the world.
static inline void *message_of(struct world *w, const struct sld_out *o)
{
    union {
        const struct sld_out *frozen;
        struct sld_out *own;
    } u = {o}; // only a count of references changes
    struct sld_err err = {0};
    struct sld_str bytes;
    struct sld_obj *owner = sld_out_open(u.own, &bytes);
    assert_int_equal(bytes.n, sld_out_size(o));
    void *m = sld_msg_decode(&w->a, sld_out_type_desc(o->type), bytes, 100, &err);
    assert_non_null(m);
    SLD_UNREF(owner);
    return m;
}

struct show {
    struct world *w;
    struct sld_str name;
    struct sld_buf out;
    bool names;
};

static inline void show_out(const struct sld_out *o, void *arg)
{
    struct show *s = arg;
    if (o->type != SLD_OUT_ROUTE || !sld_str_eq(o->name, s->name))
        return;
    const Env__Route__RouteConfiguration *rc = message_of(s->w, o);
    for (size_t i = 0; i < rc->n_virtual_hosts; i++) {
        const Env__Route__VirtualHost *vh = rc->virtual_hosts[i];
        sld_buf_addf(&s->out, "%s [", vh->name);
        for (size_t k = 0; k < vh->n_domains; k++)
            sld_buf_addf(&s->out, "%s%s", k ? " " : "", vh->domains[k]);
        sld_buf_addf(&s->out, "]%s\n", vh->require_tls ? " tls" : "");
        for (size_t k = 0; k < vh->n_routes; k++) {
            const Env__Route__Route *r = vh->routes[k];
            sld_buf_addz(&s->out, "  ");
            if (s->names)
                sld_buf_addf(&s->out, "%s: ", r->name);
            match_text(&s->out, r->match);
            sld_buf_addz(&s->out, " -> ");
            action_text(&s->out, r);
            for (size_t h = 0; h < r->n_request_headers_to_add; h++)
                sld_buf_addf(&s->out, " +%s", r->request_headers_to_add[h]->header->key);
            sld_buf_addc(&s->out, '\n');
        }
    }
    sld_buf_addz(&s->out, "clusters:");
    for (size_t i = 0; i < o->cluster_count; i++)
        sld_buf_addf(&s->out, " %.*s", SLD_FMT(o->clusters[i]));
    sld_buf_addc(&s->out, '\n');
}

static inline const char *table_text(struct world *w, const char *name, bool names)
{
    struct show s = {.w = w, .name = sld_str_c(name), .names = names};
    sld_buf_init(&s.out, 1 << 20);
    sld_translate_outs(w->t, show_out, &s);
    const char *text = sld_arena_cstr(&w->a, sld_buf_str(&s.out));
    sld_buf_fini(&s.out);
    return text;
}

// The plain default gateway's route table is TEXT.
#define assert_routes(w, text)                                                                     \
    assert_string_equal(table_text((w), "listener-::-8080-routes", false), (text))

// ---- Statuses ----

static inline const struct sld_finding *finding(struct world *w, const char *key,
                                                enum sld_code code, enum sld_severity sev,
                                                const char *path)
{
    const struct sld_status *s = sld_translate_status(w->t, sld_str_c(key));
    for (size_t i = 0; s && i < s->count; i++) {
        const struct sld_finding *f = &s->findings[i];
        if (f->code == code && f->severity == sev && sld_str_eq(f->path, sld_str_c(path)))
            return f;
    }
    return NULL;
}

static inline void print_findings(struct world *w, const char *key)
{
    const struct sld_status *s = sld_translate_status(w->t, sld_str_c(key));
    for (size_t i = 0; s && i < s->count; i++)
        print_error("  %s SLD%04d %.*s: %.*s\n", sld_severity_name(s->findings[i].severity),
                    (int)s->findings[i].code, SLD_FMT(s->findings[i].path),
                    SLD_FMT(s->findings[i].message));
}

#define assert_finding(w, key, code, sev, path)                                                    \
    do {                                                                                           \
        if (!finding((w), (key), (code), (sev), (path))) {                                         \
            print_error("no such finding of %s; there are:\n", (key));                             \
            print_findings((w), (key));                                                            \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

// Only notes, at most.
#define assert_clean(w, key)                                                                       \
    do {                                                                                           \
        const struct sld_status *s_ = sld_translate_status((w)->t, sld_str_c(key));                \
        assert_non_null(s_);                                                                       \
        if (s_->errors || s_->warnings) {                                                          \
            print_findings((w), (key));                                                            \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

#define WORLD_TEST(f) cmocka_unit_test(f)

// ---- Resources ----

struct find {
    enum sld_out_type type;
    const char *name, *view; // view NULL: any
    const struct sld_out *found;
};

static inline void find_out(const struct sld_out *o, void *arg)
{
    struct find *f = arg;
    if (o->type == f->type && sld_str_eq(o->name, sld_str_c(f->name)) &&
        (!f->view || sld_str_eq(o->view, sld_str_c(f->view))))
        f->found = o;
}

// NULL when there is none; borrowed until the next round.
static inline const struct sld_out *out_of(struct world *w, enum sld_out_type type,
                                           const char *name, const char *view)
{
    struct find f = {.type = type, .name = name, .view = view};
    sld_translate_outs(w->t, find_out, &f);
    return f.found;
}

static inline const struct sld_out *out(struct world *w, enum sld_out_type type, const char *name)
{
    return out_of(w, type, name, NULL);
}

// The cluster NAME, which is there; lives as long as the world.
static inline const Env__Cluster__Cluster *cluster(struct world *w, const char *name)
{
    const struct sld_out *o = out(w, SLD_OUT_CLUSTER, name);
    assert_non_null(o);
    return message_of(w, o);
}
