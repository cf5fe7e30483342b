// Texts read ahead: a list of those that wait, threads that read from its front, and whoever takes a text
// helps rather than waits. A thread lives as long as there is something to read.
#include "source/ahead.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

// Trees are many times as large as their text, so there are never many of them. Below MANY, reading is done
// sooner than another thread awakes.
enum { MANY = 8, AHEAD_MAX = 96, AHEAD_BYTES = 256 * 1024, THREADS_MAX = 2 };
// The size of a tree as a multiple of its text, roughly: room that is taken from the heap at once.
enum { TREE_TIMES = 12, TREE_MIN = 512, TREE_MAX = 1024 * 1024 };

enum stage { WAITING, READING, READ, TAKEN };

struct sld_ahead_text {
    struct sld_list link; // among the waiting
    struct sld_ahead *owner;
    struct sld_blob *bytes;
    enum stage stage;
    struct sld_ahead_docs docs; // READ
};

struct reader {
    pthread_t thread;
    bool started, ended; // ended: to be joined
};

struct sld_ahead {
    pthread_mutex_t lock;
    pthread_cond_t read; // a text is READ
    pthread_cond_t room; // one was taken
    struct sld_list waiting;
    size_t waiting_count;
    size_t ahead, ahead_bytes; // texts READING or READ
    struct reader readers[THREADS_MAX];
    size_t reader_max;
    bool ending;
};

struct sld_ahead *sld_ahead_create(void)
{
    struct sld_ahead *h = SLD_NEW(struct sld_ahead);
    SLD_INV(pthread_mutex_init(&h->lock, NULL) == 0 && pthread_cond_init(&h->read, NULL) == 0 &&
            pthread_cond_init(&h->room, NULL) == 0);
    sld_list_init(&h->waiting);
    h->reader_max = sysconf(_SC_NPROCESSORS_ONLN) > 2 ? THREADS_MAX : 1;
    return h;
}

void sld_ahead_destroy(struct sld_ahead *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    SLD_PRE(h->waiting_count == 0 && h->ahead == 0);
    h->ending = true;
    pthread_cond_broadcast(&h->room);
    pthread_mutex_unlock(&h->lock);
    for (size_t i = 0; i < THREADS_MAX; i++) {
        if (h->readers[i].started)
            pthread_join(h->readers[i].thread, NULL);
    }
    pthread_cond_destroy(&h->room);
    pthread_cond_destroy(&h->read);
    pthread_mutex_destroy(&h->lock);
    sld_xfree(h);
}

void sld_ahead_read(struct sld_str text, struct sld_ahead_docs *out)
{
    struct sld_err err = {0};
    struct sld_ahead_docs *d = out;
    *d = (struct sld_ahead_docs){.code = SLD_YAML_SYNTAX};
    sld_arena_reserve(&d->arena, text.n < TREE_MAX / TREE_TIMES ? TREE_MIN + text.n * TREE_TIMES : TREE_MAX);
    d->rc = sld_doc_read(&d->arena, text, &sld_doc_limits_default, &d->docs, &d->count, &d->code, &err);
    if (d->rc) {
        d->err = SLD_ARENA_NEW(&d->arena, struct sld_err);
        *d->err = err;
    }
}

static bool has_room(const struct sld_ahead *h)
{
    return h->ahead < AHEAD_MAX && h->ahead_bytes < AHEAD_BYTES;
}

// T, which is READ, goes. Readers that wait for room go on when there is room for many.
static void let_go(struct sld_ahead *h, const struct sld_ahead_text *t)
{
    h->ahead--;
    h->ahead_bytes -= t->bytes->data.n;
    if (h->ahead <= AHEAD_MAX / 2 && h->ahead_bytes <= AHEAD_BYTES / 2)
        pthread_cond_broadcast(&h->room);
}

static void unlink_waiting(struct sld_ahead *h, struct sld_ahead_text *t)
{
    sld_list_remove(&t->link);
    h->waiting_count--;
}

// Reads the first text that waits; the lock is held, but not meanwhile.
static void read_first(struct sld_ahead *h)
{
    struct sld_ahead_text *t = SLD_CONTAINER_OF(h->waiting.next, struct sld_ahead_text, link);
    unlink_waiting(h, t);
    t->stage = READING;
    h->ahead++;
    h->ahead_bytes += t->bytes->data.n;
    pthread_mutex_unlock(&h->lock);
    struct sld_ahead_docs docs;
    sld_ahead_read(t->bytes->data, &docs);
    pthread_mutex_lock(&h->lock);
    t->docs = docs;
    t->stage = READ;
    pthread_cond_broadcast(&h->read);
}

static void *reader_main(void *arg)
{
    struct sld_ahead *h = arg;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    pthread_setname_np(pthread_self(), "read");
    pthread_mutex_lock(&h->lock);
    while (!h->ending && h->waiting_count) {
        if (has_room(h))
            read_first(h);
        else
            pthread_cond_wait(&h->room, &h->lock);
    }
    for (size_t i = 0; i < THREADS_MAX; i++) {
        if (h->readers[i].started && pthread_equal(h->readers[i].thread, pthread_self()))
            h->readers[i].ended = true;
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

// There is much to read: starts a thread if one can be had; without one, whoever takes a text reads it.
static void reader_start(struct sld_ahead *h)
{
    for (size_t i = 0; i < h->reader_max; i++) {
        struct reader *r = &h->readers[i];
        if (r->started && !r->ended)
            continue;
        if (r->started)
            pthread_join(r->thread, NULL); // it has nothing left to do
        r->started = pthread_create(&r->thread, NULL, reader_main, h) == 0;
        r->ended = false;
        return;
    }
}

struct sld_ahead_text *sld_ahead_add(struct sld_ahead *h, struct sld_blob *bytes)
{
    if (bytes->data.n > AHEAD_BYTES)
        return NULL;
    struct sld_ahead_text *t = SLD_NEW(struct sld_ahead_text);
    t->owner = h;
    t->bytes = sld_obj_ref(bytes);
    pthread_mutex_lock(&h->lock);
    sld_list_push(&h->waiting, &t->link);
    if (++h->waiting_count % MANY == 0)
        reader_start(h);
    pthread_mutex_unlock(&h->lock);
    return t;
}

void sld_ahead_take(struct sld_ahead_text *t, struct sld_ahead_docs *out)
{
    struct sld_ahead *h = t->owner;
    pthread_mutex_lock(&h->lock);
    SLD_PRE(t->stage != TAKEN);
    while (t->stage == READING) {
        if (h->waiting_count && has_room(h))
            read_first(h);
        else
            pthread_cond_wait(&h->read, &h->lock);
    }
    bool was_read = t->stage == READ;
    if (was_read) {
        *out = t->docs;
        let_go(h, t);
    } else {
        unlink_waiting(h, t);
    }
    t->stage = TAKEN;
    pthread_mutex_unlock(&h->lock);
    if (!was_read)
        sld_ahead_read(t->bytes->data, out);
}

void sld_ahead_drop(struct sld_ahead_text *t)
{
    if (!t)
        return;
    struct sld_ahead *h = t->owner;
    pthread_mutex_lock(&h->lock);
    while (t->stage == READING)
        pthread_cond_wait(&h->read, &h->lock);
    if (t->stage == WAITING) {
        unlink_waiting(h, t);
    } else if (t->stage == READ) {
        let_go(h, t);
        sld_arena_fini_secret(&t->docs.arena);
    }
    pthread_mutex_unlock(&h->lock);
    SLD_UNREF(t->bytes);
    sld_xfree(t);
}
