// Private to the room: a plugin whose hooks of requests run for a spec, in the world that the spec makes up.
#pragma once

#include "plugin/load.h"
#include "plugin/world.h"

struct pl_rig;

// Loads the plugin of P anew, as P was loaded; W outlives it.
SLD_NODISCARD enum sld_rc pl_rig_create(const struct sld_plugin *p, struct pl_world *w, struct pl_rig **out, struct sld_err *err);
// NULL is fine.
void pl_rig_destroy(struct pl_rig *r);
// The requests in the list at 1 arrive at once. Pushes the list of what became of them, or nil and words. What is
// made on the way is in A, which outlives R.
int pl_rig_exchange(lua_State *L, struct pl_rig *r, struct sld_arena *a);
// The entries in the list at 2 are logged with the configuration at 1. Pushes nothing, or words. As before otherwise.
int pl_rig_log(lua_State *L, struct pl_rig *r, struct sld_arena *a);
