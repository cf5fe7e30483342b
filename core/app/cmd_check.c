// solder check: reads resources with the server's own code and tells what is wrong with them.
#include "app/builtin.h"
#include "app/commands.h"
#include "app/findings.h"
#include "app/settings.h"

static int run(struct sld_args *a)
{
    const char *format = sld_args_get(a, "output");
    if (format && strcmp(format, "text") && strcmp(format, "json"))
        return sld_usage("-o takes text or json, not %s", format);
    struct sld_offline off = {0};
    struct sld_offline_options opt = sld_offline_options_of(a, a->pos);
    struct sld_err err = {0};
    struct sld_findings r = {.least = sld_args_has(a, "notes") ? SLD_NOTE : SLD_WARNING};
    int code = SLD_EXIT_USAGE;
    if (sld_offline_load(&off, &opt, &err)) {
        fprintf(stderr, "solder check: %s\n", err.msg);
    } else {
        sld_findings_collect(&r, &off);
        if (format && !strcmp(format, "json")) {
            sld_findings_print_json(&r);
        } else {
            sld_findings_print(&r, stdout);
            fprintf(stderr, "%zu resources, %zu errors, %zu warnings\n", r.documents, r.errors,
                    r.warnings);
        }
        code = r.errors ? SLD_EXIT_FINDINGS : SLD_EXIT_OK;
    }
    sld_findings_fini(&r);
    sld_offline_fini(&off);
    return code;
}

static const struct sld_flag flags[] = {
    {.name = "notes", .help = "tell of ignored documents and objects without effect too"},
    {.name = "output", .letter = 'o', .arg = "FORMAT", .help = "text (default) or json"},
    SLD_PLUGINS_FLAG,
    {.name = "services", .arg = "FILE", .help = "services and instances that discovery would find"},
    SLD_SETTINGS_FLAGS,
};

const struct sld_command sld_cmd_check = {
    .name = "check",
    .args = "PATH...",
    .help = "Tells what is wrong with the resources in directories or files, offline.",
    .more =
        "consul://HOST:PORT/ROOT as PATH is what is stored there, which is not touched.\n"
        "Secrets that Settings keep elsewhere, as in Vault, are not asked for: that they were not\n"
        "found here is a warning then.\n"
        "Prints file:line:column: severity code: object: field: what is wrong and how to mend it.\n"
        "Exit code 0: no errors; 1: errors found; 2: could not check.",
    .flags = flags,
    .flag_count = SLD_ARRAY_LEN(flags),
    .min_pos = 1,
    .max_pos = 64,
    .run = run,
};
