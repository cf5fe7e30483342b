// solder get, in two parts: as a running server has resources, and as a store has them.
#pragma once

#include "app/edit.h"

enum sld_get_format { SLD_GET_TABLE, SLD_GET_YAML, SLD_GET_JSON, SLD_GET_NAME };

// Prints where a running server has its configuration from, as a table, YAML or JSON. Returns the exit code.
int sld_get_sources(const struct sld_args *args, enum sld_get_format format);
// Prints documents of KIND (NULL: all) as the store of --from has them; NS and NAME absent: all.
// Returns the exit code.
int sld_get_stored(const struct sld_args *args, const struct sld_kind_info *kind, struct sld_str ns,
                   struct sld_str name, enum sld_get_format format);
