// Private to the room: the names of plugins that guard requests, kept in a file over restarts. What names one of them while it is not
// there stays closed.
#pragma once

#include "plugin/plugin.h"

enum pl_guard {
    PL_NO_GUARD,
    PL_GUARD_WORKER, // by authorize in the worker
    PL_GUARD_EDGE,   // in Envoy
};
struct pl_guards;

// None, in memory alone.
struct pl_guards *pl_guards_create(void);
// NULL is fine.
void pl_guards_destroy(struct pl_guards *g);
// FILE holds them from now on: those in it are added; one that cannot be read is logged, and begun anew.
void pl_guards_keep(struct pl_guards *g, struct sld_str file);
// Plugin P, by its name, was loaded: it is a guard or is none.
void pl_guards_note(struct pl_guards *g, const struct sld_plugin *p);
enum pl_guard pl_guards_get(const struct pl_guards *g, struct sld_str name);
// The names of all, sorted; the caller's to free with sld_xfree, and good until the next note.
struct sld_str *pl_guards_names(const struct pl_guards *g, size_t *n);
