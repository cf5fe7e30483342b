// Who costs a loop too much rests.
#include "worker/rest.h"

static uint64_t ns(uint64_t ms)
{
    return ms * 1000000;
}

bool wk_rest_breach(struct wk_rest *r, uint64_t now, uint64_t spent)
{
    if (!r->from_ns || now - r->from_ns > ns(WK_REST_WINDOW_MS)) {
        r->from_ns = now > spent ? now - spent : now;
        r->spent_ns = 0;
        r->breaches = 0;
    }
    r->spent_ns += spent;
    r->breaches++;
    if (r->breaches < WK_REST_BREACHES || r->spent_ns < ns(WK_REST_SPENT_MS) || wk_rest_is(r, now))
        return false;
    if (r->until_ns && now - r->until_ns > ns(WK_REST_FORGET_MS))
        r->rests = 0;
    r->until_ns = now + (ns(WK_REST_MS) << (r->rests < WK_REST_DOUBLINGS ? r->rests : WK_REST_DOUBLINGS));
    r->rests++;
    r->from_ns = 0;
    return true;
}

bool wk_rest_is(const struct wk_rest *r, uint64_t now)
{
    return now < r->until_ns;
}
