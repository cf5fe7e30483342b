// Documents in a directory, for the command line.
//
// What is written goes to "<plural>/<namespace>/<name>.yaml" with a first line that says so; only
// such files are written again or removed, unless force is given. Writers of this kind take turns
// by a lock on the directory, from the first change to the end of the store: so what was read once
// holds, but for what people do, who know of no lock. Therefore the one file is looked at again.
#include "source/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "settings.pb-c.h"
#include "source/dir/dir.h"

#define MARK                                                                                       \
    SLD_STR("# Written by solder apply, which writes it again; solder delete removes it.\n")

enum { READ_BYTES = 64 * 1024 };

// A document that was found.
struct entry {
    struct sld_store_doc doc;
    struct sld_hash file; // of the bytes of its file
    bool own;             // in a file that we wrote
    bool alone;           // all its file holds
    char key[];
};

struct dir_store {
    struct sld_store base;
    struct sld_arena arena; // of the next two
    struct sld_arena docs;  // of what the entries point to
    char *root;
    struct sld_str default_ns;
    int fd; // of the root
    bool read, locked;
    bool duplicates;        // an object stands in several places
    struct sld_set entries; // by key of the object; of several documents the first by path
};

static struct sld_str entry_key(const void *item)
{
    return sld_str_c(((const struct entry *)item)->key);
}

static void forget(struct dir_store *d)
{
    size_t at = 0;
    for (struct entry *e; (e = sld_set_next(&d->entries, &at));)
        sld_xfree(e);
    sld_set_fini(&d->entries);
    sld_arena_fini_secret(&d->docs);
    d->read = d->duplicates = false;
}

static enum sld_rc store_open(struct sld_str address, const struct Gloo__Settings *settings,
                              struct sld_store **out, struct sld_err *err)
{
    struct sld_arena a = {0};
    const char *path = sld_arena_cstr(&a, address);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum sld_rc rc = SLD_OK;
    if (fd < 0 && errno == ENOENT)
        rc = sld_err_set(err, SLD_NOT_FOUND, "directory %s does not exist; create it first", path);
    else if (fd < 0)
        rc = sld_err_errno(err, errno, "%s", path);
    if (rc) {
        sld_arena_fini(&a);
        return rc;
    }
    struct dir_store *d = SLD_NEW(struct dir_store);
    d->base.ops = &sld_dir_store_ops;
    d->fd = fd;
    while (address.n > 1 && address.p[address.n - 1] == '/')
        address.n--;
    d->root = sld_arena_cstr(&d->arena, address);
    d->default_ns = settings->discovery_namespace[0]
                        ? sld_arena_str(&d->arena, sld_str_c(settings->discovery_namespace))
                        : SLD_STR("gloo-system");
    d->entries.key = entry_key;
    *out = &d->base;
    sld_arena_fini(&a);
    return SLD_OK;
}

static void store_close(struct sld_store *s)
{
    struct dir_store *d = (struct dir_store *)s;
    if (!d)
        return;
    forget(d);
    close(d->fd);
    sld_arena_fini(&d->arena);
    sld_xfree(d);
}

// ---- Reading ----

static struct sld_str version_of(struct sld_arena *a, struct sld_str text)
{
    char hash[17];
    sld_hash_text(sld_hash_bytes(text), hash);
    return sld_arena_str(a, sld_str_c(hash));
}

struct file {
    struct dir_store *d;
    struct sld_str path, bytes;
    struct sld_hash hash; // of the bytes
    const struct sld_document *doc;
    size_t docs; // in the file
};

static void add_document(const struct sld_node *node, long index, void *arg)
{
    const struct file *f = arg;
    struct dir_store *d = f->d;
    struct sld_doc_place place = {.path = f->path, .default_ns = d->default_ns};
    struct sld_arena tmp = {0};
    struct sld_ident id;
    enum sld_code code;
    if (sld_model_identify(node, &place, &id, &code, NULL)) {
        sld_arena_fini(&tmp);
        return;
    }
    struct sld_str key = sld_ident_key(&tmp, id);
    struct entry *other = sld_set_get(&d->entries, key);
    d->duplicates |= other != NULL;
    if (other && sld_str_cmp(other->doc.path, f->path) <= 0) {
        sld_arena_fini(&tmp);
        return;
    }
    if (other) {
        sld_set_remove(&d->entries, other);
        sld_xfree(other);
    }
    struct entry *e = sld_xcalloc(1, sizeof(*e) + key.n + 1);
    memcpy(e->key, key.p, key.n);
    sld_ident_parse(sld_str_c(e->key), &e->doc.id);
    e->doc.path = sld_arena_str(&d->docs, f->path);
    e->doc.place = sld_arena_fmt(&d->docs, "%s/%.*s:%d", d->root, SLD_FMT(f->path), f->doc->line);
    if (index < 0) {
        e->doc.text = sld_arena_str(&d->docs, f->doc->text);
    } else { // of a List
        struct sld_buf b;
        sld_buf_init(&b, SLD_DIR_MAX_FILE_BYTES);
        sld_doc_print_node(&b, node, SLD_TEXT_YAML);
        e->doc.text = sld_arena_str(&d->docs, sld_buf_str(&b));
        sld_buf_fini(&b);
    }
    e->doc.version = version_of(&d->docs, e->doc.text);
    e->file = f->hash;
    e->own = sld_str_starts(f->bytes, MARK);
    e->alone = index < 0 && f->docs == 1;
    sld_set_add(&d->entries, e);
    sld_arena_fini(&tmp);
}

static void on_put(void *user, struct sld_str path, struct sld_blob *bytes, bool settled)
{
    struct file f = {.d = user, .path = path, .bytes = bytes->data, .hash = bytes->obj.hash};
    struct sld_arena a = {0};
    struct sld_document *docs = NULL;
    size_t n = 0;
    enum sld_code code;
    (void)settled;
    // What stands before a mistake counts.
    (void)!sld_doc_read(&a, bytes->data, &sld_doc_limits_default, &docs, &n, &code, NULL);
    for (size_t i = 0; i < n; i++)
        f.docs += docs[i].root != NULL;
    for (size_t i = 0; i < n; i++) {
        f.doc = &docs[i];
        if (docs[i].root)
            sld_model_each(docs[i].root, add_document, &f);
    }
    sld_arena_fini_secret(&a);
}

static void on_gone(void *user, struct sld_str path)
{
    (void)user;
    (void)path;
}

static void on_synced(void *user)
{
    (void)user;
}

static void on_problem(void *user, struct sld_str path, enum sld_code code, struct sld_str message)
{
    (void)user; // what cannot be read is not there for us
    (void)path;
    (void)code;
    (void)message;
}

static enum sld_rc read_all(struct dir_store *d, struct sld_err *err)
{
    struct sld_source_events ev = {.on_put = on_put,
                                   .on_gone = on_gone,
                                   .on_synced = on_synced,
                                   .on_problem = on_problem,
                                   .user = d};
    if (d->read)
        return SLD_OK;
    enum sld_rc rc = sld_dir_read(sld_str_c(d->root), &ev, err);
    d->read = !rc;
    return rc;
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const struct entry *const *)a)->key, (*(const struct entry *const *)b)->key);
}

static enum sld_rc store_each(struct sld_store *s, enum sld_kind kind, struct sld_str ns,
                              void (*fn)(const struct sld_store_doc *doc, void *arg), void *arg,
                              struct sld_err *err)
{
    struct dir_store *d = (struct dir_store *)s;
    enum sld_rc rc = read_all(d, err);
    if (rc)
        return rc;
    const struct entry **list = sld_xcalloc(sld_set_count(&d->entries) + 1, sizeof(*list));
    size_t n = 0, at = 0;
    for (const struct entry *e; (e = sld_set_next(&d->entries, &at));) {
        if ((kind == SLD_KIND_COUNT || e->doc.id.kind == kind) &&
            (!ns.p || sld_str_eq(ns, e->doc.id.ns)))
            list[n++] = e;
    }
    if (n)
        qsort(list, n, sizeof(*list), by_key);
    for (size_t i = 0; i < n; i++)
        fn(&list[i]->doc, arg);
    sld_xfree(list);
    return SLD_OK;
}

static enum sld_rc find(struct dir_store *d, struct sld_ident id, const struct entry **out,
                        struct sld_err *err)
{
    struct sld_arena a = {0};
    enum sld_rc rc = read_all(d, err);
    *out = rc ? NULL : sld_set_get(&d->entries, sld_ident_key(&a, id));
    sld_arena_fini(&a);
    return rc;
}

static enum sld_rc not_there(const struct dir_store *d, struct sld_ident id, struct sld_err *err)
{
    return sld_err_set(err, SLD_NOT_FOUND, "there is no %s %.*s in namespace %.*s of %s",
                       sld_kind_info(id.kind)->name, SLD_FMT(id.name), SLD_FMT(id.ns), d->root);
}

static enum sld_rc store_get(struct sld_store *s, struct sld_arena *a, struct sld_ident id,
                             struct sld_store_doc *out, struct sld_err *err)
{
    struct dir_store *d = (struct dir_store *)s;
    const struct entry *e;
    enum sld_rc rc = find(d, id, &e, err);
    if (rc || !e)
        return rc ? rc : not_there(d, id, err);
    *out = e->doc;
    out->text = sld_arena_str(a, out->text);
    out->version = sld_arena_str(a, out->version);
    out->path = sld_arena_str(a, out->path);
    out->place = sld_arena_str(a, out->place);
    return SLD_OK;
}

// ---- Changing ----

// Whether the file of E still says what was read.
static bool is_same(struct dir_store *d, const struct entry *e)
{
    struct sld_arena a = {0};
    struct sld_buf b;
    int fd = openat(d->fd, sld_arena_cstr(&a, e->doc.path), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : 1;
    sld_buf_init_secret(&b, SLD_DIR_MAX_FILE_BYTES);
    while (n > 0) {
        char *room = sld_buf_reserve(&b, READ_BYTES);
        n = room ? read(fd, room, READ_BYTES) : -1;
        b.n += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        close(fd);
    bool same = n == 0 && sld_hash_eq(sld_hash_bytes(sld_buf_str(&b)), e->file);
    sld_buf_fini(&b);
    sld_arena_fini(&a);
    return same;
}

// Finds ID under the lock, as it is now, and holds it against EXPECT. E: what is there, or NULL.
static enum sld_rc take(struct dir_store *d, struct sld_ident id,
                        const struct sld_store_expect *expect, const struct entry **e,
                        struct sld_err *err)
{
    if (!d->locked) {
        if (flock(d->fd, LOCK_EX))
            return sld_err_errno(err, errno, "%s: lock", d->root);
        d->locked = true;
        forget(d);
    }
    enum sld_rc rc = find(d, id, e, err);
    if (!rc && *e && !is_same(d, *e)) {
        forget(d);
        rc = find(d, id, e, err);
    }
    if (rc)
        return rc;
    struct sld_str is = *e ? (*e)->doc.version : SLD_STR("");
    if (expect->version.p && !sld_str_eq(expect->version, is)) {
        if (!*e)
            return sld_err_set(err, SLD_CONFLICT,
                               "it is not in %s, where version %.*s was expected", d->root,
                               SLD_FMT(expect->version));
        return sld_err_set(err, SLD_CONFLICT,
                           "%.*s has version %.*s, not %s%.*s: somebody changed it",
                           SLD_FMT((*e)->doc.place), SLD_FMT(is), expect->version.n ? "" : "none",
                           SLD_FMT(expect->version));
    }
    if (*e && !(*e)->own && !expect->force)
        return sld_err_set(
            err, SLD_DENIED,
            "it stands in %.*s, which solder apply did not write; change it there, or "
            "give --force",
            SLD_FMT((*e)->doc.place));
    if (*e && !(*e)->alone)
        return sld_err_set(err, SLD_DENIED,
                           "it stands in %.*s beside other documents; change it there",
                           SLD_FMT((*e)->doc.place));
    return SLD_OK;
}

// What is known of E holds no more. BYTES: what the file PATH, which is E's if there is E, says now;
// absent: it is gone.
static void learn(struct dir_store *d, const struct entry *e, struct sld_str path,
                  struct sld_str bytes)
{
    if (d->duplicates) {
        forget(d); // another file's word may count now
        return;
    }
    if (e) {
        struct entry *old = sld_set_get(&d->entries, sld_str_c(e->key));
        sld_set_remove(&d->entries, old);
        sld_xfree(old);
    }
    if (!bytes.p)
        return;
    struct sld_blob *b = sld_blob_create_secret(bytes);
    on_put(d, path, b, true);
    SLD_UNREF(b);
}

// Makes the directories above PATH.
static enum sld_rc make_parents(struct dir_store *d, const char *path, struct sld_err *err)
{
    struct sld_arena a = {0};
    char *p = sld_arena_cstr(&a, sld_str_c(path));
    enum sld_rc rc = SLD_OK;
    for (char *slash = strchr(p, '/'); slash && !rc; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdirat(d->fd, p, 0755) && errno != EEXIST)
            rc = sld_err_errno(err, errno, "%s/%s", d->root, p);
        *slash = '/';
    }
    sld_arena_fini(&a);
    return rc;
}

static bool write_all(int fd, struct sld_str s)
{
    while (s.n) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        s = sld_str_sub(s, (size_t)n, s.n);
    }
    return true;
}

static void sync_parent(struct dir_store *d, const char *path)
{
    struct sld_arena a = {0};
    char *p = sld_arena_cstr(&a, sld_str_c(path)), *slash = strrchr(p, '/');
    if (slash)
        *slash = 0;
    int fd = openat(d->fd, slash ? p : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    sld_arena_fini(&a);
}

// Replaces the file PATH as a whole.
static enum sld_rc write_file(struct dir_store *d, const char *path, struct sld_str bytes,
                              mode_t mode, struct sld_err *err)
{
    struct sld_arena a = {0};
    const char *slash = strrchr(path, '/');
    int dir = slash ? (int)(slash - path) + 1 : 0;
    // A name that sources pass over.
    const char *temp = sld_arena_fmt(&a, "%.*s.%s.%ld", dir, path, path + dir, (long)getpid()).p;
    int fd = openat(d->fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    enum sld_rc rc = SLD_OK;
    if (fd < 0) {
        rc = sld_err_errno(err, errno, "%s/%s", d->root, path);
    } else {
        if (!write_all(fd, bytes) || fsync(fd))
            rc = sld_err_errno(err, errno, "%s/%s", d->root, path);
        close(fd);
        if (!rc && renameat(d->fd, temp, d->fd, path))
            rc = sld_err_errno(err, errno, "%s/%s", d->root, path);
        if (rc)
            (void)unlinkat(d->fd, temp, 0);
    }
    if (!rc)
        sync_parent(d, path);
    sld_arena_fini(&a);
    return rc;
}

// Where a new document goes. SLD_CONFLICT when something else is there.
static enum sld_rc new_path(struct dir_store *d, struct sld_arena *a, struct sld_ident id,
                            const char **out, struct sld_err *err)
{
    struct stat st;
    *out = sld_arena_fmt(a, "%.*s.yaml", SLD_FMT(sld_ident_key(a, id))).p;
    if (fstatat(d->fd, *out, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return sld_err_set(err, SLD_CONFLICT,
                           "%s/%s is there and holds something else; move it away", d->root, *out);
    return make_parents(d, *out, err);
}

struct said {
    struct sld_doc_place place;
    struct sld_ident id;
    bool so;
};

static void look_at_said(const struct sld_node *node, long index, void *arg)
{
    struct said *s = arg;
    struct sld_ident is;
    enum sld_code code;
    (void)index;
    s->so |= sld_model_identify(node, &s->place, &is, &code, NULL) == SLD_OK &&
             is.kind == s->id.kind && sld_str_eq(is.ns, s->id.ns) &&
             sld_str_eq(is.name, s->id.name);
}

// Whether TEXT in the file PATH is a document of ID.
static bool says(const struct dir_store *d, struct sld_str path, struct sld_str text,
                 struct sld_ident id)
{
    struct sld_arena a = {0};
    struct sld_document *docs;
    size_t n;
    enum sld_code code;
    struct said s = {.place = {.path = path, .default_ns = d->default_ns}, .id = id};
    if (!sld_doc_read(&a, text, &sld_doc_limits_default, &docs, &n, &code, NULL)) {
        for (size_t i = 0; i < n; i++) {
            if (docs[i].root)
                sld_model_each(docs[i].root, look_at_said, &s);
        }
    }
    sld_arena_fini_secret(&a);
    return s.so;
}

static enum sld_rc write_entry(struct dir_store *d, const struct entry *e, struct sld_ident id,
                               struct sld_str text, struct sld_err *err)
{
    struct sld_arena a = {0};
    const char *path = e ? sld_arena_cstr(&a, e->doc.path) : NULL;
    enum sld_rc rc = e ? SLD_OK : new_path(d, &a, id, &path, err);
    if (e && !says(d, e->doc.path, text, id))
        rc = sld_err_set(
            err, SLD_DENIED,
            "written to %.*s, the document would not be %s %.*s in namespace %.*s: give it "
            "apiVersion, kind and metadata.namespace",
            SLD_FMT(e->doc.place), sld_kind_info(id.kind)->name, SLD_FMT(id.name), SLD_FMT(id.ns));
    if (!rc) {
        bool own = !e || e->own;
        struct sld_str bytes =
            sld_arena_fmt(&a, "%.*s%.*s%s", SLD_FMT(own ? MARK : SLD_STR("")), SLD_FMT(text),
                          sld_str_ends(text, SLD_STR("\n")) ? "" : "\n");
        // Settings may hold tokens.
        bool values = id.kind == SLD_KIND_SECRET || id.kind == SLD_KIND_SETTINGS;
        rc = write_file(d, path, bytes, values ? 0600 : 0644, err);
        if (!rc)
            learn(d, e, sld_str_c(path), bytes);
    }
    sld_arena_fini_secret(&a);
    return rc;
}

static enum sld_rc store_put(struct sld_store *s, struct sld_arena *a, struct sld_ident id,
                             struct sld_str text, const struct sld_store_expect *expect,
                             struct sld_store_doc *out, struct sld_err *err)
{
    struct dir_store *d = (struct dir_store *)s;
    const struct entry *e = NULL;
    enum sld_rc rc = take(d, id, expect, &e, err);
    if (!rc)
        rc = write_entry(d, e, id, text, err);
    return rc || !out ? rc : store_get(s, a, id, out, err);
}

static enum sld_rc store_remove(struct sld_store *s, struct sld_ident id,
                                const struct sld_store_expect *expect, struct sld_err *err)
{
    struct dir_store *d = (struct dir_store *)s;
    const struct entry *e = NULL;
    struct sld_arena a = {0};
    enum sld_rc rc = take(d, id, expect, &e, err);
    if (!rc && !e)
        rc = not_there(d, id, err);
    if (!rc) {
        const char *path = sld_arena_cstr(&a, e->doc.path);
        if (unlinkat(d->fd, path, 0)) {
            rc = sld_err_errno(err, errno, "%s/%s", d->root, path);
        } else {
            sync_parent(d, path);
            learn(d, e, sld_str_c(path), SLD_STR_NONE);
        }
    }
    sld_arena_fini(&a);
    return rc;
}

const struct sld_store_ops sld_dir_store_ops = {
    .open = store_open,
    .each = store_each,
    .get = store_get,
    .put = store_put,
    .remove = store_remove,
    .close = store_close,
};
