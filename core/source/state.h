// Private to the state directory: its entries, their file, and the journal of what came since.
//
// The file is a header line, records of tagged fields, and a hash over all of it. A reader skips
// tags it does not know, so that a newer Solder may add fields and an older one still reads the
// file; when that is not enough, the header's second number tells older readers to keep their hands
// off.
#pragma once

#include "source/source.h"

enum {
    SLD_STATE_VERSION = 1,    // what we write
    SLD_STATE_MIN_READER = 1, // who may read what we write
};
// Ceilings: of the file, and of former forms in it.
#define SLD_STATE_MAX_BYTES (UINT64_C(512) * 1024 * 1024)
#define SLD_STATE_MAX_HISTORY_BYTES (UINT64_C(64) * 1024 * 1024)
// Of the journal, and of the words of a refusal and the build of who said them.
enum { SLD_STATE_MAX_JOURNAL_BYTES = 1024 * 1024, SLD_STATE_MAX_WORDS = 1024, SLD_STATE_MAX_BUILD = 1024 };

struct state_form {
    struct sld_raw *raw;
    int64_t wall_ms; // when it was accepted
};

// The document of an object that an Envoy refused.
struct state_refusal {
    struct sld_hash hash;
    struct sld_str words; // absent: none was refused
    struct sld_str build; // of the Envoy; empty: not known
};

// What is known of one object. Immutable, refcounted.
struct state_entry {
    struct sld_obj obj; // hash of the present form; of a Secret: of the chain in service
    // Behind the forms:
    const struct state_refusal *refusal; // NULL: none was refused
    struct sld_str key;                  // "virtualservices/ns/name"
    struct sld_str source;
    size_t count;              // 0: nothing was ever accepted, there is a refusal alone, or a chain
    struct state_form forms[]; // the present one first
};
// Takes a reference on each raw, copies the rest, words up to their ceiling; without words there is
// no refusal.
struct state_entry *state_entry_create(struct sld_ident id, struct sld_str source,
                                       const struct state_form *forms, size_t n,
                                       struct state_refusal refusal);
// What is known of a Secret.
struct state_entry *state_entry_create_chain(struct sld_ident id, struct sld_hash chain);
// True for such an entry.
bool state_entry_has_chain(const struct state_entry *e);
// Who the object is; slices of the key.
struct sld_ident state_entry_id(const struct state_entry *e);

// The bytes of file NAME of directory DIR_FD, to be freed with sld_xfree; NULL on failure.
// SLD_NOT_FOUND: no file; SLD_INVALID: larger than MAX, or cut.
SLD_NODISCARD enum sld_rc state_load(int dir_fd, const char *name, size_t max, char **out, size_t *n,
                                     struct sld_err *err);
// Reads file NAME of directory DIR_FD and calls ADD (which takes the entry over) for each entry,
// after the hash was proved; *HASH gets it. SLD_NOT_FOUND: no file; SLD_INVALID: torn; SLD_LIMIT:
// written by a newer Solder for newer readers only.
SLD_NODISCARD enum sld_rc state_file_read(int dir_fd, const char *name,
                                          void (*add)(struct state_entry *e, void *arg), void *arg,
                                          struct sld_hash *hash, struct sld_err *err);
// Writes "accepted" of directory DIR_FD anew and keeps the old one as "accepted.previous". *HASH gets
// the new one's. Blocks. [pool]
SLD_NODISCARD enum sld_rc state_file_write(int dir_fd, struct state_entry *const *entries, size_t n,
                                           struct sld_hash *hash, struct sld_err *err);

// What happened to one object.
struct state_change {
    struct sld_ident id;
    struct sld_raw *raw; // accepted, or NULL
    struct sld_str source;
    int64_t wall_ms;              // when
    struct sld_hash chain;        // of a Secret: of the certificate in service; zeroes: none
    struct state_refusal refusal; // without these: refused, or, without words, forgotten
};
// Appends C as a record of the file's form to OUT, which is full when it does not fit.
void state_record_add(struct sld_buf *out, const struct state_change *c);
// Calls ADD for each record of S; false when one cannot be read.
bool state_records_each(struct sld_str s, void (*add)(const struct state_change *c, void *arg),
                        void *arg);

// ---- The journal (journal.c) ----
//
// What happened since "accepted" was written, appended as it happens: a header line that names the
// hash of that file, then batches of records, each behind its length and a hash over all up to it. It
// goes with that file alone, so one that is left behind when the file is replaced says nothing. What
// follows the last whole batch was being written when the machine or the process stopped.

struct state_journal {
    struct sld_hash base;  // of the file it goes with; zeroes: there is none yet
    struct sld_hash chain; // of what it holds
    size_t bytes;          // 0: it begins with the next batch
};
// Calls ADD for each record of the journal in DIR_FD that goes with J->base and fills the rest of J.
// What is torn at its end was never told to be on disk and is left out. SLD_NOT_FOUND: no journal;
// SLD_IO, SLD_INVALID: it cannot be read.
SLD_NODISCARD enum sld_rc state_journal_read(int dir_fd, struct state_journal *j,
                                             void (*add)(const struct state_change *c, void *arg),
                                             void *arg, struct sld_err *err);
// Appends RECORDS as one batch and brings them to the disk. After a failure it holds what it held
// before. Blocks. [pool]
SLD_NODISCARD enum sld_rc state_journal_append(int dir_fd, struct state_journal *j,
                                               struct sld_str records, struct sld_err *err);
