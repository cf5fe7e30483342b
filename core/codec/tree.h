// Inside codec: messages to trees, in proto3's JSON mapping.
#pragma once

#include "codec/doc.h"

// The tree of M. REDACT: values of sensitive fields become "***".
struct sld_node *tree_message(struct sld_arena *a, const ProtobufCMessage *m, bool redact);
// The tree of field FIELD of M as it stands below its name.
struct sld_node *tree_field(struct sld_arena *a, const ProtobufCMessage *m, unsigned field,
                            bool redact);
// The tree of element I of repeated field FIELD (for a map: of the entry's value).
struct sld_node *tree_item(struct sld_arena *a, const ProtobufCMessage *m, unsigned field, size_t i,
                           bool redact);
// The text of a map entry's key.
struct sld_str tree_key(struct sld_arena *a, const ProtobufCMessage *entry);
