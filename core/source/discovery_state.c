// What is kept of services over restarts: a file of JSON lines, one for each service that somebody
// wants, replaced as a whole.
//
//   {"solder":"services","version":1,"marks":["dc1","4711"]}
//   {"name":"web","tags":["v1"],"dataCenters":["dc1"],"instances":[{"address":"10.0.0.1",...}]}
//   {"hash":"..."}                                       of all bytes before
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/doc.h"
#include "codec/scan.h"
#include "source/discovery.h"
#include "source/file.h"

enum {
    VERSION = 1,
    WRITE_MS = 1000,  // least time between writes
    BATCH_MS = 50,    // changes come in bursts
    BURST = 32,       // so many in that time go on, as at a start: it is waited for again,
    BURST_WAITS = 30, // but not for ever
    SPARE = 20,       // a write that takes long is followed by this many times as much rest
    CHUNK = 256 * 1024,
    LINE_MAX_BYTES = 64 * 1024 * 1024,
    LOG_MS = 60000,
};
#define FILE_MAX_BYTES (UINT64_C(512) * 1024 * 1024)

struct kept {
    struct sld_service *service;
    struct sld_instances *instances;
    bool old; // of the last process, and nobody said anything of it since
};

struct mark {
    struct mark *next;
    struct sld_str key; // own
    uint64_t value;
};

// One write. Belongs to the pool until DONE is posted, then to io.
struct job {
    struct sld_discovery_memory *memory; // NULL: closed meanwhile
    struct sld_arena arena;
    const char *dir, *file;
    struct sld_str *mark_keys;
    uint64_t *mark_values;
    size_t mark_count;
    struct kept *items;
    size_t count;
    struct sld_err err;
    enum sld_rc rc;
    uint64_t took_ns;
    sem_t done;
};

struct sld_discovery_memory {
    struct sld_loop *io;
    struct sld_arena arena;
    const char *dir, *file;
    struct sld_map items; // name -> struct kept
    struct mark *marks;
    struct sld_timer *timer;
    struct job *job;
    bool dirty;
    size_t changes; // since the timer was started
    unsigned waits; // for a burst that goes on
    uint64_t rest_until_ns;
    struct sld_log_gate gate;
};

// ---- Writing ---- [pool]

struct writer {
    int fd, errnum;
    struct sld_buf buf;
    struct sld_hasher hasher;
};

static void writer_out(struct writer *w)
{
    for (size_t at = 0; at < w->buf.n && !w->errnum;) {
        ssize_t n = write(w->fd, w->buf.p + at, w->buf.n - at);
        if (n < 0 && errno != EINTR)
            w->errnum = errno;
        at += n > 0 ? (size_t)n : 0;
    }
    if (w->buf.full && !w->errnum)
        w->errnum = EFBIG;
    sld_buf_reset(&w->buf);
}

static void writer_flush(struct writer *w)
{
    sld_hasher_add(&w->hasher, sld_buf_str(&w->buf));
    writer_out(w);
}

static void add_text(struct sld_json *j, const char *key, struct sld_str v)
{
    if (!v.n)
        return;
    sld_json_key(j, key);
    sld_json_str(j, v);
}

static void add_texts(struct sld_json *j, const char *key, const struct sld_str *v, size_t n)
{
    if (!n)
        return;
    sld_json_key(j, key);
    sld_json_begin(j, '[');
    for (size_t i = 0; i < n; i++)
        sld_json_str(j, v[i]);
    sld_json_end(j, ']');
}

// Pairs as a list, because a key may be any text.
static void add_labels(struct sld_json *j, const char *key, const struct sld_label *v, size_t n)
{
    if (!n)
        return;
    sld_json_key(j, key);
    sld_json_begin(j, '[');
    for (size_t i = 0; i < n; i++) {
        sld_json_str(j, v[i].key);
        sld_json_str(j, v[i].value);
    }
    sld_json_end(j, ']');
}

static void add_number(struct sld_json *j, const char *key, uint32_t v)
{
    if (!v)
        return;
    sld_json_key(j, key);
    sld_json_int(j, v);
}

static void add_instance(struct sld_json *j, const struct sld_instance *i)
{
    sld_json_begin(j, '{');
    add_text(j, "address", i->address);
    add_text(j, "hostname", i->hostname);
    add_number(j, "port", i->port);
    add_number(j, "weight", i->weight);
    if (i->draining) {
        sld_json_key(j, "draining");
        sld_json_bool(j, true);
    }
    add_texts(j, "tags", i->tags, i->tag_count);
    add_text(j, "dataCenter", i->datacenter);
    add_text(j, "node", i->node);
    add_text(j, "id", i->id);
    add_labels(j, "meta", i->meta, i->meta_count);
    add_labels(j, "nodeMeta", i->node_meta, i->node_meta_count);
    sld_json_end(j, '}');
}

static void line_begin(struct writer *w, struct sld_json *j)
{
    sld_json_init(j, &w->buf);
    sld_json_begin(j, '{');
}

static void line_end(struct writer *w, struct sld_json *j)
{
    sld_json_end(j, '}');
    sld_buf_addc(&w->buf, '\n');
    if (w->buf.n >= CHUNK)
        writer_flush(w);
}

static void write_head(struct writer *w, const struct job *job)
{
    struct sld_json j;
    line_begin(w, &j);
    add_text(&j, "solder", SLD_STR("services"));
    add_number(&j, "version", VERSION);
    sld_json_key(&j, "marks");
    sld_json_begin(&j, '[');
    for (size_t i = 0; i < job->mark_count; i++) {
        char value[24];
        snprintf(value, sizeof(value), "%llu", (unsigned long long)job->mark_values[i]);
        sld_json_str(&j, job->mark_keys[i]);
        sld_json_str(&j, sld_str_c(value));
    }
    sld_json_end(&j, ']');
    line_end(w, &j);
}

static void write_service(struct writer *w, const struct kept *k)
{
    struct sld_json j;
    line_begin(w, &j);
    add_text(&j, "name", k->service->name);
    add_texts(&j, "tags", k->service->tags, k->service->tag_count);
    add_texts(&j, "dataCenters", k->service->datacenters, k->service->datacenter_count);
    sld_json_key(&j, "instances");
    sld_json_begin(&j, '[');
    struct sld_arena a = {0};
    const struct sld_instance *items = sld_instances_items(&a, k->instances);
    for (size_t i = 0; i < k->instances->count; i++)
        add_instance(&j, &items[i]);
    sld_arena_fini(&a);
    sld_json_end(&j, ']');
    line_end(w, &j);
}

static void write_hash(struct writer *w)
{
    writer_flush(w);
    struct sld_hash hash = sld_hasher_done(&w->hasher);
    sld_buf_addf(&w->buf, "{\"hash\":\"%016llx%016llx\"}\n", (unsigned long long)hash.hi,
                 (unsigned long long)hash.lo);
    writer_out(w);
}

static void write_all(const struct job *job, struct writer *w)
{
    sld_buf_init(&w->buf, LINE_MAX_BYTES);
    sld_hasher_init(&w->hasher);
    write_head(w, job);
    for (size_t i = 0; i < job->count; i++)
        write_service(w, &job->items[i]);
    write_hash(w);
    sld_buf_fini(&w->buf);
    if (!w->errnum && fsync(w->fd) != 0)
        w->errnum = errno;
}

static void job_work(void *user)
{
    struct job *job = user;
    uint64_t start = sld_mono_ns();
    const char *fresh =
        sld_arena_cstr(&job->arena, sld_arena_fmt(&job->arena, "%s.new", job->file));
    struct writer w = {.fd = -1};
    int dir = open(job->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0)
        w.fd = openat(dir, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (w.fd < 0)
        w.errnum = errno;
    else
        write_all(job, &w);
    if (w.fd >= 0 && close(w.fd) != 0 && !w.errnum)
        w.errnum = errno;
    if (!w.errnum && (renameat(dir, fresh, dir, job->file) != 0 || fsync(dir) != 0))
        w.errnum = errno;
    if (w.errnum) {
        unlinkat(dir, fresh, 0); // it may be what fills the disk
        job->rc = sld_err_errno(&job->err, w.errnum,
                                "the services of the last answers cannot be "
                                "kept in %s/%s",
                                job->dir, job->file);
    }
    if (dir >= 0)
        close(dir);
    job->took_ns = sld_mono_ns() - start;
    sem_post(&job->done);
}

// ---- Jobs ---- [io]

static void arm(struct sld_discovery_memory *m);

static struct job *job_create(struct sld_discovery_memory *m)
{
    struct job *job = SLD_NEW(struct job);
    struct sld_arena *a = &job->arena;
    job->memory = m;
    job->dir = sld_arena_cstr(a, sld_str_c(m->dir));
    job->file = sld_arena_cstr(a, sld_str_c(m->file));
    job->items = SLD_ARENA_ARRAY(a, struct kept, sld_map_count(&m->items));
    size_t at = 0;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&m->items, &at));) {
        const struct kept *k = slot->value;
        job->items[job->count++] = (struct kept){.service = sld_obj_ref(k->service),
                                                 .instances = sld_obj_ref(k->instances)};
    }
    for (const struct mark *k = m->marks; k; k = k->next) {
        size_t n = job->mark_count;
        SLD_PUSH(a, job->mark_values, n, k->value);
        SLD_PUSH(a, job->mark_keys, job->mark_count, sld_arena_str(a, k->key));
    }
    sem_init(&job->done, 0, 0);
    m->dirty = false;
    return job;
}

static void job_free(struct job *job)
{
    for (size_t i = 0; i < job->count; i++) {
        SLD_UNREF(job->items[i].service);
        SLD_UNREF(job->items[i].instances);
    }
    sem_destroy(&job->done);
    sld_arena_fini(&job->arena);
    sld_xfree(job);
}

static void job_result(struct sld_discovery_memory *m, const struct job *job)
{
    uint64_t least = WRITE_MS * UINT64_C(1000000), rest = job->took_ns * SPARE, left_out;
    m->rest_until_ns = sld_mono_ns() + (rest > least ? rest : least);
    if (job->rc == SLD_OK)
        return;
    m->dirty = true;
    if (sld_log_gate_open(&m->gate, LOG_MS, &left_out))
        SLD_LOG(SLD_LOG_ERROR, "source", "services_write_failed", SLD_KC("error", job->err.msg),
                SLD_KI("suppressed", left_out));
}

static void job_done(void *user)
{
    struct job *job = user;
    struct sld_discovery_memory *m = job->memory;
    if (m) {
        m->job = NULL;
        job_result(m, job);
        arm(m);
    }
    job_free(job);
}

static void on_timer(void *user)
{
    struct sld_discovery_memory *m = user;
    if (m->job || !m->dirty)
        return;
    if (m->changes > BURST && m->waits < BURST_WAITS) {
        m->waits++;
        m->changes = 0;
        sld_timer_start(m->timer, BATCH_MS);
        return;
    }
    m->waits = 0;
    m->job = job_create(m);
    sld_loop_work(m->io, job_work, job_done, m->job);
}

static void arm(struct sld_discovery_memory *m)
{
    if (m->job || !m->dirty)
        return;
    uint64_t now = sld_mono_ns(), batch = BATCH_MS;
    uint64_t rest = m->rest_until_ns > now ? (m->rest_until_ns - now) / 1000000 + 1 : 0;
    m->changes = 0;
    sld_timer_start(m->timer, rest > batch ? rest : batch);
}

static void changed(struct sld_discovery_memory *m)
{
    m->changes++;
    if (m->dirty)
        return;
    m->dirty = true;
    arm(m);
}

// ---- Reading ----

static bool is(struct sld_str key, const char *name)
{
    return sld_str_eq(key, sld_str_c(name));
}

static struct sld_str *read_texts(struct sld_scan *s, size_t *n)
{
    struct sld_str *out = NULL;
    *n = 0;
    sld_scan_array(s);
    while (sld_scan_item(s)) {
        struct sld_str text = sld_scan_str(s);
        SLD_PUSH(s->a, out, *n, text);
    }
    return out;
}

static struct sld_label *read_labels(struct sld_scan *s, size_t *n)
{
    size_t texts;
    struct sld_str *t = read_texts(s, &texts);
    struct sld_label *out = SLD_ARENA_ARRAY(s->a, struct sld_label, texts / 2);
    *n = texts / 2;
    for (size_t i = 0; i < *n; i++)
        out[i] = (struct sld_label){t[2 * i], t[2 * i + 1]};
    return out;
}

static uint32_t small(uint64_t v)
{
    return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static void read_instance(struct sld_scan *s, struct sld_instance *i)
{
    struct sld_str key;
    sld_scan_object(s);
    while (sld_scan_member(s, &key)) {
        if (is(key, "address"))
            i->address = sld_scan_str(s);
        else if (is(key, "hostname"))
            i->hostname = sld_scan_str(s);
        else if (is(key, "port"))
            i->port = small(sld_scan_u64(s));
        else if (is(key, "weight"))
            i->weight = small(sld_scan_u64(s));
        else if (is(key, "draining"))
            i->draining = sld_scan_bool(s);
        else if (is(key, "tags"))
            i->tags = read_texts(s, &i->tag_count);
        else if (is(key, "dataCenter"))
            i->datacenter = sld_scan_str(s);
        else if (is(key, "node"))
            i->node = sld_scan_str(s);
        else if (is(key, "id"))
            i->id = sld_scan_str(s);
        else if (is(key, "meta"))
            i->meta = read_labels(s, &i->meta_count);
        else if (is(key, "nodeMeta"))
            i->node_meta = read_labels(s, &i->node_meta_count);
        else
            sld_scan_skip(s);
    }
}

static void kept_free(struct kept *k)
{
    SLD_UNREF(k->service);
    SLD_UNREF(k->instances);
    sld_xfree(k);
}

static void read_service(struct sld_discovery_memory *m, struct sld_arena *a, struct sld_str line)
{
    struct sld_scan s;
    struct sld_str key, name = SLD_STR(""), *tags = NULL, *dcs = NULL;
    size_t tags_n = 0, dcs_n = 0;
    struct sld_instances *set = sld_instances_create();
    sld_scan_init(&s, line, a);
    sld_scan_object(&s);
    while (sld_scan_member(&s, &key)) {
        if (is(key, "name")) {
            name = sld_scan_str(&s);
        } else if (is(key, "tags")) {
            tags = read_texts(&s, &tags_n);
        } else if (is(key, "dataCenters")) {
            dcs = read_texts(&s, &dcs_n);
        } else if (is(key, "instances")) {
            sld_scan_array(&s);
            while (sld_scan_item(&s)) {
                struct sld_instance it = {0};
                read_instance(&s, &it);
                if (!s.bad)
                    sld_instances_add(set, &it);
            }
        } else {
            sld_scan_skip(&s);
        }
    }
    sld_instances_seal(set);
    if (!sld_scan_end(&s) || !name.n || sld_map_has(&m->items, name)) {
        SLD_UNREF(set);
        return;
    }
    struct kept *k = SLD_NEW(struct kept);
    k->service = sld_service_create(name, tags, tags_n, dcs, dcs_n);
    k->instances = set;
    k->old = true;
    sld_map_set(&m->items, name, k);
}

static void mark_set(struct sld_discovery_memory *m, struct sld_str key, uint64_t value)
{
    struct mark *k = m->marks;
    while (k && !sld_str_eq(k->key, key))
        k = k->next;
    if (!k) {
        k = SLD_ARENA_NEW(&m->arena, struct mark);
        k->key = sld_arena_str(&m->arena, key);
        k->next = m->marks;
        m->marks = k;
    }
    k->value = value;
}

// False: the file is of another kind, or of a newer Solder.
static bool read_head(struct sld_discovery_memory *m, struct sld_arena *a, struct sld_str line)
{
    struct sld_scan s;
    struct sld_str key, kind = SLD_STR("");
    struct sld_label *marks = NULL;
    uint64_t version = 0;
    size_t n = 0;
    sld_scan_init(&s, line, a);
    sld_scan_object(&s);
    while (sld_scan_member(&s, &key)) {
        if (is(key, "solder")) {
            kind = sld_scan_str(&s);
        } else if (is(key, "version")) {
            version = sld_scan_u64(&s);
        } else if (is(key, "marks")) {
            marks = read_labels(&s, &n);
        } else {
            sld_scan_skip(&s);
        }
    }
    if (!sld_scan_end(&s) || !is(kind, "services") || version != VERSION)
        return false;
    for (size_t i = 0; i < n; i++) {
        int64_t value;
        if (sld_str_i64(marks[i].value, &value) && value >= 0)
            mark_set(m, marks[i].key, (uint64_t)value);
    }
    return true;
}

// Splits the last line off *TEXT; true when it has the hash of what is before it.
static bool whole(struct sld_str *text)
{
    char want[64];
    size_t at = text->n;
    if (!at || text->p[at - 1] != '\n')
        return false;
    for (at--; at > 0 && text->p[at - 1] != '\n';)
        at--;
    struct sld_str last = sld_str_sub(*text, at, text->n);
    *text = sld_str_sub(*text, 0, at);
    struct sld_hasher h;
    sld_hasher_init(&h);
    sld_hasher_add(&h, *text);
    struct sld_hash hash = sld_hasher_done(&h);
    snprintf(want, sizeof(want), "{\"hash\":\"%016llx%016llx\"}\n", (unsigned long long)hash.hi,
             (unsigned long long)hash.lo);
    return is(last, want);
}

static enum sld_rc load(struct sld_discovery_memory *m, const char *path, struct sld_err *err)
{
    struct sld_arena file = {0}, a = {0};
    struct sld_str text, line;
    struct stat st;
    bool known = stat(path, &st) == 0;
    if (!known && errno == ENOENT)
        return SLD_OK; // nothing was ever kept
    size_t max = known && st.st_size > 0 ? (size_t)st.st_size : 0;
    max = max < FILE_MAX_BYTES ? max : FILE_MAX_BYTES;
    enum sld_rc rc = sld_file_read(&file, "services file", path, max, &text, err);
    if (rc == SLD_OK &&
        (!whole(&text) || !sld_str_cut(&text, '\n', &line) || !read_head(m, &a, line)))
        rc = sld_err_set(err, SLD_INVALID,
                         "%s is damaged or of a newer Solder, so instances of services are not "
                         "known until they can be asked for",
                         path);
    while (rc == SLD_OK && text.n && sld_str_cut(&text, '\n', &line)) {
        read_service(m, &a, line);
        sld_arena_fini(&a);
    }
    sld_arena_fini(&a);
    sld_arena_fini(&file);
    return rc;
}

// ---- Life ----

static const char *path_of(const struct sld_discovery_memory *m, struct sld_arena *a)
{
    return sld_arena_cstr(a, sld_arena_fmt(a, "%s/%s", m->dir, m->file));
}

struct sld_discovery_memory *sld_discovery_memory_open(struct sld_loop *io, struct sld_str dir,
                                                       const char *registry)
{
    sld_loop_assert_owner(io);
    struct sld_discovery_memory *m = SLD_NEW(struct sld_discovery_memory);
    struct sld_err err = {0};
    struct sld_arena a = {0};
    m->io = io;
    m->dir = sld_arena_cstr(&m->arena, dir);
    m->file = sld_arena_cstr(&m->arena, sld_arena_fmt(&m->arena, "services.%s", registry));
    m->timer = sld_timer_create(io, on_timer, m);
    if (load(m, path_of(m, &a), &err))
        SLD_LOG(SLD_WARN, "source", "services_not_restored", SLD_KC("error", err.msg));
    sld_arena_fini(&a);
    return m;
}

void sld_discovery_memory_each(struct sld_discovery_memory *m, sld_discovery_memory_fn *fn,
                               void *user)
{
    size_t at = 0;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&m->items, &at));) {
        const struct kept *k = slot->value;
        fn(user, k->service, k->instances);
    }
}

void sld_discovery_memory_set(struct sld_discovery_memory *m, struct sld_service *service,
                              struct sld_instances *instances)
{
    struct kept *k = sld_map_get(&m->items, service->name);
    if (!k) {
        k = SLD_NEW(struct kept);
        sld_map_set(&m->items, service->name, k);
    }
    k->old = false;
    if (k->service && sld_hash_eq(k->service->obj.hash, service->obj.hash) &&
        sld_hash_eq(k->instances->obj.hash, instances->obj.hash))
        return;
    sld_obj_ref(service);
    sld_obj_ref(instances);
    SLD_UNREF(k->service);
    SLD_UNREF(k->instances);
    k->service = service;
    k->instances = instances;
    changed(m);
}

void sld_discovery_memory_forget(struct sld_discovery_memory *m, struct sld_str name)
{
    struct kept *k = sld_map_remove(&m->items, name);
    if (!k)
        return;
    kept_free(k);
    changed(m);
}

void sld_discovery_memory_forget_old(struct sld_discovery_memory *m)
{
    size_t at = 0;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&m->items, &at));) {
        struct kept *k = slot->value;
        if (!k->old)
            continue;
        sld_map_remove(&m->items, slot->key);
        kept_free(k);
        changed(m);
    }
}

uint64_t sld_discovery_memory_mark(const struct sld_discovery_memory *m, struct sld_str key)
{
    for (const struct mark *k = m->marks; k; k = k->next) {
        if (sld_str_eq(k->key, key))
            return k->value;
    }
    return 0;
}

void sld_discovery_memory_set_mark(struct sld_discovery_memory *m, struct sld_str key,
                                   uint64_t value)
{
    mark_set(m, key, value);
}

static void wait_for_job(struct sld_discovery_memory *m)
{
    if (!m->job)
        return;
    // Its end is awaited here; its message comes to a loop that does not know us any more.
    while (sem_wait(&m->job->done) != 0)
        continue;
    job_result(m, m->job);
    m->job->memory = NULL;
    m->job = NULL;
}

void sld_discovery_memory_close(struct sld_discovery_memory *m, bool forget)
{
    if (!m)
        return;
    sld_loop_assert_owner(m->io);
    wait_for_job(m);
    struct sld_arena a = {0};
    if (forget) {
        unlink(path_of(m, &a));
    } else if (m->dirty) {
        struct job *job = job_create(m);
        job_work(job);
        job_result(m, job);
        job_free(job);
    }
    sld_arena_fini(&a);
    size_t at = 0;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&m->items, &at));)
        kept_free(slot->value);
    sld_map_fini(&m->items);
    sld_timer_destroy(m->timer);
    sld_arena_fini(&m->arena);
    sld_xfree(m);
}
