// solder plugin run: what a plugin changes of what Envoy is told.
#include <stdio.h>

#include "app/builtin.h"
#include "app/commands.h"
#include "app/findings.h"
#include "app/plugin.h"
#include "app/settings.h"
#include "plugin/shape.h"

struct outs {
    struct sld_arena arena;
    const struct sld_out **items; // by type, view, name
    size_t count;
};

struct run {
    struct sld_args *args;
    struct sld_arena arena;
    bool as_json;
    struct sld_buf buf;
    struct sld_json json;
    size_t changed;
};

static void on_out(const struct sld_out *o, void *arg)
{
    struct outs *all = arg;
    SLD_PUSH(&all->arena, all->items, all->count, o);
}

static int compare(const struct sld_out *x, const struct sld_out *y)
{
    int c = (int)x->type - (int)y->type;
    c = c ? c : sld_str_cmp(x->view, y->view);
    return c ? c : sld_str_cmp(x->name, y->name);
}

// The message of O (NULL: none); what is secret in it is compared, never printed: its text is ***.
static const ProtobufCMessage *message(struct sld_arena *a, const struct sld_out *o)
{
    struct sld_buf b;
    struct sld_document *docs;
    size_t n = 0;
    enum sld_code code;
    struct sld_err err = {0};
    struct sld_report r = {.arena = a};
    if (!o)
        return NULL;
    sld_buf_init(&b, 64U << 20);
    sld_out_print(&b, o, SLD_TEXT_JSON_COMPACT);
    struct sld_str text = sld_arena_str(a, sld_buf_str(&b));
    sld_buf_fini(&b);
    if (sld_doc_read(a, text, &sld_doc_limits_default, &docs, &n, &code, &err) || !n)
        return NULL;
    return sld_doc_decode(a, sld_out_type_desc(o->type), docs[0].root, false, &r);
}

static void print_change(struct run *r, const struct sld_change *c)
{
    if (!c->before.p)
        sld_buf_addf(&r->buf, "  + %.*s: %.*s\n", SLD_FMT(c->path), SLD_FMT(c->after));
    else if (!c->after.p)
        sld_buf_addf(&r->buf, "  - %.*s: %.*s\n", SLD_FMT(c->path), SLD_FMT(c->before));
    else
        sld_buf_addf(&r->buf, "  ~ %.*s: %.*s -> %.*s\n", SLD_FMT(c->path), SLD_FMT(c->before), SLD_FMT(c->after));
}

static void key(struct sld_json *j, const char *name, struct sld_str value)
{
    sld_json_key(j, name);
    sld_json_str(j, value);
}

// WITHOUT and WITH are the resource of one name; either may be NULL.
static void print_pair(struct run *r, const struct sld_out *without, const struct sld_out *with)
{
    const struct sld_out *o = with ? with : without;
    const char *what = !without ? "added" : !with ? "removed" : "changed";
    size_t n = 0;
    if (without && with && sld_hash_eq(without->content, with->content))
        return;
    const struct sld_change *c = sld_msg_diff(&r->arena, message(&r->arena, without), message(&r->arena, with), &n);
    r->changed++;
    struct sld_json *j = &r->json;
    if (r->as_json) {
        sld_json_begin(j, '{');
        key(j, "type", sld_str_c(sld_out_type_name(o->type)));
        key(j, "role", o->view);
        key(j, "name", o->name);
        key(j, "what", sld_str_c(what));
        sld_json_key(j, "changes");
        sld_json_begin(j, '[');
    } else {
        sld_buf_addf(&r->buf, "%s %.*s%s%.*s is %s\n", sld_out_type_name(o->type), SLD_FMT(o->name), o->view.n ? " for " : "",
                     SLD_FMT(o->view), what);
    }
    for (size_t i = 0; i < n; i++) {
        if (!r->as_json) {
            print_change(r, &c[i]);
            continue;
        }
        sld_json_begin(j, '{');
        key(j, "path", c[i].path);
        if (c[i].before.p)
            key(j, "before", c[i].before);
        if (c[i].after.p)
            key(j, "after", c[i].after);
        sld_json_end(j, '}');
    }
    if (r->as_json) {
        sld_json_end(j, ']');
        sld_json_end(j, '}');
    }
}

static void print_all(struct run *r, const struct sld_offline *without, const struct sld_offline *with)
{
    struct outs x = {0}, y = {0};
    size_t i = 0, k = 0;
    sld_buf_init(&r->buf, 256U << 20);
    sld_json_init(&r->json, &r->buf);
    sld_translate_outs(without->translate, on_out, &x);
    sld_translate_outs(with->translate, on_out, &y);
    if (r->as_json)
        sld_json_begin(&r->json, '[');
    while (i < x.count || k < y.count) {
        int c = i == x.count ? 1 : k == y.count ? -1 : compare(x.items[i], y.items[k]);
        print_pair(r, c <= 0 ? x.items[i] : NULL, c >= 0 ? y.items[k] : NULL);
        i += c <= 0;
        k += c >= 0;
    }
    if (r->as_json) {
        sld_json_end(&r->json, ']');
        sld_buf_addc(&r->buf, '\n');
    }
    if (r->buf.n)
        fwrite(r->buf.p, 1, r->buf.n, stdout);
    sld_buf_fini(&r->buf);
    sld_arena_fini(&x.arena);
    sld_arena_fini(&y.arena);
}

static int translate(struct run *r, struct sld_str name, struct sld_plugin_slot *slot)
{
    const struct sld_args *a = r->args;
    struct sld_offline without = {0}, with = {0};
    struct sld_offline_options opt = sld_offline_options_of(a, a->pos + 1);
    struct sld_err err = {0};
    int code = SLD_EXIT_OK;
    enum sld_rc rc = sld_offline_load(&without, &opt, &err);
    opt.plugin = slot;
    opt.plugin_name = name;
    if (!rc)
        rc = sld_offline_load(&with, &opt, &err);
    if (rc) {
        fprintf(stderr, "solder plugin run: %s\n", err.msg);
        code = SLD_EXIT_USAGE;
    } else {
        struct sld_findings f = {.least = SLD_WARNING};
        print_all(r, &without, &with);
        sld_findings_collect(&f, &with);
        sld_findings_print(&f, stderr);
        fprintf(stderr, "%zu resources differ\n", r->changed);
        code = f.errors ? SLD_EXIT_FINDINGS : SLD_EXIT_OK;
        sld_findings_fini(&f);
    }
    sld_offline_fini(&without);
    sld_offline_fini(&with);
    return code;
}

static int run(struct sld_args *args)
{
    struct run r = {.args = args};
    struct sld_plugin_bundle *b;
    struct sld_plugin *p = NULL;
    struct sld_err err = {0};
    const char *format = sld_args_get(args, "output");
    if (format && strcmp(format, "text") && strcmp(format, "json"))
        return sld_usage("-o takes text or json, not %s", format);
    r.as_json = format && !strcmp(format, "json");
    int code = sld_plugin_cli_read(args->pos[0], &b);
    if (code)
        return code;
    if (sld_plugin_load(b, &sld_plugin_limits_default, &p, &err)) {
        fprintf(stderr, "solder plugin run: %s; see solder plugin check\n", err.msg);
        code = SLD_EXIT_FINDINGS;
    } else {
        struct sld_plugin_slot *slot = sld_plugin_slot_create(p, SLD_STR(""));
        code = translate(&r, b->name, slot);
        SLD_UNREF(slot);
    }
    SLD_UNREF(b);
    sld_arena_fini(&r.arena);
    return code;
}

static const struct sld_flag flags[] = {
    {.name = "output", .letter = 'o', .arg = "FORMAT", .help = "text (default) or json"},
    SLD_PLUGINS_FLAG,
    {.name = "services", .arg = "FILE", .help = "services and instances that discovery would find"},
    SLD_SETTINGS_FLAGS,
};

const struct sld_command sld_cmd_plugin_run = {
    .name = "plugin run",
    .args = "DIR PATH...",
    .help = "Shows what a plugin changes of what Envoy is told, offline.",
    .more = "solder plugin run ./tenant-header ./config\n\n"
            "Translates the documents in PATH without the plugin in DIR and with it, and prints what differs, by resource\n"
            "and field: + is new, - is gone, ~ is another value. --plugins are others, there both times.\n"
            "Exit code 0: done; 1: the plugin, or a document with it, has errors; 2: could not tell.",
    .flags = flags,
    .flag_count = SLD_ARRAY_LEN(flags),
    .min_pos = 2,
    .max_pos = 64,
    .run = run,
};
