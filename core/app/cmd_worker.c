// solder worker: the process in which hooks of requests run; started by run, not by people.
#include "app/flags.h"
#include "worker/worker.h"

static int run(struct sld_args *a)
{
    (void)a;
    return sld_worker_main();
}

const struct sld_command sld_cmd_worker = {
    .name = "worker",
    .args = "",
    .help = "Runs plugins (used by run).",
    .run = run,
    .hidden = true,
};
