// Plugins that discover, on both sides of the socket: what is to run, and what was found.
#include "worker/inside.h"

enum { FILES_MAX = 1000 };

static ProtobufCBinaryData bytes_of(struct sld_str s)
{
    union {
        const char *frozen;
        uint8_t *own;
    } u = {s.p}; // read only
    return (ProtobufCBinaryData){s.n, u.own};
}

static struct sld_str str_of(ProtobufCBinaryData b)
{
    return sld_str_n((const char *)b.data, b.len);
}

// ---- The server's side ----

void wk_say_finder(struct wk_link *link, const struct sld_discover_plan *p)
{
    if (!link)
        return;
    struct sld_arena a = {0};
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    Solder__Worker__Finder *m = SLD_MSG(&a, Solder__Worker__Finder, solder__worker__finder);
    f.says_case = SOLDER__WORKER__FRAME__SAYS_FINDER;
    f.finder = m;
    m->plugin = wk_plugin_message(&a, p->bundle, &p->limits);
    m->conf = bytes_of(p->conf);
    for (size_t i = 0; i < p->file_count; i++)
        SLD_PUSH(&a, m->files, m->n_files, SLD_MSG_STR(&a, p->files[i]));
    wk_link_send(link, &f);
    sld_arena_fini(&a);
}

void wk_say_finder_gone(struct wk_link *link, struct sld_str plugin)
{
    struct sld_arena a = {0};
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    f.says_case = SOLDER__WORKER__FRAME__SAYS_FINDER_GONE;
    f.finder_gone = sld_arena_cstr(&a, plugin);
    if (link)
        wk_link_send(link, &f);
    sld_arena_fini(&a);
}

void wk_take_found(const struct sld_finders_events *ev, const Solder__Worker__Found *f)
{
    struct sld_str plugin = sld_str_c(f->plugin);
    switch (f->says_case) {
    case SOLDER__WORKER__FOUND__SAYS_BEGIN:
        ev->on_begin(ev->user, plugin);
        break;
    case SOLDER__WORKER__FOUND__SAYS_PUT: {
        struct sld_blob *b = sld_blob_create(str_of(f->put->bytes));
        ev->on_put(ev->user, plugin, sld_str_c(f->put->name), b);
        SLD_UNREF(b);
        break;
    }
    case SOLDER__WORKER__FOUND__SAYS_GONE:
        ev->on_gone(ev->user, plugin, sld_str_c(f->gone));
        break;
    case SOLDER__WORKER__FOUND__SAYS_SYNCED:
        ev->on_synced(ev->user, plugin);
        break;
    case SOLDER__WORKER__FOUND__SAYS_PROBLEM:
        ev->on_problem(ev->user, plugin, sld_str_c(f->problem));
        break;
    case SOLDER__WORKER__FOUND__SAYS_WELL:
        ev->on_problem(ev->user, plugin, SLD_STR_NONE);
        break;
    default:
        break; // of a worker that knows more
    }
}

// ---- The process ----

static void say(struct wk_link *link, struct sld_str plugin, Solder__Worker__Found *m)
{
    struct sld_arena a = {0};
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    m->plugin = sld_arena_cstr(&a, plugin);
    f.says_case = SOLDER__WORKER__FRAME__SAYS_FOUND;
    f.found = m;
    wk_link_send(link, &f);
    sld_arena_fini(&a);
}

static void on_begin(void *user, struct sld_str plugin)
{
    Solder__Worker__Found m = SOLDER__WORKER__FOUND__INIT;
    m.says_case = SOLDER__WORKER__FOUND__SAYS_BEGIN;
    m.begin = true;
    say(user, plugin, &m);
}

static void on_put(void *user, struct sld_str plugin, struct sld_str name, struct sld_blob *bytes)
{
    struct sld_arena a = {0};
    Solder__Worker__Found m = SOLDER__WORKER__FOUND__INIT;
    Solder__Worker__Put put = SOLDER__WORKER__PUT__INIT;
    m.says_case = SOLDER__WORKER__FOUND__SAYS_PUT;
    m.put = &put;
    put.name = sld_arena_cstr(&a, name);
    put.bytes = bytes_of(bytes->data);
    say(user, plugin, &m);
    sld_arena_fini(&a);
}

static void on_gone(void *user, struct sld_str plugin, struct sld_str name)
{
    struct sld_arena a = {0};
    Solder__Worker__Found m = SOLDER__WORKER__FOUND__INIT;
    m.says_case = SOLDER__WORKER__FOUND__SAYS_GONE;
    m.gone = sld_arena_cstr(&a, name);
    say(user, plugin, &m);
    sld_arena_fini(&a);
}

static void on_synced(void *user, struct sld_str plugin)
{
    Solder__Worker__Found m = SOLDER__WORKER__FOUND__INIT;
    m.says_case = SOLDER__WORKER__FOUND__SAYS_SYNCED;
    m.synced = true;
    say(user, plugin, &m);
}

static void on_problem(void *user, struct sld_str plugin, struct sld_str message)
{
    struct sld_arena a = {0};
    Solder__Worker__Found m = SOLDER__WORKER__FOUND__INIT;
    m.says_case = message.p ? SOLDER__WORKER__FOUND__SAYS_PROBLEM : SOLDER__WORKER__FOUND__SAYS_WELL;
    if (message.p)
        m.problem = sld_arena_cstr(&a, message);
    else
        m.well = true;
    say(user, plugin, &m);
    sld_arena_fini(&a);
}

void wk_take_finder(struct sld_found_thread **thread, struct sld_loop *main, struct wk_link *link, const Solder__Worker__Finder *m)
{
    const struct sld_finders_events ev = {on_begin, on_put, on_gone, on_synced, on_problem, link};
    struct sld_arena a = {0};
    struct sld_str *files = NULL;
    size_t n = 0;
    struct sld_plugin_limits limits;
    struct sld_plugin_bundle *b = wk_plugin_read(m->plugin, &limits);
    for (size_t i = 0; i < m->n_files && i < FILES_MAX; i++)
        SLD_PUSH(&a, files, n, sld_str_c(m->files[i]));
    struct sld_discover_plan *p = sld_discover_plan_create(b, &limits, str_of(m->conf), files, n);
    if (!*thread)
        *thread = sld_found_thread_create(main, &ev);
    sld_found_thread_set(*thread, p);
    SLD_UNREF(p);
    SLD_UNREF(b);
    sld_arena_fini(&a);
}
