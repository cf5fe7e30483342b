// The structures of flow, shared by its files only.
//
// A *node* is what flow knows of (table, key): the row if there is one, who reads it (also while it
// does not exist), and who claims it. A *task* is one parent row of a derived table: what its step
// read and what it claims. A *probe* is a thing that can be read: a node, an index entry or a whole
// table.
#pragma once

#include "flow/flow.h"

// All slabs of a flow, by number. What stands in one has a 32-bit name, half of what a pointer takes; there
// are so many of these that it counts.
struct slabs {
    struct slab **v;
    uint32_t n, cap;
};

// The name of what stands in a slab: a node, task, claim or entry, or a probe within one. 0: none.
typedef uint32_t flow_ref;

// Items of one size: no header each, freed ones are used again, all go with the pool.
struct pool {
    struct slabs *all;
    size_t size; // of an item
    void *free;  // linked by their first word
    struct slab *last;
    size_t used; // bytes of LAST
};

// Items of slabs by id, which is their first member.
struct idtab {
    const struct slabs *all;
    flow_ref *v;
    uint32_t n, cap; // cap is zero or a power of two
};

// Who read a probe: read IDX of TASK.
struct reader {
    flow_ref task;
    uint32_t idx : 31;
    uint32_t exists_only : 1;
};

struct readers {
    uint32_t cap;
    struct reader v[];
};

// Most have one reader or none, which needs no array.
struct probe {
    union {
        struct reader one;    // n == 1
        struct readers *many; // n > 1
    } u;
    uint32_t n;
    uint32_t own; // what this is of node or entry; here it takes no room
};

// Most tasks read a handful of probes: arrays of up to so many reads stand in pools.
enum { FLOW_READS_POOLED = 8 };

// What a task read: PROBE, where it is reader number POS.
struct read {
    flow_ref probe;
    uint32_t pos : 30;
    uint32_t kind : 2; // enum sld_read_kind
};

struct task {
    sld_id key;
    uint16_t table; // rank
    bool dirty;
    flow_ref claims; // singly linked; none of a single table
    uint32_t reads_n;
    union {
        struct read one;   // reads_n == 1
        struct read *many; // reads_n > 1, exactly as many
    } reads;
};

// Row NODE as TASK would have it. Owned by the task.
struct claim {
    flow_ref node, task;
    flow_ref next;
    uint32_t fresh;        // emitted by the step that runs now: 1 + its place in ctx->emitted; 0: nothing
    struct sld_obj *value; // owned; NULL until the step that made the claim has ended
};

// Two claims or more on one node, by key text of their tasks: the first owns the row. Owned by the table.
struct claims {
    uint32_t n, cap;
    struct claim *v[];
};

struct node {
    sld_id key;
    uint16_t table; // rank
    bool touched : 1; // in table->touched
    bool held : 1;    // in flow->changes
    bool asked : 1;   // in flow->asked
    bool wanted : 1;  // what was told last of its being read
    bool tasked : 1;  // of a single table: its task is there
    bool many : 1;    // of a derived table, unless it is single: its claims are in table->contested
    struct probe probe;    // own: the claim, unless there are many, or 0; of others, while touched: where in
                           // table->touched
    struct sld_obj *value; // owned; NULL = no such row
};

// A node to look at in this round.
struct touched {
    struct node *node;
    struct sld_obj *pending; // of a source or single table: what it shall be; owned, NULL = to be deleted
};

// Row and task of one key in a single table.
struct single {
    struct node node;
    struct task task;
};

// Rows sorted by key text. Within a round, rows are appended behind the sorted part and removed
// ones stay with a NULL value, until hits_settle.
struct hits {
    struct sld_hit *v;
    uint32_t n, cap;
    uint32_t sorted, dead;
};

// Most have one row.
struct entry {
    sld_id key;
    uint16_t index;     // number
    bool touched : 1;   // in index->touched
    bool many : 1;      // it has more rows than one, or had in this round
    struct probe probe; // own: the node of the row, or 0; of many: their struct hits, owned
};

struct sld_index {
    const char *name;
    struct sld_flow *flow;
    uint16_t number;        // place in flow->indexes
    unsigned rank;          // the highest of its tables
    sld_index_fn *fn;
    void *user;
    struct idtab entries;   // struct entry
    struct entry **touched;
    size_t touched_n, touched_cap;
};

// An index that has rows of a table.
struct indexing {
    struct sld_index *index;
    struct indexing *next; // of the same table
};

// One table that another one drives.
struct child {
    struct sld_table *table;
    struct child *next;
};

struct sld_table {
    struct sld_flow *flow;
    const char *name;
    uint16_t rank;              // place in flow->tables
    struct idtab nodes;         // struct node
    size_t rows;                // of a source table: with what is pending
    struct touched *touched;
    size_t touched_n, touched_cap;
    struct indexing *indexes;
    struct child *children;
    struct probe probe;         // readers of the whole table
    struct hits all;            // kept once somebody read the whole table
    bool all_kept;
    sld_watch_fn *watch;
    void *watch_user;
    sld_demand_fn *demand;
    void *demand_user;
    // Of a derived table:
    sld_step *step;             // NULL = source
    void *user;
    struct sld_table **parents; // owned
    size_t parents_n;
    bool join, single;
    sld_filter_fn *filter;      // NULL = all rows of the parent
    struct idtab tasks;         // struct task; by parent key; not of a single table
    struct task **dirty;
    size_t dirty_n, dirty_cap;
    struct sld_umap contested;  // key of a node with more than one claim -> struct claims
    uint64_t computed, cut;
};

struct change {
    struct node *node;
    struct sld_obj *old; // owned
};

struct sld_ctx {
    struct sld_flow *flow;
    struct task *task; // NULL outside of a step
    struct sld_obj *fresh; // owned; what the step of a single table emitted
    struct sld_obj **emitted; // owned; what that of others did
    uint32_t emitted_n, emitted_cap;
    struct read *reads; // of the task, until its step has ended; then task->reads has them
    uint32_t reads_n, reads_cap;
    struct sld_arena scratch;
};

// Why a task was to run: row CAUSE_KEY of the table of rank CAUSE_TABLE changed.
struct cause {
    uint32_t round;
    sld_id key, cause_key;
    uint16_t table, cause_table;
};
enum { FLOW_CAUSES = 2048 }; // of the last so many tasks

struct ids {
    sld_id *v;
    size_t n, cap;
};

struct sld_flow {
    struct sld_intern *keys;
    struct slabs slabs;
    struct sld_table **tables; // by rank
    size_t tables_n, tables_cap;
    struct sld_index **indexes; // by number
    size_t indexes_n, indexes_cap;
    struct pool declared, nodes, singles, tasks, claims, entries, hits; // DECLARED: the tables, which are probes too
    struct pool reads[FLOW_READS_POOLED + 1]; // arrays of so many reads, from 2 on
    struct change *changes;    // of this round, by rank
    size_t changes_n, changes_cap;
    struct node **asked;       // of tables in demand: those that got their first reader, or lost the last
    size_t asked_n, asked_cap;
    size_t pending;            // touched source rows
    struct ids ids_old, ids_new; // reused by hits.c
    struct sld_ctx ctx;
    const struct node *moved;  // whose change marks tasks
    struct cause causes[FLOW_CAUSES];
    size_t causes_n;           // ever written; they are a ring
    uint64_t rounds;
    bool running;
};

// Makes room for element N in array V of capacity CAP (all lvalues). Long ones grow by a quarter: those
// that stay have little behind them.
#define FLOW_GROWN(cap) (!(cap) ? 2 : (cap) < 1024 ? (cap) * 2 : (cap) + (cap) / 4)
#define FLOW_GROW(v, n, cap)                                                                       \
    do {                                                                                           \
        if ((n) >= (cap)) {                                                                        \
            (cap) = FLOW_GROWN(cap);                                                               \
            (v) = sld_xrealloc((v), (size_t)(cap) * sizeof(*(v)));                                 \
        }                                                                                          \
    } while (0)

// Order of two keys by text.
int flow_key_cmp(const struct sld_flow *f, sld_id a, sld_id b);

// An array that one great round made large is given back when it is empty again.
#define FLOW_SHRINK(v, cap)                                                                        \
    do {                                                                                           \
        if ((cap) > 512) {                                                                         \
            sld_xfree(v);                                                                          \
            (v) = NULL;                                                                            \
            (cap) = 0;                                                                             \
        }                                                                                          \
    } while (0)

// pool.c
void flow_slabs_fini(struct slabs *all);
void flow_pool_init(struct pool *p, struct slabs *all, size_t size);
void *flow_pool_new(struct pool *p); // zeroed
void flow_pool_drop(struct pool *p, void *item);
// The name of ITEM, which stands in a slab, and what has a name.
flow_ref flow_ref_of(const void *item);
void *flow_at(const struct slabs *all, flow_ref ref);
void flow_idtab_init(struct idtab *t, const struct slabs *all);
void flow_idtab_fini(struct idtab *t); // not the items
void *flow_idtab_get(const struct idtab *t, sld_id key);
void flow_idtab_add(struct idtab *t, void *item); // which is not there yet
void flow_idtab_remove(struct idtab *t, sld_id key);
// The next item from *AT on, or NULL; in no order. Meanwhile nothing may be added or removed.
void *flow_idtab_next(const struct idtab *t, size_t *at);

// flow.c
struct node *flow_node_get(struct sld_table *t, sld_id key); // made when missing
// True when a row of T gets the value that was set or emitted and waits in T->touched; false when
// the first claim on it decides.
bool flow_node_pends(const struct sld_table *t);
// Frees N when nothing needs it any more.
void flow_node_drop(struct sld_flow *f, struct node *n);
// N is looked at in this round; PENDING (taken over) is what it shall be, if such values decide.
void flow_node_touch(struct sld_flow *f, struct node *n, struct sld_obj *pending);
// N got its first reader, or lost its last one: to be told at the end of the round if its table is in
// demand.
void flow_node_asked(struct sld_flow *f, struct node *n);

// probe.c
// Records that the running task read P, once.
void flow_probe_record(struct sld_ctx *ctx, struct probe *p, enum sld_read_kind kind);
// What the running task read becomes its own.
void flow_task_keep(struct sld_ctx *ctx);
// The reads of TASK, which does not run.
struct read *flow_task_reads(struct task *task);
// Gives back the array of TASK's reads, which are nobody's any more.
void flow_task_drop_reads(struct sld_flow *f, struct task *task);
// Takes back all reads of TASK and frees probes that nobody needs any more.
void flow_task_forget(struct sld_flow *f, struct task *task);
void flow_task_mark(struct sld_flow *f, struct task *task);
// Marks the readers of P; EXISTED_TOO: the row was changed, not made or deleted.
void flow_probe_wake(struct sld_flow *f, const struct probe *p, bool existed_too);
void flow_probe_fini(struct probe *p);
// Reader number I of P, below P->n.
struct reader flow_probe_reader(const struct probe *p, uint32_t i);

// hits.c
// The rows of entry E, settled; the array may be in A.
const struct sld_hit *flow_entry_rows(const struct sld_flow *f, struct sld_arena *a, const struct entry *e, size_t *n);
void flow_entry_fini(struct sld_flow *f, struct entry *e);
void flow_hits_add(struct hits *h, struct sld_hit hit);
void flow_hits_settle(const struct sld_flow *f, struct hits *h);
void flow_hits_fini(struct hits *h);
// Brings the indexes and the sorted rows of N's table up to its change and wakes their readers.
void flow_index_change(struct sld_table *t, struct node *n, struct sld_obj *old,
                       struct sld_obj *new_value);
// Sorts what changed in T's indexes; before anybody reads them.
void flow_index_settle(struct sld_table *t);
struct entry *flow_entry_get(struct sld_index *i, sld_id key); // made when missing
void flow_entry_drop(struct sld_flow *f, struct entry *e);

// claim.c
// Of a node of a derived table that is not single:
struct claim *flow_claim_first(const struct sld_flow *f, const struct node *n); // NULL = none
uint32_t flow_claim_count(const struct sld_flow *f, const struct node *n);
// The claim number I on the node, I < its count.
struct claim *flow_claim_at(const struct sld_flow *f, const struct node *n, uint32_t i);
// The key of the parent row whose task has claim C.
sld_id flow_claim_key(const struct sld_flow *f, const struct claim *c);
// TASK's claim on N, made when missing.
struct claim *flow_claim_get(struct sld_flow *f, struct task *task, struct node *n);
// After a step: what was not emitted again goes. True when anything changed.
bool flow_claim_commit(struct sld_flow *f, struct task *task);
