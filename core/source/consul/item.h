// One key in an answer of Consul. Private to the room.
#pragma once

#include "codec/scan.h"

struct consul_item {
    struct sld_str key, value, session; // value decoded, never absent; session: of who has locked it
    uint64_t index;                     // ModifyIndex
};
// Reads the object that S comes to; strings are in A or slices of the text. False, and S has failed,
// when it is no key.
bool consul_item_read(struct sld_scan *s, struct sld_arena *a, struct consul_item *out);
