// Private to the intake: who says what.
//
//   source --< unit --< claim >-- object
//
// A claim is one unit's word for one object. Among the claims of an object the first by (source
// order, unit path) that is not lost is in force; when all are lost, the first of these, until the
// disappearance is carried out. Claims of a source that takes the place of another count for nothing
// until the other's end.
#pragma once

#include "source/source.h"

// There is one for each document, so what few have stands beside it.
struct claim {
    struct object *object;
    struct unit *unit;
    struct sld_raw *raw;
    struct claim *next; // of the object
    uint64_t round;     // of the reading that last said it
    struct loss *loss;  // owned; NULL: its unit says it
    struct sld_list in_unit;
};

// The unit of a claim does not say it any more; waits for quiet.
struct loss {
    struct claim *claim;
    bool firm; // a settled reading (or the unit's going) said so
    uint64_t since_ns;
    struct sld_list in_lost; // of the source, oldest first
};

struct object {
    struct claim *claims;     // sorted as above
    struct sld_raw *in_force; // own reference; NULL: not told yet
    struct claim own;         // one of them, while its unit is not NULL: most objects have no other
    uint32_t standing;        // claims that are not lost
    bool contested;           // standing > 1: one of the intake's `contested`
    bool unwatched;           // its namespace does not count: one of the intake's `unwatched`
    char key[];               // "virtualservices/ns/name"
};

// A finding about a unit.
struct remark {
    enum sld_severity severity;
    enum sld_code code;
    int line, column;
    char *message;
};

struct remarks {
    struct remark *items;
    uint32_t count, cap;
};

// What is wrong with a unit.
struct remarked {
    struct unit *unit;
    struct remarks own;          // from its bytes
    struct remarks trouble;      // from the source (unreadable)
    struct sld_list in_remarked; // of the intake
};

struct unit {
    struct origin *origin;
    struct sld_list claims;
    struct sld_hash hash; // of the bytes last told; zero: none
    struct sld_blob *bytes; // those, when what they say depends on the default namespace; else NULL
    struct remarked *wrong; // NULL: nothing, as of most
    uint64_t round; // of the last reading that counted
    uint32_t foreign;
    bool settled : 1;
    bool pending : 1; // its last bytes do not count in full before they are settled
    bool broken : 1;  // its last bytes do not count: it keeps what it said
    bool partial : 1; // some documents have no identity: it keeps what it said and says no more
    bool seen : 1;    // the source spoke of it since we run
    bool gone : 1;
    char path[];
};

// A source as the intake knows it.
struct origin {
    struct sld_intake *in;
    unsigned order;
    enum sld_kind only; // the kind that counts; SLD_KIND_COUNT: all do
    bool keyed;         // paths of units say who their objects are
    struct sld_set units;
    struct sld_list lost; // struct loss
    size_t claim_count;
    bool synced;
    bool silent;   // it says no objects
    bool closing;  // not read any more; is freed with its last claim
    bool arriving; // it takes the place of another, whose claims stay until it was read
    bool mass;   // most of it vanished; waits for the second look
    bool looked; // the second look took place
    size_t mass_count;
    uint64_t mass_ns;       // since when
    uint64_t changed_ns;    // the last change of any unit
    uint64_t down_ns;       // since when there is trouble
    struct remarks trouble; // the source as a whole cannot be read
    char name[];
};

struct sld_intake {
    struct sld_intake_options opt;
    struct sld_intake_events ev;
    struct sld_map origins;
    struct sld_set objects;
    struct sld_list remarked;
    struct sld_umap contested, unwatched; // address -> struct object
    struct sld_map watched; // namespaces that count; empty: all do
    uint64_t round;
    bool adopt; // Upstreams that Gloo's discovery wrote count
    struct problem_list *problems;
    char *default_ns;
    char *settings_ns; // that of Settings without one: they say what the default is
};

// Whether objects of KIND may be on their way, from a source that was not read yet. (intake.c)
bool intake_awaits(const struct sld_intake *in, enum sld_kind kind);

// claim.c

// The claim of UNIT on the object of KEY, or NULL.
struct claim *claim_find(const struct object *o, const struct unit *u);
// UNIT says the object ID in RAW (a reference is taken). The claim is new or its old word is
// replaced.
struct claim *claim_say(struct unit *u, struct sld_ident id, struct sld_raw *raw);
// Its unit does not say it any more. It may end only when some such word was FIRM.
void claim_lose(struct claim *c, bool firm, uint64_t now);
// A loss that was not firm did not take place.
void claim_regain(struct claim *c);
// The claim ends; the object goes with its last claim.
void claim_remove(struct claim *c);
// Frees C and nothing else, at the end of all.
void claim_free(struct claim *c);
struct object *object_find(const struct sld_intake *in, struct sld_ident id);
// The claim in force; NULL: none of them counts yet.
struct claim *object_winner(const struct object *o);
// Brings what is told about O in line with its claims; frees it when there are none.
void object_refresh(struct sld_intake *in, struct object *o);
// The order of C's source changed.
void claim_move(struct claim *c);

// document.c

// One object a unit says.
struct said {
    struct sld_ident id;
    const struct sld_node *node; // what the text says; NULL: what this text said before
    struct sld_str text;
    int line;
    long item;
};

// What the bytes of a unit say. Lives in ARENA.
struct reading {
    struct sld_arena arena;
    struct said *items;
    size_t count;
    size_t foreign;     // documents of other kinds
    size_t nameless;    // documents whose object cannot be told
    bool relative;      // some object is in the default namespace because its document names none
    size_t whole_lists; // bytes of Lists kept whole with their items
    bool blank;         // nothing but white space
    bool failed;        // the text cannot be read
    bool unterminated;  // the last line has no end
    struct remarks remarks;
};
// ANEW: what the unit said before is no help. TEXT: BYTES, possibly read ahead, or NULL.
void reading_init(struct reading *r, const struct unit *u, struct sld_str bytes, struct sld_ahead_text *text, bool anew);
void reading_fini(struct reading *r);

// problem.c

void remarks_add(struct remarks *r, enum sld_severity severity, enum sld_code code, int line,
                 int column, const char *fmt, ...) SLD_PRINTF(6, 7);
void remarks_clear(struct remarks *r);
void problems_changed(struct sld_intake *in);
void problems_fini(struct sld_intake *in);
// What is wrong with U, to be added to or cleared; unit_remarked follows.
struct remarked *unit_wrong(struct unit *u);
// Nothing is wrong with U any more; nobody is told.
void unit_unremark(struct unit *u);
// What is wrong with UNIT changed.
void unit_remarked(struct unit *u);
