// Giving memory back: counts steps, and waits for quiet.
#include "app/trim.h"

#include "codec/doc.h"

// By then the Envoys have got what is theirs, too.
enum { STEPS = 10000, QUIET_MS = 500, WAITS = 120 };

struct trim {
    struct sld_timer *timer;
    size_t steps;   // since memory was given back
    unsigned waits; // of the timer, in a row; 0: it is not started
    bool stepped;   // since it was started
};

static void wait(struct trim *t)
{
    t->waits++;
    t->stepped = false;
    sld_timer_start(t->timer, QUIET_MS);
}

static void on_timer(void *user)
{
    struct trim *t = user;
    if (t->stepped && (t->steps <= STEPS || t->waits < WAITS)) {
        wait(t);
        return;
    }
    t->waits = 0;
    t->steps = 0;
    (void)sld_doc_trim();
    sld_alloc_trim();
}

struct trim *trim_create(struct sld_loop *loop)
{
    struct trim *t = SLD_NEW(struct trim);
    t->timer = sld_timer_create(loop, on_timer, t);
    return t;
}

void trim_destroy(struct trim *t)
{
    if (t)
        sld_timer_destroy(t->timer);
    sld_xfree(t);
}

void trim_count(struct trim *t, size_t steps)
{
    t->steps += steps;
    t->stepped |= steps > 0;
    if (steps && !t->waits)
        wait(t);
}
