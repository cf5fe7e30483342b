// Whether what is not there any more was deleted. A token that lost rights, a server that lost its
// state and another server all look alike: keys are missing. So each missing key is asked for by
// itself, which is refused when it may not be read; and then for the sentinel, a key of our own with
// an id, by which the store is known:
//
//   answer lacks keys ──▶ GET each: 404 ──▶ GET sentinel: its id ──▶ gone
//                              403 ─┐              403, 404, another id ─▶ everything stays, and the
//                                   └──▶ it stays, and the source says why    source says why
//
// Who fills such a store again does it key by key: when half is back it is trusted, and the rest stays
// until nothing has come back for a while.
#include <stdio.h>

#include "codec/doc.h"
#include "codec/scan.h"
#include "codec/text.h"
#include "source/consul/kv_inside.h"

#define MS UINT64_C(1000000)
enum {
    BATCH_MAX = 8, // keys that are asked for at a time
    RETRY_MS = 1000,
    DENIED_MS = 5000,
    REFILL_MS = 30 * 1000,
    REFILL_TIMES_MAX = 20, // no store is waited for longer than so many of these
};

static void prove(struct kv *kv);
static void probe(struct kv *kv);
static void check_sentinel(struct kv *kv);
static void remove_proved(struct kv *kv);
static void on_again(void *user);

static struct kv_absence *missing_of(struct sld_list *link)
{
    return SLD_CONTAINER_OF(link, struct kv_absence, link);
}

void kv_trust_init(struct kv *kv)
{
    sld_list_init(&kv->missing);
    kv->refill_ms = REFILL_MS;
    kv->again = sld_timer_create(kv->loop, on_again, kv);
}

static void stop_calls(struct kv *kv)
{
    SLD_LIST_EACH (it, &kv->missing) {
        struct kv_absence *m = missing_of(it);
        sld_consul_cancel(m->call);
        m->call = NULL;
    }
    sld_consul_cancel(kv->write);
    sld_consul_cancel(kv->check);
    kv->write = kv->check = NULL;
    kv->asking = 0;
    sld_timer_stop(kv->again);
}

void kv_trust_fini(struct kv *kv)
{
    stop_calls(kv);
    sld_timer_destroy(kv->again);
}

void kv_trust_forget(struct kv *kv)
{
    stop_calls(kv);
    kv->trust = KV_NEW;
    kv->seen = (struct kv_sentinel){0};
    kv->id[0] = kv->denied[0] = 0;
    kv->refill_ns = kv->top_index = kv->low_index = 0;
    kv->rights_known = kv->was_sure = false;
    kv->ev.restored = kv->units; // as much is expected of the other store
    SLD_LIST_EACH (it, &kv->missing)
        missing_of(it)->tried = missing_of(it)->proved = false;
}

// ---- A store that is filled again ----

bool kv_refills(const struct kv *kv)
{
    return kv->refill_ns > sld_mono_ns();
}

// Much of what was there came back: the rest, if any, is waited for as long as more does, but not for
// ever, because nothing that is deleted meanwhile goes.
static void refill(struct kv *kv)
{
    bool lacks = kv->missing_units || (!kv->synced && kv->units < kv->ev.restored);
    uint64_t now = sld_mono_ns(), until = now + kv->refill_ms * MS;
    if (!kv_refills(kv))
        kv->refill_end_ns = now + REFILL_TIMES_MAX * kv->refill_ms * MS;
    until = until < kv->refill_end_ns ? until : kv->refill_end_ns;
    kv->refill_ns = lacks ? until : 0;
}

unsigned kv_refill_most_s(const struct kv *kv)
{
    return (unsigned)(REFILL_TIMES_MAX * kv->refill_ms / 1000);
}

void kv_came(struct kv *kv)
{
    if (kv_refills(kv))
        refill(kv);
}

// ---- The sentinel ----

static void copy(char *to, size_t size, struct sld_str s)
{
    snprintf(to, size, "%.*s", SLD_FMT(sld_str_sub(s, 0, size - 1)));
}

static void sentinel_read(struct sld_str text, struct kv_sentinel *out)
{
    struct sld_arena a = {0};
    struct sld_scan s;
    struct sld_str member;
    out->trust = sld_str_eq(sld_str_trim(text), SLD_STR("trust"));
    sld_scan_init(&s, text, &a);
    sld_scan_object(&s);
    while (sld_scan_member(&s, &member)) {
        if (sld_str_eq(member, SLD_STR("id")))
            copy(out->id, sizeof(out->id), sld_scan_str(&s));
        else if (sld_str_eq(member, SLD_STR("status")))
            copy(out->status, sizeof(out->status), sld_scan_str(&s));
        else
            sld_scan_skip(&s);
    }
    if (!sld_scan_end(&s))
        out->id[0] = out->status[0] = 0;
    sld_arena_fini(&a);
}

void kv_trust_sentinel(struct kv *kv, struct sld_str value, uint64_t index)
{
    kv->seen = (struct kv_sentinel){.there = value.p != NULL, .index = index};
    if (value.p)
        sentinel_read(value, &kv->seen);
}

// What is lost from now on is held against what there is.
static void is_sure(struct kv *kv, enum kv_trust trust)
{
    kv->trust = trust;
    kv->was_sure = true;
    kv->sure_units = kv->units;
}

static void sure(struct kv *kv)
{
    if (kv->trust == KV_DOUBT)
        SLD_LOG(SLD_INFO, "source", "consul_trusted_again", SLD_KS("root", kv->root));
    memcpy(kv->id, kv->seen.id, sizeof(kv->id));
    is_sure(kv, KV_SURE);
}

static void doubt(struct kv *kv, const char *what)
{
    snprintf(kv->doubt, sizeof(kv->doubt),
             "%s: it may have lost its state, or be another one; what was there stays in force. If it "
             "is right as it is, write the one word trust to %.*s%.*s",
             what, SLD_FMT(kv->root), SLD_FMT(KV_SENTINEL));
    if (kv->trust != KV_DOUBT)
        SLD_LOG(SLD_WARN, "source", "consul_doubted", SLD_KS("root", kv->root),
                SLD_KC("reason", what));
    kv->trust = KV_DOUBT;
    kv->refill_ns = 0;
    kv->restart = kv->part_count > 1;
    SLD_LIST_EACH (it, &kv->missing)
        missing_of(it)->tried = missing_of(it)->proved = false; // of which store?
}

static void on_written(void *user, const struct sld_consul_answer *a)
{
    struct kv *kv = user;
    kv->write = NULL;
    bool denied = a->err && a->err->rc == SLD_DENIED;
    bool done = !a->err && sld_str_eq(sld_str_trim(a->body), SLD_STR("true"));
    if (denied && kv->trust == KV_MARKING) {
        SLD_LOG(SLD_INFO, "source", "consul_no_sentinel", SLD_KS("root", kv->root),
                SLD_KC("reason", a->err->msg));
        is_sure(kv, KV_PLAIN);
    } else if (a->err) {
        sld_timer_start(kv->again, RETRY_MS);
    } else if (!done) {
        check_sentinel(kv); // somebody else was first
    } else if (kv->trust == KV_MARKING) {
        // The watch shows it in a moment; what it shows until then is older.
        kv->seen.there = true;
        kv->seen.trust = false;
        memcpy(kv->seen.id, kv->id, sizeof(kv->id));
        sure(kv);
    }
    prove(kv);
    kv_look(kv);
    kv_parts_tidy(kv);
}

static void sentinel_write(struct kv *kv)
{
    if (kv->write)
        return; // its answer goes on
    struct sld_arena a = {0};
    struct sld_buf b;
    struct sld_json j;
    struct sld_str key = SLD_ARENA_JOIN(&a, SLD_STR("/v1/kv/"), kv->root, KV_SENTINEL);
    const struct sld_consul_param cas = {
        SLD_STR("cas"),
        sld_arena_fmt(&a, "%llu", (unsigned long long)(kv->seen.there ? kv->seen.index : 0))};
    snprintf(kv->id, sizeof(kv->id), "%016llx%016llx",
             (unsigned long long)sld_random_below(UINT64_MAX),
             (unsigned long long)sld_random_below(UINT64_MAX));
    sld_buf_init(&b, 4096);
    sld_json_init(&j, &b);
    sld_json_begin(&j, '{');
    sld_json_key(&j, "about");
    sld_json_str(&j, SLD_STR("Solder knows by this key that keys which are not here were deleted. After a "
                             "loss that is meant, write the one word trust in its place."));
    sld_json_key(&j, "id");
    sld_json_str(&j, sld_str_c(kv->id));
    sld_json_key(&j, "status");
    sld_json_str(&j, sld_str_c(sld_consul_status_place(kv->status, SLD_STR_NONE)));
    sld_json_end(&j, '}');
    struct sld_consul_query q = {.method = SLD_STR("PUT"),
                                 .path = key,
                                 .params = &cas,
                                 .param_count = 1,
                                 .body = sld_buf_str(&b)};
    kv->trust = KV_MARKING;
    kv->write = sld_consul_ask(kv->agent, &q, on_written, kv);
    sld_buf_fini(&b);
    sld_arena_fini(&a);
}

// Somebody says that what is missing is meant to be.
static void trusted(struct kv *kv)
{
    kv->refill_ns = 0;
    sentinel_write(kv);
}

// ---- Verdicts ----

// Whether at least half is there of what was when the store was sure, or of what was restored.
static bool mostly_there(const struct kv *kv)
{
    if (kv->was_sure)
        return kv->missing_units * 2 <= kv->sure_units;
    return (kv->units - kv->missing_units) * 2 >= kv->ev.restored;
}

static void first_look(struct kv *kv)
{
    char what[160];
    size_t here = kv->units - kv->missing_units;
    if (kv->seen.there || here)
        kv->denied[0] = 0; // of the probe
    if (kv->seen.there && kv->seen.id[0]) {
        sure(kv);
    } else if (kv->seen.trust || here) {
        if (kv->seen.trust || mostly_there(kv)) {
            if (!kv->seen.trust)
                refill(kv);
            sentinel_write(kv);
            return;
        }
        snprintf(what, sizeof(what), "Consul has %zu of the %zu objects that were there", here,
                 kv->ev.restored);
        doubt(kv, what);
    } else if (!kv->rights_known) {
        probe(kv); // nothing at all: it may be all that the token sees
    } else if (mostly_there(kv)) {
        sentinel_write(kv);
    } else {
        snprintf(what, sizeof(what), "Consul has none of the %zu objects that were there",
                 kv->ev.restored);
        doubt(kv, what);
    }
}

static void look_again(struct kv *kv)
{
    bool known = kv->seen.there && kv->seen.id[0] &&
                 sld_str_eq(sld_str_c(kv->seen.id), sld_str_c(kv->id));
    if (known || (mostly_there(kv) && kv->seen.id[0]))
        sure(kv);
    else if (kv->seen.trust || (mostly_there(kv) && !kv->seen.there))
        sentinel_write(kv);
    if (kv->trust != KV_DOUBT && !kv->seen.trust)
        refill(kv);
}

void kv_trust_look(struct kv *kv, bool went_back)
{
    bool told = kv->seen.there && kv->seen.id[0];
    bool same = told && sld_str_eq(sld_str_c(kv->seen.id), sld_str_c(kv->id));
    switch (kv->trust) {
    case KV_NEW:
        if (kv_parts_read(kv) && !kv->check)
            first_look(kv);
        break;
    case KV_MARKING:
        if (told && !kv->write)
            sure(kv);
        break;
    case KV_SURE:
        if (!kv->seen.there)
            check_sentinel(kv);
        else if (kv->seen.trust)
            trusted(kv);
        else if (!same)
            doubt(kv, "Consul has another key solder/sentinel than before");
        else if (!kv->missing_units)
            kv->denied[0] = 0; // of the sentinel
        break;
    case KV_PLAIN:
        if (told)
            sure(kv);
        else if (went_back && !mostly_there(kv))
            doubt(kv, "Consul's index went back, and most keys are missing");
        break;
    case KV_DOUBT:
        break;
    }
    if (kv->trust == KV_DOUBT && kv_parts_read(kv) && !kv->restart)
        look_again(kv);
    if (kv->trust == KV_SURE || kv->trust == KV_PLAIN)
        is_sure(kv, kv->trust);
    prove(kv);
    kv_look(kv);
}

// ---- Missing keys ----

void kv_missing(struct kv_key *k)
{
    struct kv *kv = k->part->kv;
    if (sld_str_eq(sld_str_c(k->path), KV_SENTINEL))
        kv_trust_sentinel(kv, SLD_STR_NONE, 0);
    if (!k->unit) {
        kv_key_remove(k);
        return;
    }
    if (k->absence)
        return;
    k->absence = SLD_NEW(struct kv_absence);
    k->absence->key = k;
    sld_list_push(&kv->missing, &k->absence->link);
    kv->missing_units++;
}

void kv_found(struct kv_key *k)
{
    struct kv *kv = k->part->kv;
    struct kv_absence *m = k->absence;
    if (!m)
        return;
    kv->asking -= m->call != NULL;
    sld_consul_cancel(m->call);
    sld_list_remove(&m->link);
    sld_xfree(m);
    k->absence = NULL;
    if (--kv->missing_units == 0)
        kv->denied[0] = 0;
    kv_came(kv);
}

static void denied_set(struct kv *kv, struct sld_str path, const struct sld_consul_answer *a)
{
    snprintf(kv->denied, sizeof(kv->denied), "%.*s%.*s may not be read; what it said stays in force. %s",
             SLD_FMT(kv->root), SLD_FMT(path), a->err->msg);
    sld_timer_start(kv->again, DENIED_MS);
}

static bool is_denied(const struct sld_consul_answer *a)
{
    return a->err && a->err->rc == SLD_DENIED;
}

// Reads one key, to be told of it by DONE.
static struct sld_consul_call *key_ask(struct kv *kv, struct sld_str path, sld_consul_done *done,
                                       void *user)
{
    struct sld_arena a = {0};
    struct sld_consul_query q = {
        .path = SLD_ARENA_JOIN(&a, SLD_STR("/v1/kv/"), kv->root, path),
        // A server that is behind is no proof: this is answered by a leader that has read all of its log.
        .consistency = SLD_CONSUL_CONSISTENT,
    };
    struct sld_consul_call *call = sld_consul_ask(kv->agent, &q, done, user);
    sld_arena_fini(&a);
    return call;
}

// Those that are asked for no more are the proved, the denied, and others that are tried again later.
static void batch_done(struct kv *kv)
{
    bool any = false;
    SLD_LIST_EACH (it, &kv->missing)
        any |= missing_of(it)->proved;
    if (any && kv->trust == KV_SURE)
        check_sentinel(kv);
    else if (any && kv->trust == KV_PLAIN)
        remove_proved(kv);
    else
        prove(kv);
}

static void on_key(void *user, const struct sld_consul_answer *a)
{
    struct kv_absence *m = user;
    struct kv_key *k = m->key;
    struct kv *kv = k->part->kv;
    m->call = NULL;
    kv->asking--;
    bool back = a->index < kv->top_index;
    bool sure = kv->trust == KV_SURE || kv->trust == KV_PLAIN;
    m->tried = sure;
    m->proved = sure && !a->err && a->status == 404 && a->known_leader && !back;
    if (is_denied(a)) {
        denied_set(kv, sld_str_c(k->path), a);
        sld_list_remove(&m->link);
        sld_list_push(&kv->missing, &m->link); // others first
    } else if (!a->err && a->status == 200 && k->part->read) {
        // The answer without it is older than the right to read it.
        k->part->read = false;
        sld_consul_watch_again(k->part->watch);
    } else if (!m->proved) {
        kv->low_index = !a->err && back ? a->index : kv->low_index;
        sld_timer_start(kv->again, RETRY_MS);
    }
    if (kv->asking == 0)
        batch_done(kv);
    kv_look(kv);
    kv_parts_tidy(kv);
}

// Asks for missing keys that were not asked for yet.
static void prove(struct kv *kv)
{
    bool sure = kv->trust == KV_SURE || kv->trust == KV_PLAIN;
    if (!sure || kv->check || kv->asking)
        return;
    uint64_t now = sld_mono_ns();
    bool proved = false;
    if (kv->refill_ns > now) {
        sld_timer_start(kv->again, (kv->refill_ns - now) / MS + 1);
        return;
    }
    SLD_LIST_EACH (it, &kv->missing) {
        struct kv_absence *m = missing_of(it);
        if (kv->asking >= BATCH_MAX)
            return;
        proved |= m->proved;
        if (m->tried || m->call)
            continue;
        m->tried = true;
        m->call = key_ask(kv, sld_str_c(m->key->path), on_key, m);
        kv->asking++;
    }
    // Their batch ended without them, when the last that was asked for came back.
    if (proved && !kv->asking)
        batch_done(kv);
}

static void remove_proved(struct kv *kv)
{
    SLD_LIST_EACH (it, &kv->missing) {
        if (missing_of(it)->proved)
            kv_key_remove(missing_of(it)->key);
    }
    prove(kv);
}

// ---- The sentinel, asked for ----

// What is there now; false: the answer does not say.
static bool sentinel_answer(const struct sld_consul_answer *a, struct kv_sentinel *now)
{
    struct sld_arena arena = {0};
    struct consul_item *items = NULL;
    size_t n = 0;
    struct sld_str text;
    *now = (struct kv_sentinel){0};
    if (a->err || !a->known_leader)
        return false;
    bool ok = a->status == 404;
    if (!ok && kv_read_items(&arena, a->body, &items, &n) && n == 1 &&
        sld_base64_decode(&arena, items[0].value, &text)) {
        ok = now->there = true;
        now->index = items[0].index;
        sentinel_read(text, now);
    }
    sld_arena_fini(&arena);
    return ok;
}

// While the store was sure: IT is what there is of the sentinel, HAD whether answers had one.
static void sentinel_judge(struct kv *kv, const struct kv_sentinel *it, bool had)
{
    bool same = sld_str_eq(sld_str_c(it->id), sld_str_c(kv->id));
    if (!it->there)
        doubt(kv, "Consul does not have the key solder/sentinel any more");
    else if (it->trust)
        trusted(kv);
    else if (!same)
        doubt(kv, "Consul has another key solder/sentinel than before");
    else if (had)
        remove_proved(kv);
    else
        kv_parts_reread(kv); // the answers without it are older than the right to read it
}

static void on_sentinel(void *user, const struct sld_consul_answer *a)
{
    struct kv *kv = user;
    struct kv_sentinel now;
    bool had = kv->seen.there;
    kv->check = NULL;
    if (is_denied(a)) {
        denied_set(kv, KV_SENTINEL, a);
    } else if (!sentinel_answer(a, &now)) {
        sld_timer_start(kv->again, RETRY_MS);
    } else {
        kv->seen = now;
        if (kv->trust == KV_SURE)
            sentinel_judge(kv, &now, had);
        else if (kv->trust == KV_MARKING && !now.id[0])
            sentinel_write(kv);
        kv_trust_look(kv, false); // it may be all that was missing
    }
    kv_look(kv);
    kv_parts_tidy(kv);
}

static void check_sentinel(struct kv *kv)
{
    if (!kv->check)
        kv->check = key_ask(kv, KV_SENTINEL, on_sentinel, kv);
}

// ---- A store without keys ----

static void on_probe(void *user, const struct sld_consul_answer *a)
{
    struct kv *kv = user;
    kv->check = NULL;
    bool late = kv->denied[0];
    if (is_denied(a)) {
        kv->probe++;
        if (kv->probe < SLD_KIND_COUNT)
            probe(kv);
        else
            denied_set(kv, SLD_STR("..."), a);
    } else if (a->err) {
        sld_timer_start(kv->again, RETRY_MS);
    } else {
        kv->rights_known = true;
        kv->denied[0] = 0;
        if (late)
            kv_parts_reread(kv); // what was read is older than the right
        else
            kv_trust_look(kv, false);
    }
    kv_look(kv);
}

// Looks for a kind of which the token may read a key, whether it is there or not.
static void probe(struct kv *kv)
{
    struct sld_arena a = {0};
    if (kv->probe == (int)SLD_KIND_SECRET)
        kv->probe++;
    kv->probe %= SLD_KIND_COUNT;
    struct sld_ident id = {(enum sld_kind)kv->probe, SLD_STR("gloo-system"), SLD_STR("default")};
    kv->check = key_ask(kv, sld_store_key(&a, id), on_probe, kv);
    sld_arena_fini(&a);
}

// ---- Again ----

static void on_again(void *user)
{
    struct kv *kv = user;
    if (kv->trust == KV_MARKING && !kv->write)
        check_sentinel(kv);
    else if (kv->trust == KV_NEW && !kv->check && kv_parts_read(kv))
        first_look(kv);
    else if (kv->trust == KV_SURE && !kv->seen.there)
        check_sentinel(kv);
    // A server that starts has little of its state, for a moment; one that still has, has no more.
    if (kv->low_index && kv->asking == 0) {
        kv->top_index = kv->low_index;
        kv->low_index = 0;
    }
    SLD_LIST_EACH (it, &kv->missing) {
        struct kv_absence *m = missing_of(it);
        m->tried = m->proved || m->call;
    }
    if (kv->asking == 0 && !kv->check)
        batch_done(kv);
    kv_look(kv);
    kv_parts_tidy(kv);
}
