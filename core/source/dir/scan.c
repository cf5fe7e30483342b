// Looks at files and directories. Runs on libuv's pool, one slice at a time, so that neither the io
// thread waits for a disk nor the results of a large tree pile up.
#include "source/dir/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SLICE_RESULTS = 512, SLICE_BYTES = 8 * 1024 * 1024, MESSAGE_MAX = 400, BUFFER_BYTES = 64 * 1024 };

// A file system's clock may tick this coarsely: a file that changed less than this before it was
// read may change again without its signature telling.
#define RACY_MS 2000

void sld_dir_paths_add(struct sld_dir_paths *l, struct sld_str path)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 16;
        l->items = sld_xrealloc(l->items, l->cap * sizeof(*l->items));
    }
    char *copy = sld_xalloc(path.n + 1);
    if (path.n)
        memcpy(copy, path.p, path.n);
    copy[path.n] = 0;
    l->items[l->count++] = copy;
}

char *sld_dir_paths_pop(struct sld_dir_paths *l)
{
    return l->count ? l->items[--l->count] : NULL;
}

void sld_dir_paths_fini(struct sld_dir_paths *l)
{
    for (char *p; (p = sld_dir_paths_pop(l));)
        sld_xfree(p);
    sld_xfree(l->items);
    *l = (struct sld_dir_paths){0};
}

bool sld_dir_is_unit(struct sld_str path)
{
    return sld_str_ends(path, SLD_STR(".yaml")) || sld_str_ends(path, SLD_STR(".yml")) ||
           sld_str_ends(path, SLD_STR(".json"));
}

bool sld_dir_below(struct sld_str path, struct sld_str dir)
{
    return dir.n == 0 || (sld_str_starts(path, dir) && (path.n == dir.n || path.p[dir.n] == '/'));
}

void sld_dir_scan_reset(struct sld_dir_scan *s)
{
    for (size_t i = 0; i < s->result_count; i++) {
        sld_xfree(s->results[i].path);
        sld_xfree(s->results[i].message);
        SLD_UNREF(s->results[i].bytes);
    }
    s->result_count = 0;
    s->slice_bytes = 0;
    s->new_files = 0; // the known files have them now
}

// Lets go of the buffer, which may have held secrets.
static void buffer_free(struct sld_dir_scan *s)
{
    if (s->buffer)
        sld_wipe(s->buffer, s->buffer_used);
    sld_xfree(s->buffer);
    s->buffer = NULL;
    s->buffer_size = s->buffer_used = 0;
}

void sld_dir_scan_fini(struct sld_dir_scan *s)
{
    sld_dir_scan_reset(s);
    sld_xfree(s->results);
    sld_dir_paths_fini(&s->targets);
    sld_dir_paths_fini(&s->walked);
    sld_dir_paths_fini(&s->failed);
    sld_dir_paths_fini(&s->dirs);
    sld_dir_paths_fini(&s->links);
    sld_dir_paths_fini(&s->files);
    sld_map_fini(&s->visited);
    buffer_free(s);
    *s = (struct sld_dir_scan){0};
}

// ---- Results ----

static struct sld_dir_result *result_add(struct sld_dir_scan *s, enum sld_dir_result_type type,
                                         const char *path)
{
    if (s->result_count == s->result_cap) {
        s->result_cap = s->result_cap ? s->result_cap * 2 : 64;
        s->results = sld_xrealloc(s->results, s->result_cap * sizeof(*s->results));
    }
    struct sld_dir_result *r = &s->results[s->result_count++];
    *r = (struct sld_dir_result){.type = type};
    size_t n = strlen(path) + 1;
    r->path = memcpy(sld_xalloc(n), path, n);
    return r;
}

static void result_bad(struct sld_dir_scan *s, const char *path, enum sld_code code,
                       const char *fmt, ...) SLD_PRINTF(4, 5);

static void result_bad(struct sld_dir_scan *s, const char *path, enum sld_code code,
                       const char *fmt, ...)
{
    struct sld_dir_result *r = result_add(s, SLD_DIR_BAD, path);
    r->code = code;
    r->message = sld_xalloc(MESSAGE_MAX);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->message, MESSAGE_MAX, fmt, ap);
    va_end(ap);
}

// "DIR/NAME", or one of them when the other is empty; its length, or 0: it is too long.
static size_t path_join(char out[PATH_MAX], const char *dir, const char *name)
{
    size_t n = strlen(dir), m = strlen(name), slash = n && m;
    if (n + slash + m >= PATH_MAX)
        return 0;
    memcpy(out, dir, n);
    memcpy(out + n, "/", slash);
    memcpy(out + n + slash, name, m + 1);
    return n + slash + m;
}

static bool path_full(const struct sld_dir_scan *s, const char *rel, char out[PATH_MAX])
{
    return path_join(out, s->root, rel) > 0;
}

// ---- Files ----

static int64_t time_ns(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct sld_dir_sig sig_of(const struct stat *st)
{
    return (struct sld_dir_sig){
        .dev = (uint64_t)st->st_dev,
        .ino = (uint64_t)st->st_ino,
        .size = (uint64_t)st->st_size,
        .mtime_ns = time_ns(st->st_mtim),
        .ctime_ns = time_ns(st->st_ctim),
    };
}

static bool sig_eq(const struct sld_dir_sig *a, const struct sld_dir_sig *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

static const char *type_name(mode_t mode)
{
    return S_ISFIFO(mode)                   ? "a FIFO"
           : S_ISSOCK(mode)                 ? "a socket"
           : S_ISCHR(mode) || S_ISBLK(mode) ? "a device"
                                            : "not a regular file";
}

// Makes the buffer larger than N bytes, of which it holds the first KEPT.
static void buffer_reserve(struct sld_dir_scan *s, size_t n, size_t kept)
{
    if (s->buffer_size > n)
        return;
    size_t size = n < BUFFER_BYTES / 2 ? BUFFER_BYTES : 2 * n;
    if (size > SLD_DIR_MAX_FILE_BYTES + 1)
        size = SLD_DIR_MAX_FILE_BYTES + 1;
    char *bigger = sld_xalloc(size);
    if (kept)
        memcpy(bigger, s->buffer, kept);
    buffer_free(s);
    s->buffer = bigger;
    s->buffer_size = size;
    s->buffer_used = kept;
}

// Reads FD, a file of SIZE bytes, into the buffer; the count, -1 on an error, or more than the
// ceiling when there is too much.
static ssize_t read_all(struct sld_dir_scan *s, int fd, size_t size)
{
    size_t n = 0;
    buffer_reserve(s, size, 0);
    while (n <= SLD_DIR_MAX_FILE_BYTES) {
        buffer_reserve(s, n, n);
        ssize_t got = read(fd, s->buffer + n, s->buffer_size - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        n += (size_t)got;
        if (n > s->buffer_used)
            s->buffer_used = n;
        if (n == size)
            break; // more was asked for: this is the end
    }
    return (ssize_t)n;
}

static void file_read(struct sld_dir_scan *s, const char *rel, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        result_bad(s, rel, SLD_DOC_UNREADABLE, "cannot be read: %s", strerror(errno));
        return;
    }
    if (!S_ISREG(st.st_mode)) {
        result_bad(s, rel, SLD_DOC_UNREADABLE, "is %s", type_name(st.st_mode));
        return;
    }
    ssize_t n = st.st_size;
    if (n <= SLD_DIR_MAX_FILE_BYTES)
        n = read_all(s, fd, (size_t)st.st_size);
    if (n < 0) {
        result_bad(s, rel, SLD_DOC_UNREADABLE, "cannot be read: %s", strerror(errno));
        return;
    }
    if (n > SLD_DIR_MAX_FILE_BYTES) {
        result_bad(s, rel, SLD_DOC_LIMIT, "the file is larger than %d MiB and is not read",
                   SLD_DIR_MAX_FILE_BYTES / 1024 / 1024);
        return;
    }
    struct sld_dir_result *r = result_add(s, SLD_DIR_READ, rel);
    // The signature is older than the bytes: a write in between differs from it at the next look.
    r->sig = sig_of(&st);
    int64_t age_ms = sld_wall_ms() - r->sig.mtime_ns / 1000000;
    r->racy = age_ms < RACY_MS;
    r->young = age_ms < (int64_t)s->quiet_ms;
    // Any file may hold a Secret: its bytes are wiped when they are let go.
    r->bytes = sld_blob_create_secret(sld_str_n(s->buffer, (size_t)n));
    s->slice_bytes += (size_t)n;
}

static void file_open(struct sld_dir_scan *s, const char *rel, const char *full)
{
    int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0) {
        file_read(s, rel, fd);
        close(fd);
    } else if (errno == ENOENT || errno == ENOTDIR) {
        result_add(s, SLD_DIR_MISSING, rel);
    } else {
        result_bad(s, rel, SLD_DOC_UNREADABLE, "cannot be read: %s", strerror(errno));
    }
}

// True when one more file may be known; otherwise that is told, once.
static bool room_for_file(struct sld_dir_scan *s)
{
    if (sld_set_count(s->known) + s->new_files < s->max_files) {
        s->new_files++;
        return true;
    }
    if (!s->over)
        result_bad(s, "", SLD_DOC_LIMIT, "there are more than %zu files; the others are not read",
                   s->max_files);
    s->over = true;
    return false;
}

// Looks at plain file REL, whose (followed) status is ST.
static void file_look(struct sld_dir_scan *s, const char *rel, const char *full,
                      const struct stat *st, bool force)
{
    struct sld_dir_file *f = sld_set_get(s->known, sld_str_c(rel));
    struct sld_dir_sig sig = sig_of(st);
    if (f) {
        f->scan = s->number;
        if (!force && !s->force && !f->racy && !f->reread && sig_eq(&f->sig, &sig))
            return;
    } else if (!room_for_file(s)) {
        return;
    }
    if (S_ISREG(st->st_mode))
        file_open(s, rel, full);
    else // opening a FIFO or a device may have effects
        result_bad(s, rel, SLD_DOC_UNREADABLE, "is %s", type_name(st->st_mode));
}

// ---- Directories ----

static unsigned depth_of(const char *rel)
{
    unsigned n = *rel ? 1 : 0;
    for (; *rel; rel++)
        n += *rel == '/';
    return n;
}

// True when the directory of ST is met for the first time.
static bool visit(struct sld_dir_scan *s, const struct stat *st)
{
    uint64_t id[2] = {(uint64_t)st->st_dev, (uint64_t)st->st_ino};
    struct sld_str key = sld_str_n((const char *)id, sizeof(id));
    if (sld_map_has(&s->visited, key))
        return false;
    sld_map_set(&s->visited, key, s);
    return true;
}

// Sorts the entries of open directory D into directories, regular files, and what must be looked at
// to know.
static void dir_entries(struct sld_dir_scan *s, const char *rel, DIR *d)
{
    char child[PATH_MAX];
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        struct sld_str path = sld_str_n(child, path_join(child, rel, e->d_name));
        if (!path.n)
            continue;
        unsigned char type = e->d_type;
        struct stat st;
        if (type == DT_UNKNOWN && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            type = S_ISDIR(st.st_mode) ? DT_DIR : S_ISREG(st.st_mode) ? DT_REG : DT_LNK;
        if (type == DT_DIR)
            sld_dir_paths_add(&s->dirs, path);
        else if (type == DT_LNK)
            sld_dir_paths_add(&s->links, path);
        else if (sld_dir_is_unit(path))
            sld_dir_paths_add(type == DT_REG ? &s->files : &s->links, path);
    }
}

static void dir_failed(struct sld_dir_scan *s, const char *rel, int errnum)
{
    if (*rel == 0) {
        s->root_failed = true;
        if (errnum == ENOENT)
            result_bad(s, "", SLD_SOURCE_STALE, "directory %s does not exist", s->root);
        else
            result_bad(s, "", SLD_SOURCE_STALE, "directory %s cannot be read: %s", s->root,
                       strerror(errnum));
        return;
    }
    if (errnum == ENOENT || errnum == ENOTDIR)
        return; // it went while we walked
    sld_dir_paths_add(&s->failed, sld_str_c(rel));
    result_bad(s, rel, SLD_DOC_UNREADABLE, "the directory cannot be read: %s", strerror(errnum));
}

static void dir_look(struct sld_dir_scan *s, const char *rel)
{
    char full[PATH_MAX];
    struct stat st;
    if (depth_of(rel) > SLD_DIR_MAX_DEPTH) {
        result_bad(s, rel, SLD_DOC_LIMIT, "directories are nested deeper than %d; it is not read",
                   SLD_DIR_MAX_DEPTH);
        return;
    }
    if (!path_full(s, rel, full))
        return;
    int fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        dir_failed(s, rel, errno);
        return;
    }
    DIR *d = fstat(fd, &st) == 0 ? fdopendir(fd) : NULL;
    if (!d) {
        dir_failed(s, rel, errno);
        close(fd);
        return;
    }
    if (*rel == 0) {
        s->root_dev = (uint64_t)st.st_dev;
        s->root_ino = (uint64_t)st.st_ino;
    }
    if (visit(s, &st))
        dir_entries(s, rel, d);
    closedir(d);
}

// A symlink or no regular file. A symlink to a file is that file, to a directory it is walked in a
// full scan, after all real directories, so that a directory's path does not depend on the links to
// it.
static void link_look(struct sld_dir_scan *s, const char *rel)
{
    char full[PATH_MAX];
    struct stat st;
    if (!path_full(s, rel, full))
        return;
    if (stat(full, &st) != 0) {
        // A dangling link is a missing file; a loop of links is told.
        if (errno != ENOENT && sld_dir_is_unit(sld_str_c(rel)))
            result_bad(s, rel, SLD_DOC_UNREADABLE, "cannot be read: %s", strerror(errno));
        return;
    }
    if (!S_ISDIR(st.st_mode)) {
        if (sld_dir_is_unit(sld_str_c(rel)))
            file_look(s, rel, full, &st, false);
    } else if (s->full) {
        dir_look(s, rel);
    } else {
        s->need_full = true;
    }
}

static void file_step(struct sld_dir_scan *s, const char *rel)
{
    char full[PATH_MAX];
    struct stat st;
    if (!path_full(s, rel, full))
        return;
    if (!sld_set_get(s->known, sld_str_c(rel))) {
        if (room_for_file(s))
            file_open(s, rel, full);
        return;
    }
    if (stat(full, &st) == 0 && !S_ISDIR(st.st_mode))
        file_look(s, rel, full, &st, false);
}

// A path an event named: whatever it is now.
static void target_look(struct sld_dir_scan *s, const char *rel)
{
    char full[PATH_MAX];
    struct stat st;
    if (!path_full(s, rel, full))
        return;
    if (stat(full, &st) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            result_add(s, SLD_DIR_MISSING, rel);
        else if (sld_dir_is_unit(sld_str_c(rel)))
            result_bad(s, rel, SLD_DOC_UNREADABLE, "cannot be read: %s", strerror(errno));
        return;
    }
    if (!S_ISDIR(st.st_mode)) {
        if (sld_dir_is_unit(sld_str_c(rel)))
            file_look(s, rel, full, &st, true);
        return;
    }
    struct stat self;
    if (lstat(full, &self) == 0 && S_ISLNK(self.st_mode)) {
        s->need_full = true;
        return;
    }
    sld_dir_paths_add(&s->walked, sld_str_c(rel));
    dir_look(s, rel);
}

// ---- The scan ----

static bool step(struct sld_dir_scan *s)
{
    void (*look)(struct sld_dir_scan *, const char *) = file_step;
    char *rel = sld_dir_paths_pop(&s->files);
    if (!rel) {
        look = dir_look;
        rel = sld_dir_paths_pop(&s->dirs);
    }
    if (!rel) {
        look = link_look;
        rel = sld_dir_paths_pop(&s->links);
    }
    if (!rel) {
        look = target_look;
        rel = sld_dir_paths_pop(&s->targets);
    }
    if (!rel)
        return false;
    look(s, rel);
    sld_xfree(rel);
    return true;
}

// The root went or was replaced while we walked it: what was not met proves nothing.
static void root_verify(struct sld_dir_scan *s)
{
    struct stat st;
    if (s->root_failed)
        return;
    if (stat(s->root, &st) != 0) {
        dir_failed(s, "", errno);
    } else if ((uint64_t)st.st_dev != s->root_dev || (uint64_t)st.st_ino != s->root_ino) {
        s->root_failed = true;
        s->need_full = true;
    }
}

void sld_dir_scan_run(struct sld_dir_scan *s)
{
    SLD_PRE(!s->done && s->result_count == 0);
    if (!s->started) {
        s->started = true;
        if (s->full) {
            sld_dir_paths_fini(&s->targets);
            sld_dir_paths_add(&s->walked, SLD_STR(""));
            dir_look(s, "");
        }
    }
    while (s->result_count < SLICE_RESULTS && s->slice_bytes < SLICE_BYTES) {
        if (step(s))
            continue;
        if (s->full)
            root_verify(s);
        s->done = true;
        return;
    }
}
