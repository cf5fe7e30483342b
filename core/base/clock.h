// Clocks.
#pragma once

#include <stdint.h>

#include "base/str.h"

// Monotonic nanoseconds; never goes back, unrelated to the date. [any]
uint64_t sld_mono_ns(void);
// Unix time in milliseconds. [any]
int64_t sld_wall_ms(void);
// RFC 3339 in UTC with milliseconds, NUL-terminated ("2026-11-24T09:00:00.000Z").
void sld_time_text(int64_t wall_ms, char out[32]);
