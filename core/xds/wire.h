// The protobuf wire format, as far as discovery messages need it: a bounded reader over one message
// in memory, and a writer into a buffer.
#pragma once

#include "base/base.h"

enum sld_wire_type { SLD_WIRE_VARINT = 0, SLD_WIRE_I64 = 1, SLD_WIRE_LEN = 2, SLD_WIRE_I32 = 5 };

struct sld_wire {
    const unsigned char *p, *end;
    bool bad; // the bytes are no message
};

struct sld_wire_field {
    uint32_t number;
    enum sld_wire_type type;
    uint64_t value;       // varints
    struct sld_str bytes; // length-delimited; never absent
};

struct sld_wire sld_wire_open(struct sld_str bytes);
// The next field; false at the end and on garbage (look at `bad`). Never descends: nesting costs nothing.
bool sld_wire_next(struct sld_wire *w, struct sld_wire_field *f);

// Bytes a varint takes.
size_t sld_wire_size(uint64_t v);
// Bytes a length-delimited field with N bytes takes, for field numbers below 16.
size_t sld_wire_len_size(size_t n);
void sld_wire_put(struct sld_buf *b, uint64_t v);
// Tag and length of a length-delimited field of N bytes that follow.
void sld_wire_put_head(struct sld_buf *b, uint32_t number, size_t n);
void sld_wire_put_str(struct sld_buf *b, uint32_t number, struct sld_str s);
