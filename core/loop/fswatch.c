// File watching by raw inotify.
//
// One inotify instance per watched tree. Every directory has one watch, keyed by the kernel's watch
// descriptor, with the path it was first reached by: the kernel gives the same descriptor for the
// same inode, which is what makes symlink loops end and lets a directory count once. Real
// directories are reached before symlinked ones, so that the path of a directory does not depend on
// the names of links to it.
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "loop/loop.h"

#define ROOT_MASK                                                                                  \
    (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF)
#define DIR_MASK (ROOT_MASK | IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB)
#define FILE_MASK (IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)

enum { READ_BYTES = 64 * 1024, READS_PER_TURN = 16 };

struct watch {
    int wd;
    char *path;    // relative to the root, "" = the root
    bool tree;     // a directory of the tree
    bool file;     // the target of a symlink to a file
    bool ancestor; // the nearest existing ancestor of the root: tells when the root comes or is
                   // replaced
};

struct sld_fswatch {
    struct sld_loop *loop;
    uv_poll_t *poll; // NULL: the kernel gave no inotify instance
    int fd;
    char *root;
    char *awaited; // the root's next path component below the watched ancestor
    sld_fs_fn *fn;
    void *user;
    struct sld_umap watches; // wd -> struct watch
    bool attached;           // the root exists and is watched
    dev_t root_dev;
    ino_t root_ino;
    bool has_links; // a symlink was met: removals of plain names may be directories of the tree
    bool exhausted;
    char buf[READ_BYTES] __attribute__((aligned(8)));
};

// Paths still to be looked at while adding watches.
struct path_list {
    char **items;
    size_t count, cap;
};

static void on_poll(uv_poll_t *poll, int status, int events);
static void handle_event(struct sld_fswatch *w, const struct inotify_event *ev);
static void root_check(struct sld_fswatch *w);
static void tree_add(struct sld_fswatch *w, const char *rel);
static void tree_drop(struct sld_fswatch *w, const char *rel);

static bool inotify_start(struct sld_fswatch *w)
{
    w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w->fd < 0) {
        w->exhausted = true;
        return false;
    }
    w->poll = SLD_NEW(uv_poll_t);
    int rc = uv_poll_init(sld_loop_uv(w->loop), w->poll, w->fd);
    SLD_INV(rc == 0);
    w->poll->data = w;
    rc = uv_poll_start(w->poll, UV_READABLE, on_poll);
    SLD_INV(rc == 0);
    return true;
}

static char *str_copy(const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(sld_xalloc(n), s, n);
}

struct sld_fswatch *sld_fswatch_create(struct sld_loop *l, struct sld_str root, sld_fs_fn *fn,
                                       void *user)
{
    SLD_PRE(root.n > 0 && fn);
    sld_loop_assert_owner(l);
    struct sld_fswatch *w = SLD_NEW(struct sld_fswatch);
    w->loop = l;
    w->fn = fn;
    w->user = user;
    while (root.n > 1 && root.p[root.n - 1] == '/')
        root.n--;
    w->root = sld_xalloc(root.n + 1);
    memcpy(w->root, root.p, root.n);
    w->root[root.n] = 0;
    if (inotify_start(w)) {
        // The first look tells nothing: the caller walks after this returns.
        w->fn = NULL;
        root_check(w);
        w->fn = fn;
    }
    return w;
}

static void on_closed(uv_handle_t *h)
{
    sld_xfree(h);
}

static void watch_free(struct watch *it)
{
    sld_xfree(it->path);
    sld_xfree(it);
}

void sld_fswatch_destroy(struct sld_fswatch *w)
{
    if (!w)
        return;
    sld_loop_assert_owner(w->loop);
    if (w->poll) {
        uv_poll_stop(w->poll);
        uv_close((uv_handle_t *)w->poll, on_closed);
        close(w->fd);
    }
    size_t at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&w->watches, &at));)
        watch_free(s->value);
    sld_umap_fini(&w->watches);
    sld_xfree(w->root);
    sld_xfree(w->awaited);
    sld_xfree(w);
}

bool sld_fswatch_exhausted(const struct sld_fswatch *w)
{
    return w->exhausted;
}

void sld_fswatch_refresh(struct sld_fswatch *w)
{
    sld_loop_assert_owner(w->loop);
    if (!w->poll && !inotify_start(w))
        return;
    w->exhausted = false;
    root_check(w);
    if (w->attached)
        tree_add(w, "");
}

static void emit(struct sld_fswatch *w, enum sld_fs_event ev, const char *rel)
{
    if (w->fn)
        w->fn(ev, sld_str_c(rel), w->user);
}

// ---- Paths ----

// ROOT/REL in OUT; false when it does not fit (such a path cannot be opened either).
static bool path_full(const struct sld_fswatch *w, const char *rel, char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, *rel ? "%s/%s" : "%s%s", w->root, rel);
    return n > 0 && n < PATH_MAX;
}

static bool path_join(const char *dir, const char *name, char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, *dir ? "%s/%s" : "%s%s", dir, name);
    return n > 0 && n < PATH_MAX;
}

// REL is DIR or lies below it.
static bool path_below(const char *rel, const char *dir)
{
    size_t n = strlen(dir);
    return n == 0 || (strncmp(rel, dir, n) == 0 && (rel[n] == 0 || rel[n] == '/'));
}

static void list_push(struct path_list *l, const char *path)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 16;
        l->items = sld_xrealloc(l->items, l->cap * sizeof(*l->items));
    }
    l->items[l->count++] = str_copy(path);
}

static void list_fini(struct path_list *l)
{
    while (l->count > 0)
        sld_xfree(l->items[--l->count]);
    sld_xfree(l->items);
}

// ---- Watches ----

// Adds a watch on FULL; the entry of its inode (new or known), or NULL when it cannot be watched.
static struct watch *watch_add(struct sld_fswatch *w, const char *full, uint32_t mask,
                               const char *rel)
{
    int wd = inotify_add_watch(w->fd, full, mask);
    if (wd < 0) {
        if (errno == ENOSPC || errno == ENOMEM)
            w->exhausted = true;
        return NULL;
    }
    struct watch *it = sld_umap_get(&w->watches, (uint64_t)wd);
    if (!it) {
        it = SLD_NEW(struct watch);
        it->wd = wd;
        it->path = str_copy(rel);
        sld_umap_set(&w->watches, (uint64_t)wd, it);
    }
    return it;
}

static void watch_remove(struct sld_fswatch *w, struct watch *it)
{
    inotify_rm_watch(w->fd, it->wd);
    sld_umap_remove(&w->watches, (uint64_t)it->wd);
    watch_free(it);
}

// Watches directory REL; true when its entries are to be looked at: it is new, or known by this
// same path.
static bool dir_watch(struct sld_fswatch *w, const char *rel)
{
    char full[PATH_MAX];
    if (w->exhausted || !path_full(w, rel, full))
        return false;
    struct watch *it = watch_add(w, full, DIR_MASK | IN_ONLYDIR, rel);
    if (!it)
        return false;
    if (it->tree)
        return strcmp(it->path, rel) == 0;
    it->tree = true;
    if (strcmp(it->path, rel) != 0) { // an ancestor that a symlink leads to
        sld_xfree(it->path);
        it->path = str_copy(rel);
    }
    return true;
}

// A change of the file that symlink REL leads to is not seen in the link's directory.
static void file_watch(struct sld_fswatch *w, const char *rel)
{
    char full[PATH_MAX];
    if (w->exhausted || !path_full(w, rel, full))
        return;
    struct watch *it = watch_add(w, full, FILE_MASK, rel);
    if (it && !it->tree)
        it->file = true;
}

static void dir_entries(struct sld_fswatch *w, const char *rel, struct path_list *dirs,
                        struct path_list *links)
{
    char full[PATH_MAX], child[PATH_MAX];
    if (!path_full(w, rel, full))
        return;
    DIR *d = opendir(full);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.' || !path_join(rel, e->d_name, child))
            continue;
        unsigned char type = e->d_type;
        struct stat st;
        if (type == DT_UNKNOWN && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            type = S_ISDIR(st.st_mode) ? DT_DIR : S_ISLNK(st.st_mode) ? DT_LNK : DT_REG;
        if (type == DT_DIR)
            list_push(dirs, child);
        else if (type == DT_LNK)
            list_push(links, child);
    }
    closedir(d);
}

// Watches REL and all below it. A directory made after its parent's watch is told by the parent,
// one made before is found by reading the parent: nothing falls between.
static void tree_add(struct sld_fswatch *w, const char *rel)
{
    struct path_list dirs = {0}, links = {0};
    list_push(&dirs, rel);
    while (dirs.count > 0 || links.count > 0) {
        bool link = dirs.count == 0;
        struct path_list *from = link ? &links : &dirs;
        char *path = from->items[--from->count];
        bool is_dir = !link;
        if (link) {
            char full[PATH_MAX];
            struct stat st;
            w->has_links = true;
            is_dir = path_full(w, path, full) && stat(full, &st) == 0 && S_ISDIR(st.st_mode);
            if (!is_dir)
                file_watch(w, path);
        }
        if (is_dir && dir_watch(w, path))
            dir_entries(w, path, &dirs, &links);
        sld_xfree(path);
    }
    list_fini(&dirs);
    list_fini(&links);
}

// Forgets REL and all below it.
static void tree_drop(struct sld_fswatch *w, const char *rel)
{
    size_t at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&w->watches, &at));) {
        struct watch *it = s->value;
        if ((!it->tree && !it->file) || !path_below(it->path, rel))
            continue;
        if (it->ancestor)
            it->tree = false;
        else
            watch_remove(w, it);
    }
}

// ---- The root ----

// Watches the nearest existing ancestor of the root for the root's (or the next ancestor's) coming.
static void ancestor_watch(struct sld_fswatch *w)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s", w->root);
    for (;;) {
        char *slash = strrchr(path, '/');
        const char *name = slash ? slash + 1 : path;
        const char *dir = !slash ? "." : slash == path ? "/" : path;
        sld_xfree(w->awaited);
        w->awaited = str_copy(name);
        if (slash)
            *slash = 0;
        struct watch *it = watch_add(w, *dir ? dir : "/", ROOT_MASK | IN_ONLYDIR | IN_MASK_ADD, "");
        if (it) {
            it->ancestor = true;
            return;
        }
        if (!slash || slash == path || w->exhausted)
            return;
    }
}

// Finds out whether the root came, went or was replaced.
static void root_check(struct sld_fswatch *w)
{
    struct stat st;
    ancestor_watch(w);
    bool there = stat(w->root, &st) == 0 && S_ISDIR(st.st_mode);
    if (there && w->attached && st.st_dev == w->root_dev && st.st_ino == w->root_ino)
        return;
    if (w->attached)
        tree_drop(w, "");
    bool was = w->attached;
    w->attached = there;
    if (there) {
        w->root_dev = st.st_dev;
        w->root_ino = st.st_ino;
        tree_add(w, "");
        emit(w, SLD_FS_DIR, "");
    } else if (was) {
        emit(w, SLD_FS_GONE, "");
    }
}

// ---- Events ----

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct sld_fswatch *w = poll->data;
    (void)events;
    if (status < 0)
        return;
    for (int turn = 0; turn < READS_PER_TURN; turn++) {
        ssize_t n = read(w->fd, w->buf, sizeof(w->buf));
        if (n <= 0)
            return;
        for (char *p = w->buf; p < w->buf + n;) {
            const struct inotify_event *ev = (const struct inotify_event *)(const void *)p;
            handle_event(w, ev);
            p += sizeof(*ev) + ev->len;
        }
    }
}

static void file_target_event(struct sld_fswatch *w, struct watch *it, uint32_t mask)
{
    char rel[PATH_MAX];
    snprintf(rel, sizeof(rel), "%s", it->path);
    if (mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB)) {
        watch_remove(w, it); // the link may lead to another inode now
        file_watch(w, rel);
    }
    emit(w, (mask & ~(uint32_t)IN_MODIFY) ? SLD_FS_CHANGED : SLD_FS_WRITING, rel);
}

// Something happened to watched directory IT itself.
static void self_event(struct sld_fswatch *w, struct watch *it, uint32_t mask)
{
    if (*it->path == 0 && (mask & (IN_DELETE_SELF | IN_MOVE_SELF))) {
        root_check(w);
        return;
    }
    if (!(mask & (IN_DELETE_SELF | IN_ATTRIB)))
        return;
    char rel[PATH_MAX];
    snprintf(rel, sizeof(rel), "%s", it->path);
    tree_add(w, rel); // it may be readable now, or the link to it lead elsewhere
    emit(w, SLD_FS_DIR, rel);
}

static void dir_event(struct sld_fswatch *w, const char *rel, uint32_t mask)
{
    if (mask & (IN_DELETE | IN_MOVED_FROM)) {
        char full[PATH_MAX];
        struct stat st;
        tree_drop(w, rel);
        emit(w, SLD_FS_GONE, rel);
        if (!path_full(w, rel, full) || stat(full, &st) != 0 || !S_ISDIR(st.st_mode))
            return;
    }
    tree_add(w, rel);
    emit(w, SLD_FS_DIR, rel);
}

// A plain name appeared. A new regular file is reported when its writer closes it; what no close
// follows (links) is reported now.
static void name_event(struct sld_fswatch *w, const char *rel, bool moved)
{
    char full[PATH_MAX];
    struct stat st;
    if (w->has_links)
        tree_drop(w, rel);
    if (!path_full(w, rel, full) || lstat(full, &st) != 0) {
        if (moved)
            emit(w, SLD_FS_CHANGED, rel);
        return;
    }
    if (S_ISLNK(st.st_mode)) {
        w->has_links = true;
        if (stat(full, &st) == 0 && S_ISDIR(st.st_mode)) {
            tree_add(w, rel);
            emit(w, SLD_FS_DIR, rel);
            return;
        }
        file_watch(w, rel);
        emit(w, SLD_FS_CHANGED, rel);
        return;
    }
    if (moved || !S_ISREG(st.st_mode) || st.st_nlink > 1)
        emit(w, SLD_FS_CHANGED, rel);
}

static void tree_event(struct sld_fswatch *w, struct watch *it, const char *name, uint32_t mask)
{
    char rel[PATH_MAX];
    if (name[0] == '.') {
        // Kubernetes swaps a volume by renaming a symlink "..data" below which all files are
        // reached.
        if (name[1] == '.' && (mask & IN_MOVED_TO)) {
            snprintf(rel, sizeof(rel), "%s", it->path);
            tree_add(w, rel);
            emit(w, SLD_FS_DIR, rel);
        }
        return;
    }
    if (!path_join(it->path, name, rel))
        return;
    if (mask & IN_ISDIR) {
        dir_event(w, rel, mask);
    } else if (mask & (IN_DELETE | IN_MOVED_FROM)) {
        if (w->has_links)
            tree_drop(w, rel);
        emit(w, SLD_FS_GONE, rel);
    } else if (mask & (IN_CREATE | IN_MOVED_TO)) {
        name_event(w, rel, (mask & IN_MOVED_TO) != 0);
    } else if (mask & (IN_CLOSE_WRITE | IN_ATTRIB)) {
        emit(w, SLD_FS_CHANGED, rel);
    } else if (mask & IN_MODIFY) {
        emit(w, SLD_FS_WRITING, rel);
    }
}

static void handle_event(struct sld_fswatch *w, const struct inotify_event *ev)
{
    if (ev->mask & IN_Q_OVERFLOW) {
        sld_fswatch_refresh(w);
        emit(w, SLD_FS_OVERFLOW, "");
        return;
    }
    struct watch *it = sld_umap_get(&w->watches, (uint64_t)ev->wd);
    if (!it)
        return; // dropped before its events were read
    if (ev->mask & IN_IGNORED) {
        bool was_root = it->ancestor || *it->path == 0;
        sld_umap_remove(&w->watches, (uint64_t)ev->wd);
        watch_free(it);
        if (was_root)
            root_check(w);
        return;
    }
    if (it->file) {
        file_target_event(w, it, ev->mask);
        return;
    }
    const char *name = ev->len ? ev->name : "";
    bool root_moved = it->ancestor && (*name == 0 || (w->awaited && strcmp(name, w->awaited) == 0));
    if (it->tree && *name)
        tree_event(w, it, name, ev->mask);
    else if (it->tree)
        self_event(w, it, ev->mask);
    if (root_moved) // IT may be gone by now
        root_check(w);
}
