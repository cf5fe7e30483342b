// What commands share, and the commands about commands.
#include "app/commands.h"

#include <stdio.h>

#include "app/builtin.h"
#include "model/model.h"

int sld_usage(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("solder: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return SLD_EXIT_USAGE;
}

int sld_unknown_kind(const char *word)
{
    const struct sld_kind_info *like = sld_kind_nearest(sld_str_c(word));
    return sld_usage("there is no kind %s%s%s%s; the kinds are gateways, virtualservices, "
                     "routetables, upstreams, ... and all",
                     word, like ? "; did you mean " : "", like ? like->plural : "",
                     like ? "?" : "");
}

static int run_version(struct sld_args *a)
{
    (void)a;
    printf("solder %s\n", SLD_VERSION);
    return SLD_EXIT_OK;
}

const struct sld_command sld_cmd_version = {
    .name = "version",
    .args = "",
    .help = "Prints the version.",
    .run = run_version,
};
