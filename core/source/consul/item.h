// One key in an answer of Consul. Private to the room.
#pragma once

#include "codec/scan.h"

struct consul_item {
    struct sld_str key, value, session; // value never absent; session: of who has locked it
    uint64_t index;                     // ModifyIndex
};
// Reads the object that S comes to, with its value as it stands there, in base64; strings are slices of
// the text or in S's arena. False, and S has failed, when it is no key.
bool consul_item_scan(struct sld_scan *s, struct consul_item *out);
// The same with the value decoded, in A.
bool consul_item_read(struct sld_scan *s, struct sld_arena *a, struct consul_item *out);
