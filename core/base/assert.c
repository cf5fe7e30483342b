#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void sld_assert_fail(const char *file, int line, const char *kind, const char *cond)
{
    fprintf(stderr, "solder: %s:%d: %s failed: %s\n", file, line, kind, cond);
    abort();
}
