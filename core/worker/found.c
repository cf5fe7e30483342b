// Plugins that discover or give secrets, on both sides of the socket: what is to run, and what was found.
#include "worker/inside.h"

#include "plugin/backends.h"

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

void wk_say_want(struct wk_link *link, struct sld_str plugin, struct sld_str ref, bool wanted)
{
    struct sld_arena a = {0};
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    Solder__Worker__Want m = SOLDER__WORKER__WANT__INIT;
    f.says_case = SOLDER__WORKER__FRAME__SAYS_WANT;
    f.want = &m;
    m.plugin = sld_arena_cstr(&a, plugin);
    m.ref = sld_arena_cstr(&a, ref);
    m.wanted = wanted;
    if (link)
        wk_link_send(link, &f);
    sld_arena_fini(&a);
}

static void take_secret(const struct sld_finders_events *ev, struct sld_str plugin, const Solder__Worker__Secret *m)
{
    struct sld_secret_news n = {.plugin = plugin, .ref = sld_str_c(m->ref), .expires_s = m->expires, .renews_s = m->renews};
    if (m->problem[0])
        n.problem = sld_str_c(m->problem);
    if (m->document.len)
        n.document = sld_blob_create_secret(str_of(m->document));
    ev->on_secret(ev->user, &n);
    SLD_UNREF(n.document);
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
    case SOLDER__WORKER__FOUND__SAYS_SECRET:
        take_secret(ev, plugin, f->secret);
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

static void on_secret(void *user, const struct sld_secret_news *n)
{
    struct sld_arena a = {0};
    Solder__Worker__Found m = SOLDER__WORKER__FOUND__INIT;
    Solder__Worker__Secret s = SOLDER__WORKER__SECRET__INIT;
    m.says_case = SOLDER__WORKER__FOUND__SAYS_SECRET;
    m.secret = &s;
    s.ref = sld_arena_cstr(&a, n->ref);
    if (n->problem.p)
        s.problem = sld_arena_cstr(&a, n->problem);
    if (n->document)
        s.document = bytes_of(n->document->data);
    s.expires = n->expires_s;
    s.renews = n->renews_s;
    say(user, n->plugin, &m);
    sld_arena_fini(&a);
}

static struct sld_found_thread *found_thread(struct wk_found *f)
{
    const struct sld_finders_events ev = {on_begin, on_put, on_gone, on_synced, on_problem, on_secret, f->link};
    if (!f->thread)
        f->thread = sld_found_thread_create(f->main, &ev, f->on_report, f->user);
    return f->thread;
}

void wk_take_want(struct wk_found *f, const Solder__Worker__Want *m)
{
    sld_found_thread_want(found_thread(f), sld_str_c(m->plugin), sld_str_c(m->ref), m->wanted);
}

void wk_take_finder(struct wk_found *found, const Solder__Worker__Finder *m)
{
    struct sld_arena a = {0};
    struct sld_str *files = NULL;
    size_t n = 0;
    struct sld_plugin_limits limits;
    struct sld_plugin_bundle *b = wk_plugin_read(m->plugin, &limits);
    for (size_t i = 0; i < m->n_files && i < FILES_MAX; i++)
        SLD_PUSH(&a, files, n, sld_str_c(m->files[i]));
    struct sld_discover_plan *p = sld_discover_plan_create(b, &limits, str_of(m->conf), files, n);
    p->kv = sld_obj_ref(found->kv_of(found->user, b->name));
    p->counters = sld_obj_ref(found->counters_of(found->user, b->name));
    sld_found_thread_set(found_thread(found), p);
    SLD_UNREF(p);
    SLD_UNREF(b);
    sld_arena_fini(&a);
}

// ---- The servers that Solder knows ----

static Solder__Worker__Backend *backend_message(struct sld_arena *a, const struct sld_plugin_backend *b)
{
    Solder__Worker__Backend *m = SLD_MSG(a, Solder__Worker__Backend, solder__worker__backend);
    const struct sld_http_place *p = &b->at;
    const struct sld_str from[] = {b->problem,     p->base,         p->unix_socket, p->ca_file,    p->ca_path,     p->cert_file, p->key_file,
                                   p->server_name, p->token_header, p->token,       p->token_file, p->header.name, p->header.value, p->params};
    char **const to[] = {&m->problem,     &m->base,         &m->unix_socket, &m->ca_file,    &m->ca_path,     &m->cert_file,    &m->key_file,
                         &m->server_name, &m->token_header, &m->token,       &m->token_file, &m->header_name, &m->header_value, &m->params};
    for (size_t i = 0; i < SLD_ARRAY_LEN(to); i++)
        *to[i] = SLD_MSG_STR(a, from[i].p ? from[i] : SLD_STR(""));
    m->insecure = p->insecure;
    return m;
}

static void backend_read(struct sld_arena *a, struct sld_plugin_backend *b, const Solder__Worker__Backend *m)
{
    struct sld_http_place *p = &b->at;
    struct sld_str *const to[] = {&b->problem,     &p->base,         &p->unix_socket, &p->ca_file,    &p->ca_path,     &p->cert_file,    &p->key_file,
                                  &p->server_name, &p->token_header, &p->token,       &p->token_file, &p->header.name, &p->header.value, &p->params};
    const char *const from[] = {m->problem,     m->base,         m->unix_socket, m->ca_file,    m->ca_path,     m->cert_file,    m->key_file,
                                m->server_name, m->token_header, m->token,       m->token_file, m->header_name, m->header_value, m->params};
    for (size_t i = 0; i < SLD_ARRAY_LEN(to); i++)
        *to[i] = from[i][0] ? sld_arena_str(a, sld_str_c(from[i])) : SLD_STR_NONE;
    p->insecure = m->insecure;
}

void wk_say_backends(struct wk_link *link, const struct sld_plugin_backends *b)
{
    struct sld_arena a = {0};
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    Solder__Worker__Backends m = SOLDER__WORKER__BACKENDS__INIT;
    f.says_case = SOLDER__WORKER__FRAME__SAYS_BACKENDS;
    f.backends = &m;
    m.consul = backend_message(&a, &b->consul);
    m.vault = backend_message(&a, &b->vault);
    if (link)
        wk_link_send(link, &f);
    sld_arena_fini_secret(&a);
}

void wk_take_backends(struct wk_found *f, const Solder__Worker__Backends *m)
{
    struct sld_plugin_backends *b = sld_plugin_backends_create();
    if (m->consul)
        backend_read(&b->arena, &b->consul, m->consul);
    if (m->vault)
        backend_read(&b->arena, &b->vault, m->vault);
    sld_found_thread_backends(found_thread(f), b);
    SLD_UNREF(b);
}
