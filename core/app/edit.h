// What apply, delete, diff and get share: the documents of -f, and the store that they are about.
#pragma once

#include "app/flags.h"
#include "app/offline.h"
#include "app/settings.h"

// Flags of every command on a store, for its table: which store (FLAG), and how it is reached.
#define SLD_STORE_FLAG(FLAG)                                                                       \
    {                                                                                              \
        .name = FLAG, .arg = "STORE", .env = "SOLDER_CONFIG",                                      \
        .help = "a directory or consul://HOST:PORT/ROOT; default the server's first"                                          \
    }
#define SLD_EDIT_FILES_FLAG                                                                        \
    {                                                                                              \
        .name = "file", .letter = 'f', .arg = "PATH",                                              \
        .help = "file or directory of documents, - for stdin", .repeat = true                      \
    }
#define SLD_EDIT_NAMESPACE_FLAG                                                                    \
    {                                                                                              \
        .name = "namespace", .letter = 'n', .arg = "NS", .env = "SOLDER_NAMESPACE",                \
        .help = "namespace of documents that name none"                                            \
    }

// A document of -f.
struct sld_edit_doc {
    struct sld_ident id;
    const struct sld_node *node;
    struct sld_str text;   // its own text; absent: it is one of several in a List
    struct sld_str origin; // "file:line"
    struct sld_str path;   // as sld_doc_place.path
};

struct sld_edit {
    const struct sld_args *args;
    struct sld_arena arena; // wiped: documents may be Secrets
    Gloo__Settings *settings;
    struct sld_object *settings_file;
    struct sld_str ns; // of -n, or absent
    struct sld_store *store;
    struct sld_str store_name;
    struct sld_offline_unit *units; // what was read
    size_t unit_count;
    struct sld_edit_doc *docs;
    size_t doc_count;
    size_t skipped; // documents of other kinds
};

// Reads --settings and -n of ARGS into a zeroed E. End with sld_edit_fini in any case.
SLD_NODISCARD enum sld_rc sld_edit_init(struct sld_edit *e, const struct sld_args *args,
                                        struct sld_err *err);
void sld_edit_fini(struct sld_edit *e);
// Opens the store that flag FLAG names, else the first one of the running server that can be
// written.
SLD_NODISCARD enum sld_rc sld_edit_open(struct sld_edit *e, const char *flag, struct sld_err *err);
// Closes it, before E's end: nothing more is to be changed.
void sld_edit_close(struct sld_edit *e);
// Reads the documents of -f. SLD_INVALID, with the place in words, for what is not a document of
// ours; documents of foreign kinds are skipped with a line on stderr.
SLD_NODISCARD enum sld_rc sld_edit_read(struct sld_edit *e, struct sld_err *err);
// Checks the documents together with what is in the store, and prints what is wrong with them to
// stderr. False: one of them would not be accepted.
bool sld_edit_check(struct sld_edit *e);
// The object that D, or a document of the store, says; to be unreferenced.
struct sld_object *sld_edit_object(const struct sld_edit_doc *d);
struct sld_object *sld_edit_stored(const struct sld_store_doc *d);
// D as the store takes it, in E's arena.
struct sld_str sld_edit_text(struct sld_edit *e, const struct sld_edit_doc *d);
// The version that D says it was read at (metadata.resourceVersion), or absent.
struct sld_str sld_edit_version(const struct sld_edit_doc *d);
// Prints "virtualservices/ns/name WORD" to stdout.
void sld_edit_say(struct sld_ident id, const char *word);
// Prints "solder COMMAND: [virtualservices/ns/name: ]words" to stderr; returns exit code CODE.
int sld_edit_fail(const struct sld_edit *e, const struct sld_ident *id, const struct sld_err *err,
                  int code);
