// The protobuf wire format by hand: a response is a header plus slices, a request may hold a million names.
#include "xds/wire.h"

struct sld_wire sld_wire_open(struct sld_str bytes)
{
    const unsigned char *p = (const unsigned char *)(bytes.p ? bytes.p : "");
    return (struct sld_wire){.p = p, .end = p + bytes.n};
}

static bool varint(struct sld_wire *w, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (w->p == w->end)
            return false;
        unsigned char c = *w->p++;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80)) {
            *out = v;
            return shift < 63 || c <= 1;
        }
    }
    return false;
}

static bool skip(struct sld_wire *w, size_t n)
{
    if ((size_t)(w->end - w->p) < n)
        return false;
    w->p += n;
    return true;
}

static bool read_value(struct sld_wire *w, struct sld_wire_field *f)
{
    uint64_t n;
    switch (f->type) {
    case SLD_WIRE_VARINT:
        return varint(w, &f->value);
    case SLD_WIRE_I64:
        return skip(w, 8);
    case SLD_WIRE_I32:
        return skip(w, 4);
    case SLD_WIRE_LEN:
        if (!varint(w, &n) || n > (uint64_t)(w->end - w->p))
            return false;
        f->bytes = (struct sld_str){(const char *)w->p, (size_t)n};
        w->p += n;
        return true;
    }
    return false; // groups are not used by these messages
}

bool sld_wire_next(struct sld_wire *w, struct sld_wire_field *f)
{
    uint64_t tag;
    if (w->bad || w->p == w->end)
        return false;
    *f = (struct sld_wire_field){.bytes = SLD_STR("")};
    if (!varint(w, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff) {
        w->bad = true;
        return false;
    }
    f->number = (uint32_t)(tag >> 3);
    f->type = (enum sld_wire_type)(tag & 7);
    if (!read_value(w, f)) {
        w->bad = true;
        return false;
    }
    return true;
}

size_t sld_wire_size(uint64_t v)
{
    size_t n = 1;
    while (v >>= 7)
        n++;
    return n;
}

size_t sld_wire_len_size(size_t n)
{
    return 1 + sld_wire_size(n) + n;
}

void sld_wire_put(struct sld_buf *b, uint64_t v)
{
    while (v >= 0x80) {
        sld_buf_addc(b, (char)(v | 0x80));
        v >>= 7;
    }
    sld_buf_addc(b, (char)v);
}

void sld_wire_put_head(struct sld_buf *b, uint32_t number, size_t n)
{
    sld_wire_put(b, number << 3 | SLD_WIRE_LEN);
    sld_wire_put(b, n);
}

void sld_wire_put_str(struct sld_buf *b, uint32_t number, struct sld_str s)
{
    sld_wire_put_head(b, number, s.n);
    sld_buf_add(b, s);
}
