// Who reads which keys. At first one watch reads all of them. When there are many, an edit of one
// would cost a transfer of all, so that they are shared out among watches by prefix; and because a new
// key may begin like none before, one more watch, whose answers are a few bytes, wakes at every change
// below the root: if no part saw it, the names are looked through.
#include "source/consul/kv_inside.h"

#include <stdio.h>
#include <stdlib.h>

#define MS UINT64_C(1000000)
enum {
    GAP_SOON_MS = 40,   // a part has seen the change by then
    GAP_LATE_MS = 1000, // changes that come together are told apart by looking later, at most
    GAP_KEYS_MS = 2,    // looks are apart by so many keys in a millisecond,
    GAP_LEAST_MS = 200, // within these
    GAP_MOST_MS = 5000,
    OLDER_MS = 2000, // so long a server that starts may be behind
    OLDER_REST_MS = 15000, // nothing was heard of it for longer than a pause takes: it starts again
    PART_WAIT_MS = 10 * 60 * 1000, // the longest that Consul waits: each waiting ends in a transfer
};

static void part_watch(struct kv_part *p, uint64_t index);
static void names_start(struct kv *kv);
static void names_stop(struct kv *kv);

// ---- Cutting ----

// Consul's web server takes "." and ".." and empty parts of a path for something else.
static bool prefix_fits(struct sld_str prefix)
{
    struct sld_str rest = prefix, part;
    while (sld_str_cut(&rest, '/', &part)) {
        bool last = !rest.p;
        if ((part.n == 0 && !last) || sld_str_eq(part, SLD_STR(".")) ||
            sld_str_eq(part, SLD_STR("..")))
            return false;
    }
    return true;
}

// The parts that C falls into by the first byte in which its names differ; 0 when that cannot be.
static size_t fan_out(const struct sld_str *names, const struct kv_cut *c, struct kv_cut *out,
                      size_t max)
{
    size_t n = 0, at = c->first, end = c->first + c->count, same = 0;
    struct sld_str low = names[at], high = names[end - 1];
    while (same < low.n && same < high.n && low.p[same] == high.p[same])
        same++;
    while (at < end) {
        if (n == max)
            return 0;
        struct kv_cut *one = &out[n++];
        *one = (struct kv_cut){.first = at, .exact = names[at].n == same};
        one->prefix = sld_str_sub(names[at], 0, one->exact ? same : same + 1);
        if (!prefix_fits(one->prefix))
            return 0;
        do
            at++;
        while (!one->exact && at < end && names[at].p[same] == one->prefix.p[same]);
        one->count = at - one->first;
    }
    return n;
}

size_t kv_cut(const struct sld_str *names, size_t n, size_t max, struct kv_cut *out)
{
    struct kv_cut fan[257]; // one for each byte, and the name that ends before it
    size_t count = 1;
    out[0] = (struct kv_cut){.prefix = SLD_STR(""), .count = n};
    for (;;) {
        struct kv_cut *big = NULL;
        for (size_t i = 0; i < count; i++) {
            if (!out[i].exact && !out[i].whole && out[i].count > KV_LEAF &&
                (!big || out[i].count > big->count))
                big = &out[i];
        }
        if (!big)
            return count;
        size_t room = max - count + 1;
        size_t got = fan_out(names, big, fan, room < SLD_ARRAY_LEN(fan) ? room : SLD_ARRAY_LEN(fan));
        if (got < 2) {
            big->whole = true;
            continue;
        }
        *big = fan[0];
        memcpy(out + count, fan + 1, (got - 1) * sizeof(*out));
        count += got - 1;
    }
}

// ---- Parts ----

static struct kv_part *part_add(struct kv *kv, struct sld_str prefix, bool exact)
{
    struct kv_part *p = sld_xcalloc(1, sizeof(*p) + prefix.n + 1);
    if (prefix.n)
        memcpy(p->prefix, prefix.p, prefix.n);
    p->kv = kv;
    p->exact = exact;
    sld_list_init(&p->keys);
    sld_list_push(&kv->parts, &p->link);
    kv->part_count++;
    return p;
}

static void part_free(struct kv_part *p)
{
    SLD_INV(sld_list_empty(&p->keys));
    p->kv->part_count--;
    sld_list_remove(&p->link);
    sld_consul_watch_stop(p->watch);
    sld_xfree(p->problem);
    sld_xfree(p);
}

static void key_move(struct kv_key *k, struct kv_part *to)
{
    sld_list_remove(&k->in_part);
    k->part->count--;
    k->part = to;
    sld_list_push(&to->keys, &k->in_part);
    to->count++;
}

static struct kv_part *part_of(struct sld_list *link)
{
    return SLD_CONTAINER_OF(link, struct kv_part, link);
}

static bool part_covers(const struct kv_part *p, struct sld_str path)
{
    struct sld_str prefix = sld_str_c(p->prefix);
    return p->exact ? sld_str_eq(path, prefix) : sld_str_starts(path, prefix);
}

bool kv_parts_read(const struct kv *kv)
{
    SLD_LIST_EACH (it, &kv->parts) {
        if (!part_of(it)->read)
            return false;
    }
    return true;
}

const char *kv_parts_problem(const struct kv *kv)
{
    SLD_LIST_EACH (it, &kv->parts) {
        if (part_of(it)->problem)
            return part_of(it)->problem;
    }
    return kv->names_problem;
}

static int by_path(const void *a, const void *b)
{
    const struct kv_key *const *x = a, *const *y = b;
    return strcmp((*x)->path, (*y)->path);
}

// How many parts there may be in place of one.
static size_t room_for(const struct kv *kv)
{
    size_t room = sld_consul_watch_room(kv->agent) + 1;
    room -= !kv->names && room > 1;
    size_t left = KV_PARTS_MAX - kv->part_count + 1;
    return room < left ? room : left;
}

static bool too_large(const struct kv_part *p)
{
    size_t limit = p->kv->part_count == 1 ? KV_ALONE : 2 * KV_LEAF;
    return !p->exact && p->count > limit && p->count >= 2 * p->whole;
}

// Puts several parts in the place of P, which was read a moment ago: they go on where it was.
static void part_split(struct kv_part *p)
{
    struct kv *kv = p->kv;
    struct sld_arena a = {0};
    size_t n = 0, max = room_for(kv);
    struct kv_key **keys = SLD_ARENA_ARRAY(&a, struct kv_key *, p->count);
    struct sld_str *names = SLD_ARENA_ARRAY(&a, struct sld_str, p->count);
    struct kv_cut *cuts = SLD_ARENA_ARRAY(&a, struct kv_cut, max);
    SLD_LIST_EACH (it, &p->keys)
        keys[n++] = SLD_CONTAINER_OF(it, struct kv_key, in_part);
    qsort(keys, n, sizeof(struct kv_key *), by_path);
    for (size_t i = 0; i < n; i++)
        names[i] = sld_str_c(keys[i]->path);
    size_t count = kv_cut(names, n, max, cuts);
    p->whole = n;
    for (size_t i = 0; count > 1 && i < count; i++) {
        struct kv_part *one = part_add(kv, cuts[i].prefix, cuts[i].exact);
        one->read = true;
        one->index = p->index;
        one->whole = cuts[i].whole ? cuts[i].count : 0;
        for (size_t k = 0; k < cuts[i].count; k++)
            key_move(keys[cuts[i].first + k], one);
        part_watch(one, p->index);
    }
    sld_arena_fini(&a);
    if (count < 2)
        return;
    SLD_LOG(SLD_DEBUG, "source", "consul_keys_split", SLD_KC("prefix", p->prefix),
            SLD_KI("keys", (int64_t)n), SLD_KI("watches", (int64_t)count));
    part_free(p);
    names_start(kv);
}

void kv_parts_tidy(struct kv *kv)
{
    if (kv->restart || (kv->part_count > 1 && sld_set_count(&kv->keys) < KV_ALONE / 2)) {
        kv_parts_start(kv);
        return;
    }
    SLD_LIST_EACH (it, &kv->parts) {
        struct kv_part *p = part_of(it);
        if (p->count == 0 && p->read && kv->part_count > 1)
            part_free(p);
    }
    bool sure = kv->trust == KV_SURE || kv->trust == KV_PLAIN;
    for (bool more = sure; more;) {
        more = false;
        SLD_LIST_EACH (it, &kv->parts) {
            if (part_of(it)->read && too_large(part_of(it))) {
                part_split(part_of(it));
                more = true;
                break;
            }
        }
    }
}

// ---- Answers ----

static bool all_asked_for(const struct kv_part *p, const struct consul_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct sld_str path = kv_path(p->kv, items[i].key);
        if (path.p ? !part_covers(p, path) : !sld_str_starts(items[i].key, p->kv->root))
            return false;
    }
    return true;
}

// Whether the answer is of a time before the last one: a key is as it was, or is there again.
static bool is_older(const struct kv_part *p, const struct consul_item *items, size_t n)
{
    const struct kv *kv = p->kv;
    if (kv->trust != KV_SURE && kv->trust != KV_PLAIN)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct sld_str path = kv_path(kv, items[i].key);
        const struct kv_key *k = path.p ? kv_key_find(kv, path) : NULL;
        if (k ? items[i].index < k->index : p->went_back && path.p)
            return true;
    }
    return false;
}

// A server that starts has not read all of its log, for a moment; one that was restored stays so.
static bool is_behind(struct kv_part *p, const struct consul_item *items, size_t n)
{
    uint64_t now = sld_mono_ns();
    if (!is_older(p, items, n))
        p->older_ns = 0;
    else if (!p->older_ns || now - p->older_seen_ns > OLDER_REST_MS * MS)
        p->older_ns = now; // another start
    p->older_seen_ns = now;
    return p->older_ns && now - p->older_ns < OLDER_MS * MS;
}

// Takes what is there, and remarks what is not; NULL, or why the answer cannot be used.
static const char *part_take(struct kv_part *p, const struct sld_consul_answer *a,
                             struct sld_arena *arena)
{
    struct kv *kv = p->kv;
    struct consul_item *items = NULL;
    size_t n = 0;
    bool ok = true;
    if (a->status == 200 && !kv_read_items(arena, a->body, &items, &n))
        return "the answer is no list of keys, or was cut";
    if (a->status == 200 && n == 0)
        return "the answer is an empty list, which Consul does not give";
    if (!all_asked_for(p, items, n))
        return "the answer has keys that were not asked for";
    if (is_behind(p, items, n))
        return "the answer is older than what was read before, as from a server that starts";
    kv->round++;
    for (size_t i = 0; i < n; i++) {
        struct sld_str path = kv_path(kv, items[i].key);
        if (path.p)
            ok = kv_key_take(p, path, &items[i]) && ok;
    }
    if (!ok)
        return "the answer has a value that is no base64";
    SLD_LIST_EACH (it, &p->keys) {
        struct kv_key *k = SLD_CONTAINER_OF(it, struct kv_key, in_part);
        if (k->round != kv->round)
            kv_missing(k);
    }
    return NULL;
}

static void on_answer(void *user, const struct sld_consul_answer *a)
{
    struct kv_part *p = user;
    struct kv *kv = p->kv;
    struct sld_arena arena = {0};
    p->went_back |= a->went_back;
    const char *why = part_take(p, a, &arena);
    bool went_back = p->went_back;
    sld_arena_fini(&arena);
    if (why) {
        sld_consul_watch_refuse(p->watch, why);
        return;
    }
    p->index = a->index;
    kv_part_saw(kv, a->index);
    p->read = true;
    p->went_back = false;
    kv->top_index = a->index > kv->top_index ? a->index : kv->top_index;
    kv_trust_look(kv, went_back);
    kv_parts_tidy(kv);
}

static char *problem_make(const struct kv *kv, const char *prefix, struct sld_str message)
{
    char text[KV_PROBLEM_MAX];
    if (!message.p)
        return NULL;
    snprintf(text, sizeof(text), "%.*s%s: %.*s", SLD_FMT(kv->root), prefix, SLD_FMT(message));
    char *out = sld_xcalloc(1, strlen(text) + 1);
    memcpy(out, text, strlen(text));
    return out;
}

static void on_problem(void *user, enum sld_rc rc, struct sld_str message)
{
    struct kv_part *p = user;
    (void)rc;
    sld_xfree(p->problem);
    p->problem = problem_make(p->kv, p->prefix, message);
    kv_look(p->kv);
}

static void part_watch(struct kv_part *p, uint64_t index)
{
    struct kv *kv = p->kv;
    struct sld_arena a = {0};
    const struct sld_consul_param recurse = {SLD_STR("recurse"), SLD_STR_NONE};
    struct sld_consul_watch_options o = {
        .query = {.path = SLD_ARENA_JOIN(&a, SLD_STR("/v1/kv/"), kv->root, sld_str_c(p->prefix)),
                  .params = &recurse,
                  .param_count = p->exact ? 0 : 1,
                  .consistency = kv->consistency},
        .wait_ms = kv->part_count > 1 ? PART_WAIT_MS : 0,
        .index = index,
        .on_answer = on_answer,
        .on_problem = on_problem,
        .user = p,
    };
    p->watch = sld_consul_watch_start(kv->agent, &o);
    sld_arena_fini(&a);
}

// ---- New keys between the parts ----

void kv_part_saw(struct kv *kv, uint64_t index)
{
    kv->seen_by[kv->seen_at++ % KV_SEEN] = index;
}

static bool was_seen(const struct kv *kv, uint64_t index)
{
    for (size_t i = 0; i < KV_SEEN; i++) {
        if (kv->seen_by[i] == index)
            return true;
    }
    return false;
}

static void on_names(void *user, const struct sld_consul_answer *a)
{
    struct kv *kv = user;
    if (kv->woken_count < KV_WOKEN)
        kv->woken[kv->woken_count++] = a->index;
    if (!kv->gap_soon)
        sld_timer_start(kv->gap, GAP_SOON_MS);
    kv->gap_soon = true;
}

static void on_names_problem(void *user, enum sld_rc rc, struct sld_str message)
{
    struct kv *kv = user;
    (void)rc;
    sld_xfree(kv->names_problem);
    kv->names_problem = problem_make(kv, "", message);
    kv_look(kv);
}

static void names_start(struct kv *kv)
{
    if (kv->names)
        return;
    struct sld_arena a = {0};
    const struct sld_consul_param params[] = {{SLD_STR("keys"), SLD_STR_NONE},
                                              {SLD_STR("separator"), SLD_STR("/")}};
    struct sld_consul_watch_options o = {
        .query = {.path = SLD_ARENA_JOIN(&a, SLD_STR("/v1/kv/"), kv->root),
                  .params = params,
                  .param_count = SLD_ARRAY_LEN(params),
                  .consistency = kv->consistency},
        .every_index = true,
        .on_answer = on_names,
        .on_problem = on_names_problem,
        .user = kv,
    };
    kv->names = sld_consul_watch_start(kv->agent, &o);
    sld_arena_fini(&a);
}

static void names_stop(struct kv *kv)
{
    sld_consul_watch_stop(kv->names);
    sld_consul_cancel(kv->look);
    sld_xfree(kv->names_problem);
    kv->names_problem = NULL;
    kv->names = NULL;
    kv->look = NULL;
    kv->gap_owed = kv->gap_soon = false;
    kv->woken_count = 0;
    sld_timer_stop(kv->gap);
}

// A part for the new key at PATH, as large as there is room between the others.
static bool part_fill(struct kv *kv, struct sld_str path)
{
    for (size_t n = 1; n <= path.n; n++) {
        struct sld_str prefix = sld_str_sub(path, 0, n);
        bool taken = !prefix_fits(prefix), exact = false;
        SLD_LIST_EACH (it, &kv->parts) {
            bool inside = sld_str_starts(sld_str_c(part_of(it)->prefix), prefix);
            exact |= inside && n == path.n;
            taken |= inside && n < path.n;
        }
        if (taken)
            continue;
        if (kv->part_count >= KV_PARTS_MAX)
            return false;
        part_watch(part_add(kv, prefix, exact), 0);
        return true;
    }
    return true; // nothing that can be asked for, and no key of ours
}

// The time between looks: each transfers all names.
static uint64_t each_ms(const struct kv *kv)
{
    uint64_t ms = sld_set_count(&kv->keys) / GAP_KEYS_MS;
    return ms < GAP_LEAST_MS ? GAP_LEAST_MS : ms > GAP_MOST_MS ? GAP_MOST_MS : ms;
}

static void gap_owe(struct kv *kv)
{
    uint64_t now = sld_mono_ns(), each = each_ms(kv), next = kv->looked_ns + each * MS;
    uint64_t wait_ms = each < GAP_LATE_MS ? each : GAP_LATE_MS;
    if (!kv->gap_owed) {
        kv->gap_owed = true;
        kv->gap_due_ns = now + wait_ms * MS;
        if (kv->looked_ns && kv->gap_due_ns < next)
            kv->gap_due_ns = next;
    }
    sld_timer_start(kv->gap, kv->gap_due_ns > now ? (kv->gap_due_ns - now) / MS + 1 : 0);
}

static void on_look(void *user, const struct sld_consul_answer *a)
{
    struct kv *kv = user;
    struct sld_arena arena = {0};
    struct sld_str *names = NULL;
    size_t n = 0;
    bool fits = true, any = false;
    kv->look = NULL;
    if (a->err || (a->status == 200 && !kv_read_names(&arena, a->body, &names, &n))) {
        gap_owe(kv);
        sld_arena_fini(&arena);
        return;
    }
    for (size_t i = 0; i < n && fits; i++) {
        struct sld_str path = kv_path(kv, names[i]);
        bool covered = !path.p || kv_key_find(kv, path);
        SLD_LIST_EACH (it, &kv->parts) {
            if (covered)
                break;
            covered = part_covers(part_of(it), path);
        }
        any |= !covered;
        if (!covered)
            fits = part_fill(kv, path);
    }
    kv->in_vain = !any;
    sld_arena_fini(&arena);
    if (!fits)
        kv_parts_start(kv);
}

static void on_gap(void *user)
{
    struct kv *kv = user;
    bool seen = true;
    uint64_t now = sld_mono_ns();
    if (kv->look) {
        sld_timer_start(kv->gap, GAP_SOON_MS);
        return;
    }
    for (size_t i = 0; i < kv->woken_count; i++)
        seen &= was_seen(kv, kv->woken[i]);
    kv->gap_soon = false;
    kv->woken_count = 0;
    // A key that is written twice hides the first of it: who does so all the time is no reason to look.
    seen |= kv->in_vain && now < kv->looked_ns + each_ms(kv) * MS;
    if (seen && (!kv->gap_owed || now < kv->gap_due_ns)) {
        gap_owe(kv);
        return;
    }
    kv->gap_owed = false;
    kv->looked_ns = now;
    struct sld_arena a = {0};
    const struct sld_consul_param keys = {SLD_STR("keys"), SLD_STR_NONE};
    struct sld_consul_query q = {.path = SLD_ARENA_JOIN(&a, SLD_STR("/v1/kv/"), kv->root),
                                 .params = &keys,
                                 .param_count = 1,
                                 .consistency = kv->consistency};
    kv->look = sld_consul_ask(kv->agent, &q, on_look, kv);
    sld_arena_fini(&a);
}

// ---- All of them ----

void kv_parts_init(struct kv *kv)
{
    sld_list_init(&kv->parts);
    kv->gap = sld_timer_create(kv->loop, on_gap, kv);
}

void kv_parts_start(struct kv *kv)
{
    names_stop(kv);
    kv->restart = false;
    struct sld_list old;
    sld_list_init(&old);
    SLD_LIST_EACH (it, &kv->parts) {
        sld_list_remove(it);
        sld_list_push(&old, it);
    }
    struct kv_part *all = part_add(kv, SLD_STR(""), false);
    SLD_LIST_EACH (it, &old) {
        struct kv_part *p = part_of(it);
        SLD_LIST_EACH (k, &p->keys)
            key_move(SLD_CONTAINER_OF(k, struct kv_key, in_part), all);
        part_free(p);
    }
    part_watch(all, 0);
}

void kv_parts_reread(struct kv *kv)
{
    SLD_LIST_EACH (it, &kv->parts) {
        part_of(it)->read = false;
        sld_consul_watch_again(part_of(it)->watch);
    }
}

void kv_parts_fini(struct kv *kv)
{
    names_stop(kv);
    SLD_LIST_EACH (it, &kv->parts) {
        struct kv_part *p = part_of(it);
        SLD_LIST_EACH (k, &p->keys)
            sld_list_remove(k);
        part_free(p);
    }
    sld_timer_destroy(kv->gap);
}
