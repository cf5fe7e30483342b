// Inside codec: points in time and durations as proto3's JSON mapping writes them.
#pragma once

#include "base/base.h"

// RFC 3339 to Unix seconds and nanoseconds; years 1 to 9999.
bool time_parse(struct sld_str s, int64_t *seconds, int32_t *nanos);
void time_print(struct sld_buf *out, int64_t seconds, int32_t nanos);
// "1.5s".
void time_print_duration(struct sld_buf *out, int64_t seconds, int32_t nanos);
