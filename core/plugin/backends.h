// plugin/backends: the servers that Solder itself knows, which plugins may ask with Solder's credentials. Those stay in C.
#pragma once

#include "net/place.h"

struct sld_plugin;

// Strings are in the arena of all.
struct sld_plugin_backend {
    struct sld_str problem; // why it cannot be asked; absent: it can
    struct sld_http_place at;
};

// A refcounted object; immutable once it is shared, wiped at its end. [any]
struct sld_plugin_backends {
    struct sld_obj obj;
    struct sld_arena arena;
    struct sld_plugin_backend consul, vault;
};
// One to be filled; a reference.
struct sld_plugin_backends *sld_plugin_backends_create(void);
// P asks them from now on (a reference is taken; NULL: nobody).
void sld_plugin_backends_set(struct sld_plugin *p, struct sld_plugin_backends *b);
