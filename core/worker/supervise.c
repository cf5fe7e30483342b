// The server's side: what the worker is to have, and its life. It is told everything again whenever it begins anew, so
// its end costs nothing but time.
#include "worker/inside.h"

#include "plugin/backends.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PING_MS = 1000,
    HANG_MS = 10000,
    RESTART_MS = 100, // doubled each time
    RESTART_DOUBLINGS = 7,
    STEADY_MS = 60000, // after that ends before are forgotten
    GONE_MS = 10000,   // Envoys that have not got their new routes yet still ask for a plugin that is gone
};

struct wanted {
    struct sld_plugin_bundle *bundle; // own reference
    struct sld_plugin_limits limits;
    bool open, seen;
    uint64_t gone_ns;          // since when it is not to be there any more; 0: it is
    struct sld_hash hash;      // of all of it
    char refused[SLD_ERR_MAX]; // why the process cannot load it
};

struct conf {
    struct sld_blob *value; // own reference
    struct sld_str plugin;  // of the arena
    struct sld_arena arena;
};

struct sld_worker {
    struct sld_loop *io;
    struct sld_arena arena;
    struct sld_worker_options o;
    struct sld_arena tls_arena;
    struct sld_grpc_tls tls; // absent: plain text
    struct sld_map plugins, confs; // struct wanted, struct conf
    struct sld_map finders;        // struct sld_discover_plan, own references
    struct sld_map wants;          // "<plugin>/<ref>": secrets
    struct sld_plugin_backends *backends; // own reference, or NULL
    enum sld_worker_state state;
    struct sld_child *child;
    struct wk_link *link;
    struct sld_timer *restart, *ping;
    uint64_t sync, held;     // asked for, and told
    uint64_t pinged;         // the last number
    uint64_t pinged_ns;      // when, while it is not answered; else 0
    unsigned loading;        // plugins sent, and not answered for
    uint64_t began_ns;
    unsigned restarts, ends; // ends: in a row
    char last[256];
    struct sld_arena_obj *stats; // what it told last: Solder__Worker__Stats
    struct {
        uint64_t number; // of all that there were
        char plugin[64]; // empty: there is none
        unsigned left;
        void (*fn)(void *user, struct sld_str line);
        void *user;
    } record;
};

static void changed(struct sld_worker *w)
{
    if (w->o.on_change)
        w->o.on_change(w->o.user);
}

static ProtobufCBinaryData bytes_of(struct sld_str s)
{
    union {
        const char *frozen;
        uint8_t *own;
    } u = {s.p}; // read only
    return (ProtobufCBinaryData){s.n, u.own};
}

// ---- Saying ----

static void say_number(struct sld_worker *w, Solder__Worker__Frame__SaysCase kind, uint64_t number)
{
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    f.says_case = kind;
    f.ping = number; // one place for all numbers
    if (w->link)
        wk_link_send(w->link, &f);
}

static void say_gone(struct sld_worker *w, Solder__Worker__Frame__SaysCase kind, struct sld_str name)
{
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    struct sld_arena a = {0};
    f.says_case = kind;
    f.conf_gone = sld_arena_cstr(&a, name); // one place for all names
    if (w->link)
        wk_link_send(w->link, &f);
    sld_arena_fini(&a);
}

Solder__Worker__Plugin *wk_plugin_message(struct sld_arena *a, const struct sld_plugin_bundle *b, const struct sld_plugin_limits *l)
{
    Solder__Worker__Plugin *m = SLD_MSG(a, Solder__Worker__Plugin, solder__worker__plugin);
    m->name = SLD_MSG_STR(a, b->name);
    m->origin = SLD_MSG_STR(a, b->origin);
    for (size_t i = 0; i < b->count; i++) {
        Solder__Worker__File *file = SLD_MSG(a, Solder__Worker__File, solder__worker__file);
        file->name = SLD_MSG_STR(a, b->files[i].name);
        file->text = bytes_of(b->files[i].text);
        SLD_PUSH(a, m->files, m->n_files, file);
    }
    m->limits = SLD_MSG(a, Solder__Worker__Limits, solder__worker__limits);
    m->limits->memory_bytes = l->memory_bytes;
    m->limits->load_steps = l->load_steps;
    m->limits->call_steps = l->call_steps;
    m->limits->load_ms = l->load_ms;
    m->limits->call_ms = l->call_ms;
    m->limits->string_bytes = l->string_bytes;
    m->limits->subject_bytes = l->subject_bytes;
    m->limits->coroutines = l->coroutines;
    m->limits->log_lines = l->log_lines;
    m->limits->waiting = l->waiting;
    m->limits->outbound = l->outbound;
    m->limits->outbound_a_minute = l->outbound_a_minute;
    m->limits->request_ms = l->request_ms;
    return m;
}

static void say_plugin(struct sld_worker *w, const struct wanted *p)
{
    struct sld_arena a = {0};
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    if (!w->link)
        return;
    f.says_case = SOLDER__WORKER__FRAME__SAYS_PLUGIN;
    f.plugin = wk_plugin_message(&a, p->bundle, &p->limits);
    f.plugin->open = p->open;
    f.plugin->hash = bytes_of(sld_str_n((const char *)&p->hash, sizeof(p->hash)));
    w->loading++;
    wk_link_send(w->link, &f);
    sld_arena_fini(&a);
}

static void say_conf(struct sld_worker *w, struct sld_str id, const struct conf *c)
{
    struct sld_arena a = {0};
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    Solder__Worker__Conf m = SOLDER__WORKER__CONF__INIT;
    f.says_case = SOLDER__WORKER__FRAME__SAYS_CONF;
    f.conf = &m;
    m.id = sld_arena_cstr(&a, id);
    m.plugin = sld_arena_cstr(&a, c->plugin);
    m.value = bytes_of(c->value->data);
    if (w->link)
        wk_link_send(w->link, &f);
    sld_arena_fini(&a);
}

static Solder__Worker__Tls *tls_message(struct sld_arena *a, const struct sld_grpc_tls *tls)
{
    Solder__Worker__Tls *m = SLD_MSG(a, Solder__Worker__Tls, solder__worker__tls);
    m->cert_chain_pem = bytes_of(tls->cert_chain_pem);
    m->key_pem = bytes_of(tls->key_pem);
    m->client_ca_pem = bytes_of(tls->client_ca_pem);
    return m;
}

static void say_start(struct sld_worker *w)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    struct sld_arena a = {0};
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    Solder__Worker__Start *m = SLD_MSG(&a, Solder__Worker__Start, solder__worker__start);
    f.says_case = SOLDER__WORKER__FRAME__SAYS_START;
    f.start = m;
    for (size_t i = 0; i < w->o.address_count; i++)
        SLD_PUSH(&a, m->addresses, m->n_addresses, SLD_MSG_STR(&a, w->o.addresses[i]));
    m->log_level = SLD_MSG_STR(&a, sld_str_c(levels[w->o.log_level]));
    m->stats_ms = w->o.stats_ms;
    m->kv_dir = SLD_MSG_STR(&a, w->o.kv_dir.p ? w->o.kv_dir : SLD_STR(""));
    m->tls = w->tls.key_pem.n ? tls_message(&a, &w->tls) : NULL;
    wk_link_send(w->link, &f);
    sld_arena_fini(&a);
}

static void say_record(struct sld_worker *w, unsigned count)
{
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    Solder__Worker__Record m = SOLDER__WORKER__RECORD__INIT;
    f.says_case = SOLDER__WORKER__FRAME__SAYS_RECORD;
    f.record = &m;
    m.plugin = w->record.plugin;
    m.count = count;
    m.number = w->record.number;
    if (w->link && w->record.plugin[0])
        wk_link_send(w->link, &f);
}

// Everything there is, to a process that has nothing.
static void say_all(struct sld_worker *w)
{
    size_t n;
    say_start(w);
    struct sld_str *keys = sld_map_sorted_keys(&w->plugins, &n);
    for (size_t i = 0; i < n; i++)
        say_plugin(w, sld_map_get(&w->plugins, keys[i]));
    sld_xfree(keys);
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&w->confs, &at));)
        say_conf(w, s->key, s->value);
    if (w->backends)
        wk_say_backends(w->link, w->backends);
    at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&w->finders, &at));)
        wk_say_finder(w->link, s->value);
    say_record(w, w->record.left);
    at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&w->wants, &at));) {
        struct sld_str ref = s->key, plugin;
        sld_str_cut(&ref, '/', &plugin);
        wk_say_want(w->link, plugin, ref, true);
    }
    say_number(w, SOLDER__WORKER__FRAME__SAYS_SYNC, w->sync);
}

// ---- Its life ----

static void give_up(struct sld_worker *w, const char *why)
{
    snprintf(w->last, sizeof(w->last), "%s", why);
    sld_child_kill(w->child, SIGKILL); // on_exit follows
}

// What tasks found, and secrets, stay, but nobody looks after it.
static void finders_down(struct sld_worker *w)
{
    size_t at = 0;
    struct sld_arena a = {0};
    struct sld_str why = sld_arena_fmt(&a, "the worker is not there: %s", w->last);
    for (struct sld_map_slot *s; (s = sld_map_next(&w->finders, &at));)
        w->o.found.on_problem(w->o.found.user, s->key, why);
    at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&w->wants, &at));) {
        struct sld_secret_news n = {.ref = s->key, .problem = why};
        sld_str_cut(&n.ref, '/', &n.plugin);
        w->o.found.on_secret(w->o.found.user, &n);
    }
    sld_arena_fini(&a);
}

static void on_exit_of(int64_t status, int signum, void *user)
{
    struct sld_worker *w = user;
    wk_link_destroy(w->link);
    w->link = NULL;
    sld_child_destroy(w->child);
    w->child = NULL;
    sld_timer_stop(w->ping);
    if (!w->last[0] && signum)
        snprintf(w->last, sizeof(w->last), "it was killed by signal %d", signum);
    else if (!w->last[0])
        snprintf(w->last, sizeof(w->last), "it ended with status %d", (int)status);
    if (sld_mono_ns() - w->began_ns > (uint64_t)STEADY_MS * 1000000)
        w->ends = 0;
    uint64_t delay = (uint64_t)RESTART_MS << (w->ends < RESTART_DOUBLINGS ? w->ends : RESTART_DOUBLINGS);
    w->ends++;
    SLD_LOG(SLD_LOG_ERROR, "worker", "worker_ended", SLD_KC("msg", w->last), SLD_KI("again_ms", delay));
    w->state = SLD_WORKER_WAITING;
    sld_timer_start(w->restart, delay);
    finders_down(w);
    changed(w);
}

static void on_pong(struct sld_worker *w, uint64_t number)
{
    if (number == w->pinged)
        w->pinged_ns = 0;
}

static void on_synced(struct sld_worker *w, uint64_t number)
{
    w->held = number;
    if (number < w->sync || w->state != SLD_WORKER_STARTING)
        return;
    w->state = SLD_WORKER_RUNNING;
    SLD_LOG(SLD_INFO, "worker", "worker_ready", SLD_KI("pid", sld_child_pid(w->child)),
            SLD_KI("plugins", sld_map_count(&w->plugins)), SLD_KI("configurations", sld_map_count(&w->confs)));
    changed(w);
}

static void on_loaded(struct sld_worker *w, const Solder__Worker__Loaded *l)
{
    struct wanted *p = sld_map_get(&w->plugins, sld_str_c(l->name));
    if (w->loading)
        w->loading--;
    if (!p || l->hash.len != sizeof(p->hash) || memcmp(l->hash.data, &p->hash, sizeof(p->hash)) != 0)
        return; // another version is on its way
    snprintf(p->refused, sizeof(p->refused), "%s", l->error);
    if (l->error[0])
        SLD_LOG(SLD_LOG_ERROR, "worker", "plugin_refused", SLD_KC("plugin", l->name), SLD_KC("error", l->error));
}

static void on_recorded(struct sld_worker *w, const Solder__Worker__Recorded *r)
{
    if (r->number != w->record.number || !w->record.left)
        return; // it is over
    w->record.left--;
    w->record.fn(w->record.user, sld_str_n((const char *)r->line.data, r->line.len));
}

static void on_frame(void *user, const Solder__Worker__Frame *f)
{
    struct sld_worker *w = user;
    switch (f->says_case) {
    case SOLDER__WORKER__FRAME__SAYS_STARTED:
        if (f->started->error[0])
            give_up(w, f->started->error);
        break;
    case SOLDER__WORKER__FRAME__SAYS_SYNCED:
        on_synced(w, f->synced);
        break;
    case SOLDER__WORKER__FRAME__SAYS_PONG:
        on_pong(w, f->pong);
        break;
    case SOLDER__WORKER__FRAME__SAYS_LOADED:
        on_loaded(w, f->loaded);
        break;
    case SOLDER__WORKER__FRAME__SAYS_RECORDED:
        on_recorded(w, f->recorded);
        break;
    case SOLDER__WORKER__FRAME__SAYS_FOUND:
        wk_take_found(&w->o.found, f->found);
        break;
    case SOLDER__WORKER__FRAME__SAYS_STATS:
        SLD_UNREF(w->stats);
        w->stats = sld_arena_obj_create();
        w->stats->root = sld_msg_copy(&w->stats->arena, &f->stats->base);
        break;
    default:
        give_up(w, "it says what nobody understands");
    }
}

static void on_link_end(void *user, const char *why)
{
    struct sld_worker *w = user;
    char words[200];
    if (w->last[0])
        return;
    snprintf(words, sizeof(words), "the connection to it ended: %s", why);
    // Where it is ending by itself its own end says more.
    if (strcmp(why, "it closed the connection"))
        give_up(w, words);
}

static void wanted_free(struct wanted *p)
{
    SLD_UNREF(p->bundle);
    sld_xfree(p);
}

// Plugins that are gone for long enough.
static void drop_gone(struct sld_worker *w)
{
    size_t count;
    uint64_t now = sld_mono_ns();
    struct sld_str *keys = sld_map_sorted_keys(&w->plugins, &count);
    for (size_t i = 0; i < count; i++) {
        struct wanted *p = sld_map_get(&w->plugins, keys[i]);
        if (!p->gone_ns || now - p->gone_ns < (uint64_t)w->o.gone_ms * 1000000)
            continue;
        say_gone(w, SOLDER__WORKER__FRAME__SAYS_PLUGIN_GONE, keys[i]);
        sld_map_remove(&w->plugins, keys[i]);
        wanted_free(p);
    }
    sld_xfree(keys);
}

static void on_ping(void *user)
{
    struct sld_worker *w = user;
    uint64_t now = sld_mono_ns(), hang = w->o.hang_ms;
    drop_gone(w);
    // Loading is done between hearing and answering.
    size_t at = 0;
    for (struct sld_map_slot *s; w->loading && (s = sld_map_next(&w->plugins, &at));)
        hang += (uint64_t)((const struct wanted *)s->value)->limits.load_ms * w->o.address_count;
    sld_timer_start(w->ping, PING_MS < w->o.hang_ms / 2 ? PING_MS : w->o.hang_ms / 2);
    if (w->pinged_ns && now - w->pinged_ns > hang * 1000000) {
        SLD_LOG(SLD_LOG_ERROR, "worker", "worker_hung", SLD_KI("pid", sld_child_pid(w->child)));
        give_up(w, "it did not answer any more, and was killed");
    } else if (!w->pinged_ns) {
        w->pinged_ns = now;
        say_number(w, SOLDER__WORKER__FRAME__SAYS_PING, ++w->pinged);
    }
}

static void wait_again(struct sld_worker *w, const char *why)
{
    snprintf(w->last, sizeof(w->last), "%s", why);
    SLD_LOG(SLD_LOG_ERROR, "worker", "worker_not_started", SLD_KC("msg", why));
    w->state = SLD_WORKER_WAITING;
    sld_timer_start(w->restart, (uint64_t)RESTART_MS << RESTART_DOUBLINGS);
}

static void begin(void *user)
{
    static const char *const argv[] = {"/proc/self/exe", "worker", NULL};
    struct sld_worker *w = user;
    struct wk_link_events ev = {.on_frame = on_frame, .on_end = on_link_end, .user = w};
    struct sld_err err = {0};
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
        wait_again(w, "no socket for it");
        return;
    }
    struct sld_child_options o = {.argv = argv, .on_exit = on_exit_of, .control = fds[1], .user = w};
    enum sld_rc rc = sld_child_start(w->io, &o, &w->child, &err);
    close(fds[1]);
    if (rc) {
        close(fds[0]);
        wait_again(w, err.msg);
        return;
    }
    w->restarts += w->began_ns != 0;
    w->began_ns = sld_mono_ns();
    w->last[0] = 0;
    w->pinged_ns = 0;
    w->loading = 0;
    w->state = SLD_WORKER_STARTING;
    w->link = wk_link_create(w->io, fds[0], &ev);
    SLD_LOG(SLD_INFO, "worker", "worker_started", SLD_KI("pid", sld_child_pid(w->child)));
    say_all(w);
    on_ping(w);
}

struct sld_worker *sld_worker_create(struct sld_loop *io, const struct sld_worker_options *o)
{
    struct sld_worker *w = SLD_NEW(struct sld_worker);
    struct sld_str *addresses = SLD_ARENA_ARRAY(&w->arena, struct sld_str, o->address_count);
    w->io = io;
    w->o = *o;
    for (size_t i = 0; i < o->address_count; i++)
        addresses[i] = sld_arena_str(&w->arena, o->addresses[i]);
    w->o.addresses = addresses;
    w->o.kv_dir = o->kv_dir.p ? sld_arena_str(&w->arena, o->kv_dir) : SLD_STR_NONE;
    w->o.hang_ms = o->hang_ms ? o->hang_ms : HANG_MS;
    w->o.gone_ms = o->gone_ms ? o->gone_ms : GONE_MS;
    w->restart = sld_timer_create(io, begin, w);
    w->ping = sld_timer_create(io, on_ping, w);
    return w;
}

enum sld_rc sld_worker_set_tls(struct sld_worker *w, const struct sld_grpc_tls *tls, struct sld_err *err)
{
    bool same = sld_str_eq(w->tls.cert_chain_pem, tls->cert_chain_pem) && sld_str_eq(w->tls.key_pem, tls->key_pem) &&
                sld_str_eq(w->tls.client_ca_pem, tls->client_ca_pem);
    if (same)
        return SLD_OK;
    enum sld_rc rc = sld_grpc_tls_check(tls, err);
    if (rc)
        return rc;
    sld_arena_fini_secret(&w->tls_arena);
    w->tls = (struct sld_grpc_tls){sld_arena_str(&w->tls_arena, tls->cert_chain_pem), sld_arena_str(&w->tls_arena, tls->key_pem),
                                   sld_arena_str(&w->tls_arena, tls->client_ca_pem)};
    if (!w->link)
        return SLD_OK;
    struct sld_arena a = {0};
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    f.says_case = SOLDER__WORKER__FRAME__SAYS_TLS;
    f.tls = tls_message(&a, &w->tls);
    wk_link_send(w->link, &f);
    sld_arena_fini(&a);
    return SLD_OK;
}

static void conf_free(struct conf *c)
{
    SLD_UNREF(c->value);
    sld_arena_fini(&c->arena);
    sld_xfree(c);
}

void sld_worker_destroy(struct sld_worker *w)
{
    if (!w)
        return;
    if (w->child)
        sld_child_kill(w->child, SIGKILL);
    sld_child_destroy(w->child);
    wk_link_destroy(w->link);
    sld_timer_destroy(w->restart);
    sld_timer_destroy(w->ping);
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&w->plugins, &at));)
        wanted_free(s->value);
    sld_map_fini(&w->plugins);
    at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&w->confs, &at));)
        conf_free(s->value);
    sld_map_fini(&w->confs);
    at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&w->finders, &at));)
        SLD_UNREF(s->value);
    sld_map_fini(&w->finders);
    sld_map_fini(&w->wants);
    SLD_UNREF(w->backends);
    SLD_UNREF(w->stats);
    sld_arena_fini_secret(&w->tls_arena);
    sld_arena_fini(&w->arena);
    sld_xfree(w);
}

// ---- What it is to have ----

static struct sld_hash hash_of(const struct sld_worker_plugin *p)
{
    const struct sld_plugin_limits *l = &p->limits;
    const uint64_t words[] = {l->memory_bytes, l->load_steps,    l->call_steps, l->load_ms,   l->call_ms,
                              l->string_bytes, l->subject_bytes, l->coroutines, l->log_lines, l->waiting,
                              l->outbound,     l->outbound_a_minute, l->request_ms, p->open};
    return sld_hash_mix(p->bundle->obj.hash, sld_hash_bytes(sld_str_n((const char *)words, sizeof(words))));
}

static void set_plugin(struct sld_worker *w, const struct sld_worker_plugin *p)
{
    struct wanted *had = sld_map_get(&w->plugins, p->bundle->name);
    struct sld_hash hash = hash_of(p);
    if (had && sld_hash_eq(had->hash, hash)) {
        had->seen = true;
        had->gone_ns = 0;
        return;
    }
    if (!had) {
        had = SLD_NEW(struct wanted);
        sld_map_set(&w->plugins, p->bundle->name, had);
    }
    SLD_UNREF(had->bundle);
    *had = (struct wanted){.bundle = sld_obj_ref(p->bundle), .limits = p->limits, .open = p->open, .seen = true, .hash = hash};
    say_plugin(w, had);
}

void sld_worker_set_plugins(struct sld_worker *w, const struct sld_worker_plugin *p, size_t n)
{
    size_t count;
    struct sld_str *keys = sld_map_sorted_keys(&w->plugins, &count);
    for (size_t i = 0; i < count; i++)
        ((struct wanted *)sld_map_get(&w->plugins, keys[i]))->seen = false;
    sld_xfree(keys);
    for (size_t i = 0; i < n; i++)
        set_plugin(w, &p[i]);
    keys = sld_map_sorted_keys(&w->plugins, &count);
    for (size_t i = 0; i < count; i++) {
        struct wanted *had = sld_map_get(&w->plugins, keys[i]);
        if (!had->seen && !had->gone_ns)
            had->gone_ns = sld_mono_ns();
    }
    sld_xfree(keys);
    if (n && w->state == SLD_WORKER_IDLE)
        begin(w);
}

void sld_worker_set_conf(struct sld_worker *w, struct sld_str id, struct sld_str plugin, struct sld_blob *value)
{
    struct conf *c = sld_map_remove(&w->confs, id);
    if (c)
        conf_free(c);
    if (!value) {
        if (c)
            say_gone(w, SOLDER__WORKER__FRAME__SAYS_CONF_GONE, id);
        return;
    }
    c = SLD_NEW(struct conf);
    c->value = sld_obj_ref(value);
    c->plugin = sld_arena_str(&c->arena, plugin);
    sld_map_set(&w->confs, id, c);
    say_conf(w, id, c);
}

void sld_worker_set_finder(struct sld_worker *w, struct sld_discover_plan *p)
{
    struct sld_discover_plan *had = sld_map_set(&w->finders, p->name, sld_obj_ref(p));
    bool same = had && sld_hash_eq(had->obj.hash, p->obj.hash);
    SLD_UNREF(had);
    if (!same)
        wk_say_finder(w->link, p);
    if (w->state == SLD_WORKER_IDLE)
        begin(w);
}

void sld_worker_remove_finder(struct sld_worker *w, struct sld_str plugin)
{
    struct sld_discover_plan *had = sld_map_remove(&w->finders, plugin);
    if (had)
        wk_say_finder_gone(w->link, plugin);
    SLD_UNREF(had);
}

void sld_worker_set_backends(struct sld_worker *w, struct sld_plugin_backends *b)
{
    struct sld_plugin_backends *own = sld_obj_ref(b);
    SLD_UNREF(w->backends);
    w->backends = own;
    if (own)
        wk_say_backends(w->link, own);
}

void sld_worker_want(struct sld_worker *w, struct sld_str plugin, struct sld_str ref, bool wanted)
{
    struct sld_arena a = {0};
    struct sld_str key = SLD_ARENA_JOIN(&a, plugin, SLD_STR("/"), ref);
    if (wanted)
        sld_map_set(&w->wants, key, w);
    else
        sld_map_remove(&w->wants, key);
    wk_say_want(w->link, plugin, ref, wanted);
    sld_arena_fini(&a);
}

void sld_worker_sync(struct sld_worker *w)
{
    say_number(w, SOLDER__WORKER__FRAME__SAYS_SYNC, ++w->sync);
}

void sld_worker_record(struct sld_worker *w, struct sld_str plugin, unsigned count, void (*fn)(void *user, struct sld_str line),
                       void *user)
{
    SLD_PRE(!w->record.plugin[0] && count && plugin.n < sizeof(w->record.plugin));
    snprintf(w->record.plugin, sizeof(w->record.plugin), "%.*s", SLD_FMT(plugin));
    w->record.number++;
    w->record.left = count;
    w->record.fn = fn;
    w->record.user = user;
    say_record(w, count);
}

void sld_worker_record_end(struct sld_worker *w)
{
    say_record(w, 0);
    w->record.plugin[0] = 0;
    w->record.left = 0;
}

// ---- What is known of it ----

const char *sld_worker_state_name(enum sld_worker_state s)
{
    static const char *const names[] = {"Idle", "Starting", "Running", "Waiting"};
    return names[s];
}

static enum sld_hook hook_of(const char *name)
{
    int h = 0;
    while (h < SLD_HOOK_COUNT - 1 && strcmp(sld_hook_name((enum sld_hook)h), name) != 0)
        h++;
    return (enum sld_hook)h;
}

static void fill(struct sld_arena *a, struct sld_worker_plugin_stats *out, const Solder__Worker__PluginStats *p)
{
    out->used_bytes = p->used_bytes;
    out->peak_bytes = p->peak_bytes;
    out->suspended = p->suspended;
    out->published = p->published;
    out->published_ms = p->published_ms;
    for (size_t i = 0; i < p->n_calls; i++) {
        const Solder__Worker__Calls *c = p->calls[i];
        struct sld_worker_calls one = {hook_of(c->hook), c->calls, c->errors, c->limits, c->denied, c->total_ns, c->max_ns};
        SLD_PUSH(a, out->calls, out->call_count, one);
    }
    for (size_t i = 0; i < p->n_failures && i < SLD_PLUGIN_ERRORS; i++) {
        struct sld_plugin_error e = {.wall_ms = p->failures[i]->wall_ms, .hook = hook_of(p->failures[i]->hook)};
        snprintf(e.words, sizeof(e.words), "%s", p->failures[i]->words);
        snprintf(e.trace, sizeof(e.trace), "%s", p->failures[i]->trace);
        SLD_PUSH(a, out->errors, out->error_count, e);
    }
}

static void info_free(struct sld_obj *o)
{
    struct sld_worker_info *i = (struct sld_worker_info *)o;
    sld_arena_fini(&i->arena);
    sld_xfree(i);
}

struct sld_worker_info *sld_worker_info(struct sld_worker *w)
{
    struct sld_worker_info *i = SLD_NEW(struct sld_worker_info);
    struct sld_arena *a = &i->arena;
    const Solder__Worker__Stats *s = w->stats ? w->stats->root : NULL;
    sld_obj_init(&i->obj, info_free, (struct sld_hash){0});
    i->state = w->state;
    i->pid = w->child ? sld_child_pid(w->child) : 0;
    i->restarts = w->restarts;
    i->last = sld_arena_str(a, sld_str_c(w->last));
    i->confs = sld_map_count(&w->confs);
    i->checks = s ? s->checks : 0;
    i->shed = s ? s->shed : 0;
    i->unknown = s ? s->unknown : 0;
    i->logged = s ? s->logged : 0;
    i->log_dropped = s ? s->log_dropped : 0;
    size_t n, at = 0;
    struct sld_map all = {0};
    for (struct sld_map_slot *e; (e = sld_map_next(&w->plugins, &at));)
        sld_map_set(&all, e->key, w);
    at = 0;
    for (struct sld_map_slot *e; (e = sld_map_next(&w->finders, &at));)
        sld_map_set(&all, e->key, w);
    struct sld_str *keys = sld_map_sorted_keys(&all, &n);
    for (size_t k = 0; k < n; k++) {
        const struct wanted *p = sld_map_get(&w->plugins, keys[k]);
        struct sld_worker_plugin_stats one = {.name = sld_arena_str(a, keys[k])};
        one.refused = sld_arena_str(a, p ? sld_str_c(p->refused) : SLD_STR(""));
        for (size_t m = 0; s && m < s->n_plugins; m++) {
            if (sld_str_eq(keys[k], sld_str_c(s->plugins[m]->name)))
                fill(a, &one, s->plugins[m]);
        }
        SLD_PUSH(a, i->plugins, i->plugin_count, one);
    }
    sld_xfree(keys);
    sld_map_fini(&all);
    return i;
}

const struct sld_worker_plugin_stats *sld_worker_stats(const struct sld_worker_info *i, struct sld_str plugin)
{
    for (size_t k = 0; k < i->plugin_count; k++) {
        if (sld_str_eq(i->plugins[k].name, plugin))
            return &i->plugins[k];
    }
    return NULL;
}
