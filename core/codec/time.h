// Inside codec: durations as proto3's JSON mapping writes them.
#pragma once

#include "base/base.h"

// "1.5s".
void time_print_duration(struct sld_buf *out, int64_t seconds, int32_t nanos);
