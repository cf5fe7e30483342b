// What the log says of objects. On the model thread.
#pragma once

#include "translate/translate.h"

// One line for each object that got into trouble or out of it by the round of R; those that came as they should are
// no news. So many at most; the rest is counted.
void model_statuses_log(struct sld_translate *t, const struct sld_translate_result *r);
