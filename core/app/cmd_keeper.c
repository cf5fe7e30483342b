// solder keeper: the process between Solder and its Envoy; started by edge, not by people.
#include "app/flags.h"
#include "edge/edge.h"

static int run(struct sld_args *a)
{
    return sld_keeper_main(a->argc, a->argv);
}

const struct sld_command sld_cmd_keeper = {
    .name = "keeper",
    .args = "",
    .help = "Keeps an Envoy (used by run --envoy).",
    .max_pos = 1000,
    .run = run,
    .hidden = true,
};
