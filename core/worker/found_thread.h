// The thread in which plugins discover and give secrets, with states of their own: whatever they do there, neither io nor the model thread waits.
#pragma once

#include "loop/loop.h"
#include "plugin/discover.h"

struct sld_found_thread;

// Starts the thread. Events come on IO's, in order; EV is copied. ON_REPORT: what its plugins did, once a second; root:
// Solder__Worker__Stats; taken over. [io]
struct sld_found_thread *sld_found_thread_create(struct sld_loop *io, const struct sld_finders_events *ev,
                                                 void (*on_report)(void *user, struct sld_arena_obj *report), void *user);
// As sld_finders_backends. [io]
void sld_found_thread_backends(struct sld_found_thread *t, struct sld_plugin_backends *b);
// As sld_finders_set and sld_finders_remove. [io]
void sld_found_thread_set(struct sld_found_thread *t, struct sld_discover_plan *p);
void sld_found_thread_remove(struct sld_found_thread *t, struct sld_str plugin);
// As sld_finders_want. [io]
void sld_found_thread_want(struct sld_found_thread *t, struct sld_str plugin, struct sld_str ref, bool wanted);
// Ends it; no events after this. NULL is fine. [io]
void sld_found_thread_destroy(struct sld_found_thread *t);
