// flow: a build system for configuration. Rows of source tables are set and deleted by the outside;
// rows of derived tables are pure functions of other rows. While a step runs, everything it reads
// is recorded; when something changes, exactly the rows that read it are computed again, in rank
// order, and a row whose content hash stays equal stops the wave.
//
// Knows no Envoy, no Kubernetes, no Lua, no libuv. One flow belongs to one thread (the model
// thread).
#pragma once

#include "base/base.h"

struct sld_flow;
struct sld_table;
struct sld_index;
struct sld_ctx;

// A row's value is a refcounted immutable object (base/obj.h) whose obj.hash tells its content:
// equal hashes mean equal content, and nobody downstream wakes. A value that equals the present one
// is dropped and the old object stays, so that pointers stay the same as long as the content does.
// Values must not hold ids of keys: another flow (the oracle, a restart) numbers them otherwise.

// ---- Declaring (before the first round) ----

// A flow without tables. It belongs to the thread that calls its functions.
struct sld_flow *sld_flow_create(void);
// Drops every row. NULL is fine.
void sld_flow_destroy(struct sld_flow *f);
// Row keys as numbers, of this flow alone, and their texts.
sld_id sld_flow_key(struct sld_flow *f, struct sld_str s);
// The same for a text that may be no key: 0 when it never was one. Who looks what others say up asks so, for keys stay.
sld_id sld_flow_key_find(const struct sld_flow *f, struct sld_str s);
sld_id sld_flow_keyf(struct sld_flow *f, const char *fmt, ...) SLD_PRINTF(2, 3);
struct sld_str sld_flow_key_str(struct sld_flow *f, sld_id id);

// A table whose rows the outside sets. NAME is a literal.
struct sld_table *sld_flow_source(struct sld_flow *f, const char *name);

// Computes the outputs of one parent row. KEY and IN are the parent's key and value (IN is never
// NULL: when the parent row goes, its outputs go, and the step is not called). Emits zero or more
// rows by sld_ctx_emit. Must be pure in what it reads through CTX.
typedef void sld_step(struct sld_ctx *ctx, sld_id key, const void *in, void *user);

// A table whose rows are computed by STEP from each row of PARENT, again whenever that row or
// something STEP read changes; it ranks behind every table declared so far, and STEP may read all
// of those. NAME is a literal; USER is borrowed.
struct sld_table *sld_flow_derive(struct sld_flow *f, const char *name, struct sld_table *parent,
                                  sld_step *step, void *user);

// Rows of T's parent for which FN is false are none to T: its step is not run for them, and nothing
// is kept of them. For tables that are about few of many rows. FN is pure in the value.
typedef bool sld_filter_fn(const void *value);
void sld_flow_filter(struct sld_table *t, sld_filter_fn *fn);

// Parent rows of derived table T claim no row but the one of their own key: such a row takes half the
// memory, for nobody else can claim it.
void sld_flow_single(struct sld_table *t);

// A derived table whose row keys are demanded, not driven by one parent: it has a row for every key
// that any table in PARENTS (NULL-terminated) has. STEP gets IN = NULL and reads what it needs by
// sld_ctx_get; it runs whenever a row of that key changes in a parent, so reading those costs nothing.
// For joins such as object = f(raw, accepted).
struct sld_table *sld_flow_join(struct sld_flow *f, const char *name,
                                struct sld_table *const *parents,
                                sld_step *step, void *user);

// Index keys of one row: calls ADD for each. Pure in (key, value).
typedef void sld_index_fn(sld_id key, const void *value, void (*add)(void *arg, sld_id entry),
                          void *arg, void *user);
// An index over TABLE. Reading one of its entries depends on that entry only.
struct sld_index *sld_flow_index(struct sld_flow *f, const char *name, struct sld_table *table,
                                 sld_index_fn *fn, void *user);
// The rows of TABLE are in index I too, by the same function.
void sld_flow_index_add(struct sld_index *i, struct sld_table *table);

// ---- The outside: source rows ----

// Sets row KEY of source table T to VALUE (a reference is taken). The change is pending until the
// next round; the last writer wins.
void sld_flow_set(struct sld_table *t, sld_id key, void *value);
void sld_flow_delete(struct sld_table *t, sld_id key);
// The present value of a row of any table (borrowed), or NULL. Outside of steps only; of a source
// table: the pending value.
const void *sld_flow_get(const struct sld_table *t, sld_id key);
// Rows of a table in no order; start with *AT = 0. Outside of steps only. Meanwhile rows may be
// deleted, not added.
bool sld_flow_next(const struct sld_table *t, size_t *at, sld_id *key, const void **value);
size_t sld_flow_count(const struct sld_table *t);
// True when row KEY of source table T was set or deleted since the last round: what other tables say
// does not follow from it yet.
bool sld_flow_changed(const struct sld_table *t, sld_id key);
// True when some step read row KEY of T when it ran last, there or not. Outside of steps only.
bool sld_flow_has_readers(const struct sld_table *t, sld_id key);
const char *sld_table_name(const struct sld_table *t);

// ---- Rounds ----

struct sld_round {
    uint64_t number;      // from 1
    uint64_t duration_ns;
    size_t sources;       // source rows applied
    size_t computed;      // steps run
    size_t cut;           // steps whose outputs were all equal to before
};

// Called for every row of a watched table that changed in a round, after the whole wave, in rank
// order of tables and unspecified order of rows. OLD is NULL for a new row, NEW for a deleted one;
// both are borrowed.
typedef void sld_watch_fn(struct sld_table *t, sld_id key, const void *old, const void *new_value,
                          void *user);
// At most one watcher per table; set before the first round.
void sld_flow_watch(struct sld_table *t, sld_watch_fn *fn, void *user);

// Called for every key of a table in demand that some step has begun to read (WANTED), or that no step
// reads any more, since this was told last; after the watchers of a round, in no order. Rows that do
// not exist are read too; what a join reads of its parents under its own key does not count. Costs
// what changed. It may set source rows (for the next round).
typedef void sld_demand_fn(struct sld_table *t, sld_id key, bool wanted, void *user);
// At most one per table; set before the first round.
void sld_flow_demand(struct sld_table *t, sld_demand_fn *fn, void *user);

// True when source changes are pending.
bool sld_flow_pending(const struct sld_flow *f);
// Applies all pending source changes, runs one wave, calls the watchers. Not re-entrant; watchers
// may set source rows (for the next round).
struct sld_round sld_flow_run(struct sld_flow *f);

// ---- Inside a step ----

// The row KEY of table T (which must rank lower), or NULL when there is none; recorded either way.
// The value is borrowed until the end of the round.
const void *sld_ctx_get(struct sld_ctx *ctx, struct sld_table *t, sld_id key);
// Whether the row exists: depends on existence only, not on content.
bool sld_ctx_has(struct sld_ctx *ctx, struct sld_table *t, sld_id key);
// The rows of entry ENTRY of index I, sorted by key text (rows of several tables with one key: by rank);
// recorded as the entry, so that cost is independent of the table's size. The array is valid until the end of the step.
struct sld_hit {
    sld_id key;
    uint32_t rank; // of the row's table
    const void *value;
};
const struct sld_hit *sld_ctx_lookup(struct sld_ctx *ctx, struct sld_index *i, sld_id entry,
                                     size_t *n);
// All rows of T, sorted by key text; depends on every change of T. For small tables only.
const struct sld_hit *sld_ctx_all(struct sld_ctx *ctx, struct sld_table *t, size_t *n);
// Claims row KEY with VALUE, which is not NULL (the reference is taken over). Claiming a key twice
// in one step replaces the value. Of all parent rows that claim a key, the one whose key text sorts
// first owns it and gives the row its value, whoever came first: rows stay a function of the
// sources. When the owner lets go, the next claim takes its place without its step being run again.
// Who lost is not told here, because that would not be pure: see sld_flow_lost.
void sld_ctx_emit(struct sld_ctx *ctx, sld_id key, void *value);
struct sld_flow *sld_ctx_flow(struct sld_ctx *ctx);
// An arena freed at the end of the step.
struct sld_arena *sld_ctx_scratch(struct sld_ctx *ctx);

// ---- Claims on one key ----

// The parent row that owns row KEY of derived table T, or 0 when there is no such row. Outside of
// steps.
sld_id sld_flow_owner(const struct sld_table *t, sld_id key);
// Calls FN for each claim of T that lost: parent row LOSER claims KEY too, which OWNER has. Costs
// what there is to tell. Keys in no order, losers of one key by key text. Outside of steps.
typedef void sld_lost_fn(sld_id key, sld_id loser, sld_id owner, void *arg);
void sld_flow_lost(const struct sld_table *t, sld_lost_fn *fn, void *arg);

// ---- Explaining ----

// What the step of derived table T read for parent row PARENT_KEY, besides the rows of that key in T's
// parents: calls
// FN once for each thing read. KEY is the row's or the entry's, 0 for a whole table.
enum sld_read_kind { SLD_READ_ROW, SLD_READ_EXISTS, SLD_READ_ENTRY, SLD_READ_TABLE };
typedef void sld_read_fn(enum sld_read_kind kind, const char *table_or_index, sld_id key,
                         void *arg);
void sld_flow_reads(const struct sld_table *t, sld_id parent_key, sld_read_fn *fn, void *arg);

// Calls FN with the parent key of each row of OF whose step read row KEY of T when it ran last, there or not. Outside
// of steps.
typedef void sld_reader_fn(sld_id parent_key, void *arg);
void sld_flow_readers(const struct sld_table *t, sld_id key, const struct sld_table *of, sld_reader_fn *fn, void *arg);

// One step that ran for a row: what it made, and why it ran last.
struct sld_trace {
    struct sld_table *table; // whose step it is
    sld_id parent;           // the parent row
    const sld_id *made;      // rows of TABLE that are its own; borrowed
    size_t made_count;
    uint64_t round;          // it ran last in this round because of a change of row CAUSE_KEY of CAUSE_TABLE; 0: too
    const char *cause_table; // many others ran since
    sld_id cause_key;
};
// Calls FN for the steps that ran for rows of key KEY of source tables, for what these made of them and so on, in
// rank order; the first SLD_TRACE_MAX. What a step read (sld_flow_reads) is not followed. Outside of steps.
enum { SLD_TRACE_MAX = 512 };
typedef void sld_trace_fn(const struct sld_trace *s, void *arg);
void sld_flow_trace(const struct sld_flow *f, sld_id key, sld_trace_fn *fn, void *arg);

// Per-table counters, for metrics and `solder graph`.
struct sld_table_stats {
    const char *name;
    unsigned rank;
    size_t rows;
    uint64_t computed, cut;
};
size_t sld_flow_stats(const struct sld_flow *f, struct sld_table_stats *out, size_t max);

// ---- The oracle ----

// Recomputes every derived table from the source tables into a fresh flow built by BUILD (which
// declares the same tables in the same order) and compares all rows by hash, and who owns them. The
// first difference goes to ERR (SLD_INTERNAL). Nothing may be pending.
SLD_NODISCARD enum sld_rc sld_flow_verify(struct sld_flow *f,
                                          void (*build)(struct sld_flow *fresh, void *arg),
                                          void *arg, struct sld_err *err);
