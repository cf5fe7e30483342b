// What commands share.
#pragma once

#include "base/base.h"

// Prints "solder: <words>" to stderr; returns the exit code of wrong usage.
int sld_usage(const char *fmt, ...) SLD_PRINTF(1, 2);
// The same for a WORD that is no kind of resource, with the nearest one.
int sld_unknown_kind(const char *word);
