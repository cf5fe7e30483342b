// Private to the room: conditions of access logs (access_filter.c).
#pragma once

#include "translate/option.h"

#include "envoy/config/accesslog/v3/accesslog.pb-c.h"

// Adds findings about what the schema cannot know; R's prefix stands at the filter.
void tr_check_access_filter(struct sld_report *r, const Gloo__AccessLogFilter *f);
// The filter as Envoy takes it; NULL when none is set.
Env__Accesslog__AccessLogFilter *tr_access_filter(struct sld_arena *a,
                                                  const Gloo__AccessLogFilter *f);
