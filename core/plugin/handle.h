// Private to the room: messages as a script sees them.
#pragma once

#include "codec/edit.h"
#include "plugin/inside.h"

// What the handles of one call have in common; lives in C for the call.
struct pl_edit {
    struct sld_arena *arena; // of what is set
    void *user;
    // The text that a reference to a secret means: *OUT; false with words in ERR.
    bool (*secret)(void *user, struct sld_str ns, struct sld_str name, struct sld_str key, struct sld_str *out,
                   struct sld_err *err);
};

// Pushes a handle on M, called NAME in errors, for this call. READ_ONLY: it, and all below, cannot be
// written. EDIT and NAME live as long as the call.
void pl_push_message(lua_State *L, struct pl_edit *edit, ProtobufCMessage *m, const char *name, bool read_only);
// The value at INDEX as a tree in EDIT's arena; raises for what has no such form.
struct sld_node *pl_to_node(lua_State *L, int index, struct pl_edit *edit);
