// What commands share.
#pragma once

#include "base/base.h"

// Prints "solder: <words>" to stderr; returns the exit code of wrong usage.
int sld_usage(const char *fmt, ...) SLD_PRINTF(1, 2);
