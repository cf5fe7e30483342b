// The files of a plugin: read once, so that a version is what it is whatever happens on disk.
#include "plugin/inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MAX = 8, NAME_MAX_BYTES = 63 };

bool sld_plugin_name_ok(struct sld_str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool letter = c >= 'a' && c <= 'z', later = (c >= '0' && c <= '9') || c == '-';
        if (!letter && (!later || i == 0))
            return false;
    }
    return name.n > 0 && name.n <= NAME_MAX_BYTES;
}

static void bundle_free(struct sld_obj *o)
{
    struct sld_plugin_bundle *b = (struct sld_plugin_bundle *)o;
    sld_arena_fini(&b->arena);
    sld_xfree(b);
}

static struct sld_plugin_bundle *create(struct sld_str name, struct sld_str origin)
{
    struct sld_plugin_bundle *b = SLD_NEW(struct sld_plugin_bundle);
    sld_obj_init(&b->obj, bundle_free, (struct sld_hash){0});
    b->name = sld_arena_str(&b->arena, name);
    b->origin = sld_arena_str(&b->arena, origin);
    return b;
}

static int by_name(const void *x, const void *y)
{
    const struct sld_plugin_file *a = x, *b = y;
    return sld_str_cmp(a->name, b->name);
}

static void seal(struct sld_plugin_bundle *b)
{
    struct sld_hasher h;
    sld_hasher_init(&h);
    if (b->count)
        qsort(b->files, b->count, sizeof(*b->files), by_name);
    sld_hasher_add(&h, b->name);
    for (size_t i = 0; i < b->count; i++) {
        sld_hasher_add_u64(&h, b->files[i].name.n);
        sld_hasher_add(&h, b->files[i].name);
        sld_hasher_add_u64(&h, b->files[i].text.n);
        sld_hasher_add(&h, b->files[i].text);
    }
    b->obj.hash = sld_hasher_done(&h);
}

struct sld_plugin_bundle *sld_plugin_bundle_create(struct sld_str name, struct sld_str origin, struct sld_str text)
{
    return sld_plugin_bundle_create_files(name, origin, &(struct sld_plugin_file){SLD_STR("plugin.lua"), text}, 1);
}

struct sld_plugin_bundle *sld_plugin_bundle_create_files(struct sld_str name, struct sld_str origin,
                                                         const struct sld_plugin_file *files, size_t n)
{
    struct sld_plugin_bundle *b = create(name, origin);
    for (size_t i = 0; i < n; i++) {
        struct sld_plugin_file f = {sld_arena_str(&b->arena, files[i].name), sld_arena_str(&b->arena, files[i].text)};
        SLD_PUSH(&b->arena, b->files, b->count, f);
    }
    seal(b);
    return b;
}

struct sld_str sld_plugin_bundle_file(const struct sld_plugin_bundle *b, struct sld_str name)
{
    for (size_t i = 0; i < b->count; i++) {
        if (sld_str_eq(b->files[i].name, name))
            return b->files[i].text;
    }
    return SLD_STR_NONE;
}

// ---- Reading ----

struct reading {
    struct sld_plugin_bundle *b;
    bool specs; // those too
    size_t bytes;
    struct sld_err *err;
};

// The open file FD, which is closed, as NAME.
static enum sld_rc read_file(struct reading *r, int fd, const char *name, off_t size)
{
    struct sld_arena *a = &r->b->arena;
    enum sld_rc rc = SLD_OK;
    size_t n = (size_t)size, got = 0;
    char *text = NULL;
    if (r->bytes + n > SLD_PLUGIN_BYTES_MAX || r->b->count == SLD_PLUGIN_FILES_MAX) {
        rc = sld_err_set(r->err, SLD_LIMIT, "the plugin has more than %d files or %d MiB; at %s",
                         SLD_PLUGIN_FILES_MAX, SLD_PLUGIN_BYTES_MAX >> 20, name);
        goto out;
    }
    text = sld_arena_alloc(a, n + 1);
    while (got < n) {
        ssize_t k = read(fd, text + got, n - got);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0) {
            rc = sld_err_errno(r->err, errno, "%s cannot be read", name);
            goto out;
        }
        if (k == 0)
            break;
        got += (size_t)k;
    }
    r->bytes += got;
    struct sld_plugin_file f = {sld_arena_str(a, sld_str_c(name)), {text, got}};
    SLD_PUSH(a, r->b->files, r->b->count, f);
out:
    close(fd);
    return rc;
}

static bool is_lua(const char *name)
{
    return sld_str_ends(sld_str_c(name), SLD_STR(".lua"));
}

static enum sld_rc read_folder(struct reading *r, int fd, const char *below, unsigned depth);

static enum sld_rc read_entry(struct reading *r, int dir, const char *below, const char *name, unsigned depth)
{
    char path[512];
    struct stat st;
    if (name[0] == '.' || fstatat(dir, name, &st, 0) != 0)
        return SLD_OK;
    if ((size_t)snprintf(path, sizeof(path), "%s%s%s", below, below[0] ? "/" : "", name) >= sizeof(path))
        return sld_err_set(r->err, SLD_LIMIT, "%s: the path is too long", name);
    bool folder = S_ISDIR(st.st_mode) && (r->specs || strcmp(path, "spec") != 0);
    if (!folder && !(S_ISREG(st.st_mode) && is_lua(name)))
        return SLD_OK;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | (folder ? O_DIRECTORY | O_NOFOLLOW : 0));
    if (fd < 0)
        return folder && (errno == ELOOP || errno == ENOTDIR) ? SLD_OK
                                                              : sld_err_errno(r->err, errno, "%s cannot be opened", path);
    return folder ? read_folder(r, fd, path, depth + 1) : read_file(r, fd, path, st.st_size);
}

static enum sld_rc read_folder(struct reading *r, int fd, const char *below, unsigned depth)
{
    enum sld_rc rc = SLD_OK;
    DIR *d = depth < DEPTH_MAX ? fdopendir(fd) : NULL;
    if (!d) {
        close(fd);
        return sld_err_set(r->err, SLD_LIMIT, "%s: folders more than %d deep", below, DEPTH_MAX);
    }
    for (struct dirent *e; !rc && (e = readdir(d));)
        rc = read_entry(r, dirfd(d), below, e->d_name, depth);
    closedir(d);
    return rc;
}

// The last part of PATH, without ".lua".
static struct sld_str name_of(struct sld_str path)
{
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    size_t from = path.n;
    while (from && path.p[from - 1] != '/')
        from--;
    struct sld_str name = sld_str_sub(path, from, path.n);
    if (sld_str_ends(name, SLD_STR(".lua")))
        name.n -= 4;
    return name;
}

enum sld_rc sld_plugin_bundle_read(struct sld_str path, struct sld_plugin_bundle **out, struct sld_err *err)
{
    return pl_bundle_read(path, false, out, err);
}

enum sld_rc pl_bundle_read(struct sld_str path, bool specs, struct sld_plugin_bundle **out, struct sld_err *err)
{
    struct sld_arena a = {0};
    char *cpath = sld_arena_cstr(&a, path);
    struct reading r = {.b = create(name_of(path), path), .specs = specs, .err = err};
    struct stat st;
    enum sld_rc rc = SLD_OK;
    int fd = open(cpath, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        rc = sld_err_errno(err, errno, "%s cannot be opened", cpath);
        if (fd >= 0)
            close(fd);
    } else if (!sld_plugin_name_ok(r.b->name)) {
        close(fd);
        rc = sld_err_set(err, SLD_INVALID, "%s: a plugin's name is made of a-z, 0-9 and -, a letter first", cpath);
    } else {
        rc = S_ISDIR(st.st_mode) ? read_folder(&r, fd, "", 0) : read_file(&r, fd, "plugin.lua", st.st_size);
    }
    if (!rc && !sld_plugin_bundle_file(r.b, SLD_STR("plugin.lua")).p)
        rc = sld_err_set(err, SLD_NOT_FOUND, "%s has no plugin.lua", cpath);
    sld_arena_fini(&a);
    if (rc) {
        SLD_UNREF(r.b);
        return rc;
    }
    seal(r.b);
    *out = r.b;
    return SLD_OK;
}
