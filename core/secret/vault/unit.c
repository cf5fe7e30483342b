// One wanted Secret: its requests, and what their answers mean.
#include <stdio.h>

#include "codec/text.h"
#include "secret/vault/inside.h"

enum {
    SECOND = 1000 * 1000 * 1000,
    ISSUE_MIN_S = 2, // between certificates that are well
    ISSUE_AGAIN_MAX_S = 300,
    UNHEARD_MAX = 3
};

static void read_now(struct unit *u);

// ---- Making ----

static struct sld_str below(struct sld_str key)
{
    struct sld_str ns;
    sld_str_cut(&key, '/', &ns); // "secrets"
    return key;
}

struct unit *unit_create(struct vault *v, struct sld_str key)
{
    struct sld_ident id;
    struct sld_store_ref ref = {0};
    if (!sld_ident_parse(key, &id) || id.kind != SLD_KIND_SECRET)
        return NULL;
    bool meant = sld_store_ref_meant(id.name);
    if (meant && sld_store_ref_parse(id.name, &ref, NULL) != SLD_OK)
        return NULL; // whoever refers to it has a finding that says so
    struct unit *u = sld_xcalloc(1, sizeof(*u) + key.n + 1);
    memcpy(u->key, key.p, key.n);
    bool ok = sld_ident_parse((struct sld_str){u->key, key.n}, &id);
    SLD_INV(ok);
    u->v = v;
    u->ns = id.ns;
    u->name = id.name;
    sld_list_init(&u->in_queue);
    sld_list_init(&u->in_folder);
    if (meant) {
        enum sld_rc rc = sld_store_ref_parse(id.name, &u->ref, NULL);
        SLD_INV(rc == SLD_OK);
        u->kind = u->ref.query.p ? UNIT_CERTIFICATE : UNIT_DATA;
        u->path = sld_percent_decode(&u->arena, u->ref.path, false);
        u->place = below((struct sld_str){u->key, key.n});
    } else {
        u->kind = UNIT_SECRET;
        u->path = SLD_ARENA_JOIN(&u->arena, v->cfg.mount, SLD_STR("/"), v->cfg.root,
                                 SLD_STR("/gloo.solo.io/v1/Secret/"), id.ns, SLD_STR("/"), id.name);
        u->place = u->path;
    }
    return u;
}

void unit_destroy(struct unit *u)
{
    vault_call_cancel(u->call);
    sld_list_remove(&u->in_queue);
    sld_list_remove(&u->in_folder);
    sld_arena_fini(&u->arena);
    sld_xfree(u);
}

// ---- Telling ----

// What keeps U from being read; told when it is news. NULL: nothing.
static void set_problem(struct unit *u, const char *fmt, ...) SLD_PRINTF(2, 3);

static void set_problem(struct unit *u, const char *fmt, ...)
{
    struct vault *v = u->v;
    char text[SLD_ERR_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    SLD_INV(n >= 0);
    struct sld_str whole = sld_str_utf8_cut(sld_str_c(text), sizeof(text) - 1);
    bool news = !sld_str_eq(whole, sld_str_c(u->problem));
    snprintf(u->problem, sizeof(u->problem), "%.*s", SLD_FMT(whole));
    if (news)
        v->ev.on_problem(v->ev.user, u->place, SLD_SOURCE_STALE, whole);
    vault_answered(u);
}

static void no_problem(struct unit *u)
{
    struct vault *v = u->v;
    u->failures = 0;
    if (u->problem[0])
        v->ev.on_problem(v->ev.user, u->place, SLD_SOURCE_STALE, SLD_STR_NONE);
    u->problem[0] = 0;
}

// What was told of another place counts no more.
static void former_gone(struct unit *u)
{
    if (!u->former.p)
        return;
    u->v->sync_due = true;
    u->v->ev.on_gone(u->v->ev.user, u->former);
    u->former = SLD_STR_NONE;
}

void unit_moves(struct unit *u, const struct unit *former)
{
    struct sld_str place = former->told ? former->place : former->former;
    if (!place.p)
        return;
    if (sld_str_eq(place, u->place))
        u->told = true; // back to where its value is from
    else
        u->former = sld_arena_str(&u->arena, place);
}

void unit_gone(struct unit *u)
{
    struct vault *v = u->v;
    former_gone(u);
    if (!u->told)
        return;
    u->told = false;
    u->hash = (struct sld_hash){0};
    u->expires_s = u->renews_s = 0;
    u->due_ns = 0;
    v->sync_due = true;
    v->ev.on_gone(v->ev.user, u->place);
}

static void nothing_there(struct unit *u, const char *what)
{
    no_problem(u);
    unit_gone(u);
    u->missing = true;
    vault_answered(u);
    u->version[0] = 0;
    SLD_LOG(SLD_DEBUG, "secret", "missing", SLD_KS("path", u->path), SLD_KC("reason", what));
}

// TEXT is in force from now on. True: it is news.
static bool put(struct unit *u, struct sld_str text)
{
    struct vault *v = u->v;
    struct sld_hash hash = sld_hash_bytes(text);
    u->missing = false;
    sld_vault_stats.reads++;
    bool news = !u->told || !sld_hash_eq(hash, u->hash);
    if (news) {
        u->hash = hash;
        u->told = true;
        v->sync_due = true;
        struct sld_blob *blob = sld_blob_create_secret(text);
        v->ev.on_put(v->ev.user, u->place, blob, true);
        SLD_UNREF(blob);
    }
    former_gone(u);
    vault_answered(u);
    return news;
}

// ---- Answers that are the same for all requests ----

// Asks for U again in WAIT.
static void again_in(struct unit *u, uint64_t wait)
{
    u->due_ns = sld_mono_ns() + wait;
    u->renews_s = sld_wall_ms() / 1000 + (int64_t)(wait / SECOND);
    vault_due(u->v, u->due_ns);
}

static void again_later(struct unit *u)
{
    u->failures++;
    uint64_t most = (uint64_t)ISSUE_AGAIN_MAX_S * SECOND,
             pause = (uint64_t)SECOND << (u->failures < 10 ? u->failures : 10);
    again_in(u, sld_jitter(pause < most ? pause : most));
}

// Vault is well, but for what U asks for: nobody else waits for it.
static void own_fault(struct unit *u)
{
    if (u->check) { // perhaps it can be read
        u->by_data = true;
        vault_queue(u, false);
        return;
    }
    set_problem(u, "Vault has no answer for %.*s that can be used: %s; %s", SLD_FMT(u->path), u->bad,
                u->kind == UNIT_SECRET ? "see to it there"
                                       : "correct the reference, or see to the engine there");
    if (u->kind == UNIT_CERTIFICATE)
        again_later(u);
}

static void on_health(const struct vault_answer *in, void *user)
{
    struct unit *u = user;
    struct vault *v = u->v;
    u->call = NULL;
    vault_kick(v);
    if (in->status == 200 && sld_node_get(in->root, SLD_STR("initialized"))) {
        own_fault(u); // what is unheard stays counted: the next time is not held against Vault
        return;
    }
    const struct vault_answer down = {
        .verdict = VAULT_DOWN, .words = u->bad, .status = u->bad_status};
    vault_heard(v, &down);
    vault_queue(u, u->check);
}

bool vault_own_fault(const struct vault_answer *a, unsigned *unheard)
{
    // Of itself; but limits of requests and leases may be those of one path.
    bool itself = a->status == 429 || a->status == 501 || a->status == 503;
    return (a->status && !itself) || ++*unheard >= UNHEARD_MAX;
}

// Asks whether Vault is well, for that decides whose fault A is.
static void ask_health(struct unit *u, const struct vault_answer *a)
{
    const struct vault_request rq = {.path = SLD_STR("sys/health"),
                                     .query = SLD_STR("standbyok=true&perfstandbyok=true"),
                                     .token = SLD_STR(""),
                                     .root = true}; // elsewhere there is no such path
    struct sld_str words = sld_str_utf8_cut(sld_str_c(a->words), sizeof(u->bad) - 1);
    snprintf(u->bad, sizeof(u->bad), "%.*s", SLD_FMT(words));
    u->bad_status = a->status;
    u->call = vault_ask(u->v, &rq, on_health, u);
}

// False: it was dealt with.
static bool denied(struct unit *u, const struct vault_answer *a)
{
    if (a->generation != u->v->generation) { // a former token's
        vault_queue(u, u->check);
        return false;
    }
    switch (session_denied(u->v, &u->denied_ns)) {
    case DENIAL_DOUBTED:
        vault_queue(u, u->check);
        return false;
    case DENIAL_OPEN:
        break;
    case DENIAL_BELIEVED:
        if (u->check)
            return true;
        set_problem(u, "Vault denies %s %.*s: %s; give Solder's token the right",
                    u->kind == UNIT_CERTIFICATE ? "issuing from" : "reading", SLD_FMT(u->path),
                    a->words);
    }
    if (u->kind == UNIT_CERTIFICATE)
        again_later(u); // no sweep asks for it
    return false;
}

// False: A was dealt with.
static bool goes_on(struct unit *u, const struct vault_answer *a)
{
    struct vault *v = u->v;
    u->call = NULL;
    vault_kick(v);
    if (a->verdict == VAULT_DOWN && vault_own_fault(a, &u->unheard)) {
        ask_health(u, a);
        return false;
    }
    if (!vault_heard(v, a)) {
        vault_queue(u, u->check);
        return false;
    }
    u->unheard = 0;
    if (a->verdict == VAULT_DENIED)
        return denied(u, a);
    u->denied_ns = 0;
    if (a->verdict == VAULT_OK)
        vault_proved(v, a);
    return true;
}

// ---- Reading ----

static struct sld_hash hash_about(struct sld_str number, const struct sld_node *about)
{
    static const char *const keys[] = {"created_time", "deletion_time", "destroyed"};
    struct sld_hash h = sld_hash_bytes(number);
    for (size_t i = 0; i < SLD_ARRAY_LEN(keys); i++)
        h = sld_hash_mix(h, sld_hash_bytes(vault_text(about, keys[i])));
    return h;
}

void unit_seen(struct unit *u, struct sld_str number, const struct sld_node *about)
{
    // A deletion may be set for a time to come.
    bool ends = vault_text(about, "deletion_time").n > 0 && !u->missing;
    if (!about ? !u->missing : ends || !sld_hash_eq(hash_about(number, about), u->seen))
        vault_queue(u, false);
}

// What A leased to U ends with the token that it was asked with, at the latest.
static void hang(struct unit *u, const struct vault_answer *a)
{
    const struct vault *v = u->v;
    int64_t last = session_last_s(&v->session);
    u->leased = true;
    if (a->generation != v->generation)
        vault_queue(u, false); // of a former token, which ends first
    else if (last && (!u->expires_s || last < u->expires_s))
        u->expires_s = last;
}

static void lease(struct unit *u, const struct vault_answer *a)
{
    int64_t s = 0;
    u->leased = false;
    if (!vault_text(a->root, "lease_id").n ||
        !sld_str_i64(vault_text(a->root, "lease_duration"), &s) || s <= 0)
        return;
    s = s < VAULT_LIFE_MAX_S ? s : VAULT_LIFE_MAX_S;
    u->expires_s = sld_wall_ms() / 1000 + s;
    again_in(u, sld_jitter((uint64_t)s * SECOND / 3 * 2));
    hang(u, a);
}

// DATA is what is at U's path.
static void take(struct unit *u, const struct sld_node *data, const struct vault_answer *a)
{
    struct document d;
    struct sld_err err = {0};
    enum sld_rc rc = document_make(&d, u, data, &err);
    if (rc != SLD_OK && rc != SLD_CONFLICT) {
        set_problem(u, "%.*s cannot be used: %s", SLD_FMT(u->path), err.msg);
        return;
    }
    u->expires_s = d.not_after;
    u->renews_s = 0;
    u->due_ns = 0;
    lease(u, a);
    no_problem(u);
    if (put(u, sld_buf_str(&d.text)) && rc == SLD_CONFLICT)
        SLD_LOG(SLD_WARN, "secret", "other_metadata", SLD_KS("path", u->path),
                SLD_KC("reason", err.msg));
    sld_buf_fini(&d.text);
}

// Whether A is what an engine of version 2 says of a secret it has.
static bool is_read_v2(const struct vault_answer *a)
{
    const struct sld_node *data = sld_node_get(a->data, SLD_STR("data"));
    const struct sld_node *about = sld_node_get(a->data, SLD_STR("metadata"));
    return data && data->type == SLD_NODE_MAP &&
           vault_text(about, "version").n;
}

// What is said of a latest version that was deleted.
static struct sld_hash deleted_seen(const struct vault_answer *a)
{
    const struct sld_node *about = sld_node_get(a->data, SLD_STR("metadata"));
    return hash_about(vault_text(about, "version"), about);
}

static void on_read_v2(struct unit *u, const struct vault_answer *a)
{
    const struct sld_node *data = sld_node_get(a->data, SLD_STR("data"));
    const struct sld_node *about = sld_node_get(a->data, SLD_STR("metadata"));
    struct sld_str version = vault_text(about, "version");
    u->seen = about ? hash_about(version, about) : (struct sld_hash){0};
    snprintf(u->version, sizeof(u->version), "%.*s", SLD_FMT(sld_str_sub(version, 0, 20)));
    take(u, data, a);
}

static void ask_mount(struct unit *u);

// Engines are replaced, and get versions, while Solder runs: what is not found there any more may be
// elsewhere now. True: Vault is asked which engine is at U's path; then U is read anew.
static bool mount_doubted(struct unit *u, const struct vault_answer *a, bool confirmed)
{
    const struct mount *m = mount_find(u->v, u->path);
    if (confirmed || !m || !m->asked_ns)
        return false;
    uint64_t age = sld_mono_ns() - m->asked_ns;
    bool lost = a->verdict == VAULT_MISSING && u->told;
    bool astray = a->verdict == VAULT_NO_ROUTE && age > u->v->cfg.refresh_ms * (SECOND / 1000);
    if (!lost && !astray)
        return false;
    ask_mount(u);
    return true;
}

// What is at U's path, where Vault said so.
static void found(struct unit *u, const struct vault_answer *a)
{
    if (u->read_version == 2)
        on_read_v2(u, a);
    else
        take(u, a->data, a);
}

static void on_read(const struct vault_answer *in, void *user)
{
    struct unit *u = user;
    const struct mount *m = mount_find(u->v, u->path);
    bool fits = u->read_version == 2 ? is_read_v2(in) : in->data != NULL;
    const struct vault_answer got = vault_expect(in, fits), *a = &got;
    bool confirmed = u->confirmed;
    u->confirmed = false;
    if (!goes_on(u, a))
        return;
    if (m && m->kv_version != u->read_version) { // it was found out meanwhile
        read_now(u);
        return;
    }
    if (mount_doubted(u, a, confirmed))
        return;
    switch (a->verdict) {
    case VAULT_OK:
        found(u, a);
        break;
    case VAULT_MISSING:
        u->seen = (struct sld_hash){0};
        nothing_there(u, "nothing is there");
        break;
    case VAULT_DELETED:
        u->seen = deleted_seen(a);
        nothing_there(u, "deleted");
        break;
    case VAULT_NO_ROUTE:
        set_problem(
            u, "Vault has nothing that answers at %.*s: %s; mount an engine there, or correct %s",
            SLD_FMT(u->path), a->words, u->kind == UNIT_SECRET ? "pathPrefix" : "the reference");
        break;
    case VAULT_REFUSED:
        set_problem(u, "Vault cannot read %.*s: %s", SLD_FMT(u->path), a->words);
        break;
    case VAULT_DENIED: // goes_on deals with these, but of a check, which is none
    case VAULT_DOWN:
        SLD_UNREACHABLE();
    }
}

static bool holds(struct sld_str mount, struct sld_str path)
{
    while (mount.n && mount.p[mount.n - 1] == '/')
        mount.n--;
    return mount.n && sld_str_starts(path, mount) && path.n > mount.n && path.p[mount.n] == '/';
}

static void on_mount(const struct vault_answer *in, void *user)
{
    struct unit *u = user;
    struct vault *v = u->v;
    uint64_t version = 0;
    struct sld_str path = vault_text(in->data, "path");
    const struct vault_answer got = vault_expect(in, path.n), *a = &got;
    if (!goes_on(u, a))
        return;
    struct sld_str type = vault_text(a->data, "type");
    struct sld_str number = vault_text(sld_node_get(a->data, SLD_STR("options")), "version");
    bool kv = sld_str_eq(type, SLD_STR("kv")) || sld_str_eq(type, SLD_STR("generic"));
    if (a->verdict != VAULT_OK) {
        set_problem(
            u,
            "Vault does not tell which engine is at %.*s: %s; correct %s, or set solder.kvVersion",
            SLD_FMT(u->path), a->words, u->kind == UNIT_SECRET ? "pathPrefix" : "the reference");
        return;
    }
    if (!holds(path, u->path)) {
        set_problem(u, "Vault has no engine at %.*s", SLD_FMT(u->path));
        return;
    }
    struct mount *m = mount_set(
        v, path, !kv ? 0 : sld_str_u64(number, &version) && version == 2 ? 2 : 1, true);
    for (struct mount *former; (former = mount_find(v, u->path)) != m;)
        mount_remove(former); // it was within this one
    u->confirmed = true;
    read_now(u);
}

static void ask_mount(struct unit *u)
{
    struct sld_arena a = {0};
    const struct vault_request rq = {
        .path = SLD_ARENA_JOIN(&a, SLD_STR("sys/internal/ui/mounts/"), u->path)};
    u->call = vault_ask(u->v, &rq, on_mount, u);
    sld_arena_fini(&a);
}

static void read_now(struct unit *u)
{
    struct sld_arena a = {0};
    const struct mount *m = mount_find(u->v, u->path);
    struct vault_request rq = {.path = u->path};
    if (!m) {
        ask_mount(u);
        return;
    }
    if (m->kv_version == 2)
        rq.path = SLD_ARENA_JOIN(&a, sld_str_sub(u->path, 0, m->n), SLD_STR("/data"),
                                 sld_str_sub(u->path, m->n, u->path.n));
    u->read_version = m->kv_version;
    u->call = vault_ask(u->v, &rq, on_read, u);
    sld_arena_fini(&a);
}

// ---- Checking ----

static void on_checked(const struct vault_answer *in, void *user)
{
    struct unit *u = user;
    struct sld_str number = vault_text(in->data, "current_version");
    const struct sld_node *about =
        sld_node_get(sld_node_get(in->data, SLD_STR("versions")), number);
    const struct vault_answer got = vault_expect(in, number.n), *a = &got;
    if (!goes_on(u, a))
        return;
    if (a->verdict == VAULT_OK) {
        unit_seen(u, number, about);
    } else if (a->verdict == VAULT_MISSING || a->verdict == VAULT_DELETED) {
        unit_seen(u, SLD_STR_NONE, NULL);
    } else { // the right to read does not comprise this
        u->by_data = true;
        vault_queue(u, false);
    }
}

static void check_now(struct unit *u, const struct mount *m)
{
    struct sld_arena a = {0};
    const struct vault_request rq = {.path = SLD_ARENA_JOIN(&a, sld_str_sub(u->path, 0, m->n),
                                                            SLD_STR("/metadata"),
                                                            sld_str_sub(u->path, m->n, u->path.n))};
    u->call = vault_ask(u->v, &rq, on_checked, u);
    sld_arena_fini(&a);
}

// ---- Certificates ----

static bool is_uri(struct sld_str name)
{
    return sld_str_find(name, SLD_STR("://")) > 0;
}

// Names of one kind of the comma-separated ALL, comma-separated.
static struct sld_str names_of(struct sld_arena *a, struct sld_str all, bool ips, bool uris)
{
    struct sld_str out = SLD_STR(""), name;
    while (sld_str_cut(&all, ',', &name)) {
        name = sld_str_trim(name);
        bool ip = sld_is_ip(name, NULL), uri = is_uri(name);
        if (!name.n || ip != ips || uri != uris)
            continue;
        out = out.n ? SLD_ARENA_JOIN(a, out, SLD_STR(","), name) : name;
    }
    return out;
}

static void add_field(struct sld_json *j, const char *key, struct sld_str value)
{
    if (!value.n)
        return;
    sld_json_key(j, key);
    sld_json_str(j, value);
}

static struct sld_str issue_body(struct sld_arena *a, const struct unit *u)
{
    struct sld_buf b;
    struct sld_json j;
    struct sld_str names = sld_store_ref_param(a, &u->ref, "alt_names");
    sld_buf_init(&b, (size_t)64 * 1024);
    sld_json_init(&j, &b);
    sld_json_begin(&j, '{');
    add_field(&j, "common_name", sld_store_ref_param(a, &u->ref, "common_name"));
    add_field(&j, "alt_names", names_of(a, names, false, false));
    add_field(&j, "ip_sans", names_of(a, names, true, false));
    add_field(&j, "uri_sans", names_of(a, names, false, true));
    add_field(&j, "ttl", sld_store_ref_param(a, &u->ref, "ttl"));
    add_field(&j, "format", SLD_STR("pem"));
    sld_json_end(&j, '}');
    struct sld_str body = sld_arena_str(a, sld_buf_str(&b));
    sld_buf_fini(&b);
    return body;
}

// "pki" of "pki/issue/web".
static struct sld_str issuer_mount(const struct unit *u)
{
    return sld_str_sub(u->path, 0, (size_t)sld_str_find(u->path, SLD_STR("/issue/")));
}

// When another is to be issued: at two thirds of what is left, or of all its life where the clocks do not
// agree. False: it is over already.
static bool plan_renewal(struct unit *u, const struct document *d)
{
    int64_t left = d->not_after - sld_wall_ms() / 1000, life = d->not_after - d->not_before;
    life = left < life ? left : life;
    life = life < VAULT_LIFE_MAX_S ? life : VAULT_LIFE_MAX_S;
    u->expires_s = d->not_after;
    u->renews_s = 0;
    u->due_ns = 0;
    if (life <= 0)
        return false;
    uint64_t wait = sld_jitter((uint64_t)life * SECOND / 3 * 2),
             least = (uint64_t)ISSUE_MIN_S * SECOND;
    again_in(u, wait > least ? wait : least);
    return true;
}

static void take_issued(struct unit *u, const struct vault_answer *a)
{
    struct document d;
    struct sld_err err = {0};
    struct sld_str serial = vault_text(a->data, "serial_number");
    enum sld_rc rc = document_make(&d, u, a->data, &err);
    if (rc != SLD_OK || d.not_after <= d.not_before) {
        if (rc == SLD_OK)
            sld_buf_fini(&d.text);
        set_problem(u, "what Vault issues from %.*s cannot be used: %s", SLD_FMT(u->path),
                    rc ? err.msg : "the certificate cannot be read");
        again_later(u);
        return;
    }
    if (u->told)
        vault_retire(u->v, issuer_mount(u), u->version);
    snprintf(u->version, sizeof(u->version), "%.*s",
             SLD_FMT(sld_str_sub(serial, 0, sizeof(u->version) - 1)));
    sld_vault_stats.issues++;
    SLD_LOG(SLD_INFO, "secret", "issued", SLD_KS("from", u->path), SLD_KC("serial", u->version),
            SLD_KI("life_s", d.not_after - sld_wall_ms() / 1000));
    bool lives = plan_renewal(u, &d);
    u->leased = false;
    if (vault_text(a->root, "lease_id").n)
        hang(u, a); // a role may say so: Vault revokes the certificate with the lease
    if (lives) {
        no_problem(u);
    } else {
        set_problem(u,
                    "a certificate that Vault issued from %.*s just now is over already: the clock "
                    "of Solder or that of Vault is wrong; set both right",
                    SLD_FMT(u->path));
        again_later(u);
    }
    put(u, sld_buf_str(&d.text));
    sld_buf_fini(&d.text);
}

static void on_issued(const struct vault_answer *in, void *user)
{
    struct unit *u = user;
    const struct vault_answer got = vault_expect(in, in->data != NULL), *a = &got;
    if (!goes_on(u, a))
        return;
    if (a->verdict == VAULT_OK) {
        take_issued(u, a);
        return;
    }
    set_problem(u, "Vault does not issue from %.*s: %s%s", SLD_FMT(u->path), a->words,
                u->told ? "; the last certificate stays as long as it is valid" : "");
    again_later(u);
}

static void issue(struct unit *u)
{
    struct sld_arena a = {0};
    const struct vault_request rq = {.method = "POST", .path = u->path, .body = issue_body(&a, u)};
    u->call = vault_ask(u->v, &rq, on_issued, u);
    sld_arena_fini(&a);
}

void unit_go(struct unit *u)
{
    const struct mount *m = mount_find(u->v, u->path);
    if (u->kind == UNIT_CERTIFICATE || u->leased)
        u->due_ns = 0;
    u->check = u->check && m && m->kv_version == 2; // it may be another engine by now
    if (u->kind == UNIT_CERTIFICATE)
        issue(u);
    else if (u->check)
        check_now(u, m);
    else
        read_now(u);
}
