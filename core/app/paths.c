// Where things are on a machine.
#include "app/paths.h"

struct sld_str app_run_dir(struct sld_arena *a, const char *state_dir)
{
    return sld_arena_fmt(a, "%s/envoy", state_dir);
}

struct sld_str app_worker_address(struct sld_arena *a, struct sld_str run_dir, size_t i)
{
    return sld_arena_fmt(a, "unix:%.*s/worker-%zu.sock", SLD_FMT(run_dir), i);
}
