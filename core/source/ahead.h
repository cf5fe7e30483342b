// Texts read ahead: while one thread takes units in, others read those that wait behind them.
//
// Reading is what a start from many files consists of, and it depends on nothing but the text. What is
// read, in which order it is taken and what comes out are the same with and without.
#pragma once

#include "base/base.h"
#include "codec/doc.h"

struct sld_ahead;
struct sld_ahead_text;

// What a text says, or why it cannot be read: as sld_doc_read gives it, made in ARENA.
struct sld_ahead_docs {
    struct sld_arena arena;
    struct sld_document *docs;
    size_t count;
    enum sld_rc rc;
    enum sld_code code;
    struct sld_err *err; // when RC says so
};

// Reads TEXT at once. [any]
void sld_ahead_read(struct sld_str text, struct sld_ahead_docs *out);

// Nothing is read yet, and there is no thread before enough waits.
struct sld_ahead *sld_ahead_create(void);
// Every text was dropped. NULL is fine.
void sld_ahead_destroy(struct sld_ahead *h);
// BYTES, of which a reference is kept, will be asked for, behind what was added before. NULL: it is too long, whoever
// needs it reads it. [any]
struct sld_ahead_text *sld_ahead_add(struct sld_ahead *h, struct sld_blob *bytes);
// Gives the caller what T says; once. Reads it unless it was read, and while somebody is at it, others. [any one thread]
void sld_ahead_take(struct sld_ahead_text *t, struct sld_ahead_docs *out);
// Forgets T, taken or not; NULL is fine. [any]
void sld_ahead_drop(struct sld_ahead_text *t);
