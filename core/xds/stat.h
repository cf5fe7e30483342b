// Counting for metrics.
#pragma once

#include "xds/inside.h"

void sld_xds_latency_add(struct sld_xds *x, uint64_t ns);
