// Private to the room: what discover publishes.
#pragma once

#include "plugin/discover.h"
#include "plugin/task.h"

// What a task has published so far.
struct pl_published {
    struct sld_map units;     // by name
    struct sld_arena scratch; // of the call of publish at work, or of the last one that failed
    bool synced;              // a whole set was published
    bool any;                 // something was, since the task began
    int64_t ms;               // when it published last, Unix time; 0: never
    struct sld_str plugin;
    const struct sld_discover_events *ev;
};

// publish{upstreams = ..., endpoints = ..., increment = ...}: the table at 1 of L into P; raises, naming the field, when anything
// of it is wrong, and then nothing has changed.
void pl_publish(lua_State *L, struct pl_published *p);
void pl_published_fini(struct pl_published *p);
