// What the files of the Vault store share.
//
//   want ─▶ unit ─┐                              ┌▶ call ─▶ net ─▶ Vault
//                 ├─ sweep: which changed? ─▶ read ┤
//   refreshRate ──┘        (list.c)        (read.c) └◀─ token ◀─ session (login, renewal)
//                                            │
//                            Secret document ▼ (document.c) ─▶ events: put, gone, problem, synced
#pragma once

#include "codec/doc.h"
#include "loop/loop.h"
#include "model/model.h"
#include "net/http.h"
#include "secret/vault/config.h"
#include "secret/vault/vault.h"

struct vault;

// No life that Vault tells of is longer than this.
#define VAULT_LIFE_MAX_S ((int64_t)100 * 365 * 86400)

enum {
    VAULT_BODY_MAX_BYTES = 4 * 1024 * 1024,  // of a secret or a login
    VAULT_LIST_MAX_BYTES = 16 * 1024 * 1024, // of a listing
    VAULT_UNITS_MAX = 20000,                 // secrets wanted at a time
    VAULT_BACKOFF_MIN_MS = 500,
    VAULT_BACKOFF_MAX_MS = 15 * 1000,
    VAULT_REVOKE_MS = 60 * 1000, // a replaced certificate is revoked after so long
    VAULT_CLOCK_GRACE_S = 5, // the clock on the wall may be so far ahead of the steady one
};

// ---- Calls (call.c) ----

enum vault_verdict {
    VAULT_OK,
    VAULT_MISSING,  // nothing is there
    VAULT_DELETED,  // its latest version was deleted or destroyed
    VAULT_NO_ROUTE, // no engine is mounted there, or it has no such path
    VAULT_REFUSED,  // the request cannot be served as it is
    VAULT_DENIED,   // the token is not valid, or has not the right; Vault does not say which
    VAULT_DOWN,     // no answer, or one that says nothing about what was asked for
};

// Borrowed during the callback.
struct vault_answer {
    enum vault_verdict verdict;
    int status;                  // 0: none came
    const struct sld_node *data; // of the envelope: "data", "auth", "wrap_info"; NULL: none
    const struct sld_node *auth;
    const struct sld_node *root;
    const char *words; // what Vault or the network said, for people; "" when it is well
    unsigned generation; // of the token that was sent
};

struct vault_request {
    const char *method;    // NULL = GET
    struct sld_str path;   // "secret/data/a b": below /v1/, not escaped
    struct sld_str query;  // escaped; absent: none
    struct sld_str body;   // JSON; absent: none
    struct sld_str token;  // absent: the session's; empty: none
    size_t max_body_bytes; // 0 = VAULT_BODY_MAX_BYTES
    bool root;             // in no namespace, whatever the configuration says
    bool urgent;           // does not count as running: the session's own
    struct sld_str serial; // of farewells: the certificate that is revoked
};
// What IN, which came whole and is no redirect, means: all of OUT, which says VAULT_DOWN and the status
// before. Nodes and words live in A.
void vault_judge(struct sld_arena *a, const struct sld_http_answer *in, struct vault_answer *out);
// A, but when all is well and it has not what such an answer has (FITS false), one that says nothing.
struct vault_answer vault_expect(const struct vault_answer *a, bool fits);
typedef void vault_done(const struct vault_answer *a, void *user);
struct vault_call;
// Starts at once. Everything in RQ is copied. DONE comes exactly once unless cancelled, never
// before this returns.
struct vault_call *vault_ask(struct vault *v, const struct vault_request *rq, vault_done *done,
                             void *user);
// NULL is fine.
void vault_call_cancel(struct vault_call *c);
// Sends what nobody waits for with the session's token, by POST: the N of FIRST, and when they are over
// LAST (NULL: none), which may end that token. A client of its own outlives V and gives each of the two
// steps two seconds. sld_loop_destroy waits for it.
void vault_farewell(struct vault *v, const struct vault_request *first, size_t n,
                    const struct vault_request *last);
// Logs that certificate SERIAL was revoked, or (WHY not NULL) that it was not.
void vault_log_revoked(const char *serial, const char *why);

// ---- Logins (login.c, aws.c) ----

// What a method sends. Lives in A.
struct vault_login {
    struct sld_str path; // "auth/approle/login"
    struct sld_str body;
};
// Makes the request of C's method, which is none of the token methods. SECRET: its secret, read
// from the file or unwrapped already.
SLD_NODISCARD enum sld_rc vault_login_make(struct sld_arena *a, const struct vault_config *c,
                                           struct sld_str secret, struct vault_login *out,
                                           struct sld_err *err);
// The identity of AWS as Vault asks for it, signed for TIME_S: the fields of the login's body.
// (aws.c)
void vault_aws_fields(struct sld_arena *a, const struct vault_config *c, int64_t time_s,
                      struct sld_json *j);

// ---- The session (session.c) ----

enum session_state {
    SESSION_OFF,    // has not begun
    SESSION_UNWRAP, // a wrapped secret is on its way
    SESSION_LOGIN,  // a login is on its way
    SESSION_LOOKUP, // Vault is asked about a token that was given
    SESSION_ON,     // nothing to do before `due_ns`
    SESSION_RENEW,  // a renewal is on its way
    SESSION_WAIT,   // what failed is tried again at `due_ns`
};

struct session {
    enum session_state state;
    struct vault_call *call;
    struct sld_arena arena;  // of token and accessor; wiped
    struct sld_str token;    // absent: there is none, requests have to wait; empty: none is needed
    struct sld_str accessor; // absent: not known
    bool own;                // by a login of ours: it can be given back
    bool renewable;
    bool unknown;       // Vault tells nothing about it: only requests show what it is worth
    bool proved;        // a request succeeded with it
    bool doubted;       // a request was denied: Vault is asked whether it is still valid
    struct sld_hash over; // the token that ended last; zero: none since the last that was good
    bool login_due;     // the next step is a login, not a renewal
    uint64_t looked_ns; // mono: when it was last known to be valid; 0: never
    int64_t life_s;     // it had when it was new; 0: it does not end
    int64_t expires_s;  // Unix seconds; 0: never
    int64_t renews_s;   // Unix seconds, for people; 0: it is not renewed
    uint64_t expires_ns, due_ns; // mono; 0: never. due: of the next step
    unsigned failures;           // in a row, of logins and renewals
    bool refused;                // it waits because Vault said no, not because it said nothing
    unsigned lookups_denied;     // of tokens of our own; the second shows that they may not ask
    bool blind;                  // so denials are believed, and a login shows now and then
    uint64_t blind_ns;           // mono: no such login before
    unsigned blind_logins;       // of these, in a row
    char problem[SLD_ERR_MAX];   // "" = it is well
    char fact[160];              // its name among the facts
    struct sld_arena next_arena; // of a token that was given and is being looked at; wiped
    struct sld_str next;
    struct sld_arena unwrapped_arena; // wiped
    struct sld_str unwrapped;         // the secret that came out of a wrapping token
    struct sld_hash unwrapped_from;   // the wrapping token
    struct sld_hash file_hash;        // of the secret file's content as it was last used
    uint64_t file_ns;                 // mono: when it is looked at again
};

// Cancels and forgets everything.
void session_stop(struct vault *v);
// Whether the token is to be given back at the end.
bool session_gives_back(const struct vault *v);
// The configuration is going to be NEXT: begins anew. A secret that was unwrapped for the same Vault is
// kept, for its wrapping token is spent.
void session_change(struct vault *v, const struct vault_config *next);
// Begins with a login; then does what is due. Returns the next time (mono) something will be, 0 =
// never.
uint64_t session_tick(struct vault *v, uint64_t now);
enum session_denial {
    DENIAL_BELIEVED, // the token is valid, it has not the right
    DENIAL_DOUBTED,  // whether it is valid is being looked at, or it is not: wait for vault_session_ready
    DENIAL_OPEN,     // nothing shows yet what the token is worth: go on with others, and ask again later
};
// A request was denied. *DENIED_NS, 0 at first, is the caller's memory of one subject.
enum session_denial session_denied(struct vault *v, uint64_t *denied_ns);
// Whether the token's end is near and nothing is going to prevent it.
bool session_ends_soon(const struct session *s, int64_t now_s);
// When the token ends for sure, Unix seconds; 0: it does not, or it will be renewed before.
int64_t session_last_s(const struct session *s);
// Whether requests can be sent.
bool session_ready(const struct vault *v);

// ---- Units (unit.c) ----

enum unit_kind { UNIT_SECRET, UNIT_DATA, UNIT_CERTIFICATE };

// One Secret that is wanted.
struct unit {
    struct vault *v;
    enum unit_kind kind;
    struct sld_arena arena;   // of the slices
    struct sld_str path;      // as the vault command has it:
                              // "secret/gloo/gloo.solo.io/v1/Secret/ns/name", "kv/team/web"
    struct sld_str place;     // as the events' path
    struct sld_str former;    // the place whose value stays until there is an answer here; absent: none
    struct sld_str ns, name;  // slices of key
    struct sld_store_ref ref; // of data and certificates
    struct vault_call *call;
    struct sld_list in_queue;  // of what has to be done
    struct sld_list in_folder; // of the sweep
    bool check;               // only whether it changed
    bool answered;            // value, missing or refused
    bool answer_told;         // since it was wanted
    bool told;                // a value is in force
    bool missing;             // nothing is there
    bool by_data;             // whether it changed cannot be asked for: it is read
    bool no_list;             // nor can its folder be listed
    bool confirmed;           // its engine was asked for because nothing was found in it
    unsigned read_version;    // of the engine, as the reading under way takes it
    uint64_t forget_ns;       // mono: when it is forgotten; 0: it is wanted
    uint64_t due_ns; // mono: when it is read again by itself (certificates, leases); 0: never
    unsigned failures;
    unsigned unheard;            // requests without an answer to what was asked, in a row
    char bad[160];               // what was wrong with an answer while Vault is asked whether it is well
    int bad_status;              // its status
    uint64_t denied_ns;          // see session_denied
    struct sld_hash seen;        // of what the engine says of the latest version
    struct sld_hash hash;        // of the document in force
    int64_t expires_s, renews_s; // Unix seconds; 0: never
    bool leased;                 // what is in force ends with the token that it was read with
    char version[64];            // of the engine, or a certificate's serial number; "" = none
    char problem[SLD_ERR_MAX];   // "" = it is well
    char key[];                  // "secrets/ns/name"
};

// A unit for KEY, or NULL when KEY can be none of Vault's.
struct unit *unit_create(struct vault *v, struct sld_str key);
// Tells nothing. Cancels what is under way.
void unit_destroy(struct unit *u);
// Reads U, or checks it: the next request of it. The session is ready.
void unit_go(struct unit *u);
// What the engine says of U's latest version, NUMBER: it is queued for reading when that is news.
// ABOUT NULL: there is none.
void unit_seen(struct unit *u, struct sld_str number, const struct sld_node *about);
// Tells that U is not there any more, if it was told.
void unit_gone(struct unit *u);
// U takes the place of FORMER, which is under another path: what that told stays until U has an answer.
void unit_moves(struct unit *u, const struct unit *former);
// Whether A, which says nothing, may be about what was asked for alone: not what Vault says of itself nor
// a lost connection, unless it is so each time, which *UNHEARD counts.
bool vault_own_fault(const struct vault_answer *a, unsigned *unheard);

// ---- Mounts (mount.c) ----

// An engine.
struct mount {
    struct sld_list link;
    unsigned kv_version; // 0: not a key-value engine
    bool no_list;        // it lists no versions
    uint64_t asked_ns;   // mono: when Vault told so; 0: Settings did
    size_t n;
    char path[]; // "kv" without slashes
};
// The mount that PATH lies in, or NULL when it is not known yet.
struct mount *mount_find(const struct vault *v, struct sld_str path);
// An engine is at PATH, slashes at its end or not. BY_VAULT: it told so just now, else Settings do.
struct mount *mount_set(struct vault *v, struct sld_str path, unsigned kv_version, bool by_vault);
void mount_remove(struct mount *m);
// What engines cannot do is to be found out anew.
void mounts_relearn(struct vault *v);
void mounts_clear(struct vault *v);

// ---- Sweeps (sweep.c) ----

// A folder whose versions are listed in one request.
struct folder {
    struct sld_list link;
    struct vault *v;
    struct vault_call *call; // NULL: not started
    struct sld_list units;
    uint64_t asked_ns; // mono
    unsigned unheard;  // requests without an answer to what was asked
    size_t mount_n, n;
    char path[]; // "secret/gloo/gloo.solo.io/v1/Secret/ns"
};

// Queues what shows which of the wanted secrets changed.
void sweep_start(struct vault *v);
void sweep_stop(struct vault *v);
void folder_go(struct folder *f);

// ---- Documents (document.c) ----

// The text at KEY of MAP; "" when it is none.
struct sld_str vault_text(const struct sld_node *map, const char *key);
struct document {
    struct sld_buf text;           // a Secret in Gloo's flat form, JSON; secret
    int64_t not_before, not_after; // of its certificate, Unix seconds; 0: it has none
};
// The document of U from DATA, what Vault holds or issued. The words of ERR never show a value. OUT
// is the caller's to free (text) but after an error; SLD_CONFLICT: it was made, but the metadata in
// DATA are another object's.
SLD_NODISCARD enum sld_rc document_make(struct document *out, const struct unit *u,
                                        const struct sld_node *data, struct sld_err *err);

// ---- The store (store.c) ----

// A certificate to be revoked.
struct retired {
    struct sld_list link;
    struct vault *v;
    struct vault_call *call;
    uint64_t due_ns;
    unsigned failures;
    size_t mount_n;
    char text[]; // mount and serial number, each NUL-terminated
};

// Why the whole store cannot be read, and since when.
struct vault_trouble {
    int64_t since_s;
    int status;              // of the answers that say so; 0: none came
    char words[SLD_ERR_MAX]; // "" = it is well
};
enum { VAULT_TOLD_MAX = 2 * SLD_ERR_MAX };

struct vault {
    struct sld_source base;
    struct sld_loop *io;
    struct sld_source_events ev;
    struct vault_config cfg;
    struct sld_http_client *http;
    unsigned running; // requests under way, but for the session's
    struct session session;
    unsigned generation, ready_generation; // count tokens
    struct sld_set units;
    struct sld_list queue;   // units that something has to be done for
    struct sld_list mounts;  // longest first
    struct sld_list folders; // of the sweep, started or not
    bool sweeping;
    uint64_t sweep_ns;  // mono: the next sweep
    uint64_t units_ns;  // mono: no unit has anything due before
    uint64_t forget_ns; // mono: nothing is forgotten before
    bool marked;        // all wants of a round have been told
    bool sync_due;      // something was told since on_synced
    bool answers_due;   // something is wanted again that was answered before
    unsigned failures;  // calls without a usable answer, in a row
    uint64_t wait_ns;   // mono: nothing is asked before; 0: at once
    uint64_t heard_ns;  // mono: the last usable answer
    struct vault_trouble unreached, no_token;
    char told[VAULT_TOLD_MAX]; // the store's problem as it was told; "" = none
    bool settings_told;        // a problem of path "settings" is told
    bool token_told;           // and one of path "token"
    struct sld_map refused;    // keys that are wanted beyond VAULT_UNITS_MAX
    struct sld_list retired;
    struct sld_timer *wake;
    char *address; // own
};

// A call of V got this; false when it says nothing, so that it has to be asked again after the
// pause that begins here.
bool vault_heard(struct vault *v, const struct vault_answer *a);
// The session has a token, or the one it has was found valid.
void vault_session_ready(struct vault *v);
// There is none, or none that shows its worth, and why.
void vault_session_lost(struct vault *v, const char *words);
// A request succeeded with the token that A was asked with.
void vault_proved(struct vault *v, const struct vault_answer *a);
// Something has to be done for U: read it, or with CHECK see whether it changed.
void vault_queue(struct unit *u, bool check);
// The certificate SERIAL of MOUNT is not used any more.
void vault_retire(struct vault *v, struct sld_str mount, const char *serial);
// U has an answer.
void vault_answered(struct unit *u);
// Something of a unit is due at NS (mono).
void vault_due(struct vault *v, uint64_t ns);
// *NEXT, a time or 0 (never), is AT if that is earlier; AT 0: never.
void vault_earliest(uint64_t *next, uint64_t at);
// Goes on with whatever can be done now, in the next turn of the loop.
void vault_kick(struct vault *v);
// The pause after so many FAILURES in a row, in nanoseconds.
uint64_t vault_backoff(unsigned failures);
// "2026-11-30 05:11:02 UTC".
struct sld_str vault_time(struct sld_arena *a, int64_t s);
