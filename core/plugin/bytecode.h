// Private to the room: what a compiled chunk says of its text: which lines run, which names it looks up.
#pragma once

#include "base/base.h"
#include "plugin/inside.h"

// One function of a chunk.
struct pl_function {
    int first, last; // lines; 0, 0: the chunk itself
    unsigned params;
    bool *reassigned; // per parameter: it does not keep its argument
    size_t steps, calls; // at most, but for what it calls
    bool plain;          // that is so: it goes back nowhere, makes no function, and names nothing that calls one often
};

// A name that is looked up.
struct pl_lookup {
    int line;
    bool global;    // NAME is a global; else a field, or method, of MODULE, or of parameter PARAM
    struct sld_str module; // what require was called with; or absent
    bool write;
    unsigned param; // of FUNCTION, from 0
    const struct pl_function *function;
    struct sld_str name;
    struct sld_str field; // of the global, where the next step takes one; or absent
};

// A variable of the chunk itself that a function in it assigns.
struct pl_outer {
    int line;
    struct sld_str name;
};

// A chunk. In an arena.
struct pl_chunk {
    struct sld_str file;
    struct pl_lookup *lookups;
    size_t lookup_count;
    struct pl_outer *outers;
    size_t outer_count;
    const struct pl_function **functions;
    size_t function_count;
    int *lines; // that have something to run, sorted, each once
    size_t line_count;
};

// Reads the function on top of the stack, in arena A; pops it.
void pl_chunk_read(lua_State *L, struct sld_arena *a, struct sld_str file, struct pl_chunk *out);
// Adds to the table at SET, as keys that are true, the names of those variables outside of it that a function in the one at FN
// assigns.
void pl_assigned_names(lua_State *L, int fn, int set);
