// codec/edit: the fields of a message one by one, for who does not know its type: read as values, set
// from trees. Pure; what is new lives in the arena given. [any]
#pragma once

#include "codec/doc.h"

enum sld_value_kind {
    SLD_VALUE_NONE, // not set, of a field that has presence
    SLD_VALUE_BOOL,
    SLD_VALUE_INT,
    SLD_VALUE_UINT,
    SLD_VALUE_DOUBLE,
    SLD_VALUE_STRING, // also an enum's name
    SLD_VALUE_BYTES,
    SLD_VALUE_MESSAGE,
};
struct sld_value {
    enum sld_value_kind kind;
    union {
        bool b;
        int64_t i; // also of an enum without a name
        uint64_t u;
        double d;
        struct sld_str s;    // the message's own
        ProtobufCMessage *m; // the message's own
    };
};

// How many elements or entries repeated field FIELD has; of others 1 when set.
size_t sld_msg_count(const ProtobufCMessage *m, unsigned field);
// The value of field FIELD, of a repeated one element I, which there is. Wrappers are their value.
struct sld_value sld_msg_get(const ProtobufCMessage *m, unsigned field, size_t i);
// The place of the entry with KEY in a map with texts as keys, or -1.
ptrdiff_t sld_msg_map_find(const ProtobufCMessage *m, unsigned field, struct sld_str key);

// Sets FIELD from NODE (proto3's JSON mapping; null clears it); another arm of its oneof is cleared.
// False: findings on R, with paths from the field's name on, and nothing changed.
bool sld_msg_set(struct sld_arena *a, ProtobufCMessage *m, unsigned field, const struct sld_node *node,
                 struct sld_report *r);
// The same for element I of a list; I = count appends.
bool sld_msg_set_item(struct sld_arena *a, ProtobufCMessage *m, unsigned field, size_t i, const struct sld_node *node,
                      struct sld_report *r);
// The same for the entry of KEY in a map; null removes it.
bool sld_msg_map_set(struct sld_arena *a, ProtobufCMessage *m, unsigned field, struct sld_str key,
                     const struct sld_node *node, struct sld_report *r);
// Takes element or entry I out.
void sld_msg_remove_item(ProtobufCMessage *m, unsigned field, size_t i);
// The unpacked message in ANY, or NULL when its type is not known or its bytes are broken.
ProtobufCMessage *sld_msg_unpack(struct sld_arena *a, const Google__Protobuf__Any *any);
