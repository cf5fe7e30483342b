// The cost of one edit at growing sizes, in ns: the work must not grow with the number of rows.
// Edits all over the rows also pay for memory out of the caches; edits of the same 100 rows show
// the work alone.
//
//   one       a row that one derived row copies
//   lookup    the same, and the derived row reads an index entry of 10 rows, one of which changed
//   big entry a row in an index entry that holds a tenth of all rows and has one reader (which does
//             not walk it): a binary search, and for a new row a memmove
#include <stdio.h>

#include "flow/flow.h"

enum { EDITS = 20000 };

struct bench {
    struct sld_flow *f;
    struct sld_table *rows, *readers;
    struct sld_index *groups, *big;
};

static struct bench b;

static void set_row(size_t i, uint64_t version)
{
    uint64_t content[2] = {i, version};
    struct sld_blob *v = sld_blob_create(sld_str_n((const char *)content, sizeof content));
    sld_flow_set(b.rows, sld_flow_keyf(b.f, "row-%zu", i), v);
    SLD_UNREF(v);
}

static uint64_t number_of(const void *value)
{
    uint64_t i;
    memcpy(&i, ((const struct sld_blob *)value)->data.p, sizeof i);
    return i;
}

static void by_group(sld_id key, const void *value, void (*add)(void *arg, sld_id entry),
                     void *arg, void *user)
{
    (void)key;
    (void)user;
    add(arg, sld_flow_keyf(b.f, "group-%llu", (unsigned long long)(number_of(value) / 10)));
}

static void by_tenth(sld_id key, const void *value, void (*add)(void *arg, sld_id entry),
                     void *arg, void *user)
{
    (void)key;
    (void)user;
    add(arg, sld_flow_keyf(b.f, "tenth-%llu", (unsigned long long)(number_of(value) % 10)));
}

static void copy(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)user;
    sld_ctx_emit(ctx, key, sld_obj_ref((void *)(uintptr_t)in));
}

static void sum(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    struct sld_index *i = *(struct sld_index **)user;
    uint64_t entry = i == b.groups ? number_of(in) / 10 : number_of(in) % 10;
    size_t n;
    const struct sld_hit *hits =
        sld_ctx_lookup(ctx, i, sld_flow_keyf(b.f, i == b.groups ? "group-%llu" : "tenth-%llu",
                                             (unsigned long long)entry), &n);
    struct sld_hash h = ((const struct sld_obj *)in)->hash;
    for (size_t k = 0; k < n && i == b.groups; k++)
        h = sld_hash_mix(h, ((const struct sld_obj *)hits[k].value)->hash);
    uint64_t content[3] = {h.lo, h.hi, n};
    sld_ctx_emit(ctx, key, sld_blob_create(sld_str_n((const char *)content, sizeof content)));
}

// One reader per tenth.
static void sum_few(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    if (number_of(in) < 10)
        sum(ctx, key, in, user);
}

// ns per change of one row, over the first SPREAD rows in a scattered order.
static uint64_t change_rows(size_t rows, size_t spread, uint64_t version, size_t *computed)
{
    uint64_t start_ns = sld_mono_ns();
    for (size_t e = 1; e <= EDITS; e++) {
        set_row(e * 7919 % spread * (rows / spread), version + e);
        *computed += sld_flow_run(b.f).computed;
    }
    return (sld_mono_ns() - start_ns) / EDITS;
}

static void measure(const char *name, size_t rows, sld_step *step, struct sld_index **which)
{
    b = (struct bench){.f = sld_flow_create()};
    b.rows = sld_flow_source(b.f, "rows");
    if (which == &b.groups)
        b.groups = sld_flow_index(b.f, "groups", b.rows, by_group, NULL);
    if (which == &b.big)
        b.big = sld_flow_index(b.f, "tenths", b.rows, by_tenth, NULL);
    b.readers = sld_flow_derive(b.f, "readers", b.rows, step, which);
    for (size_t i = 0; i < rows; i++)
        set_row(i, 0);
    uint64_t load_ns = sld_flow_run(b.f).duration_ns;
    size_t computed = 0;
    uint64_t hot_ns = change_rows(rows, 100, 1, &computed);
    uint64_t cold_ns = change_rows(rows, rows, 1 + EDITS, &computed);
    uint64_t start_ns = sld_mono_ns();
    for (size_t e = 1; e <= EDITS / 2; e++) { // a row goes, a row comes
        sld_flow_delete(b.rows, sld_flow_keyf(b.f, "row-%zu", e * 7919 % rows));
        computed += sld_flow_run(b.f).computed;
        set_row(e * 7919 % rows, e);
        computed += sld_flow_run(b.f).computed;
    }
    uint64_t churn_ns = (sld_mono_ns() - start_ns) / EDITS;
    printf("%-10s %8zu rows: load %6.0f ns/row, change %6llu ns (the same 100 rows %6llu ns), ", name,
           rows, (double)load_ns / (double)rows, (unsigned long long)cold_ns,
           (unsigned long long)hot_ns);
    printf("delete or add %6llu ns, %.1f steps each\n", (unsigned long long)churn_ns,
           (double)computed / (3.0 * EDITS));
    sld_flow_destroy(b.f);
}

int main(void)
{
    static const size_t sizes[] = {1000, 10000, 100000};
    for (size_t i = 0; i < SLD_ARRAY_LEN(sizes); i++)
        measure("one", sizes[i], copy, NULL);
    for (size_t i = 0; i < SLD_ARRAY_LEN(sizes); i++)
        measure("lookup", sizes[i], sum, &b.groups);
    for (size_t i = 0; i < SLD_ARRAY_LEN(sizes); i++)
        measure("big entry", sizes[i], sum_few, &b.big);
    return 0;
}
