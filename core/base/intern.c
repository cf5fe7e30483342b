// Interned strings: texts one behind the other in chunks that never move, an array of their places by id,
// and a hash table of ids.
#include "base/intern.h"

#include "base/alloc.h"
#include "base/hash.h"

// Chunks grow from the first of these sizes to the second. Texts begin at multiples of UNIT, so that where one stands
// takes 32 bits: the number of its chunk, and UNITS_BITS for its place there. A long text has a chunk of its own.
enum { CHUNK_MIN = 1024, CHUNK_MAX = 64 * 1024, SLOTS_MIN = 64, LARGE = 4096, UNIT = 4, UNITS_BITS = 14 };
_Static_assert(CHUNK_MAX == UNIT << UNITS_BITS, "every place of a chunk has a number");

struct chunk {
    size_t used, cap;
    char data[];
};

struct sld_intern {
    struct chunk **chunks; // the last is being filled
    uint32_t chunk_count;
    uint32_t *places;     // by id, of: its length (uint32_t), its bytes, NUL
    sld_id count, cap;
    sld_id *slots;        // by hash of the text; 0 = free
    uint16_t *tags;       // more of the hash, so that other texts are passed over without a look at them
    size_t slot_count;    // zero or a power of two
};

struct sld_intern *sld_intern_create(void)
{
    struct sld_intern *in = SLD_NEW(struct sld_intern);
    in->count = 1; // 0 means none
    return in;
}

void sld_intern_destroy(struct sld_intern *in)
{
    if (!in)
        return;
    for (uint32_t i = 0; i < in->chunk_count; i++)
        sld_xfree(in->chunks[i]);
    sld_xfree(in->chunks);
    sld_xfree(in->places);
    sld_xfree(in->slots);
    sld_xfree(in->tags);
    sld_xfree(in);
}

struct sld_str sld_intern_str(const struct sld_intern *in, sld_id id)
{
    SLD_PRE(id > 0 && id < in->count);
    uint32_t n, place = in->places[id];
    const char *at = in->chunks[place >> UNITS_BITS]->data + (place & ((1u << UNITS_BITS) - 1)) * UNIT;
    memcpy(&n, at, sizeof(n));
    return (struct sld_str){at + sizeof(n), n};
}

static uint16_t tag_of(uint64_t hash)
{
    return (uint16_t)(hash >> 48);
}

// The slot of S, whose hash is HASH: that of its id, or the free one where it belongs.
static size_t slot_of(const struct sld_intern *in, struct sld_str s, uint64_t hash)
{
    size_t i = (size_t)hash & (in->slot_count - 1);
    while (in->slots[i] &&
           (in->tags[i] != tag_of(hash) || !sld_str_eq(sld_intern_str(in, in->slots[i]), s)))
        i = (i + 1) & (in->slot_count - 1);
    return i;
}

static void slot_take(struct sld_intern *in, size_t i, sld_id id, uint64_t hash)
{
    in->slots[i] = id;
    in->tags[i] = tag_of(hash);
}

static void slots_grow(struct sld_intern *in)
{
    sld_xfree(in->slots);
    sld_xfree(in->tags);
    in->slot_count = in->slot_count ? in->slot_count * 2 : SLOTS_MIN;
    in->slots = sld_xcalloc(in->slot_count, sizeof(*in->slots));
    in->tags = sld_xcalloc(in->slot_count, sizeof(*in->tags));
    for (sld_id id = 1; id < in->count; id++) {
        struct sld_str s = sld_intern_str(in, id);
        uint64_t hash = sld_hash64(s);
        slot_take(in, slot_of(in, s, hash), id, hash);
    }
}

// A chunk with room for SIZE bytes behind the present one C.
static struct chunk *chunk_add(struct sld_intern *in, const struct chunk *c, size_t size)
{
    size_t cap = !c ? CHUNK_MIN : c->cap * 2 < CHUNK_MAX ? c->cap * 2 : CHUNK_MAX;
    cap = cap > size ? cap : size;
    struct chunk *more = sld_xalloc(sizeof(*more) + cap);
    *more = (struct chunk){.cap = cap};
    SLD_INV(in->chunk_count < UINT32_MAX >> UNITS_BITS);
    in->chunks = sld_xrealloc(in->chunks, (in->chunk_count + 1) * sizeof(*in->chunks));
    in->chunks[in->chunk_count++] = more;
    return more;
}

// Keeps S; where.
static uint32_t text_keep(struct sld_intern *in, struct sld_str s)
{
    SLD_PRE(s.n < UINT32_MAX);
    uint32_t n = (uint32_t)s.n;
    size_t size = (sizeof(n) + s.n + UNIT) / UNIT * UNIT; // with a NUL
    struct chunk *c = in->chunk_count ? in->chunks[in->chunk_count - 1] : NULL;
    if (!c || c->cap - c->used < size)
        c = chunk_add(in, c, size);
    uint32_t place = (in->chunk_count - 1) << UNITS_BITS | (uint32_t)(c->used / UNIT);
    char *p = c->data + c->used;
    c->used += size;
    memcpy(p, &n, sizeof(n));
    if (s.n)
        memcpy(p + sizeof(n), s.p, s.n);
    p[sizeof(n) + s.n] = 0;
    return place;
}

sld_id sld_intern_id(struct sld_intern *in, struct sld_str s)
{
    if (in->count * (size_t)4 >= in->slot_count * 3)
        slots_grow(in);
    uint64_t hash = sld_hash64(s);
    size_t slot = slot_of(in, s, hash);
    if (in->slots[slot])
        return in->slots[slot];
    SLD_INV(in->count < UINT32_MAX);
    if (in->count >= in->cap) {
        in->cap = !in->cap ? SLOTS_MIN : in->cap < LARGE ? in->cap * 2 : in->cap + in->cap / 4;
        in->places = sld_xrealloc(in->places, in->cap * sizeof(*in->places));
    }
    slot_take(in, slot, in->count, hash);
    in->places[in->count] = text_keep(in, s);
    return in->count++;
}

sld_id sld_intern_find(const struct sld_intern *in, struct sld_str s)
{
    return in->slot_count ? in->slots[slot_of(in, s, sld_hash64(s))] : 0;
}
