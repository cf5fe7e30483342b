// When memory that a great change needed for a moment is given back.
#pragma once

#include "loop/loop.h"

struct trim;

// Counts the steps of rounds on LOOP's thread, to which all of this belongs.
struct trim *trim_create(struct sld_loop *loop);
// NULL is fine.
void trim_destroy(struct trim *t);
// A round of STEPS steps ended, or (one step) an Envoy said what became of a resource. Memory is given back when there
// were none for a moment: what an edit took for itself, and the pages of the program that it went through. After very
// many steps that moment is not waited for longer than a minute.
void trim_count(struct trim *t, size_t steps);
