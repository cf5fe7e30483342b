// The names of plugins that guard requests: lines of "name worker" or "name edge" in a file that is replaced as a whole.
#include "plugin/guards.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "source/file.h"

enum { FILE_MAX = 4 << 20 };

struct pl_guards {
    struct sld_map kinds; // enum pl_guard, as numbers
    struct sld_arena arena;
    struct sld_str file; // absent: in memory alone
};

static const char *const kind_names[] = {[PL_NO_GUARD] = "", [PL_GUARD_WORKER] = "worker", [PL_GUARD_EDGE] = "edge"};

struct pl_guards *pl_guards_create(void)
{
    return SLD_NEW(struct pl_guards);
}

void pl_guards_destroy(struct pl_guards *g)
{
    if (!g)
        return;
    sld_map_fini(&g->kinds);
    sld_arena_fini(&g->arena);
    sld_xfree(g);
}

enum pl_guard pl_guards_get(const struct pl_guards *g, struct sld_str name)
{
    return (enum pl_guard)(uintptr_t)sld_map_get(&g->kinds, name); // a number, not an address
}

struct sld_str *pl_guards_names(const struct pl_guards *g, size_t *n)
{
    return sld_map_sorted_keys(&g->kinds, n);
}

static void set(struct pl_guards *g, struct sld_str name, enum pl_guard kind)
{
    if (kind)
        sld_map_set(&g->kinds, name, (void *)(uintptr_t)kind);
    else
        sld_map_remove(&g->kinds, name);
}

// ---- The file ----

static enum sld_rc write_whole(int fd, struct sld_str s)
{
    while (s.n) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno != EINTR)
            return SLD_IO;
        s = sld_str_sub(s, n > 0 ? (size_t)n : 0, s.n);
    }
    return fsync(fd) ? SLD_IO : SLD_OK;
}

static void save(const struct pl_guards *g)
{
    struct sld_arena a = {0};
    struct sld_buf b;
    size_t n;
    struct sld_str temp = SLD_ARENA_JOIN(&a, g->file, SLD_STR(".new"));
    struct sld_str *names = pl_guards_names(g, &n);
    sld_buf_init(&b, FILE_MAX);
    for (size_t i = 0; i < n; i++)
        sld_buf_addf(&b, "%.*s %s\n", SLD_FMT(names[i]), kind_names[pl_guards_get(g, names[i])]);
    int fd = open(temp.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && !b.full && write_whole(fd, sld_buf_str(&b)) == SLD_OK && rename(temp.p, g->file.p) == 0;
    if (!ok)
        SLD_LOG(SLD_LOG_ERROR, "plugin", "guards_not_kept", SLD_KS("file", g->file), SLD_KC("error", strerror(errno)),
                SLD_KC("msg", "routes of a plugin that is gone at the next start will be open: make room there, or mend its mode"));
    if (fd >= 0)
        close(fd);
    sld_xfree(names);
    sld_buf_fini(&b);
    sld_arena_fini(&a);
}

void pl_guards_keep(struct pl_guards *g, struct sld_str file)
{
    struct sld_arena a = {0};
    struct sld_err err = {0};
    struct sld_str rest = SLD_STR(""), line, name;
    g->file = sld_arena_str(&g->arena, file);
    if (access(g->file.p, F_OK) == 0 && sld_file_read(&a, "guards", g->file.p, FILE_MAX, &rest, &err))
        SLD_LOG(SLD_LOG_ERROR, "plugin", "guards_unreadable", SLD_KC("error", err.msg),
                SLD_KC("msg", "which plugins guarded routes is not known any more: routes of those that are gone are open"));
    while (rest.n && sld_str_cut(&rest, '\n', &line)) {
        if (!sld_str_cut(&line, ' ', &name) || !sld_plugin_name_ok(name))
            continue;
        set(g, name, sld_str_eq(line, SLD_STR("edge")) ? PL_GUARD_EDGE : PL_GUARD_WORKER);
    }
    sld_arena_fini(&a);
}

void pl_guards_note(struct pl_guards *g, const struct sld_plugin *p)
{
    const struct sld_plugin_info *i = sld_plugin_info(p);
    bool guards = i->hooks & (1U << SLD_HOOK_AUTHORIZE);
    enum pl_guard kind = !guards ? PL_NO_GUARD : i->runs == SLD_RUNS_ENVOY ? PL_GUARD_EDGE : PL_GUARD_WORKER;
    if (pl_guards_get(g, i->name) == kind)
        return;
    set(g, i->name, kind);
    if (g->file.p)
        save(g);
}
