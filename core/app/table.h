// Tables for people, on stdout.
#pragma once

#include "base/base.h"

// Prints N rows of COLUMNS cells (row by row in CELLS), as wide as they are; the last one is not
// padded. TITLES: the first line, or NULL. An absent cell is empty.
void sld_table_print(const char *const *titles, const struct sld_str *cells, size_t n,
                     size_t columns);
// S on one line, in A.
struct sld_str sld_table_line(struct sld_arena *a, struct sld_str s);
