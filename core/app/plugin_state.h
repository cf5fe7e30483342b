// solder get plugins, solder describe plugin NAME: plugins as a running server has them.
#pragma once

#include "app/flags.h"

// A table of them; NAME: one of them, or absent. Returns the exit code.
int sld_get_plugins(const struct sld_args *args, struct sld_str name);
// All that is to be said of plugin NAME. Returns the exit code.
int sld_describe_plugin(const struct sld_args *args, struct sld_str name);
