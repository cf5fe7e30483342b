// Headers that options add and remove, and where their values come from.
#include "translate/option.h"

#include <stdlib.h>

#include "codec/format.h"

enum { VALUE_MAX_BYTES = 16384 }; // Envoy's limit

// ---- Checks ----

// Envoy refuses edits of pseudo headers and Host; Gloo refuses them too (gloo-compat 5.2).
static bool protected_name(struct sld_str name)
{
    return sld_str_starts(name, SLD_STR(":")) || sld_str_ieq(name, SLD_STR("host"));
}

static void check_name(struct sld_report *r, struct sld_str path, struct sld_str name)
{
    if (!protected_name(name))
        return;
    sld_report_add(r, SLD_ERROR, SLD_OPTION_HEADER, path,
                   ":-prefixed headers and Host may not be edited (%.*s); use hostRewrite, "
                   "prefixRewrite or a matcher instead",
                   SLD_FMT(name));
}

static void check_value(struct sld_report *r, const char *field, size_t i,
                        const Gloo__HeaderValue *h)
{
    if (!h)
        return; // the schema's finding
    check_name(r, tr_item_path(r->arena, field, i, "header.key"), sld_str_c(h->key));
    tr_check_format(r, tr_item_path(r->arena, field, i, "header.value"), sld_str_c(h->value),
                    TR_FORMAT_HEADER);
}

void tr_check_request_headers(struct sld_report *r, const char *field,
                              Gloo__HeaderOrSecretOption *const *in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (in[i]->header_option_case == GLOO__HEADER_OR_SECRET_OPTION__HEADER_OPTION_HEADER)
            check_value(r, field, i, in[i]->header);
    }
}

void tr_check_response_headers(struct sld_report *r, const char *field,
                               Gloo__HeaderValueOption *const *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_value(r, field, i, in[i]->header);
}

void tr_check_header_names(struct sld_report *r, const char *field, char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_name(r, tr_item_path(r->arena, field, i, NULL), sld_str_c(names[i]));
}

// ---- Making ----

static void push(const struct tr_headers *h, const char *key, struct sld_str value, bool append)
{
    struct sld_arena *a = h->tr->arena;
    Env__Core__HeaderValueOption *o =
        SLD_MSG(a, Env__Core__HeaderValueOption, env__core__header_value_option);
    o->header = SLD_MSG(a, Env__Core__HeaderValue, env__core__header_value);
    o->header->key = SLD_MSG_STR(a, sld_str_c(key));
    o->header->value = SLD_MSG_STR(a, value);
    o->append_action =
        append ? ENV__CORE__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__APPEND_IF_EXISTS_OR_ADD
               : ENV__CORE__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__OVERWRITE_IF_EXISTS_OR_ADD;
    SLD_PUSH(a, *h->out, *h->n, o);
}

void tr_add_header(const struct tr_headers *h, const char *key, struct sld_str value)
{
    push(h, key, tr_format_literal(h->tr->arena, value), false);
}

static bool appends(const Google__Protobuf__BoolValue *append)
{
    return !append || append->value;
}

static int by_key(const void *a, const void *b)
{
    const Gloo__HeaderSecret__HeadersEntry *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

// An entry of a secret that can be a header; an error that does not tell the value otherwise.
static bool entry_ok(const struct tr_headers *h, struct sld_str path, struct sld_str secret,
                     const Gloo__HeaderSecret__HeadersEntry *e)
{
    struct sld_str key = sld_str_c(e->key), value = sld_str_c(e->value);
    const char *problem = key.n ? sld_format_check("http_header_name", key) : "is empty";
    if (problem || protected_name(key)) {
        sld_report_add(h->report, SLD_ERROR, SLD_OPTION_HEADER, path,
                       "secret %.*s holds \"%.*s\", which is not the name of a header that may be "
                       "edited; correct the secret",
                       SLD_FMT(secret), SLD_FMT(key));
        return false;
    }
    if (sld_format_check("http_header_value", value) || value.n > VALUE_MAX_BYTES) {
        sld_report_add(h->report, SLD_ERROR, SLD_OPTION_HEADER, path,
                       "the value of \"%.*s\" in secret %.*s cannot be a header's: it is too long "
                       "or has control characters, such as a line break at its end; correct the "
                       "secret",
                       SLD_FMT(key), SLD_FMT(secret));
        return false;
    }
    return true;
}

static void add_secret(const struct tr_headers *h, struct sld_str path,
                       const Gloo__ResourceRef *ref, bool append)
{
    struct tr *tr = h->tr;
    struct sld_str ns = tr_ref_ns(ref, h->ns), name = sld_str_c(ref->name);
    struct sld_str text = tr_ref_text(tr->arena, ns, name);
    const Gloo__Secret *s = tr_secret_values(tr, ns, name);
    if (!s) {
        sld_report_add(h->report, SLD_ERROR, SLD_REF_SECRET, path,
                       "*v1.Secret { %.*s } not found; %s", SLD_FMT(text),
                       tr_mend_ref(tr, SLD_KIND_SECRET, ns, name));
        return;
    }
    if (s->kind_case != GLOO__SECRET__KIND_HEADER) {
        sld_report_add(h->report, SLD_ERROR, SLD_SECRET_KIND, path,
                       "secret %.*s is not a header secret; refer to one whose data is headers",
                       SLD_FMT(text));
        return;
    }
    size_t n = s->header->n_headers;
    Gloo__HeaderSecret__HeadersEntry **sorted =
        SLD_ARENA_ARRAY(tr->arena, Gloo__HeaderSecret__HeadersEntry *, n + 1);
    for (size_t i = 0; i < n; i++)
        sorted[i] = s->header->headers[i];
    qsort(sorted, n, sizeof(*sorted), by_key);
    for (size_t i = 0; i < n; i++) {
        if (entry_ok(h, path, text, sorted[i]))
            push(h, sorted[i]->key, tr_format_literal(tr->arena, sld_str_c(sorted[i]->value)),
                 append);
    }
}

void tr_add_request_headers(const struct tr_headers *h, const char *field,
                            Gloo__HeaderOrSecretOption *const *in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool append = appends(in[i]->append);
        if (in[i]->header_option_case == GLOO__HEADER_OR_SECRET_OPTION__HEADER_OPTION_HEADER)
            push(h, in[i]->header->key, sld_str_c(in[i]->header->value), append);
        else if (in[i]->header_option_case ==
                 GLOO__HEADER_OR_SECRET_OPTION__HEADER_OPTION_HEADER_SECRET_REF)
            add_secret(h, tr_item_path(h->tr->arena, field, i, "headerSecretRef"),
                       in[i]->header_secret_ref, append);
    }
}

void tr_add_response_headers(const struct tr_headers *h, Gloo__HeaderValueOption *const *in,
                             size_t n)
{
    for (size_t i = 0; i < n; i++)
        push(h, in[i]->header->key, sld_str_c(in[i]->header->value), appends(in[i]->append));
}
