// The writer of statuses, shared by its files: status.c knows what is there and what is wanted,
// status_write.c writes the difference. Private to them.
#pragma once

#include "source/consul/lock.h"
#include "source/consul/status.h"
#include "source/consul/txn.h"
#include "source/consul/value.h"

#define MS UINT64_C(1000000)

enum {
    STATUS_BATCH_MAX = CONSUL_TXN_OPS_MAX - 1, // and the lock's
    STATUS_VALUE_MAX_BYTES = 320 * 1024,       // larger ones do not fit into a transaction
};

enum place { UNDECIDED, IN_VALUE, BESIDE, NOWHERE };

// What happened to some keys only.
struct events {
    uint64_t written_index, written_ns; // of the value, by us; 0: never
    char *others;                       // what others have beside it, as members of JSON; NULL: nothing
    uint64_t struck_ns;
    unsigned strikes;
};

// One key.
struct entry {
    struct sld_list queue;   // of those to be written
    struct sld_status *want; // a reference; NULL: not told, or gone
    struct sld_hash content, in_value; // what the value says, as of consul_value
    struct sld_hash beside;  // of what is there beside it under our name; zero: nothing
    uint64_t beside_index;   // of that key; 0: there is none
    struct events *events;   // owned; NULL: nothing happened
    bool kept : 1;           // somebody has its text: sld_consul_status_keep
    bool seen : 1, gone : 1; // the key is there; the object is said to be gone
    bool busy : 1;           // in the batch
    bool given_up : 1;       // until something changes
    bool told : 1;           // a problem
    char key[];
};

// One of those that are written together.
struct item {
    struct entry *e;
    struct sld_hash hash; // of what is written; zero: it is removed
};

struct sld_consul_status {
    struct sld_loop *io;
    struct sld_consul *c;
    struct sld_arena arena;
    struct sld_str root, prefix; // "gloo", "gloo-status"
    char *ns;                    // who reports
    sld_consul_status_problem *on_problem;
    void *user;
    enum place setting, automatic, place; // UNDECIDED: automatic; before begin
    bool begun;
    bool gloo_was_here; // some value says so
    struct sld_set entries;
    struct consul_lock *lock;
    uint64_t ttl_ms, lock_delay_ms;
    bool held, listed; // listed: what is beside is known
    struct sld_timer *timer;
    struct sld_consul_call *call;
    struct sld_list queue;
    struct item batch[STATUS_BATCH_MAX];
    size_t batch_count;
    uint64_t paid_ns; // writes are paid for up to this time
    unsigned failures;
    bool waiting; // the timer runs because of them
    size_t told; // keys of which problems are told
    bool complained, lock_complained;
};

// ---- status.c ----

// Whether something is to be written for E.
bool status_is_due(const struct sld_consul_status *w, const struct entry *e);
// Whether statuses can be written now.
bool status_is_active(const struct sld_consul_status *w);
// The entry of KEY, made when there is none.
struct entry *status_entry(struct sld_consul_status *w, struct sld_str key);
// What happened to E, made when nothing did.
struct events *status_events(struct entry *e);
// What others have beside it; NULL: nothing.
const char *status_others(const struct entry *e);
// Something about E, or about all, changed; they may be gone afterwards.
void status_look_at(struct sld_consul_status *w, struct entry *e);
void status_look_at_all(struct sld_consul_status *w);
// What concerns all of them; absent: it is over.
void status_complain(struct sld_consul_status *w, struct sld_str message);
// E is not written until something changes, because of WHY.
void status_give_up(struct sld_consul_status *w, struct entry *e, struct sld_str why);
// Nothing is known any more of what is beside.
void status_forget_beside(struct sld_consul_status *w);

// ---- status_write.c ----

// Writes what is due, as soon as it may.
void status_work(struct sld_consul_status *w);
// The queue has its first entry.
void status_work_soon(struct sld_consul_status *w);
// Learns what is beside, then works.
void status_list(struct sld_consul_status *w);
// Drops the queue and what is under way.
void status_rest(struct sld_consul_status *w);
// The status beside an object, as it is stored, in A.
struct sld_str status_beside_text(struct sld_arena *a, const struct sld_status *s);
