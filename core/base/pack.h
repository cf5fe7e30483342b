// Bytes kept in less room: for encoded messages that repeat themselves and are seldom needed.
#pragma once

#include "base/obj.h"

// Packed bytes: immutable, shared. Its content hash is none: whoever keeps it knows the hash of the bytes.
struct sld_packed {
    struct sld_obj obj;
    size_t size; // of the bytes
    // Private to pack.c:
    size_t room;
    struct opened *opened; // while somebody holds them; not a reference
    char own[];
};

// Packs BYTES, below 2 GB; NULL when that would not take less than three quarters of their room. [any]
struct sld_packed *sld_packed_create(struct sld_str bytes);
// The bytes of P: what is returned is a new reference to who owns BYTES. All who hold them at one time share
// them. [any]
struct sld_obj *sld_packed_open(struct sld_packed *p, struct sld_str *bytes);
