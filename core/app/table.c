// Tables for people.
#include "app/table.h"

#include <stdio.h>

enum { COLUMNS_MAX = 12 };

static void print_row(const struct sld_str *cells, const size_t *width, size_t columns)
{
    for (size_t c = 0; c < columns; c++) {
        struct sld_str s = cells[c].p ? cells[c] : SLD_STR("");
        printf("%-*.*s%s", c + 1 < columns ? (int)width[c] : 0, SLD_FMT(s),
               c + 1 < columns ? "   " : "\n");
    }
}

void sld_table_print(const char *const *titles, const struct sld_str *cells, size_t n,
                     size_t columns)
{
    size_t width[COLUMNS_MAX] = {0};
    struct sld_str head[COLUMNS_MAX];
    SLD_PRE(columns > 0 && columns <= COLUMNS_MAX);
    for (size_t c = 0; c < columns; c++) {
        head[c] = titles ? sld_str_c(titles[c]) : SLD_STR("");
        width[c] = head[c].n;
        for (size_t i = 0; i < n; i++)
            width[c] = cells[i * columns + c].n > width[c] ? cells[i * columns + c].n : width[c];
    }
    if (titles)
        print_row(head, width, columns);
    for (size_t i = 0; i < n; i++)
        print_row(&cells[i * columns], width, columns);
}

struct sld_str sld_table_line(struct sld_arena *a, struct sld_str s)
{
    char *p = sld_arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++) {
        if (p[i] == '\n' || p[i] == '\t')
            p[i] = ' ';
    }
    return sld_str_n(p, s.n);
}
