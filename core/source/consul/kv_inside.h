// What the files of the KV source share. Everything runs on the io thread.
//
//   kv.c        the source: keys known, what is told of them, problems
//   kv_part.c   watches: who reads which keys
//   kv_trust.c  whether what is not there any more was deleted
//   kv_read.c   answers as items
#pragma once

#include "source/consul/client.h"
#include "source/consul/item.h"
#include "source/consul/status.h"
#include "source/source.h"

enum {
    KV_LEAF = 128,       // keys that one watch reads, where there may be so many watches
    KV_ALONE = 256,      // up to here one watch reads everything
    KV_PARTS_MAX = 92,   // watches; others of the agent's belong to the discovery of services
    KV_PROBLEM_MAX = 400, // bytes of a message
    KV_SEEN = 256,        // indexes of changes that are remembered
    KV_WOKEN = 32,
};

// Below the root: keys of Solder's own, and the one by which it knows the store again.
#define KV_OWN SLD_STR("solder/")
#define KV_SENTINEL SLD_STR("solder/sentinel")

// ---- Answers (kv_read.c) ----

// The items of an answer about keys (their values in base64, for only those of new keys are decoded), or
// of one about their names, in order; strings are slices of BODY or in A. False: it is none, or it was cut.
bool kv_read_items(struct sld_arena *a, struct sld_str body, struct consul_item **out, size_t *n);
bool kv_read_names(struct sld_arena *a, struct sld_str body, struct sld_str **out, size_t *n);

// ---- Keys and parts ----

struct kv_part;

// A key that an answer did not have.
struct kv_absence {
    struct sld_list link; // in kv->missing
    struct kv_key *key;
    struct sld_consul_call *call; // asks for it alone
    bool proved;                  // it may be read, and is not there
    bool tried;                   // it was asked for
};

// There may be many thousands of these: what the writer of statuses knows of a key, its text above all, is not kept twice.
struct kv_key {
    const char *path; // below the root; sld_consul_status_keep
    struct kv_part *part;
    struct sld_list in_part;
    struct kv_absence *absence; // owned; NULL: its answer has it
    uint64_t index;             // ModifyIndex of what was read; 0: to be read again
    struct sld_hash answered;   // of the value, encoded as it came, at INDEX
    uint32_t round;             // of the answer that had it last
    bool unit;                  // it is told; others are folders, our own, and of no kind
    bool told;                  // the value that was read last was, but for its statuses
};

// Keys that one watch reads: those that begin with the prefix. Parts do not overlap.
struct kv_part {
    struct kv *kv;
    struct sld_list link;
    struct sld_consul_watch *watch;
    struct sld_list keys;
    size_t count;
    uint64_t index;  // of the answer that was read last
    bool read;       // an answer was read since it was asked for
    bool exact;      // the key PREFIX alone
    size_t whole;    // keys it had when it could not be cut
    bool went_back;  // an answer's index since the last one that was used
    uint64_t older_ns; // since when answers are older than what was read; 0: they are not
    uint64_t older_seen_ns; // when that was looked at last
    char *problem;   // it cannot be read; NULL: it can
    char prefix[];   // below the root
};

enum kv_trust {
    KV_NEW,     // nothing was read yet
    KV_MARKING, // the sentinel is being written
    KV_SURE,    // the sentinel was seen
    KV_PLAIN,   // there is none and it may not be written: rights and indexes alone count
    KV_DOUBT,   // what is read may be another store's, or one that lost its state
};

struct kv {
    struct sld_source base;
    struct sld_loop *loop;
    struct sld_arena arena;
    struct sld_source_events ev;
    struct sld_consul *agent;
    char *agent_name; // at which the keys were read
    struct sld_str root; // "gloo/"
    enum sld_consul_consistency consistency;
    struct sld_set keys; // struct kv_key
    size_t units;        // among them
    uint64_t decoded;    // values, since the beginning
    uint32_t round; // of answers, in a ring
    bool synced;       // was told since the beginning or the last reread
    bool settings_bad; // was told
    char problem[KV_PROBLEM_MAX]; // told of the source as a whole
    struct sld_consul_status *status;
    bool status_begun;

    // kv_part.c
    struct sld_list parts;
    size_t part_count;
    bool restart;                   // one watch is to read everything anew
    struct sld_consul_watch *names; // wakes at every change below the root; with more than one part
    char *names_problem;            // it cannot be read
    uint64_t woken[KV_WOKEN];     // indexes at which it woke since the timer looked
    size_t woken_count;
    uint64_t seen_by[KV_SEEN];    // indexes that parts told lately, in a ring
    size_t seen_at;
    struct sld_timer *gap;        // is there a change that no part saw?
    bool gap_soon;                // the timer runs for that, not for what is owed
    bool gap_owed;                // changes that were close together may have hidden one
    bool in_vain;                 // the last look found nothing new
    uint64_t gap_due_ns;          // when that is looked for
    uint64_t looked_ns;           // when it was last
    struct sld_consul_call *look; // reads all names

    // kv_trust.c
    enum kv_trust trust;
    char doubt[KV_PROBLEM_MAX];  // why, in KV_DOUBT
    char denied[KV_PROBLEM_MAX]; // why absence cannot be proved
    char id[40];                 // the sentinel's, as known
    bool was_sure;               // since then SURE_UNITS were known
    size_t sure_units;
    struct kv_sentinel {
        bool there, trust; // TRUST: an operator says that what is there is right
        uint64_t index;
        char id[40], status[16];
    } seen;
    struct sld_list missing; // struct kv_absence
    size_t missing_units;
    bool rights_known;             // a first reading without keys may be believed
    uint64_t top_index;            // the highest of an answer: a lower one knows less
    uint64_t low_index;            // of such a one; 0: there was none
    uint64_t refill_ns;            // until then what is not back after a doubt may be to come; 0: it is
    uint64_t refill_end_ns;        // but not after this
    uint64_t refill_ms;            // so long after the last that came
    int probe;                     // the kind whose key is asked for, to learn that
    unsigned asking;               // missing keys that are asked for
    struct sld_consul_call *write; // of the sentinel
    struct sld_consul_call *check; // reads the sentinel, or a probe
    struct sld_timer *again; // tries what failed again
};

// ---- kv.c ----

struct kv_key *kv_key_find(const struct kv *kv, struct sld_str path);
// Takes what an answer says of the key at PATH, of part P. False: the value is no base64.
bool kv_key_take(struct kv_part *p, struct sld_str path, const struct consul_item *item);
// K is not there any more, for sure.
void kv_key_remove(struct kv_key *k);
// The part of KEY below the root; absent when it is not below it, or nothing that can be named.
struct sld_str kv_path(const struct kv *kv, struct sld_str key);
// Tells the source's problem if it is another one now, and that everything was told.
void kv_look(struct kv *kv);

// ---- kv_part.c ----

void kv_parts_init(struct kv *kv);
// One watch for everything, from the beginning; keys that are known belong to its part.
void kv_parts_start(struct kv *kv);
void kv_parts_fini(struct kv *kv);
// A part told of a change at INDEX.
void kv_part_saw(struct kv *kv, uint64_t index);
// Every part was read.
bool kv_parts_read(const struct kv *kv);
// Every part is to be read again, whether anything changed or not.
void kv_parts_reread(struct kv *kv);
// After keys went, or when there is another arrangement to be made: not from within a walk over parts
// or their keys, and the last thing that is done with a part.
void kv_parts_tidy(struct kv *kv);
// A problem of one of the watches, or NULL.
const char *kv_parts_problem(const struct kv *kv);
// Where to cut: prefixes for watches that together read NAMES (sorted, distinct, below the root), at
// most MAX.
struct kv_cut {
    struct sld_str prefix; // slice of a name
    size_t first, count;   // of the names
    bool exact;            // the name PREFIX alone
    bool whole;            // cannot be cut further
};
size_t kv_cut(const struct sld_str *names, size_t n, size_t max, struct kv_cut *out);

// ---- kv_trust.c ----

void kv_trust_init(struct kv *kv);
void kv_trust_fini(struct kv *kv);
// The sentinel's value as read; absent: it is not there.
void kv_trust_sentinel(struct kv *kv, struct sld_str value, uint64_t index);
// An answer was taken in; WENT_BACK: its index is lower than the one before.
void kv_trust_look(struct kv *kv, bool went_back);
// The answer of its part did not have K, or has it again.
void kv_missing(struct kv_key *k);
void kv_found(struct kv_key *k);
// Whether what is missing is waited for, because the store is being filled again.
bool kv_refills(const struct kv *kv);
// How many seconds that is waited for at most.
unsigned kv_refill_most_s(const struct kv *kv);
// A key came, or came back.
void kv_came(struct kv *kv);
// Another store may be behind the address.
void kv_trust_forget(struct kv *kv);
