// solder translate: the resources for Envoy that a directory becomes.
#include "app/builtin.h"
#include "app/commands.h"
#include "app/settings.h"
#include "app/offline.h"

#include <stdio.h>

struct print {
    enum sld_text_style style;
    const char *role, *type, *name;
    struct sld_json json;
    struct sld_buf buf;
    bool as_json;
    size_t printed;
};

static bool wanted(const struct print *p, const struct sld_out *o)
{
    if (p->role && o->view.n && !sld_str_eq(o->view, sld_str_c(p->role)))
        return false;
    if (p->type && strcmp(p->type, sld_out_type_name(o->type)))
        return false;
    return !p->name || sld_str_eq(o->name, sld_str_c(p->name));
}

static void print_yaml(struct print *p, const struct sld_out *o)
{
    sld_buf_addf(&p->buf, "---\n# %s%s%.*s\n", sld_out_type_name(o->type), o->view.n ? " for " : "",
                 SLD_FMT(o->view));
    sld_out_print(&p->buf, o, SLD_TEXT_YAML);
}

static void flush(struct print *p)
{
    fwrite(p->buf.p, 1, p->buf.n, stdout);
    sld_buf_reset(&p->buf);
}

static void on_out(const struct sld_out *o, void *arg)
{
    struct print *p = arg;
    if (!wanted(p, o))
        return;
    p->printed++;
    if (p->as_json)
        sld_offline_out_json(&p->json, o);
    else
        print_yaml(p, o);
    flush(p);
}

static int run(struct sld_args *a)
{
    const char *format = sld_args_get(a, "output");
    if (format && strcmp(format, "yaml") && strcmp(format, "json"))
        return sld_usage("-o takes yaml or json, not %s", format);
    const char *type = sld_args_get(a, "type");
    bool known = !type;
    for (int t = 0; t < SLD_OUT_TYPE_COUNT && !known; t++)
        known = !strcmp(type, sld_out_type_name((enum sld_out_type)t));
    if (!known)
        return sld_usage("there is no type %s; --type takes cds, eds, lds, rds or sds", type);
    struct print p = {
        .role = sld_args_get(a, "role"),
        .type = type,
        .name = sld_args_get(a, "name"),
        .as_json = format && !strcmp(format, "json"),
    };
    struct sld_offline off = {0};
    struct sld_offline_options opt = sld_offline_options_of(a, a->pos);
    struct sld_err err = {0};
    int code = SLD_EXIT_OK;
    if (sld_offline_load(&off, &opt, &err)) {
        fprintf(stderr, "solder translate: %s\n", err.msg);
        code = SLD_EXIT_USAGE;
    } else {
        sld_buf_init(&p.buf, 256U << 20);
        sld_json_init(&p.json, &p.buf);
        if (p.as_json)
            sld_json_begin(&p.json, '[');
        sld_translate_outs(off.translate, on_out, &p);
        if (p.as_json)
            sld_json_end(&p.json, ']');
        sld_buf_addz(&p.buf, p.as_json ? "\n" : "");
        flush(&p);
        sld_buf_fini(&p.buf);
        if (!p.printed && (p.name || p.role || p.type)) {
            fputs("solder translate: nothing of that name, role or type comes out\n", stderr);
            code = SLD_EXIT_FINDINGS;
        }
    }
    sld_offline_fini(&off);
    return code;
}

static const struct sld_flag flags[] = {
    {.name = "name", .arg = "NAME", .help = "only the resource of that name"},
    {.name = "output", .letter = 'o', .arg = "FORMAT", .help = "yaml (default) or json"},
    SLD_PLUGINS_FLAG,
    {.name = "role",
     .arg = "ROLE",
     .help = "only what Envoys of that role get, such as gloo-system~gateway-proxy"},
    {.name = "services", .arg = "FILE", .help = "services and instances that discovery would find"},
    SLD_SETTINGS_FLAGS,
    {.name = "type", .arg = "TYPE", .help = "only lds, rds, cds, eds or sds"},
};

const struct sld_command sld_cmd_translate = {
    .name = "translate",
    .args = "PATH...",
    .help = "Prints the resources for Envoy that directories or files become, offline.",
    .more = "consul://HOST:PORT/ROOT as PATH is what is stored there.\n"
            "Secrets are printed as ***. What is wrong with the input is told by solder check.\n\n"
            "A file for --services lists what Consul would tell, where Settings ask for it:\n\n"
            "  services:\n"
            "  - name: web\n"
            "    instances:\n"
            "    - {address: 10.0.0.1, port: 8080, tags: [v1], dataCenter: dc1, weight: 1}",
    .flags = flags,
    .flag_count = SLD_ARRAY_LEN(flags),
    .min_pos = 1,
    .max_pos = 64,
    .run = run,
};
