#include "base/random.h"

#include <sys/random.h>

#include "base/assert.h"

uint64_t sld_random_below(uint64_t n)
{
    uint64_t r = 0;
    SLD_PRE(n > 0);
    ssize_t got = getrandom(&r, sizeof(r), 0);
    SLD_INV(got == (ssize_t)sizeof(r));
    return r % n;
}
