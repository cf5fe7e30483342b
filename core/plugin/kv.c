// What plugins keep, in memory and in a file.
#include "plugin/kv.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD "solder-kv 1\n"
enum {
    HEAD_BYTES = sizeof(HEAD) - 1,
    RECORD_HEAD = 12,             // length, hash
    FILE_MAX = 16 << 20,          // that is read
    SLACK_BYTES = 256 << 10,      // of records of no use, beside as many as are of use
    PATH_MAX_BYTES = 4096,
};

struct entry {
    int64_t expires_ms; // 0: never
    size_t n;
    char bytes[]; // type, value
};

struct sld_plugin_kv {
    struct sld_obj obj;
    pthread_mutex_t lock;
    struct sld_map entries; // struct entry
    size_t used;            // as of SLD_KV_BYTES_MAX
    char path[PATH_MAX_BYTES]; // empty: there is no file
    int fd;                 // -1: it cannot be used
    size_t size;            // of the file
    bool dirty;             // since it was synced
    bool told;              // that it cannot be used
};

static size_t cost(struct sld_str key, size_t bytes)
{
    return key.n + bytes + SLD_KV_OVERHEAD;
}

static bool live(const struct entry *e, int64_t now_ms)
{
    return e && (!e->expires_ms || e->expires_ms > now_ms);
}

static void entry_drop(struct sld_plugin_kv *kv, struct sld_str key)
{
    struct entry *e = sld_map_remove(&kv->entries, key);
    if (e)
        kv->used -= cost(key, e->n);
    sld_xfree(e);
}

static void entry_put(struct sld_plugin_kv *kv, struct sld_str key, struct sld_str bytes, int64_t expires_ms)
{
    struct entry *e = sld_xalloc(sizeof(*e) + bytes.n);
    e->expires_ms = expires_ms;
    e->n = bytes.n;
    memcpy(e->bytes, bytes.p, bytes.n);
    struct entry *was = sld_map_set(&kv->entries, key, e);
    kv->used += cost(key, e->n) - (was ? cost(key, was->n) : 0);
    sld_xfree(was);
}

// ---- Records ----

static void put_number(struct sld_buf *b, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        sld_buf_addc(b, (char)(v >> (8 * i) & 0xff));
}

static uint64_t get_number(const char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)(unsigned char)p[i] << (8 * i);
    return v;
}

// KEY is BYTES (empty: it is gone) until EXPIRES_MS.
static void put_record(struct sld_buf *b, struct sld_str key, struct sld_str bytes, int64_t expires_ms)
{
    struct sld_buf body;
    sld_buf_init(&body, SLD_KV_KEY_MAX + SLD_KV_VALUE_MAX + 64);
    put_number(&body, (uint64_t)expires_ms, 8);
    put_number(&body, key.n, 2);
    sld_buf_add(&body, key);
    sld_buf_add(&body, bytes);
    put_number(b, sld_buf_str(&body).n, 4);
    put_number(b, sld_hash_bytes(sld_buf_str(&body)).lo, 8);
    sld_buf_add(b, sld_buf_str(&body));
    sld_buf_fini(&body);
}

// Takes one record from *S into KV; false: it is torn.
static bool take_record(struct sld_plugin_kv *kv, struct sld_str *s)
{
    if (s->n < RECORD_HEAD)
        return false;
    size_t n = (size_t)get_number(s->p, 4);
    if (n < 10 || n > s->n - RECORD_HEAD)
        return false;
    struct sld_str body = sld_str_sub(*s, RECORD_HEAD, n);
    size_t key_n = (size_t)get_number(body.p + 8, 2);
    if (sld_hash_bytes(body).lo != get_number(s->p + 4, 8) || key_n > body.n - 10)
        return false;
    struct sld_str key = sld_str_sub(body, 10, key_n), bytes = sld_str_sub(body, 10 + key_n, body.n);
    if (bytes.n)
        entry_put(kv, key, bytes, (int64_t)get_number(body.p, 8));
    else
        entry_drop(kv, key);
    *s = sld_str_sub(*s, RECORD_HEAD + n, s->n);
    return true;
}

// ---- The file ----

static void told(const struct sld_plugin_kv *kv, const char *event, const char *words)
{
    SLD_LOG(SLD_WARN, "plugin", event, SLD_KC("file", kv->path), SLD_KC("msg", words));
}

// Reads what FD has into KV, and cuts a torn end off.
static enum sld_rc read_file(struct sld_plugin_kv *kv, int fd, struct sld_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return sld_err_errno(err, errno, "%s cannot be read", kv->path);
    if (st.st_size > FILE_MAX)
        return sld_err_set(err, SLD_LIMIT, "%s is larger than any that was written here", kv->path);
    size_t size = (size_t)st.st_size, got = 0;
    char *all = sld_xalloc(size + 1);
    for (ssize_t n; got < size && (n = pread(fd, all + got, size - got, (off_t)got)) > 0;)
        got += (size_t)n;
    struct sld_str s = sld_str_n(all, got);
    enum sld_rc rc = SLD_OK;
    if (got && !sld_str_starts(s, SLD_STR(HEAD))) {
        rc = sld_err_set(err, SLD_INVALID, "%s is no file of values", kv->path);
    } else if (got) {
        s = sld_str_sub(s, HEAD_BYTES, s.n);
        while (s.n && take_record(kv, &s))
            continue;
        if (s.n && ftruncate(fd, (off_t)(got - s.n)) != 0)
            rc = sld_err_errno(err, errno, "%s cannot be written", kv->path);
        if (s.n)
            told(kv, "kv_torn", "the end of it was torn, and is gone");
        kv->size = got - s.n;
    }
    sld_xfree(all);
    return rc;
}

static enum sld_rc write_all(int fd, struct sld_str s)
{
    while (s.n) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return SLD_IO;
        s = sld_str_sub(s, (size_t)n, s.n);
    }
    return SLD_OK;
}

// Opens the file, unless it is open; what cannot be read is set aside.
static enum sld_rc open_file(struct sld_plugin_kv *kv, struct sld_err *err)
{
    if (!kv->path[0] || kv->fd >= 0)
        return SLD_OK;
    int fd = open(kv->path, O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND | O_NOFOLLOW, 0600);
    if (fd < 0)
        return sld_err_errno(err, errno, "%s cannot be opened", kv->path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return sld_err_set(err, SLD_CONFLICT, "%s is in use by another process", kv->path);
    }
    enum sld_rc rc = read_file(kv, fd, err);
    if (rc == SLD_INVALID || rc == SLD_LIMIT) {
        char aside[PATH_MAX_BYTES + 8];
        snprintf(aside, sizeof(aside), "%s.broken", kv->path);
        told(kv, "kv_broken", err->msg);
        close(fd);
        if (rename(kv->path, aside) != 0)
            return sld_err_errno(err, errno, "%s cannot be set aside", kv->path);
        return open_file(kv, err);
    }
    if (!rc && !kv->size && write_all(fd, SLD_STR(HEAD)))
        rc = sld_err_errno(err, errno, "%s cannot be written", kv->path);
    if (rc) {
        close(fd);
        return rc;
    }
    kv->size = kv->size ? kv->size : HEAD_BYTES;
    kv->fd = fd;
    return SLD_OK;
}

// The file written anew, with what is of use.
static enum sld_rc rewrite(struct sld_plugin_kv *kv)
{
    char aside[PATH_MAX_BYTES + 8];
    struct sld_buf b;
    size_t at = 0;
    snprintf(aside, sizeof(aside), "%s.new", kv->path);
    sld_buf_init(&b, FILE_MAX);
    sld_buf_addz(&b, HEAD);
    for (struct sld_map_slot *s; (s = sld_map_next(&kv->entries, &at));) {
        const struct entry *e = s->value;
        put_record(&b, s->key, sld_str_n(e->bytes, e->n), e->expires_ms);
    }
    struct sld_str all = sld_buf_str(&b);
    int fd = open(aside, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_APPEND | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && !b.full && flock(fd, LOCK_EX | LOCK_NB) == 0 && !write_all(fd, all) && fdatasync(fd) == 0 &&
              rename(aside, kv->path) == 0;
    if (ok) {
        close(kv->fd);
        kv->fd = fd;
        kv->size = all.n;
    } else if (fd >= 0) {
        close(fd);
        (void)unlink(aside);
    }
    sld_buf_fini(&b);
    return ok ? SLD_OK : SLD_IO;
}

// Appends that KEY is BYTES; what came of it only in part is taken back.
static enum sld_rc append(struct sld_plugin_kv *kv, struct sld_str key, struct sld_str bytes, int64_t expires_ms, struct sld_err *err)
{
    struct sld_buf b;
    enum sld_rc rc = open_file(kv, err);
    if (rc || !kv->path[0])
        return rc;
    sld_buf_init(&b, SLD_KV_KEY_MAX + SLD_KV_VALUE_MAX + 128);
    put_record(&b, key, bytes, expires_ms);
    if (write_all(kv->fd, sld_buf_str(&b))) {
        rc = sld_err_errno(err, errno, "%s cannot be written", kv->path);
        if (ftruncate(kv->fd, (off_t)kv->size) != 0) {
            close(kv->fd); // it is read again, and its torn end cut off
            kv->fd = -1;
        }
    } else {
        kv->size += sld_buf_str(&b).n;
        kv->dirty = true;
    }
    sld_buf_fini(&b);
    return rc;
}

static void purge(struct sld_plugin_kv *kv, int64_t now_ms)
{
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&kv->entries, &at));) {
        struct entry *e = s->value;
        if (live(e, now_ms))
            continue;
        kv->used -= cost(s->key, e->n);
        sld_map_remove(&kv->entries, s->key);
        sld_xfree(e);
    }
}

static void tidy(struct sld_plugin_kv *kv, int64_t now_ms)
{
    if (kv->fd < 0 || kv->size <= 2 * kv->used + SLACK_BYTES)
        return;
    purge(kv, now_ms);
    if (rewrite(kv))
        told(kv, "kv_not_tidied", "it cannot be written anew, and grows");
}

// ---- Its life ----

static void kv_free(struct sld_obj *o)
{
    struct sld_plugin_kv *kv = (struct sld_plugin_kv *)o;
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&kv->entries, &at));)
        sld_xfree(s->value);
    sld_map_fini(&kv->entries);
    if (kv->fd >= 0)
        close(kv->fd);
    pthread_mutex_destroy(&kv->lock);
    sld_xfree(kv);
}

struct sld_plugin_kv *sld_plugin_kv_open(struct sld_str path)
{
    struct sld_plugin_kv *kv = SLD_NEW(struct sld_plugin_kv);
    sld_obj_init(&kv->obj, kv_free, (struct sld_hash){0});
    pthread_mutex_init(&kv->lock, NULL);
    kv->fd = -1;
    if (path.p)
        snprintf(kv->path, sizeof(kv->path), "%.*s", SLD_FMT(path));
    return kv;
}

void sld_plugin_kv_sync(struct sld_plugin_kv *kv)
{
    pthread_mutex_lock(&kv->lock);
    int fd = kv->dirty && kv->fd >= 0 ? dup(kv->fd) : -1; // so that nobody waits for the disk
    kv->dirty = false;
    pthread_mutex_unlock(&kv->lock);
    if (fd < 0)
        return;
    (void)fdatasync(fd);
    close(fd);
}

// ---- Values ----

static void put_value(struct sld_buf *b, const struct sld_kv_value *v)
{
    uint64_t bits = (uint64_t)v->integer;
    sld_buf_addc(b, (char)v->type);
    if (v->type == SLD_KV_STRING) {
        sld_buf_add(b, v->text);
        return;
    }
    if (v->type == SLD_KV_NUMBER)
        memcpy(&bits, &v->number, sizeof(bits));
    put_number(b, bits, 8);
}

static bool read_value(const struct entry *e, struct sld_arena *a, struct sld_kv_value *out)
{
    struct sld_str rest = sld_str_n(e->bytes + 1, e->n - 1);
    *out = (struct sld_kv_value){.type = (enum sld_kv_type)e->bytes[0]};
    if (out->type == SLD_KV_STRING) {
        out->text = sld_arena_str(a, rest);
        return true;
    }
    if (rest.n != 8)
        return false;
    uint64_t bits = get_number(rest.p, 8);
    out->integer = (int64_t)bits;
    if (out->type == SLD_KV_NUMBER)
        memcpy(&out->number, &bits, sizeof(bits));
    return true;
}

static enum sld_rc set(struct sld_plugin_kv *kv, struct sld_str key, const struct sld_kv_value *v, int64_t expires_ms, int64_t now_ms,
                       struct sld_err *err)
{
    struct sld_buf b;
    const struct entry *was = sld_map_get(&kv->entries, key);
    sld_buf_init(&b, SLD_KV_VALUE_MAX + 16);
    put_value(&b, v);
    struct sld_str bytes = sld_buf_str(&b);
    size_t more = cost(key, bytes.n) - (was ? cost(key, was->n) : 0);
    enum sld_rc rc = SLD_OK;
    if (b.full || bytes.n > SLD_KV_VALUE_MAX + 1) {
        rc = sld_err_set(err, SLD_LIMIT, "a value has at most %d bytes", SLD_KV_VALUE_MAX);
    } else {
        if (kv->used + more > SLD_KV_BYTES_MAX || sld_map_count(&kv->entries) >= SLD_KV_KEYS_MAX) {
            purge(kv, now_ms);
            was = sld_map_get(&kv->entries, key);
            more = cost(key, bytes.n) - (was ? cost(key, was->n) : 0);
        }
        if (kv->used + more > SLD_KV_BYTES_MAX)
            rc = sld_err_set(err, SLD_LIMIT, "the plugin keeps %zu bytes; it may keep %d in all: delete some", kv->used, SLD_KV_BYTES_MAX);
        else if (!was && sld_map_count(&kv->entries) >= SLD_KV_KEYS_MAX)
            rc = sld_err_set(err, SLD_LIMIT, "the plugin keeps %d keys, more are not taken: delete some", SLD_KV_KEYS_MAX);
        else
            rc = append(kv, key, bytes, expires_ms, err);
    }
    if (!rc) {
        entry_put(kv, key, bytes, expires_ms);
        tidy(kv, now_ms);
    }
    sld_buf_fini(&b);
    return rc;
}

// Before a call: the file is read when somebody first asks, and again after it could not be.
static void look(struct sld_plugin_kv *kv)
{
    struct sld_err err = {0};
    bool fails = open_file(kv, &err) != SLD_OK;
    if (fails && !kv->told)
        told(kv, "kv_unusable", err.msg);
    kv->told = fails;
}

// ---- Calls ----

bool sld_plugin_kv_get(struct sld_plugin_kv *kv, struct sld_str key, int64_t now_ms, struct sld_arena *a, struct sld_kv_value *out)
{
    pthread_mutex_lock(&kv->lock);
    look(kv);
    const struct entry *e = sld_map_get(&kv->entries, key);
    bool there = live(e, now_ms) && read_value(e, a, out);
    pthread_mutex_unlock(&kv->lock);
    return there;
}

enum sld_rc sld_plugin_kv_set(struct sld_plugin_kv *kv, struct sld_str key, const struct sld_kv_value *v, int64_t expires_ms, int64_t now_ms,
                              struct sld_err *err)
{
    pthread_mutex_lock(&kv->lock);
    look(kv);
    enum sld_rc rc = set(kv, key, v, expires_ms, now_ms, err);
    pthread_mutex_unlock(&kv->lock);
    return rc;
}

enum sld_rc sld_plugin_kv_add(struct sld_plugin_kv *kv, struct sld_str key, int64_t n, int64_t expires_ms, int64_t now_ms, int64_t *out,
                              struct sld_err *err)
{
    struct sld_arena a = {0};
    struct sld_kv_value v = {.type = SLD_KV_INTEGER};
    enum sld_rc rc = SLD_OK;
    pthread_mutex_lock(&kv->lock);
    look(kv);
    const struct entry *e = sld_map_get(&kv->entries, key);
    if (live(e, now_ms)) {
        expires_ms = e->expires_ms;
        if (!read_value(e, &a, &v) || v.type != SLD_KV_INTEGER)
            rc = sld_err_set(err, SLD_INVALID, "what is kept there is no whole number");
    }
    if (!rc && __builtin_add_overflow(v.integer, n, &v.integer))
        rc = sld_err_set(err, SLD_INVALID, "the sum is too large for a whole number");
    if (!rc)
        rc = set(kv, key, &v, expires_ms, now_ms, err);
    pthread_mutex_unlock(&kv->lock);
    *out = v.integer;
    sld_arena_fini(&a);
    return rc;
}

enum sld_rc sld_plugin_kv_remove(struct sld_plugin_kv *kv, struct sld_str key, int64_t now_ms, bool *there, struct sld_err *err)
{
    enum sld_rc rc = SLD_OK;
    pthread_mutex_lock(&kv->lock);
    look(kv);
    const struct entry *e = sld_map_get(&kv->entries, key);
    *there = live(e, now_ms);
    if (e)
        rc = append(kv, key, SLD_STR(""), 0, err);
    if (e && !rc) {
        entry_drop(kv, key);
        tidy(kv, now_ms);
    }
    pthread_mutex_unlock(&kv->lock);
    return rc;
}

struct sld_str *sld_plugin_kv_list(struct sld_plugin_kv *kv, struct sld_str prefix, size_t max, int64_t now_ms, struct sld_arena *a, size_t *n)
{
    struct sld_str *out = NULL;
    size_t count;
    *n = 0;
    pthread_mutex_lock(&kv->lock);
    look(kv);
    struct sld_str *keys = sld_map_sorted_keys(&kv->entries, &count);
    for (size_t i = 0; i < count && *n < max; i++) {
        if (sld_str_starts(keys[i], prefix) && live(sld_map_get(&kv->entries, keys[i]), now_ms))
            SLD_PUSH(a, out, *n, sld_arena_str(a, keys[i]));
    }
    sld_xfree(keys);
    pthread_mutex_unlock(&kv->lock);
    return out;
}
