#include "base/random.h"

#include <errno.h>
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

uint64_t sld_jitter(uint64_t n)
{
    return n - sld_random_below(n / 10 + 1);
}

uint64_t sld_backoff(unsigned failures, uint64_t least, uint64_t most)
{
    uint64_t n = least;
    for (unsigned i = 1; i < failures && n < most; i++)
        n *= 2;
    n = n < most ? n : most;
    return n - n / 4 + sld_random_below(n / 2 + 1);
}

void sld_random_bytes(void *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t got = getrandom((char *)p + at, n - at, 0);
        SLD_INV(got > 0 || errno == EINTR);
        at += got > 0 ? (size_t)got : 0;
    }
}
