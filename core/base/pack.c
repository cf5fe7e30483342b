// Packing: what stood among the last 64 KiB is referred to instead of repeated.
//
// The packed form is a row of pieces, each made of a byte that has the number of literal bytes in its high half and
// the length of the match behind them, less MATCH_MIN, in its low half; 15 means that more follows, in bytes of up to
// 255 of which the last is less. Then come the literals, two bytes of distance (low one first), and what more there is
// to the length. The last piece ends with its literals.
#include "base/pack.h"

#include <pthread.h>

#include "base/alloc.h"
#include "base/assert.h"

enum { MATCH_MIN = 4, NIBBLE = 15, DISTANCE_MAX = 65535, SLOT_BITS = 11, STEP_BITS = 5 };

struct opened {
    struct sld_obj obj;
    struct sld_packed *of; // own reference
    char bytes[];
};

static uint32_t word(const unsigned char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static size_t slot_of(uint32_t v)
{
    return (v * UINT32_C(2654435761)) >> (32 - SLOT_BITS);
}

// How many bytes from A on equal those from B on, before END.
static size_t match_length(const unsigned char *a, const unsigned char *b, const unsigned char *end)
{
    const unsigned char *from = a;
    while (end - a >= 8) {
        uint64_t x, y;
        memcpy(&x, a, sizeof(x));
        memcpy(&y, b, sizeof(y));
        if (x != y)
            break;
        a += 8;
        b += 8;
    }
    while (a < end && *a == *b) {
        a++;
        b++;
    }
    return (size_t)(a - from);
}

static unsigned char *put_rest(unsigned char *out, size_t n)
{
    for (n -= NIBBLE; n >= 255; n -= 255)
        *out++ = 255;
    *out++ = (unsigned char)n;
    return out;
}

// One piece: LITERALS of N bytes and, unless it is zero, a match of LENGTH at DISTANCE.
static unsigned char *put_piece(unsigned char *out, const unsigned char *literals, size_t n, size_t distance, size_t length)
{
    size_t more = length ? length - MATCH_MIN : 0;
    *out++ = (unsigned char)((n < NIBBLE ? n : NIBBLE) << 4 | (more < NIBBLE ? more : NIBBLE));
    if (n >= NIBBLE)
        out = put_rest(out, n);
    memcpy(out, literals, n);
    out += n;
    if (!length)
        return out;
    *out++ = (unsigned char)distance;
    *out++ = (unsigned char)(distance >> 8);
    return more >= NIBBLE ? put_rest(out, more) : out;
}

// What packing N bytes takes at most.
static size_t bound(size_t n)
{
    return n + n / 255 + 16;
}

static size_t pack(unsigned char *out, const unsigned char *in, size_t n)
{
    uint32_t slots[1 << SLOT_BITS] = {0}; // by the hash of four bytes: one more than where they stood last
    const unsigned char *literals = in, *end = in + n, *at = in;
    unsigned char *to = out;
    size_t misses = 0;
    while (end - at > MATCH_MIN) {
        uint32_t v = word(at), *slot = &slots[slot_of(v)];
        const unsigned char *before = *slot ? in + *slot - 1 : NULL;
        *slot = (uint32_t)(at - in) + 1;
        if (!before || at - before > DISTANCE_MAX || word(before) != v) {
            at += 1 + (misses++ >> STEP_BITS); // where nothing repeats itself, it looks less and less
            continue;
        }
        const unsigned char *found = at;
        while (at > literals && before > in && at[-1] == before[-1]) {
            at--;
            before--;
        }
        size_t length = (size_t)(found - at) + MATCH_MIN;
        length += match_length(at + length, before + length, end);
        to = put_piece(to, literals, (size_t)(at - literals), (size_t)(at - before), length);
        at += length;
        literals = at;
        misses = 0;
    }
    return (size_t)(put_piece(to, literals, (size_t)(end - literals), 0, 0) - out);
}

static size_t take_rest(const unsigned char **in)
{
    size_t n = NIBBLE;
    unsigned char c;
    do {
        c = *(*in)++;
        n += c;
    } while (c == 255);
    return n;
}

// Our own memory is read here: it is what was packed.
static void unpack(char *out, size_t n, const unsigned char *in, size_t room)
{
    const unsigned char *end = in + room;
    char *to = out, *stop = out + n;
    for (;;) {
        size_t count = *in >> 4, length = *in & NIBBLE;
        in++;
        if (count == NIBBLE)
            count = take_rest(&in);
        SLD_INV(count <= (size_t)(end - in) && count <= (size_t)(stop - to));
        memcpy(to, in, count);
        to += count;
        in += count;
        if (in == end)
            break;
        size_t distance = in[0] | (size_t)in[1] << 8;
        in += 2;
        length = MATCH_MIN + (length == NIBBLE ? take_rest(&in) : length);
        SLD_INV(distance > 0 && distance <= (size_t)(to - out) && length <= (size_t)(stop - to));
        if (distance >= length) {
            memcpy(to, to - distance, length);
            to += length;
            continue;
        }
        for (const char *from = to - distance; length; length--) // it runs into what it makes
            *to++ = *from++;
    }
    SLD_INV(to == stop);
}

static void packed_free(struct sld_obj *o)
{
    sld_xfree(o);
}

struct sld_packed *sld_packed_create(struct sld_str bytes)
{
    SLD_PRE(bytes.n < INT32_MAX);
    unsigned char *room = sld_xalloc(bound(bytes.n));
    size_t n = pack(room, (const unsigned char *)bytes.p, bytes.n);
    struct sld_packed *p = NULL;
    if (n < bytes.n - bytes.n / 4) {
        p = sld_xalloc(sizeof(*p) + n);
        *p = (struct sld_packed){.size = bytes.n, .room = n};
        sld_obj_init(&p->obj, packed_free, (struct sld_hash){0});
        memcpy(p->own, room, n);
    }
    sld_xfree(room);
    return p;
}

// Guards `opened` of all: it is set and cleared for a moment.
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;

static void opened_free(struct sld_obj *obj)
{
    struct opened *o = (struct opened *)obj;
    pthread_mutex_lock(&opening);
    if (o->of->opened == o)
        o->of->opened = NULL;
    pthread_mutex_unlock(&opening);
    SLD_UNREF(o->of);
    sld_xfree(o);
}

struct sld_obj *sld_packed_open(struct sld_packed *p, struct sld_str *bytes)
{
    pthread_mutex_lock(&opening);
    struct opened *o = p->opened;
    // One that is being freed is not looked at again: its owner waits for the lock.
    if (!o || !sld_obj_try_ref(&o->obj)) {
        o = sld_xalloc(sizeof(*o) + p->size + 1);
        sld_obj_init(&o->obj, opened_free, (struct sld_hash){0});
        o->of = sld_obj_ref(p);
        unpack(o->bytes, p->size, p->own, p->room);
        o->bytes[p->size] = 0;
        p->opened = o;
    }
    pthread_mutex_unlock(&opening);
    *bytes = sld_str_n(o->bytes, p->size);
    return &o->obj;
}
