// The directory source: one table of known files on the io thread, brought up to date by scans on
// libuv's pool. Events of the file watch only say where to look; a scan looks. One scan runs at a
// time, what comes meanwhile is looked at by the next, so a storm of events costs a few scans.
#include "source/dir/dir.h"

#include <errno.h>
#include <sys/stat.h>

#include "source/dir/scan.h"

#include "settings.pb-c.h"

#define MS UINT64_C(1000000)
enum { NET_MIN_MS = 1000 };

struct dir_problem {
    uint64_t scan;        // the last scan that met it
    struct sld_hash said; // of code and message
};

struct dir_source {
    struct sld_source base;
    struct sld_loop *loop;
    struct sld_dir_options opt;
    struct sld_source_events ev;
    char *root;
    struct sld_fswatch *watch;
    struct sld_timer *net, *settle;
    struct sld_set files;      // struct sld_dir_file by path
    struct sld_map problems;   // path -> struct dir_problem
    struct sld_list unsettled; // files that wait to be quiet
    struct sld_map pending;    // paths to look at
    bool pending_full, pending_force;
    bool told;                 // everything was told since the root was there
    struct sld_dir_scan *scan; // the running scan
    uint64_t scans;
    bool closed; // waits for the running scan to end
};

static void scan_start(struct dir_source *d);
static void on_scan_work(void *user);
static void on_scan_done(void *user);
static void on_fs_event(enum sld_fs_event ev, struct sld_str path, void *user);
static void on_net(void *user);
static void on_settle(void *user);

void sld_dir_options_default(struct sld_dir_options *o)
{
    *o = (struct sld_dir_options){
        .quiet_ms = 250,
        .writing_ms = 5000,
        .net_ms = 30000,
        .poll_ms = 1000,
        .max_files = SLD_DIR_MAX_FILES,
    };
}

static struct sld_str file_key(const void *item)
{
    return sld_str_c(((const struct sld_dir_file *)item)->path);
}

static struct dir_source *dir_create(struct sld_str root, const struct sld_dir_options *o,
                                     const struct sld_source_events *ev)
{
    struct dir_source *d = SLD_NEW(struct dir_source);
    d->base.ops = &sld_dir_source_ops;
    if (o)
        d->opt = *o;
    else
        sld_dir_options_default(&d->opt);
    d->ev = *ev;
    while (root.n > 1 && root.p[root.n - 1] == '/')
        root.n--;
    d->root = sld_xalloc(root.n + 1);
    memcpy(d->root, root.p, root.n);
    d->root[root.n] = 0;
    sld_list_init(&d->unsettled);
    d->files.key = file_key;
    d->pending_full = true;
    return d;
}

static void file_free(struct sld_dir_file *f)
{
    sld_list_remove(&f->link);
    SLD_UNREF(f->bytes);
    sld_xfree(f);
}

static void dir_free(struct dir_source *d)
{
    size_t at = 0;
    for (struct sld_dir_file *f; (f = sld_set_next(&d->files, &at));)
        file_free(f);
    sld_set_fini(&d->files);
    at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&d->problems, &at));)
        sld_xfree(s->value);
    sld_map_fini(&d->problems);
    sld_map_fini(&d->pending);
    if (d->scan) {
        sld_dir_scan_fini(d->scan);
        sld_xfree(d->scan);
    }
    sld_xfree(d->root);
    sld_xfree(d);
}

enum sld_rc sld_dir_open(struct sld_loop *io, struct sld_str root, const struct sld_dir_options *o,
                         const struct sld_source_events *ev, struct sld_source **out,
                         struct sld_err *err)
{
    sld_loop_assert_owner(io);
    if (root.n == 0)
        return sld_err_set(err, SLD_INVALID, "the name of the directory is empty");
    struct dir_source *d = dir_create(root, o, ev);
    struct stat st;
    if (stat(d->root, &st) == 0 && !S_ISDIR(st.st_mode)) {
        enum sld_rc rc = sld_err_set(err, SLD_INVALID, "%s is not a directory", d->root);
        dir_free(d);
        return rc;
    }
    d->loop = io;
    d->watch = sld_fswatch_create(io, sld_str_c(d->root), on_fs_event, d);
    d->net = sld_timer_create(io, on_net, d);
    d->settle = sld_timer_create(io, on_settle, d);
    scan_start(d);
    *out = &d->base;
    return SLD_OK;
}

// How often the net is drawn through the tree, by the settings' refreshRate.
static uint64_t net_ms_of(const Gloo__Settings *settings)
{
    struct sld_dir_options o;
    sld_dir_options_default(&o);
    int64_t ms = settings->refresh_rate ? sld_duration_ms(settings->refresh_rate) : 0;
    if (ms <= 0)
        return o.net_ms;
    return ms < NET_MIN_MS ? NET_MIN_MS : (uint64_t)ms;
}

static enum sld_rc dir_open(struct sld_loop *io, struct sld_str address,
                            const struct Gloo__Settings *settings,
                            const struct sld_source_events *ev, struct sld_source **out,
                            struct sld_err *err)
{
    struct sld_dir_options o;
    sld_dir_options_default(&o);
    o.net_ms = net_ms_of(settings);
    return sld_dir_open(io, address, &o, ev, out, err);
}

static void dir_configure(struct sld_source *s, const struct Gloo__Settings *settings)
{
    struct dir_source *d = (struct dir_source *)s;
    uint64_t net_ms = net_ms_of(settings);
    if (net_ms == d->opt.net_ms)
        return;
    d->opt.net_ms = net_ms;
    if (!d->scan && !sld_fswatch_exhausted(d->watch)) // else the next scan's end starts it
        sld_timer_start(d->net, net_ms);
}

static bool dir_matches(struct sld_str address)
{
    ptrdiff_t colon = sld_str_index(address, ':'), slash = sld_str_index(address, '/');
    return address.n > 0 && (colon < 0 || (slash >= 0 && slash < colon));
}

static void dir_reread(struct sld_source *s)
{
    struct dir_source *d = (struct dir_source *)s;
    sld_loop_assert_owner(d->loop);
    d->pending_full = d->pending_force = true;
    d->told = false;
    scan_start(d);
}

static void dir_close(struct sld_source *s)
{
    struct dir_source *d = (struct dir_source *)s;
    if (!d)
        return;
    sld_loop_assert_owner(d->loop);
    sld_fswatch_destroy(d->watch);
    sld_timer_destroy(d->net);
    sld_timer_destroy(d->settle);
    d->closed = true;
    if (!d->scan)
        dir_free(d);
}

const struct sld_source_ops sld_dir_source_ops = {
    .name = "directory",
    .help = "a directory of YAML and JSON files: --config /etc/solder",
    .matches = dir_matches,
    .open = dir_open,
    .configure = dir_configure,
    .reread = dir_reread,
    .close = dir_close,
    .store = &sld_dir_store_ops,
};

// ---- Problems ----

static void problem_set(struct dir_source *d, struct sld_str path, enum sld_code code,
                        const char *message)
{
    struct dir_problem *p = sld_map_get(&d->problems, path);
    struct sld_hash said = sld_hash_bytes(sld_str_c(message));
    if (p && sld_hash_eq(p->said, said)) {
        p->scan = d->scans;
        return;
    }
    if (!p) {
        p = SLD_NEW(struct dir_problem);
        sld_map_set(&d->problems, path, p);
    }
    p->scan = d->scans;
    p->said = said;
    d->ev.on_problem(d->ev.user, path, code, sld_str_c(message));
}

static void problem_clear(struct dir_source *d, struct sld_str path)
{
    struct dir_problem *p = sld_map_remove(&d->problems, path);
    if (!p)
        return;
    sld_xfree(p);
    d->ev.on_problem(d->ev.user, path, SLD_DOC_UNREADABLE, SLD_STR_NONE);
}

// ---- Files ----

static struct sld_dir_file *file_get(struct dir_source *d, struct sld_str path)
{
    struct sld_dir_file *f = sld_set_get(&d->files, path);
    if (f)
        return f;
    f = sld_xcalloc(1, sizeof(*f) + path.n + 1);
    memcpy(f->path, path.p, path.n);
    sld_list_init(&f->link);
    sld_set_add(&d->files, f);
    return f;
}

static void file_gone(struct dir_source *d, struct sld_dir_file *f)
{
    struct sld_str path = sld_str_c(f->path);
    problem_clear(d, path);
    d->ev.on_gone(d->ev.user, path);
    sld_set_remove(&d->files, f);
    file_free(f);
}

static void settle_arm(struct dir_source *d)
{
    if (!d->settle || sld_list_empty(&d->unsettled))
        return;
    uint64_t now = sld_mono_ns(), due = UINT64_MAX;
    SLD_LIST_EACH (it, &d->unsettled) {
        struct sld_dir_file *f = SLD_CONTAINER_OF(it, struct sld_dir_file, link);
        if (f->due_ns < due)
            due = f->due_ns;
    }
    sld_timer_start(d->settle, due > now ? (due - now + MS - 1) / MS : 0);
}

static void file_put(struct dir_source *d, struct sld_dir_result *r)
{
    struct sld_str path = sld_str_c(r->path);
    struct sld_dir_file *f = file_get(d, path);
    bool fresh = sld_hash_zero(f->hash), same = sld_hash_eq(f->hash, r->bytes->obj.hash);
    bool settled = !d->loop || (!r->young && !f->writing);
    f->scan = d->scans;
    f->sig = r->sig;
    f->racy = r->racy;
    f->reread = false;
    problem_clear(d, path);
    if (!fresh && same && f->settled && !(d->scan && d->scan->force))
        return; // touched, or written again with the same words
    f->hash = r->bytes->obj.hash;
    f->settled = settled;
    sld_list_remove(&f->link);
    SLD_UNREF(f->bytes);
    if (!settled) {
        f->bytes = sld_obj_ref(r->bytes);
        f->due_ns = sld_mono_ns() + (f->writing ? d->opt.writing_ms : d->opt.quiet_ms) * MS;
        sld_list_push(&d->unsettled, &f->link);
    }
    d->ev.on_put(d->ev.user, path, r->bytes, settled);
}

static void file_bad(struct dir_source *d, const struct sld_dir_result *r)
{
    struct sld_dir_file *f = sld_set_get(&d->files, sld_str_c(r->path));
    if (f)
        f->reread = true;
    else if (sld_dir_is_unit(sld_str_c(r->path))) {
        f = file_get(d, sld_str_c(r->path)); // known, so that its going is told
        f->scan = d->scans;
        f->reread = true;
    }
    problem_set(d, sld_str_c(r->path), r->code, r->message);
}

// Everything at or below PREFIX that scan NUMBER did not meet is gone, unless it lies where the
// scan could not look.
static void sweep(struct dir_source *d, struct sld_str prefix, const struct sld_dir_paths *failed,
                  uint64_t number)
{
    size_t at = 0;
    for (struct sld_dir_file *f; (f = sld_set_next(&d->files, &at));) {
        struct sld_str path = sld_str_c(f->path);
        bool stays = f->scan == number || !sld_dir_below(path, prefix);
        for (size_t i = 0; !stays && failed && i < failed->count; i++)
            stays = sld_dir_below(path, sld_str_c(failed->items[i]));
        if (!stays)
            file_gone(d, f);
    }
    at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&d->problems, &at));) {
        struct dir_problem *p = s->value;
        if (p->scan == number || !sld_dir_below(s->key, prefix))
            continue;
        d->ev.on_problem(d->ev.user, s->key, SLD_DOC_UNREADABLE, SLD_STR_NONE);
        sld_map_remove(&d->problems, s->key);
        sld_xfree(p);
    }
}

static void missing(struct dir_source *d, const char *rel)
{
    struct sld_dir_file *f = sld_set_get(&d->files, sld_str_c(rel));
    if (f)
        file_gone(d, f);
    else
        sweep(d, sld_str_c(rel), NULL, UINT64_MAX); // it may have been a directory
}

// ---- Scans ----

static struct sld_dir_scan *scan_create(struct dir_source *d)
{
    struct sld_dir_scan *s = SLD_NEW(struct sld_dir_scan);
    s->root = d->root;
    s->known = &d->files;
    s->number = ++d->scans;
    s->quiet_ms = d->opt.quiet_ms;
    s->max_files = d->opt.max_files;
    s->full = d->pending_full;
    s->force = d->pending_force;
    d->pending_full = d->pending_force = false;
    size_t at = 0;
    for (struct sld_map_slot *it; (it = sld_map_next(&d->pending, &at));) {
        if (!s->full)
            sld_dir_paths_add(&s->targets, it->key);
        // A full scan reads what events named even when its signature is as before.
        struct sld_dir_file *f = sld_set_get(&d->files, it->key);
        if (f)
            f->reread = true;
    }
    sld_map_fini(&d->pending);
    return s;
}

static void scan_start(struct dir_source *d)
{
    if (d->scan || d->closed || (!d->pending_full && sld_map_count(&d->pending) == 0))
        return;
    d->scan = scan_create(d);
    sld_loop_work(d->loop, on_scan_work, on_scan_done, d);
}

static void on_scan_work(void *user)
{
    struct dir_source *d = user;
    sld_dir_scan_run(d->scan);
}

static void apply_results(struct dir_source *d, struct sld_dir_scan *s)
{
    for (size_t i = 0; i < s->result_count; i++) {
        struct sld_dir_result *r = &s->results[i];
        if (r->type == SLD_DIR_READ)
            file_put(d, r);
        else if (r->type == SLD_DIR_BAD)
            file_bad(d, r);
        else
            missing(d, r->path);
    }
}

// A scan ended: what it did not meet is gone. The removals come last, so that what moved never
// vanishes between.
static void scan_finish(struct dir_source *d, struct sld_dir_scan *s)
{
    if (!s->root_failed && !s->need_full) {
        for (size_t i = 0; i < s->walked.count; i++)
            sweep(d, sld_str_c(s->walked.items[i]), &s->failed, s->number);
    }
    if (s->need_full)
        d->pending_full = true;
    if (s->full && !s->root_failed) {
        SLD_LOG(d->told ? SLD_DEBUG : SLD_INFO, "source", "directory_read", SLD_KC("directory", d->root),
                SLD_KI("files", sld_set_count(&d->files)));
        d->told = true;
        d->ev.on_synced(d->ev.user);
    } else if (s->root_failed) {
        d->told = false; // the source comes back as a whole
    }
}

static void on_scan_done(void *user)
{
    struct dir_source *d = user;
    struct sld_dir_scan *s = d->scan;
    if (d->closed) {
        dir_free(d);
        return;
    }
    apply_results(d, s);
    sld_dir_scan_reset(s);
    if (!s->done) {
        sld_loop_work(d->loop, on_scan_work, on_scan_done, d);
        return;
    }
    scan_finish(d, s);
    bool full = s->full;
    sld_dir_scan_fini(s);
    sld_xfree(s);
    d->scan = NULL;
    if (full)
        sld_timer_start(d->net, sld_fswatch_exhausted(d->watch) ? d->opt.poll_ms : d->opt.net_ms);
    settle_arm(d);
    scan_start(d);
}

// ---- Events and timers ----

static void on_fs_event(enum sld_fs_event ev, struct sld_str path, void *user)
{
    struct dir_source *d = user;
    if (ev == SLD_FS_WRITING) {
        struct sld_dir_file *f = sld_set_get(&d->files, path);
        if (f) {
            f->writing = true;
            f->due_ns = sld_mono_ns() + d->opt.writing_ms * MS;
        }
        return;
    }
    if (path.n == 0) // also an overflow
        d->pending_full = true;
    else
        sld_map_set(&d->pending, path, d);
    if (ev == SLD_FS_CHANGED) {
        struct sld_dir_file *f = sld_set_get(&d->files, path);
        if (f)
            f->writing = false;
    }
    scan_start(d);
}

// The net: finds what no event told (network file systems, memory maps, targets of symlinks), and
// is the polling when there are no watches.
static void on_net(void *user)
{
    struct dir_source *d = user;
    sld_fswatch_refresh(d->watch);
    d->pending_full = true;
    scan_start(d);
}

// True when file F is still what was read.
static bool file_unchanged(const struct dir_source *d, const struct sld_dir_file *f)
{
    struct stat st;
    char full[4096];
    struct sld_buf b;
    sld_buf_init(&b, sizeof(full));
    sld_buf_addf(&b, "%s/%s", d->root, f->path);
    sld_buf_addc(&b, 0);
    bool same = !b.full && stat(b.p, &st) == 0 && (uint64_t)st.st_ino == f->sig.ino &&
                (uint64_t)st.st_size == f->sig.size &&
                (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec == f->sig.mtime_ns;
    sld_buf_fini(&b);
    return same;
}

static void on_settle(void *user)
{
    struct dir_source *d = user;
    uint64_t now = sld_mono_ns();
    if (d->scan) { // the table is the scan's until it ends
        sld_timer_start(d->settle, 10);
        return;
    }
    SLD_LIST_EACH (it, &d->unsettled) {
        struct sld_dir_file *f = SLD_CONTAINER_OF(it, struct sld_dir_file, link);
        if (f->due_ns > now)
            continue;
        if (!file_unchanged(d, f)) {
            f->due_ns = now + d->opt.quiet_ms * MS;
            sld_map_set(&d->pending, sld_str_c(f->path), d);
            continue;
        }
        sld_list_remove(&f->link);
        f->settled = true;
        f->writing = false;
        struct sld_blob *bytes = f->bytes;
        f->bytes = NULL;
        d->ev.on_put(d->ev.user, sld_str_c(f->path), bytes, true);
        SLD_UNREF(bytes);
    }
    settle_arm(d);
    scan_start(d);
}

// ---- Offline ----

// Cuts the last name off PATH; what is left has no slash at its end but that of "/".
static struct sld_str cut_name(struct sld_str *path)
{
    size_t at = path->n;
    while (at && path->p[at - 1] != '/')
        at--;
    struct sld_str name = sld_str_sub(*path, at, path->n);
    while (at > 1 && path->p[at - 1] == '/')
        at--;
    *path = sld_str_sub(*path, 0, at);
    return name;
}

struct sld_str sld_dir_file_root(struct sld_str file)
{
    struct sld_str own = file;
    cut_name(&own);
    struct sld_str above = own, ns = cut_name(&above), plural = cut_name(&above);
    struct sld_str root = ns.n && sld_kind_by_plural(plural) ? above : own;
    return root.n ? root : SLD_STR(".");
}

// The single file is its directory's only target.
static void read_file(struct dir_source *d, struct sld_dir_scan *s)
{
    struct sld_str file = sld_str_c(d->root), root = sld_dir_file_root(file), path = file;
    if (root.p == file.p) {
        path = sld_str_sub(file, root.n, file.n);
        while (path.p[0] == '/')
            path = sld_str_sub(path, 1, path.n);
    }
    sld_dir_paths_add(&s->targets, path); // a copy
    if (root.p == file.p)
        d->root[root.n] = 0;
    s->root = root.p == file.p ? d->root : ".";
    s->full = false;
}

enum sld_rc sld_dir_read(struct sld_str root, const struct sld_source_events *ev,
                         struct sld_err *err)
{
    SLD_PRE(root.n > 0);
    struct dir_source *d = dir_create(root, NULL, ev);
    struct stat st;
    enum sld_rc rc = SLD_OK;
    if (stat(d->root, &st) != 0) {
        rc = errno == ENOENT ? sld_err_set(err, SLD_NOT_FOUND, "%s does not exist", d->root)
                             : sld_err_errno(err, errno, "%s", d->root);
        dir_free(d);
        return rc;
    }
    struct sld_dir_scan *s = scan_create(d);
    if (!S_ISDIR(st.st_mode))
        read_file(d, s);
    while (!s->done) {
        sld_dir_scan_run(s);
        apply_results(d, s);
        sld_dir_scan_reset(s);
    }
    ev->on_synced(ev->user);
    sld_dir_scan_fini(s);
    sld_xfree(s);
    dir_free(d);
    return rc;
}
