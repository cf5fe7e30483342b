// The structures of flow, shared by its files only.
//
// A *node* is what flow knows of (table, key): the row if there is one, who reads it (also while it
// does not exist), and who claims it. A *task* is one parent row of a derived table: what its step
// read and what it claims. A *probe* is a thing that can be read: a node, an index entry or a whole
// table.
#pragma once

#include "flow/flow.h"

struct task;

// Who read a probe: read IDX of TASK.
struct reader {
    struct task *task;
    uint32_t idx;
    bool exists_only;
};

struct probe {
    struct reader *v;
    uint32_t n, cap;
};

// What a task read: P, where it is reader number POS.
struct read {
    struct probe *p;
    uint32_t pos;
    uint8_t kind; // enum sld_read_kind
};

struct task {
    struct sld_table *table;
    struct read *reads;
    struct claim *claims; // singly linked
    uint32_t reads_n, reads_cap;
    sld_id key;
    bool dirty;
};

// Row NODE as TASK would have it. Owned by the task.
struct claim {
    struct node *node;
    struct task *task;
    struct sld_obj *value; // owned; NULL until the step that made the claim has ended
    struct sld_obj *fresh; // owned; emitted by the step that runs now
    struct claim *next;
};

// The claims on one node, by key text of their tasks: the first owns the row. A lone one needs no
// array.
struct claims {
    union {
        struct claim *one;   // n == 1 and cap == 0
        struct claim **many; // cap > 0
    } u;
    uint32_t n, cap;
};

struct node {
    struct probe probe;
    struct sld_table *table;
    struct sld_obj *value; // owned; NULL = no such row
    union {
        struct claims claims;    // of a derived table
        struct sld_obj *pending; // of a source table, while touched: owned, NULL = to be deleted
    } u;
    sld_id key;
    bool touched; // in table->touched
    bool held;    // in flow->changes
};

// Rows sorted by key text. Within a round, rows are appended behind the sorted part and removed
// ones stay with a NULL value, until hits_settle.
struct hits {
    struct sld_hit *v;
    uint32_t n, sorted, dead, cap;
};

struct entry {
    struct probe probe;
    struct sld_index *index;
    struct hits hits;
    sld_id key;
    bool touched; // in index->touched
};

struct sld_index {
    const char *name;
    struct sld_table *table;
    sld_index_fn *fn;
    void *user;
    struct sld_umap entries; // id -> struct entry
    struct entry **touched;
    size_t touched_n, touched_cap;
    struct sld_index *next; // of the same table
};

// One table that another one drives.
struct child {
    struct sld_table *table;
    bool existence_only; // of a join
    struct child *next;
};

struct sld_table {
    struct sld_flow *flow;
    const char *name;
    unsigned rank;              // place in flow->tables
    struct sld_umap nodes;      // id -> struct node
    size_t rows;                // of a source table: with what is pending
    struct node **touched;      // nodes to look at in this round
    size_t touched_n, touched_cap;
    struct sld_index *indexes;
    struct child *children;
    struct probe probe;         // readers of the whole table
    struct hits all;            // kept once somebody read the whole table
    bool all_kept;
    sld_watch_fn *watch;
    void *watch_user;
    // Of a derived table:
    sld_step *step;             // NULL = source
    void *user;
    struct sld_table **parents; // owned
    size_t parents_n;
    bool join;
    struct sld_umap tasks;      // parent key -> struct task
    struct task **dirty;
    size_t dirty_n, dirty_cap;
    struct sld_umap contested;  // key -> node with more than one claim
    uint64_t computed, cut;
};

struct change {
    struct node *node;
    struct sld_obj *old; // owned
};

struct sld_ctx {
    struct sld_flow *flow;
    struct task *task; // NULL outside of a step
    struct sld_arena scratch;
};

struct ids {
    sld_id *v;
    size_t n, cap;
};

struct sld_flow {
    struct sld_intern *keys;
    struct sld_table **tables; // by rank
    size_t tables_n, tables_cap;
    struct change *changes;    // of this round, by rank
    size_t changes_n, changes_cap;
    size_t pending;            // touched source rows
    struct ids ids_old, ids_new; // reused by hits.c
    struct sld_ctx ctx;
    uint64_t rounds;
    bool running;
};

// Makes room for element N in array V of capacity CAP (all lvalues).
#define FLOW_GROW(v, n, cap)                                                                       \
    do {                                                                                           \
        if ((n) >= (cap)) {                                                                        \
            (cap) = (cap) ? (cap) * 2 : 2;                                                         \
            (v) = sld_xrealloc((v), (size_t)(cap) * sizeof(*(v)));                                 \
        }                                                                                          \
    } while (0)

// Order of two keys by text.
int flow_key_cmp(const struct sld_flow *f, sld_id a, sld_id b);

// flow.c
struct node *flow_node_get(struct sld_table *t, sld_id key); // made when missing
// Frees N when nothing needs it any more.
void flow_node_drop(struct node *n);
void flow_node_touch(struct node *n);

// probe.c
// Records that TASK read P, once.
void flow_probe_record(struct task *task, struct probe *p, enum sld_read_kind kind);
// Takes back all reads of TASK and frees probes that nobody needs any more.
void flow_task_forget(struct task *task);
void flow_task_mark(struct task *task);
// Marks the readers of P; EXISTED_TOO: the row was changed, not made or deleted.
void flow_probe_wake(const struct probe *p, bool existed_too);

// hits.c
void flow_hits_add(struct hits *h, sld_id key, const void *value);
void flow_hits_settle(const struct sld_flow *f, struct hits *h);
// Brings the indexes and the sorted rows of N's table up to its change and wakes their readers.
void flow_index_change(struct node *n, struct sld_obj *old, struct sld_obj *new_value);
// Sorts what changed in T's indexes; before anybody reads them.
void flow_index_settle(struct sld_table *t);
struct entry *flow_entry_get(struct sld_index *i, sld_id key); // made when missing
void flow_entry_drop(struct entry *e);

// claim.c
struct claim *flow_claim_first(const struct node *n); // NULL = none
// The Nth claim on the node, I < claims.n.
struct claim *flow_claim_at(const struct node *n, uint32_t i);
// TASK's claim on N, made when missing.
struct claim *flow_claim_get(struct task *task, struct node *n);
// After a step: what was not emitted again goes. True when anything changed.
bool flow_claim_commit(struct task *task);
