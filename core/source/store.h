// store: single documents where a source keeps them, for the command line: listed, read, written and
// removed, with a check that nobody changed them in between.
//
// There is no loop; every call blocks. A store belongs to one thread. Strings handed out live in the
// arena given. A store that changed something may keep others from it: close it soon.
#pragma once

#include "source/source.h"

// One document as it stands in a store.
struct sld_store_doc {
    struct sld_ident id;
    struct sld_str text;
    struct sld_str version; // never empty; another one after each change
    struct sld_str path;    // as sld_doc_place.path: it says what TEXT does not
    struct sld_str place;   // file or key, for people
};

// What a change expects to find.
struct sld_store_expect {
    struct sld_str version; // that the document has; "": there is none; absent: whatever is there
    bool force;             // also what the store would rather not touch
};

struct sld_store {
    const struct sld_store_ops *ops;
};

struct sld_store_ops {
    bool flat; // documents are in Gloo's flat form there, without apiVersion, kind and spec
    // SETTINGS: how the place is reached; never NULL, outlives the store. Documents without a
    // namespace belong to that of SETTINGS.
    enum sld_rc (*open)(struct sld_str address, const struct Gloo__Settings *settings,
                        struct sld_store **out, struct sld_err *err);
    // Calls FN for each document of KIND (SLD_KIND_COUNT: all) and NS (absent: all); what cannot be
    // told apart as a document is left out. Borrowed during the call.
    enum sld_rc (*each)(struct sld_store *s, enum sld_kind kind, struct sld_str ns,
                        void (*fn)(const struct sld_store_doc *doc, void *arg), void *arg,
                        struct sld_err *err);
    // Tells all there is as the source does, also what is no document: on_put of settled units, then
    // on_synced. SLD_NOT_FOUND: there is nothing at all. NULL: the source reads files.
    enum sld_rc (*read)(struct sld_store *s, const struct sld_source_events *ev,
                        struct sld_err *err);
    // SLD_NOT_FOUND: there is none of ID.
    enum sld_rc (*get)(struct sld_store *s, struct sld_arena *a, struct sld_ident id,
                       struct sld_store_doc *out, struct sld_err *err);
    // Writes TEXT, one YAML document (or JSON, into a flat store), as that of ID. OUT (may be NULL) gets it as it stands there now. SLD_CONFLICT:
    // not what was expected; SLD_DENIED: not allowed, or only with force; SLD_INVALID: nothing that is
    // kept there.
    enum sld_rc (*put)(struct sld_store *s, struct sld_arena *a, struct sld_ident id,
                       struct sld_str text, const struct sld_store_expect *expect,
                       struct sld_store_doc *out, struct sld_err *err);
    // Errors as of get and put.
    enum sld_rc (*remove)(struct sld_store *s, struct sld_ident id,
                          const struct sld_store_expect *expect, struct sld_err *err);
    // NULL is fine.
    void (*close)(struct sld_store *s);
};
