// Table-driven state machines: a constant table names the states and permits their successors, and
// every transition is checked against it.
#pragma once

#include <stdint.h>

#include "base/assert.h"

struct sld_sm_state {
    const char *name;
    uint32_t next; // bit per permitted successor
};

#define SLD_SM_TO(state) (1u << (state))

// Moves *STATE to NEXT, which TABLE must permit.
static inline void sld_sm_move(const struct sld_sm_state *table, uint8_t *state, uint8_t next)
{
    SLD_INV(table[*state].next & SLD_SM_TO(next));
    *state = next;
}
