// Where things are on a machine.
#pragma once

#include "base/base.h"

#define SLD_STATE_DIR_STANDARD "/var/lib/solder"

// The directory of the supervised Envoy and of the worker's sockets, in a state directory.
struct sld_str app_run_dir(struct sld_arena *a, const char *state_dir);
// Where Envoys of this machine reach event loop I of the worker.
struct sld_str app_worker_address(struct sld_arena *a, struct sld_str run_dir, size_t i);
