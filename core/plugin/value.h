// Private to the room: free-form values to Lua and back.
#pragma once

#include "plugin/inside.h"

struct sld_conf;

// The metatable of references to secrets, whose user value is the reference as a table.
#define PL_SECRET "solder.secret"

// The value at INDEX in arena A: tables whose keys are 1 to n are lists, others mappings. Raises for what
// has no such form.
Google__Protobuf__Value *pl_to_value(lua_State *L, int index, struct sld_arena *a);
// The same; raises before it takes more than about ROOM bytes of A.
Google__Protobuf__Value *pl_to_value_within(lua_State *L, int index, struct sld_arena *a, size_t room);
void pl_push_value(lua_State *L, const Google__Protobuf__Value *v);
// Pushes V, which passed the checks of C, with defaults filled in: durations are seconds, sizes bytes.
// V may be NULL for a record.
void pl_push_conf(lua_State *L, const struct sld_conf *c, const Google__Protobuf__Value *v);
