// accessLoggingService: logs of requests, and of TCP connections, to files (gloo-compat 5.4).
#include "translate/access_filter.h"

#include "envoy/extensions/access_loggers/file/v3/file.pb-c.h"
#include "envoy/extensions/formatter/req_without_query/v3/req_without_query.pb-c.h"
#include "translate/listener.h"

// ---- Checks ----

static void check_value(struct sld_report *r, struct sld_str path,
                        const Google__Protobuf__Value *v);

static void check_object(struct sld_report *r, struct sld_str path,
                         const Google__Protobuf__Struct *s)
{
    for (size_t i = 0; i < s->n_fields; i++) {
        if (s->fields[i]->value)
            check_value(r, sld_arena_fmt(r->arena, "%.*s.%s", SLD_FMT(path), s->fields[i]->key),
                        s->fields[i]->value);
    }
}

// The depth is that of the document, which the decoder limits.
static void check_value(struct sld_report *r, struct sld_str path, const Google__Protobuf__Value *v)
{
    switch (v->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        tr_check_format(r, path, sld_str_c(v->string_value), TR_FORMAT_LOG);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        check_object(r, path, v->struct_value);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        for (size_t i = 0; i < v->list_value->n_values; i++)
            check_value(r, sld_arena_fmt(r->arena, "%.*s[%zu]", SLD_FMT(path), i),
                        v->list_value->values[i]);
        break;
    default:
        break;
    }
}

static void check_sink(struct sld_report *r, const Gloo__FileSink *s)
{
    if (s->output_format_case == GLOO__FILE_SINK__OUTPUT_FORMAT_STRING_FORMAT)
        tr_check_format(r, SLD_STR("fileSink.stringFormat"), sld_str_c(s->string_format),
                        TR_FORMAT_LOG);
    else if (s->output_format_case == GLOO__FILE_SINK__OUTPUT_FORMAT_JSON_FORMAT)
        check_object(r, SLD_STR("fileSink.jsonFormat"), s->json_format);
}

static void check(const struct sld_feature_check *c)
{
    const Gloo__AccessLoggingService *s = c->listener ? c->listener->access_logging_service : NULL;
    for (size_t i = 0; s && i < s->n_access_log; i++) {
        const Gloo__AccessLog *log = s->access_log[i];
        struct sld_str old = sld_report_enter(c->report, "accessLoggingService", -1);
        sld_report_enter(c->report, "accessLog", (long)i);
        if (log->output_destination_case == GLOO__ACCESS_LOG__OUTPUT_DESTINATION_FILE_SINK)
            check_sink(c->report, log->file_sink);
        if (log->filter) {
            sld_report_enter(c->report, "filter", -1);
            tr_check_access_filter(c->report, log->filter);
        }
        sld_report_leave(c->report, old);
    }
}

// ---- Making ----

// Of the two formatters that Gloo always adds the one for METADATA is Envoy's own by now: to name
// it is a warning in Envoy's log.
static void add_formatter(struct sld_arena *a, Env__Core__SubstitutionFormatString *f)
{
    Env__FormatterReqWithoutQuery__ReqWithoutQuery *q =
        SLD_MSG(a, Env__FormatterReqWithoutQuery__ReqWithoutQuery,
                env__formatter_req_without_query__req_without_query);
    SLD_PUSH(a, f->formatters, f->n_formatters,
             tr_extension(a, "envoy.formatter.req_without_query", &q->base));
}

// NULL: Envoy's default format.
static Env__Core__SubstitutionFormatString *format(struct sld_arena *a, const Gloo__FileSink *s)
{
    bool text = s->output_format_case == GLOO__FILE_SINK__OUTPUT_FORMAT_STRING_FORMAT;
    if (s->output_format_case == GLOO__FILE_SINK__OUTPUT_FORMAT__NOT_SET ||
        (text && !*s->string_format))
        return NULL;
    Env__Core__SubstitutionFormatString *f =
        SLD_MSG(a, Env__Core__SubstitutionFormatString, env__core__substitution_format_string);
    if (text) {
        f->format_case = ENV__CORE__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT_SOURCE;
        f->text_format_source = SLD_MSG(a, Env__Core__DataSource, env__core__data_source);
        f->text_format_source->specifier_case = ENV__CORE__DATA_SOURCE__SPECIFIER_INLINE_STRING;
        f->text_format_source->inline_string = s->string_format;
    } else {
        f->format_case = ENV__CORE__SUBSTITUTION_FORMAT_STRING__FORMAT_JSON_FORMAT;
        f->json_format = s->json_format;
    }
    add_formatter(a, f);
    return f;
}

static Env__Accesslog__AccessLog *file_log(struct sld_arena *a, const Gloo__FileSink *s)
{
    Env__AccessLoggersFile__FileAccessLog *file = SLD_MSG(
        a, Env__AccessLoggersFile__FileAccessLog, env__access_loggers_file__file_access_log);
    file->path = s->path;
    Env__Core__SubstitutionFormatString *f = format(a, s);
    if (f) {
        file->access_log_format_case =
            ENV__ACCESS_LOGGERS_FILE__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_LOG_FORMAT;
        file->log_format = f;
    }
    Env__Accesslog__AccessLog *out =
        SLD_MSG(a, Env__Accesslog__AccessLog, env__accesslog__access_log);
    out->name = SLD_MSG_STR(a, SLD_STR("envoy.access_loggers.file"));
    out->config_type_case = ENV__ACCESSLOG__ACCESS_LOG__CONFIG_TYPE_TYPED_CONFIG;
    out->typed_config = sld_msg_any(a, &file->base);
    return out;
}

Env__Accesslog__AccessLog **tr_access_logs(struct tr *tr, const Gloo__ListenerOptions *o, size_t *n)
{
    const Gloo__AccessLoggingService *s = o ? o->access_logging_service : NULL;
    Env__Accesslog__AccessLog **out = NULL;
    *n = 0;
    for (size_t i = 0; s && i < s->n_access_log; i++) {
        const Gloo__AccessLog *in = s->access_log[i];
        // The other sinks are known, not built: the schema warns of them.
        if (in->output_destination_case != GLOO__ACCESS_LOG__OUTPUT_DESTINATION_FILE_SINK)
            continue;
        Env__Accesslog__AccessLog *log = file_log(tr->arena, in->file_sink);
        if (in->filter)
            log->filter = tr_access_filter(tr->arena, in->filter);
        SLD_PUSH(tr->arena, out, *n, log);
    }
    return out;
}

static void listener(struct tr_listener *l)
{
    // TCP hosts have theirs from tcp.c.
    if (l->hcm)
        l->hcm->access_log = tr_access_logs(l->tr, l->gateway->options, &l->hcm->n_access_log);
}

const struct sld_feature sld_feature_access_logging_service = {
    .name = "accessLoggingService",
    .help = "Writes logs of requests, or of TCP connections, to files.",
    .options = {"ListenerOptions.accessLoggingService"},
    .check = check,
    .listener = listener,
};
