// The state directory: the accepted forms of all objects and what Envoys refused, kept on disk for
// a start with every source down.
//
//   any thread --change--> lock-free stack --wake--> io: table --snapshot--> pool: file
//                                                        └──── records ────▶ pool: journal
//
// The table's entries are immutable, so a snapshot is an array of references and the pool writes it
// while io goes on. What changed since the file was written goes to the journal at once; the pool
// does one of the two at a time.
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "source/state.h"

enum {
    WRITE_MS = 1000, // least time between writes
    BATCH_MS = 50,   // changes come in bursts
    RETRY_MS = 5000, // after a failed write
    SPARE = 20,      // a write that takes long is followed by this many times as much rest
    JOURNAL_MS = 10, // the same of the journal
    JOURNAL_SPARE = 4,
    HISTORY_MAX = 64,
    LOG_MS = 60000,
};

// A thread that waits until what it told of is on disk.
struct waiter {
    struct sld_obj obj;
    struct waiter *next;
    sem_t done;
};

// What happened, on its way to io.
struct change {
    struct change *next;
    struct state_change c;
    struct waiter *waiter; // instead of C
    char text[];           // what C points to
};

// What a queued wake holds instead of the state, which may be closed before the wake runs.
struct link {
    struct sld_obj obj;
    struct sld_state_dir *state;
};

struct wake {
    struct sld_message message;
    struct link *link;
};

// One write. Belongs to the pool until DONE is posted, then to io.
struct job {
    struct sld_state_dir *state; // NULL: closed meanwhile
    int dir_fd;
    struct state_entry **entries;
    size_t count;
    char *records;       // NULL: the file is written; else these go to the journal
    size_t record_bytes; // how much of the state's records is written by this
    bool gap;            // records are missing behind these
    struct state_journal journal;
    enum sld_rc rc;
    struct sld_err err;
    uint64_t took_ns;
    sem_t done;
};

// A problem's words, kept until close because any thread may hold them.
struct words {
    struct words *next;
    char text[];
};

struct sld_state_dir {
    struct sld_loop *io;
    char *dir;
    int dir_fd, lock_fd;
    unsigned history;
    struct sld_set entries; // struct state_entry
    bool dirty;
    struct sld_timer *timer;
    struct job *job;
    uint64_t dirty_ns, rest_until_ns, journal_rest_ns; // since when; until when
    struct state_journal journal;
    struct sld_buf records; // not in the journal yet
    bool gap;               // the journal cannot go on: the next file has everything
    struct waiter *waiters;
    _Atomic(struct change *) changes; // newest first
    atomic_bool waking;
    struct link *link;
    _Atomic(const char *) problem;
    struct words *words;
    struct sld_log_gate gate;
};

static void on_timer(void *user);
static void on_wake(struct sld_message *m);
static void changes_take(struct sld_state_dir *s);
static void change_apply(const struct state_change *c, void *state);
static void write_arm(struct sld_state_dir *s);

// ---- Opening ----

// mkdir -p; the last one is private.
static enum sld_rc dir_make(const char *dir, struct sld_err *err)
{
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s", dir);
    if (n <= 0 || (size_t)n >= sizeof(path))
        return sld_err_set(err, SLD_INVALID,
                           "the name of the state directory is too long or empty");
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return sld_err_errno(err, errno, "state directory %s cannot be made", dir);
        *p = '/';
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return sld_err_errno(err, errno, "state directory %s cannot be made", dir);
    return SLD_OK;
}

static enum sld_rc dir_lock(struct sld_state_dir *s, struct sld_err *err)
{
    s->lock_fd = openat(s->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return sld_err_errno(err, errno, "state directory %s cannot be locked", s->dir);
    // A lock of the open file, not of the process: another open by ourselves is refused too, and it
    // goes with us.
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char pid[32] = "";
    if (fcntl(s->lock_fd, F_OFD_SETLK, &lock) != 0) {
        if (errno != EAGAIN && errno != EACCES)
            return sld_err_errno(err, errno, "state directory %s cannot be locked", s->dir);
        ssize_t n = pread(s->lock_fd, pid, sizeof(pid) - 1, 0);
        pid[n > 0 ? n : 0] = 0;
        struct sld_str who = sld_str_trim(sld_str_c(pid));
        return sld_err_set(err, SLD_CONFLICT,
                           "state directory %s is in use by another Solder (process %.*s); give "
                           "this one another --state-dir",
                           s->dir, SLD_FMT(who.n ? who : SLD_STR("unknown")));
    }
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(s->lock_fd, 0) != 0 || pwrite(s->lock_fd, pid, (size_t)n, 0) != n)
        SLD_LOG(SLD_DEBUG, "source", "state_lock_note", SLD_KC("error", strerror(errno)));
    return SLD_OK;
}

static struct sld_str key_of(const void *item)
{
    return ((const struct state_entry *)item)->key;
}

// Takes E over, in the place of OLD, the entry of its key (or NULL).
static void entry_set(struct sld_state_dir *s, struct state_entry *old, struct state_entry *e)
{
    if (old)
        sld_set_remove(&s->entries, old);
    SLD_UNREF(old);
    sld_set_add(&s->entries, e);
}

static void on_loaded(struct state_entry *e, void *arg)
{
    struct sld_state_dir *s = arg;
    entry_set(s, sld_set_get(&s->entries, e->key), e);
}

static void entries_clear(struct sld_state_dir *s)
{
    size_t at = 0;
    for (struct state_entry *e; (e = sld_set_next(&s->entries, &at));)
        SLD_UNREF(e);
    sld_set_fini(&s->entries);
}

static int by_key(const void *a, const void *b)
{
    return sld_str_cmp(key_of(*(void *const *)a), key_of(*(void *const *)b));
}

// The entries that FITS (NULL: all), borrowed; to be freed with sld_xfree.
static struct state_entry **entries_some(const struct sld_state_dir *s,
                                         bool (*fits)(const struct state_entry *e), size_t *n)
{
    struct state_entry **out = sld_xcalloc(sld_set_count(&s->entries), sizeof(struct state_entry *));
    size_t at = 0;
    *n = 0;
    for (struct state_entry *e; (e = sld_set_next(&s->entries, &at));) {
        if (!fits || fits(e))
            out[(*n)++] = e;
    }
    return out;
}

static void entries_sort(struct state_entry **entries, size_t n)
{
    if (n)
        qsort(entries, n, sizeof(struct state_entry *), by_key);
}

// The same in order of their keys.
static struct state_entry **entries_sorted(const struct sld_state_dir *s,
                                           bool (*fits)(const struct state_entry *e), size_t *n)
{
    struct state_entry **out = entries_some(s, fits, n);
    entries_sort(out, *n);
    return out;
}

static bool has_form(const struct state_entry *e)
{
    return e->count > 0;
}

static bool has_refusal(const struct state_entry *e)
{
    return e->refusal != NULL;
}

// Reads the journal that goes with the file that was read.
static void load_journal(struct sld_state_dir *s, struct sld_err *warn)
{
    struct sld_err err;
    s->gap = true; // what is read is not to be written there again
    enum sld_rc rc = state_journal_read(s->dir_fd, &s->journal, change_apply, s, &err);
    s->gap = false;
    if (rc == SLD_OK || rc == SLD_NOT_FOUND)
        return;
    // Nothing goes behind what cannot be read: the next file has everything.
    s->dirty = s->gap = true;
    sld_err_set(warn, rc,
                "%s; what was accepted or refused last, before Solder ended, may be missing", err.msg);
}

// Reads what there is. A file that cannot be used is set aside and its predecessor tried.
static void load(struct sld_state_dir *s, struct sld_err *warn)
{
    struct sld_err err;
    struct sld_hash previous;
    enum sld_rc rc =
        state_file_read(s->dir_fd, "accepted", on_loaded, s, &s->journal.base, &err);
    if (rc == SLD_OK) {
        load_journal(s, warn);
        return;
    }
    entries_clear(s);
    s->journal.base = (struct sld_hash){0};
    bool newer = rc == SLD_LIMIT;
    if (rc != SLD_NOT_FOUND) {
        const char *aside = newer ? "accepted.newer" : "accepted.damaged";
        renameat(s->dir_fd, "accepted", s->dir_fd, aside);
        sld_err_set(warn, rc, "%s; the file is set aside as %s/%s", err.msg, s->dir, aside);
    }
    if (state_file_read(s->dir_fd, "accepted.previous", on_loaded, s, &previous, &err) == SLD_OK) {
        // Not to be lost when the next write makes a new predecessor.
        s->dirty = s->gap = true;
        if (rc == SLD_NOT_FOUND)
            sld_err_set(warn, rc,
                        "the accepted state on disk is missing; the one before it is used");
    } else {
        entries_clear(s);
        load_journal(s, warn); // of the first second, before there was a file
    }
}

static void state_free(struct sld_state_dir *s)
{
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    entries_clear(s);
    sld_buf_fini(&s->records);
    while (s->words) {
        struct words *w = s->words;
        s->words = w->next;
        sld_xfree(w);
    }
    sld_xfree(s->dir);
    sld_xfree(s);
}

static void link_free(struct sld_obj *o)
{
    sld_xfree(o);
}

enum sld_rc sld_state_open(struct sld_loop *io, struct sld_str dir, unsigned history,
                           struct sld_state_dir **out, struct sld_err *warn, struct sld_err *err)
{
    sld_loop_assert_owner(io);
    struct sld_state_dir *s = SLD_NEW(struct sld_state_dir);
    s->io = io;
    s->entries.key = key_of;
    s->dir_fd = s->lock_fd = -1;
    s->history = history < HISTORY_MAX ? history : HISTORY_MAX;
    sld_buf_init(&s->records, SLD_STATE_MAX_JOURNAL_BYTES);
    while (dir.n > 1 && dir.p[dir.n - 1] == '/')
        dir.n--;
    s->dir = sld_xalloc(dir.n + 1);
    memcpy(s->dir, dir.p, dir.n);
    s->dir[dir.n] = 0;
    if (warn)
        *warn = (struct sld_err){0};
    enum sld_rc rc = dir_make(s->dir, err);
    if (rc == SLD_OK) {
        s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->dir_fd < 0)
            rc = sld_err_errno(err, errno, "state directory %s cannot be opened", s->dir);
    }
    if (rc == SLD_OK)
        rc = dir_lock(s, err);
    if (rc != SLD_OK) {
        state_free(s);
        return rc;
    }
    s->timer = sld_timer_create(io, on_timer, s);
    s->link = SLD_NEW(struct link);
    sld_obj_init(&s->link->obj, link_free, (struct sld_hash){0});
    s->link->state = s;
    load(s, warn);
    write_arm(s);
    *out = s;
    return SLD_OK;
}

void sld_state_each(struct sld_state_dir *s,
                    void (*fn)(struct sld_str source, struct sld_raw *raw, void *arg), void *arg)
{
    sld_loop_assert_owner(s->io);
    size_t n;
    struct state_entry **all = entries_sorted(s, has_form, &n);
    for (size_t i = 0; i < n; i++)
        fn(all[i]->source, all[i]->forms[0].raw, arg);
    sld_xfree(all);
}

void sld_state_each_refusal(struct sld_state_dir *s,
                            void (*fn)(struct sld_ident id, struct sld_hash hash, struct sld_str build,
                                       struct sld_str words, void *arg),
                            void *arg)
{
    sld_loop_assert_owner(s->io);
    size_t n;
    struct state_entry **all = entries_sorted(s, has_refusal, &n);
    for (size_t i = 0; i < n; i++)
        fn(state_entry_id(all[i]), all[i]->refusal->hash, all[i]->refusal->build, all[i]->refusal->words, arg);
    sld_xfree(all);
}

void sld_state_each_certificate(struct sld_state_dir *s,
                                void (*fn)(struct sld_ident id, struct sld_hash chain, void *arg),
                                void *arg)
{
    sld_loop_assert_owner(s->io);
    size_t n;
    struct state_entry **all = entries_sorted(s, state_entry_has_chain, &n);
    for (size_t i = 0; i < n; i++)
        fn(state_entry_id(all[i]), all[i]->obj.hash, arg);
    sld_xfree(all);
}

void sld_state_set_history(struct sld_state_dir *s, unsigned history)
{
    s->history = history < HISTORY_MAX ? history : HISTORY_MAX;
}

void sld_state_history(struct sld_state_dir *s, struct sld_ident id,
                       void (*fn)(int64_t wall_ms, struct sld_raw *raw, void *arg), void *arg)
{
    sld_loop_assert_owner(s->io);
    struct sld_arena a = {0};
    struct state_entry *e = sld_set_get(&s->entries, sld_ident_key(&a, id));
    sld_arena_fini(&a);
    for (size_t i = 0; e && i < e->count; i++)
        fn(e->forms[i].wall_ms, e->forms[i].raw, arg);
}

// ---- Changes ----

static struct sld_str put(char **at, struct sld_str s)
{
    struct sld_str out = sld_str_n(*at, s.n);
    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return out;
}

// C, with RAW referenced and the rest copied.
static struct change *change_create(const struct state_change *c)
{
    struct change *own = sld_xcalloc(1, sizeof(*own) + c->id.ns.n + c->id.name.n + c->source.n +
                                            c->refusal.words.n + c->refusal.build.n);
    char *at = own->text;
    own->c = *c;
    own->c.id.ns = put(&at, c->id.ns);
    own->c.id.name = put(&at, c->id.name);
    own->c.source = put(&at, c->source);
    if (c->refusal.words.p)
        own->c.refusal.words = put(&at, c->refusal.words);
    own->c.refusal.build = put(&at, c->refusal.build);
    if (c->raw)
        sld_obj_ref(c->raw);
    return own;
}

// Takes C over.
static void change_push(struct sld_state_dir *s, struct change *c)
{
    c->next = atomic_load(&s->changes);
    while (!atomic_compare_exchange_weak(&s->changes, &c->next, c))
        continue;
    if (atomic_exchange(&s->waking, true))
        return;
    struct wake *w = SLD_NEW(struct wake);
    w->message.run = w->message.drop = on_wake;
    w->link = sld_obj_ref(s->link);
    sld_loop_post(s->io, &w->message);
}

void sld_state_accept(struct sld_state_dir *s, struct sld_str source, struct sld_raw *raw)
{
    if (raw->secret || raw->kind == SLD_KIND_SECRET)
        return;
    struct state_change c = {.id = sld_raw_ident(raw),
                             .raw = raw,
                             .source = source,
                             .wall_ms = sld_wall_ms()};
    change_push(s, change_create(&c));
}

void sld_state_forget(struct sld_state_dir *s, struct sld_ident id)
{
    change_push(s, change_create(&(struct state_change){.id = id}));
}

void sld_state_certificate(struct sld_state_dir *s, struct sld_ident id, struct sld_hash chain)
{
    SLD_PRE(id.kind == SLD_KIND_SECRET && !sld_hash_zero(chain));
    change_push(s, change_create(&(struct state_change){.id = id, .chain = chain}));
}

void sld_state_refuse(struct sld_state_dir *s, struct sld_ident id, struct sld_hash hash,
                      struct sld_str build, struct sld_str words)
{
    if (id.kind == SLD_KIND_SECRET)
        return;
    struct sld_str cut = sld_str_utf8_cut(words.p ? words : SLD_STR(""), SLD_STATE_MAX_WORDS);
    build = sld_str_utf8_cut(build, SLD_STATE_MAX_BUILD);
    change_push(s, change_create(&(struct state_change){.id = id, .refusal = {hash, cut, build}}));
}

static void waiter_free(struct sld_obj *o)
{
    struct waiter *w = (struct waiter *)o;
    sem_destroy(&w->done);
    sld_xfree(w);
}

void sld_state_sync(struct sld_state_dir *s, unsigned ms)
{
    struct waiter *w = SLD_NEW(struct waiter);
    sld_obj_init(&w->obj, waiter_free, (struct sld_hash){0});
    sem_init(&w->done, 0, 0);
    struct change *c = SLD_NEW(struct change);
    c->waiter = sld_obj_ref(w);
    change_push(s, c);
    uint64_t end = sld_mono_ns() + ms * UINT64_C(1000000);
    struct timespec until = {.tv_sec = (time_t)(end / 1000000000),
                             .tv_nsec = (long)(end % 1000000000)};
    while (sem_clockwait(&w->done, CLOCK_MONOTONIC, &until) != 0 && errno == EINTR)
        continue;
    SLD_UNREF(w);
}

static void waiters_release(struct sld_state_dir *s)
{
    while (s->waiters) {
        struct waiter *w = s->waiters;
        s->waiters = w->next;
        sem_post(&w->done);
        SLD_UNREF(w);
    }
}

static void on_wake(struct sld_message *m)
{
    struct wake *w = SLD_CONTAINER_OF(m, struct wake, message);
    struct sld_state_dir *s = w->link->state;
    SLD_UNREF(w->link);
    sld_xfree(w);
    if (!s)
        return;
    atomic_store(&s->waking, false); // before looking: a later change wakes again
    changes_take(s);
    write_arm(s);
}

static bool change_accept(struct sld_state_dir *s, struct sld_str key, const struct state_change *c)
{
    struct state_entry *old = sld_set_get(&s->entries, key);
    struct state_refusal refusal = {0};
    struct state_form forms[HISTORY_MAX + 1] = {{.raw = c->raw, .wall_ms = c->wall_ms}};
    size_t n = 1, from = 0;
    if (old && old->count && sld_str_eq(old->forms[0].raw->text, c->raw->text)) {
        // The same words: at most the place changed.
        if (sld_hash_eq(old->obj.hash, c->raw->obj.hash) && sld_str_eq(old->source, c->source))
            return false;
        if (old->refusal)
            refusal = *old->refusal;
        forms[0].wall_ms = old->forms[0].wall_ms;
        from = 1;
    }
    for (size_t i = from; old && i < old->count && n <= s->history; i++)
        forms[n++] = old->forms[i];
    entry_set(s, old, state_entry_create(c->id, c->source, forms, n, refusal));
    return true;
}

static bool change_refuse(struct sld_state_dir *s, struct sld_str key, const struct state_change *c)
{
    struct state_entry *old = sld_set_get(&s->entries, key);
    const struct state_refusal *r = &c->refusal;
    if (old && old->refusal && sld_hash_eq(old->refusal->hash, r->hash) &&
        sld_str_eq(old->refusal->words, r->words) && sld_str_eq(old->refusal->build, r->build))
        return false;
    entry_set(s, old,
              state_entry_create(c->id, old ? old->source : SLD_STR(""), old ? old->forms : NULL,
                                 old ? old->count : 0, *r));
    return true;
}

static bool change_certificate(struct sld_state_dir *s, struct sld_str key,
                               const struct state_change *c)
{
    struct state_entry *old = sld_set_get(&s->entries, key);
    if (old && sld_hash_eq(old->obj.hash, c->chain))
        return false;
    entry_set(s, old, state_entry_create_chain(c->id, c->chain));
    return true;
}

static bool change_forget(struct sld_state_dir *s, struct sld_str key)
{
    struct state_entry *e = sld_set_get(&s->entries, key);
    bool there = e != NULL;
    if (there)
        sld_set_remove(&s->entries, e);
    SLD_UNREF(e);
    return there;
}

// Keeps the record of C for the journal.
static void record(struct sld_state_dir *s, const struct state_change *c)
{
    if (s->gap)
        return;
    size_t before = s->records.n;
    state_record_add(&s->records, c);
    // Behind a file that is being written a new journal begins.
    const struct job *file = s->job && !s->job->records ? s->job : NULL;
    size_t held = file ? s->records.n - file->record_bytes : s->journal.bytes + s->records.n;
    if (!s->records.full && held <= SLD_STATE_MAX_JOURNAL_BYTES)
        return;
    s->records.n = before;
    s->records.full = false;
    s->gap = true;
}

static void change_apply(const struct state_change *c, void *state)
{
    struct sld_state_dir *s = state;
    struct sld_arena a = {0};
    struct sld_str k = sld_ident_key(&a, c->id);
    bool news = c->raw                     ? change_accept(s, k, c)
                : !sld_hash_zero(c->chain) ? change_certificate(s, k, c)
                : c->refusal.words.p       ? change_refuse(s, k, c)
                                           : change_forget(s, k);
    sld_arena_fini(&a);
    if (!news)
        return;
    record(s, c);
    if (!s->dirty)
        s->dirty_ns = sld_mono_ns();
    s->dirty = true;
}

static void changes_take(struct sld_state_dir *s)
{
    struct change *c = atomic_exchange(&s->changes, NULL), *ordered = NULL;
    while (c) { // newest first: turn it round
        struct change *next = c->next;
        c->next = ordered;
        ordered = c;
        c = next;
    }
    while (ordered) {
        c = ordered;
        ordered = c->next;
        if (c->waiter) {
            c->waiter->next = s->waiters;
            s->waiters = c->waiter;
        } else {
            change_apply(&c->c, s);
        }
        SLD_UNREF(c->c.raw);
        sld_xfree(c);
    }
}

// ---- Writing ----

static void job_work(void *user)
{
    struct job *j = user;
    uint64_t start = sld_mono_ns();
    if (!j->records) {
        entries_sort(j->entries, j->count);
        j->rc = state_file_write(j->dir_fd, j->entries, j->count, &j->journal.base, &j->err);
    } else {
        j->rc = state_journal_append(j->dir_fd, &j->journal, sld_str_n(j->records, j->record_bytes),
                                     &j->err);
    }
    j->took_ns = sld_mono_ns() - start;
    sem_post(&j->done);
}

static struct job *job_create(struct sld_state_dir *s)
{
    struct job *j = SLD_NEW(struct job);
    j->state = s;
    j->dir_fd = s->dir_fd;
    j->record_bytes = s->records.n;
    sem_init(&j->done, 0, 0);
    return j;
}

// All of the journal's records that there are.
static struct job *job_append(struct sld_state_dir *s)
{
    struct job *j = job_create(s);
    j->journal = s->journal;
    j->records = sld_xalloc(s->records.n);
    memcpy(j->records, s->records.p, s->records.n);
    return j;
}

// The file; what changes from now on goes to the journal that follows it.
static struct job *job_replace(struct sld_state_dir *s)
{
    struct job *j = job_create(s);
    j->gap = s->gap;
    s->gap = false;
    j->entries = entries_some(s, NULL, &j->count);
    for (size_t i = 0; i < j->count; i++)
        sld_obj_ref(j->entries[i]);
    s->dirty = false;
    return j;
}

static void job_free(struct job *j)
{
    for (size_t i = 0; i < j->count; i++)
        SLD_UNREF(j->entries[i]);
    sld_xfree(j->entries);
    sld_xfree(j->records);
    sem_destroy(&j->done);
    sld_xfree(j);
}

static void problem_set(struct sld_state_dir *s, const char *text)
{
    struct words *w = s->words;
    while (w && strcmp(w->text, text) != 0)
        w = w->next;
    if (!w) {
        w = sld_xalloc(sizeof(*w) + strlen(text) + 1);
        memcpy(w->text, text, strlen(text) + 1);
        w->next = s->words;
        s->words = w;
    }
    atomic_store(&s->problem, w->text);
    uint64_t left_out;
    if (sld_log_gate_open(&s->gate, LOG_MS, &left_out))
        SLD_LOG(SLD_LOG_ERROR, "source", "state_write_failed", SLD_KC("directory", s->dir),
                SLD_KC("error", text), SLD_KI("suppressed", left_out));
}

// The first N bytes of the records are on disk.
static void records_written(struct sld_state_dir *s, size_t n)
{
    sld_buf_consume(&s->records, n);
    if (s->records.n == 0)
        sld_buf_fini(&s->records);
}

static void append_result(struct sld_state_dir *s, const struct job *j)
{
    if (j->rc == SLD_OK) {
        s->journal = j->journal;
        records_written(s, j->record_bytes);
    } else {
        sld_buf_fini(&s->records);
        s->gap = true;
        problem_set(s, j->err.msg);
    }
}

static void replace_result(struct sld_state_dir *s, const struct job *j)
{
    if (j->rc == SLD_OK) {
        s->journal = (struct state_journal){.base = j->journal.base};
        records_written(s, j->record_bytes);
        atomic_store(&s->problem, NULL);
        return;
    }
    // What came since stands behind what is missing, or does not fit behind the old journal.
    if (j->gap || s->journal.bytes + s->records.n > SLD_STATE_MAX_JOURNAL_BYTES) {
        s->records.n = j->record_bytes;
        s->gap = true;
    }
    s->dirty = true;
    problem_set(s, j->err.msg);
}

static void job_result(struct sld_state_dir *s, const struct job *j)
{
    uint64_t now = sld_mono_ns(), ms = UINT64_C(1000000);
    if (!j->records) {
        uint64_t rest = j->took_ns * SPARE, least = (j->rc ? RETRY_MS : WRITE_MS) * ms;
        s->rest_until_ns = now + (rest > least ? rest : least);
        replace_result(s, j);
    } else {
        uint64_t rest = j->took_ns * JOURNAL_SPARE, least = JOURNAL_MS * ms;
        s->journal_rest_ns = now + (rest > least ? rest : least);
        append_result(s, j);
    }
}

static void job_done(void *user)
{
    struct job *j = user;
    struct sld_state_dir *s = j->state;
    if (s) {
        s->job = NULL;
        job_result(s, j);
        write_arm(s);
    }
    job_free(j);
}

static void job_start(struct sld_state_dir *s, struct job *j)
{
    s->job = j;
    sld_loop_work(s->io, job_work, job_done, j);
}

// The same at once.
static void job_do(struct sld_state_dir *s, struct job *j)
{
    job_work(j);
    job_result(s, j);
    job_free(j);
}

// Starts what is due, or the timer.
static void write_arm(struct sld_state_dir *s)
{
    if (s->job)
        return;
    // With a gap the file is waited for, unless the disk does not take it.
    if (!s->records.n && (!s->gap || atomic_load(&s->problem)))
        waiters_release(s);
    if (!s->dirty)
        return;
    uint64_t now = sld_mono_ns(), batch = s->dirty_ns + BATCH_MS * UINT64_C(1000000),
             due = s->rest_until_ns > batch ? s->rest_until_ns : batch;
    if (s->records.n && s->journal_rest_ns <= now) {
        job_start(s, job_append(s));
        return;
    }
    if (due <= now) {
        job_start(s, job_replace(s));
        return;
    }
    if (s->records.n && s->journal_rest_ns < due)
        due = s->journal_rest_ns;
    sld_timer_start(s->timer, (due - now) / 1000000 + 1);
}

static void on_timer(void *user)
{
    write_arm(user);
}

void sld_state_close(struct sld_state_dir *s)
{
    if (!s)
        return;
    sld_loop_assert_owner(s->io);
    changes_take(s);
    if (s->job) {
        // Its end is awaited here; its message comes to a loop that does not know us any more.
        while (sem_wait(&s->job->done) != 0)
            continue;
        job_result(s, s->job);
        s->job->state = NULL;
        s->job = NULL;
    }
    if (s->dirty)
        job_do(s, job_replace(s));
    if (s->dirty && s->records.n)
        job_do(s, job_append(s));
    if (!s->dirty)
        unlinkat(s->dir_fd, "journal", 0); // the file has everything
    waiters_release(s);
    sld_timer_destroy(s->timer);
    s->link->state = NULL;
    SLD_UNREF(s->link);
    state_free(s);
}

const char *sld_state_problem(struct sld_state_dir *s)
{
    return atomic_load(&s->problem);
}
