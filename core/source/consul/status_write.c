// Writes statuses, many at once.
//
//   in values:  get the values ──▶ check-session + cas of each     again with what was refused
//   beside:     list once ──▶ check-session + cas of each          list again when somebody else wrote
//
// The first operation of each change makes it count only while the lock is ours.
#include "source/consul/status_inside.h"

#include <stdio.h>

#include "codec/scan.h"

enum {
    COST_MS = 10,    // of one write: a hundred a second
    BURST = 50,      // after a quiet time, so many at once
    BATCH_LEAST = 25, // who writes all the time waits for so many
    GATHER_MS = 20,  // the first of many waits for the others
    AGAIN_MS = 1000, // after a failure, up to AGAIN_MAX_MS
    AGAIN_MAX_MS = 30 * 1000,
    FINDINGS_MAX = 16, // told beside, with how many there are
    WORDS_MAX = 256,
    LIST_MAX_BYTES = 64 * 1024 * 1024,
};

// The status beside an object, as it is stored.
static void print_beside(struct sld_json *j, const struct sld_status *s)
{
    sld_json_begin(j, '{');
    sld_json_key(j, "state");
    sld_json_str(j, sld_str_c(sld_status_state_name(s->state)));
    if (s->reason.n) {
        sld_json_key(j, "reason");
        sld_json_str(j, s->reason);
    }
    sld_json_key(j, "reportedBy");
    sld_json_str(j, SLD_STR("gloo"));
    sld_json_key(j, "served");
    sld_json_bool(j, s->served);
    sld_json_key(j, "lastGood");
    sld_json_bool(j, s->last_good);
    sld_json_key(j, "errors");
    sld_json_int(j, (int64_t)s->errors);
    sld_json_key(j, "warnings");
    sld_json_int(j, (int64_t)s->warnings);
    sld_json_key(j, "findings");
    sld_json_begin(j, '[');
    for (size_t i = 0; i < s->count && i < FINDINGS_MAX; i++) {
        const struct sld_finding *f = &s->findings[i];
        char code[16];
        snprintf(code, sizeof(code), "SLD%04d", (int)f->code);
        sld_json_begin(j, '{');
        sld_json_key(j, "severity");
        sld_json_str(j, sld_str_c(sld_severity_name(f->severity)));
        sld_json_key(j, "code");
        sld_json_str(j, sld_str_c(code));
        sld_json_key(j, "path");
        sld_json_str(j, sld_str_utf8_cut(f->path.p ? f->path : SLD_STR(""), WORDS_MAX));
        sld_json_key(j, "message");
        sld_json_str(j, sld_str_utf8_cut(f->message, WORDS_MAX));
        sld_json_end(j, '}');
    }
    sld_json_end(j, ']');
    sld_json_end(j, '}');
}

struct sld_str status_beside_text(struct sld_arena *a, const struct sld_status *s)
{
    struct sld_buf b;
    struct sld_json j;
    sld_buf_init(&b, STATUS_VALUE_MAX_BYTES);
    sld_json_init(&j, &b);
    print_beside(&j, s);
    struct sld_str out = sld_arena_str(a, sld_buf_str(&b));
    sld_buf_fini(&b);
    return out;
}

// ---- Batches ----

void status_rest(struct sld_consul_status *w)
{
    sld_consul_cancel(w->call);
    w->call = NULL;
    w->waiting = false;
    sld_timer_stop(w->timer);
    for (size_t i = 0; i < w->batch_count; i++)
        w->batch[i].e->busy = false;
    w->batch_count = 0;
    SLD_LIST_EACH (it, &w->queue)
        sld_list_remove(it);
}

// The batch is over, however it ended; what is due still comes again.
static void batch_end(struct sld_consul_status *w)
{
    struct item items[STATUS_BATCH_MAX];
    size_t n = w->batch_count;
    memcpy(items, w->batch, n * sizeof(items[0]));
    w->batch_count = 0;
    for (size_t i = 0; i < n; i++) {
        items[i].e->busy = false;
        status_look_at(w, items[i].e);
    }
}

static void failed(struct sld_consul_status *w, const char *why)
{
    w->failures++;
    w->waiting = true;
    batch_end(w);
    if (w->failures > 1) {
        struct sld_arena a = {0};
        status_complain(w, sld_arena_fmt(&a, "statuses cannot be written: %s", why));
        sld_arena_fini(&a);
    }
    sld_timer_start(w->timer, sld_backoff(w->failures, AGAIN_MS, AGAIN_MAX_MS));
}

static void succeeded(struct sld_consul_status *w)
{
    w->failures = 0;
    status_complain(w, SLD_STR_NONE);
}

// Goes on with what is due.
static void go_on(struct sld_consul_status *w)
{
    batch_end(w);
    status_work(w);
}

static void drop_item(struct sld_consul_status *w, size_t i)
{
    w->batch[i].e->busy = false;
    w->batch[i] = w->batch[--w->batch_count];
}

static struct sld_str place_of(const struct sld_consul_status *w, struct sld_arena *a,
                               const struct entry *e)
{
    return SLD_ARENA_JOIN(a, w->place == IN_VALUE ? w->root : w->prefix, SLD_STR("/"),
                          sld_str_c(e->key));
}

static void ask(struct sld_consul_status *w, struct consul_txn *t, sld_consul_done *done)
{
    struct sld_consul_query q = consul_txn_query(t);
    w->call = sld_consul_ask(w->c, &q, done, w);
}

// Begins a transaction that counts only while the lock is ours.
static void begin_change(struct sld_consul_status *w, struct consul_txn *t)
{
    consul_txn_init(t);
    consul_txn_add(t, "check-session", consul_lock_key(w->lock), SLD_STR_NONE, false, 0,
                   consul_lock_session(w->lock));
}

static void was_written(struct sld_consul_status *w, const struct item *i, uint64_t index)
{
    struct entry *e = i->e;
    if (w->place == IN_VALUE) {
        e->in_value = i->hash;
        status_events(e)->written_index = index;
        status_events(e)->written_ns = sld_mono_ns();
        return;
    }
    e->beside = i->hash;
    e->beside_index = index;
}

// Takes what the batch's transaction was refused for; false when the lock is not ours any more.
static bool take_errors(struct sld_consul_status *w, const struct consul_txn_answer *t)
{
    struct entry *denied[STATUS_BATCH_MAX];
    size_t n = 0;
    for (size_t i = 0; i < t->error_count; i++) {
        const struct consul_txn_error *x = &t->errors[i];
        if (x->op == 0)
            return false;
        if (x->op > w->batch_count)
            continue;
        if (sld_str_find(x->what, SLD_STR("Permission denied")) >= 0)
            denied[n++] = w->batch[x->op - 1].e;
        else
            w->listed = false; // somebody wrote there
    }
    for (size_t i = 0; i < n; i++)
        status_give_up(w, denied[i], SLD_STR("the token may not write the status: Permission denied"));
    return true;
}

static const struct consul_item *result_of(const struct consul_txn_answer *t, struct sld_str key)
{
    for (size_t i = 0; i < t->result_count; i++) {
        if (sld_str_eq(t->results[i].key, key))
            return &t->results[i];
    }
    return NULL;
}

static void on_changed(void *user, const struct sld_consul_answer *a)
{
    struct sld_consul_status *w = user;
    struct sld_arena arena = {0};
    struct consul_txn_answer t;
    bool refused = a->err && a->err->rc == SLD_CONFLICT;
    w->call = NULL;
    if ((a->err && !refused) || !consul_txn_read(&arena, a->body, &t)) {
        failed(w, a->err ? a->err->msg : "the answer was cut");
    } else if (refused) {
        succeeded(w);
        if (!take_errors(w, &t)) {
            consul_lock_doubt(w->lock);
        } else if (w->place == BESIDE && !w->listed) {
            batch_end(w);
            status_list(w);
        } else {
            go_on(w);
        }
    } else {
        succeeded(w);
        for (size_t i = 0; i < w->batch_count; i++) {
            const struct consul_item *r = result_of(&t, place_of(w, &arena, w->batch[i].e));
            was_written(w, &w->batch[i], r ? r->index : 0); // nothing is said of what was removed
        }
        go_on(w);
    }
    sld_arena_fini(&arena);
}

// Asks for the change of the batch, unless nothing is left of it.
static void ask_change(struct sld_consul_status *w, struct consul_txn *t)
{
    if (w->batch_count == 0) {
        go_on(w);
        return;
    }
    w->paid_ns += w->batch_count * COST_MS * MS;
    ask(w, t, on_changed);
}

// ---- In values ----

// Adds what item I writes to T; false when it is not written now.
static bool add_value(struct sld_consul_status *w, struct consul_txn *t, struct item *i,
                      const struct consul_item *r)
{
    struct entry *e = i->e;
    struct sld_arena a = {0};
    struct consul_value v;
    struct sld_str text;
    struct sld_err err = {0};
    consul_value_read(r->value, sld_str_c(w->ns), &v);
    e->in_value = v.status;
    i->hash = consul_status_hash(e->want);
    bool write = !sld_hash_eq(i->hash, v.status);
    if (write && r->value.n > STATUS_VALUE_MAX_BYTES) {
        status_give_up(w, e, SLD_STR("the value is too large to be written back with a status"));
        write = false;
    } else if (write &&
               consul_value_write(&a, r->value, sld_str_c(w->ns), e->want, &text, &err)) {
        status_give_up(w, e, sld_str_c(err.msg));
        write = false;
    }
    write = write && consul_txn_add(t, "cas", place_of(w, &a, e), text, true, r->index, SLD_STR_NONE);
    sld_arena_fini_secret(&a);
    return write;
}

static void on_got(void *user, const struct sld_consul_answer *a)
{
    struct sld_consul_status *w = user;
    struct sld_arena arena = {0};
    struct consul_txn_answer got;
    bool refused = a->err && a->err->rc == SLD_CONFLICT;
    w->call = NULL;
    if ((a->err && !refused) || !consul_txn_read(&arena, a->body, &got)) {
        failed(w, a->err ? a->err->msg : "the answer was cut");
        sld_arena_fini_secret(&arena);
        return;
    }
    if (refused) { // some are not there any more, which the source learns, too
        for (size_t i = 0; i < got.error_count; i++) {
            if (got.errors[i].op < w->batch_count)
                w->batch[got.errors[i].op].e->given_up = true;
        }
        go_on(w);
        sld_arena_fini_secret(&arena);
        return;
    }
    struct consul_txn t;
    begin_change(w, &t);
    // Operations in the order of the batch, of which only those stay that are written.
    for (size_t i = 0; i < w->batch_count;) {
        const struct consul_item *r = result_of(&got, place_of(w, &arena, w->batch[i].e));
        if (r && add_value(w, &t, &w->batch[i], r)) {
            i++;
            continue;
        }
        struct entry *e = w->batch[i].e;
        e->given_up |= r == NULL;
        drop_item(w, i);
        status_look_at(w, e);
    }
    ask_change(w, &t);
    consul_txn_fini(&t);
    sld_arena_fini_secret(&arena);
}

static void get_values(struct sld_consul_status *w)
{
    struct sld_arena a = {0};
    struct consul_txn t;
    consul_txn_init(&t);
    for (size_t i = 0; i < w->batch_count; i++)
        consul_txn_add(&t, "get", place_of(w, &a, w->batch[i].e), SLD_STR_NONE, false, 0, SLD_STR_NONE);
    ask(w, &t, on_got);
    consul_txn_fini(&t);
    sld_arena_fini(&a);
}

// ---- Beside ----

static struct sld_str beside_value(struct sld_consul_status *w, struct sld_arena *a,
                                   const struct entry *e, bool ours, struct sld_str text)
{
    struct sld_buf b;
    struct sld_json j;
    sld_buf_init(&b, CONSUL_TXN_BODY_MAX_BYTES);
    sld_json_init(&j, &b);
    sld_json_begin(&j, '{');
    sld_json_key(&j, "statuses");
    sld_json_begin(&j, '{');
    if (ours) {
        sld_json_key(&j, w->ns);
        sld_json_raw(&j, text);
    }
    if (status_others(e)) {
        sld_buf_addz(&b, ours ? "," : "");
        sld_buf_addz(&b, status_others(e));
    }
    sld_json_end(&j, '}');
    sld_json_end(&j, '}');
    struct sld_str out = sld_arena_str(a, sld_buf_str(&b));
    sld_buf_fini(&b);
    return out;
}

static void put_beside(struct sld_consul_status *w)
{
    struct sld_arena a = {0};
    struct consul_txn t;
    begin_change(w, &t);
    for (size_t i = 0; i < w->batch_count;) {
        struct item *it = &w->batch[i];
        struct entry *e = it->e;
        bool ours = e->seen && !e->gone;
        struct sld_str text = ours ? status_beside_text(&a, e->want) : SLD_STR_NONE;
        bool remove = !ours && !status_others(e);
        it->hash = ours ? sld_hash_bytes(text) : (struct sld_hash){0};
        if (consul_txn_add(&t, remove ? "delete-cas" : "cas", place_of(w, &a, e),
                           remove ? SLD_STR_NONE : beside_value(w, &a, e, ours, text), true,
                           e->beside_index, SLD_STR_NONE)) {
            i++;
            continue;
        }
        drop_item(w, i);
        status_look_at(w, e);
    }
    ask_change(w, &t);
    consul_txn_fini(&t);
    sld_arena_fini(&a);
}

// Takes the value of a key beside: {"statuses":{"ns":{...}}}.
static void take_beside(struct sld_consul_status *w, struct entry *e, struct sld_str value)
{
    struct sld_arena a = {0};
    struct sld_buf others;
    struct sld_scan s;
    struct sld_str name;
    sld_buf_init(&others, STATUS_VALUE_MAX_BYTES);
    sld_scan_init(&s, value, &a);
    sld_scan_object(&s);
    while (sld_scan_member(&s, &name)) {
        if (!sld_str_eq(name, SLD_STR("statuses"))) {
            sld_scan_skip(&s);
            continue;
        }
        sld_scan_object(&s);
        while (sld_scan_member(&s, &name)) {
            const char *from = s.p;
            sld_scan_skip(&s);
            struct sld_str text = sld_str_trim(sld_str_n(from, (size_t)(s.p - from)));
            if (sld_str_eq(name, sld_str_c(w->ns)))
                e->beside = sld_hash_bytes(text);
            else
                sld_buf_addf(&others, "%s\"%.*s\":%.*s", others.n ? "," : "", SLD_FMT(name),
                             SLD_FMT(text));
        }
    }
    if (!sld_scan_end(&s)) // nobody's words: ours take their place
        e->beside = (struct sld_hash){.lo = 1};
    else if (others.n && !others.full) {
        char *text = sld_xcalloc(1, others.n + 1);
        memcpy(text, others.p, others.n);
        sld_xfree(status_events(e)->others);
        status_events(e)->others = text;
    }
    sld_buf_fini(&others);
    sld_arena_fini(&a);
}

static bool take_list(struct sld_consul_status *w, struct sld_str body)
{
    struct sld_arena a = {0};
    struct sld_scan s;
    struct consul_item i;
    sld_scan_init(&s, body, &a);
    sld_scan_array(&s);
    while (sld_scan_item(&s)) {
        if (!consul_item_read(&s, &a, &i) || i.key.n <= w->prefix.n + 1)
            continue;
        struct entry *e = status_entry(w, sld_str_sub(i.key, w->prefix.n + 1, i.key.n));
        e->beside_index = i.index;
        take_beside(w, e, i.value);
    }
    bool whole = sld_scan_end(&s);
    sld_arena_fini(&a);
    return whole;
}

static void on_list(void *user, const struct sld_consul_answer *a)
{
    struct sld_consul_status *w = user;
    w->call = NULL;
    status_forget_beside(w);
    if (a->err || (a->status == 200 && !take_list(w, a->body))) {
        failed(w, a->err ? a->err->msg : "the list of statuses was cut");
        return;
    }
    succeeded(w);
    w->listed = true;
    status_look_at_all(w);
}

// Learns what is beside.
void status_list(struct sld_consul_status *w)
{
    struct sld_arena a = {0};
    const struct sld_consul_param recurse = {SLD_STR("recurse"), SLD_STR_NONE};
    const struct sld_consul_query q = {
        .path = SLD_ARENA_JOIN(&a, SLD_STR("/v1/kv/"), w->prefix, SLD_STR("/")),
        .params = &recurse,
        .param_count = 1,
        .consistency = SLD_CONSUL_CONSISTENT,
        .max_body_bytes = LIST_MAX_BYTES,
    };
    status_rest(w);
    w->call = sld_consul_ask(w->c, &q, on_list, w);
    sld_arena_fini(&a);
}

// ---- Work ----

// How many writes are allowed now.
static size_t allowance(struct sld_consul_status *w)
{
    uint64_t now = sld_mono_ns(), room = (uint64_t)BURST * COST_MS * MS;
    if (w->paid_ns < now)
        w->paid_ns = now;
    return w->paid_ns < now + room ? (size_t)((now + room - w->paid_ns) / (COST_MS * MS)) : 0;
}

void status_work(struct sld_consul_status *w)
{
    if (w->call || !w->held || w->waiting)
        return;
    if (!status_is_active(w)) {
        if (w->place == BESIDE && !w->listed)
            status_list(w);
        return;
    }
    size_t wait = 0, room = allowance(w);
    SLD_LIST_EACH (it, &w->queue) {
        if (++wait == BATCH_LEAST)
            break; // of thousands only so many matter
    }
    if (wait == 0)
        return;
    if (room < wait) {
        sld_timer_start(w->timer, (wait - room) * COST_MS);
        return;
    }
    SLD_LIST_EACH (it, &w->queue) {
        struct entry *e = SLD_CONTAINER_OF(it, struct entry, queue);
        if (w->batch_count == STATUS_BATCH_MAX || w->batch_count == room)
            break;
        sld_list_remove(it);
        if (!status_is_due(w, e))
            continue;
        e->busy = true;
        w->batch[w->batch_count++] = (struct item){.e = e};
    }
    if (w->batch_count && w->place == IN_VALUE)
        get_values(w);
    else if (w->batch_count)
        put_beside(w);
}

void status_work_soon(struct sld_consul_status *w)
{
    if (!w->call && !w->waiting)
        sld_timer_start(w->timer, GATHER_MS);
}
