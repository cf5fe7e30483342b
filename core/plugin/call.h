// Private to the room: a call of a hook of translation.
#pragma once

#include "plugin/handle.h"
#include "plugin/load.h"
#include "translate/feature.h"

struct call {
    struct sld_plugin *plugin;
    enum sld_hook hook;
    const Google__Protobuf__Value *conf;
    struct pl_edit edit;
    ProtobufCMessage *message; // the copy
    const char *name;          // of the handle
    struct tr *tr;
    struct sld_str ns;               // of the object that is configured
    struct sld_hash input;           // of the message, where what comes of it is kept
    struct sld_str row;              // what is shaped, told apart from all others; absent: nothing is kept for it
    const ProtobufCMessage *source;  // as the user wrote it; NULL: none
    struct tr_listener *listener;    // of shape_listener
    ProtobufCMessage *hcm;           // the copy; of shape_listener
};

// Pushes the context of call C, which lives as long as the call. (context.c)
void pl_push_context(lua_State *L, struct call *c);
// The `secret` of C's handles; USER is C. (context.c)
bool pl_call_secret(void *user, struct sld_str ns, struct sld_str name, struct sld_str key, struct sld_str *out, struct sld_err *err);
