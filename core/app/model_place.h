// Which documents lie in sources that keep statuses, and what is to be told there. Everything runs
// on the model thread.
#pragma once

#include "app/model_thread.h"

struct model_places {
    struct sld_map keepers; // sources that keep statuses
    struct sld_map placed;  // keys of objects whose document came into one since the last round
    struct sld_arena arena; // of the rest
    struct sld_model_status *left; // places that objects left since
    size_t left_count;
};

void model_places_fini(struct model_places *p);
// Object ID says RAW from now on (NULL: nothing); before sld_translate_set.
void model_places_moved(struct model_places *p, const struct sld_translate *t, struct sld_ident id,
                        const struct sld_raw *raw);
// True when there is something to tell though no status changes.
bool model_places_pending(const struct model_places *p);
// Fills the statuses of N, in its arena, with what round R and moves since the last one changed.
void model_places_tell(struct model_places *p, const struct sld_translate *t,
                       const struct sld_translate_result *r, struct sld_model_news *n);
