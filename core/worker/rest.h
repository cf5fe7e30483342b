// Private to the room: who costs a loop too much rests.
#pragma once

#include "base/base.h"

// Calls of a plugin with one configuration, on one loop. What others do with other configurations does not count, nor do calls that
// ended in time, nor how many breach: it is about the loop's time. Zeroed at the start.
struct wk_rest {
    uint64_t from_ns;  // when the time that is looked at began
    uint64_t spent_ns; // in it, by calls that breached
    unsigned breaches; // in it
    unsigned rests;    // so far, with less than REST_FORGET_MS of peace between two
    uint64_t until_ns; // it rests; 0: it never did
};

enum {
    WK_REST_BREACHES = 3,       // at least
    WK_REST_WINDOW_MS = 4000,   // that are looked at
    WK_REST_SPENT_MS = 1000,    // of them: a quarter of the loop's time
    WK_REST_MS = 5000,          // doubled each time
    WK_REST_DOUBLINGS = 4,
    WK_REST_FORGET_MS = 300000,
};

// A call ended by a ceiling at NOW, after SPENT; whether it rests from now on.
bool wk_rest_breach(struct wk_rest *r, uint64_t now_ns, uint64_t spent_ns);
// Whether it rests at NOW.
bool wk_rest_is(const struct wk_rest *r, uint64_t now_ns);
