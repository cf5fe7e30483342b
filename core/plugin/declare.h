// Private to the room: plugins that documents declare.
#pragma once

#include "plugin/load.h"
#include "plugin/shape.h"

#include "plugin.pb-c.h"

// What hooks gave last, by the row they gave it for. A refcounted object; has a ceiling.
struct pl_last {
    struct sld_obj obj;
    struct sld_map rows; // struct sld_blob, encoded messages
    size_t bytes;
};
struct pl_last *pl_last_create(void);
// Keeps M, which a hook made of a message of hash INPUT, for ROW; nothing is kept for it where that is too much.
void pl_last_set(struct pl_last *l, struct sld_str row, struct sld_hash input, const ProtobufCMessage *m);
// Nothing is kept for ROW.
void pl_last_drop(struct pl_last *l, struct sld_str row);
// The message of DESC that was kept for ROW, in A, or NULL: there is none, or it was made of another input.
ProtobufCMessage *pl_last_get(const struct pl_last *l, struct sld_str row, struct sld_hash input, struct sld_arena *a,
                              const ProtobufCMessageDescriptor *desc);

// Whether the configuration that the document of SLOT, whose plugin is loaded, has may refer to secrets. (finders.c)
bool pl_needs_secrets(const struct sld_plugin_slot *slot);
// Loads the plugin that P, of KEY, declares, where T has what it refers to. SLD_NOT_FOUND, SLD_INVALID, SLD_LIMIT with
// words, and the field that is to blame in *PATH.
SLD_NODISCARD enum sld_rc pl_declared_load(const struct sld_translate *t, const Gloo__Plugin *p, struct sld_plugin **out,
                                           const char **path, struct sld_err *err);
// The hash of all that pl_declared_load would go by.
struct sld_hash pl_declared_hash(const struct sld_translate *t, const Gloo__Plugin *p);
// Checks P alone; findings on R.
void pl_declared_check(const struct sld_translate *t, struct sld_report *r, const Gloo__Plugin *p);
// VALUE with the fields that P's document has for all configurations, where it does not say otherwise; in A. P NULL: VALUE.
const Google__Protobuf__Value *pl_declared_conf(struct sld_arena *a, const Gloo__Plugin *p, const Google__Protobuf__Value *value);
// The slot for PLUGIN (taken over; NULL: ERROR says why) as declared by P; GENERATION tells slots apart that are the same
// otherwise.
struct sld_plugin_slot *pl_declared_slot(struct sld_plugin *plugin, struct sld_str error, const Gloo__Plugin *p,
                                         unsigned generation);
// Breaches in a row after which a plugin of that slot is suspended.
unsigned pl_suspend_after(const struct sld_plugin_slot *s);
// Whether the plugin of S breached its ceilings that often, in a row or since it was watched last.
bool pl_exhausted(const struct sld_plugin_slot *s);
