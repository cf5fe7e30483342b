// The server's sources: those of --config and --secrets, and those that the Settings in force name,
// which come and go.
#include "app/server_inside.h"

#include "app/settings.h"
#include "plugin/found.h"
#include "plugin/gives.h"

// Places in the order of sources, which decides whose word counts where two hold the same object:
// configuration before stores of secrets, flags before settings.
enum {
    ORDER_CONFIG_FLAGS = 0,
    ORDER_CONFIG_NAMED = 100,
    ORDER_ARTIFACTS_NAMED = 200,
    ORDER_FOUND = 250, // what somebody wrote counts more than what was found
    ORDER_SECRETS_FLAGS = 300,
    ORDER_SECRETS_NAMED = 400,
    ORDER_GIVEN = 450,    // by plugins
    ORDER_SERVICES = 500, // they have no documents
};

// ---- Life of one ----

static struct source *source_add(struct server *s, struct sld_str name, struct sld_str address,
                                 enum sld_source_role role, unsigned order)
{
    struct source *c = SLD_NEW(struct source);
    c->s = s;
    c->name = sld_arena_cstr(&c->arena, name);
    c->address = sld_arena_cstr(&c->arena, address);
    c->role = role;
    c->order = order;
    c->up = true;
    if (role == SLD_ROLE_FOUND)
        c->ops = &sld_plugin_source_ops;
    else if (sld_str_eq(address, SLD_STR(SLD_GIVES_ADDRESS)))
        c->ops = &sld_plugin_secrets_ops;
    else if (role != SLD_ROLE_SERVICES)
        c->ops = role == SLD_ROLE_SECRETS ? sld_builtin_secret_store(address)
                                          : sld_builtin_source(address);
    sld_list_push(&s->sources, &c->link);
    s->source_count++;
    return c;
}

static void source_free(struct source *c)
{
    sld_list_remove(&c->link);
    c->s->source_count--;
    sld_map_fini(&c->told);
    sld_map_fini(&c->answered);
    sld_arena_fini(&c->arena);
    sld_xfree(c);
}

static enum sld_rc discovery_open(struct source *c, struct sld_err *err)
{
    if (!c->memory)
        c->memory = sld_discovery_memory_open(c->s->io, sld_str_c(server_state_dir(c->s)),
                                              c->discovery_ops->name);
    struct sld_discovery_events ev = server_discovery_events(c);
    return c->discovery_ops->open(c->s->io, c->s->settings->root, &ev, &c->discovery, err);
}

static enum sld_rc source_open(struct source *c, struct sld_err *err)
{
    if (c->discovery_ops)
        return discovery_open(c, err);
    struct sld_source_events ev = server_source_events(c);
    if (!c->ops)
        return sld_err_set(err, SLD_INVALID, "%s is nothing Solder can read; give a directory",
                           c->address);
    enum sld_rc rc = c->ops->open(c->s->io, sld_str_c(c->address), c->s->settings->root, &ev, &c->source, err);
    if (!rc && c->ops == &sld_plugin_secrets_ops)
        server_given_opened(c);
    return rc;
}

static void source_tell(struct source *c)
{
    static const enum sld_kind only[] = {
        [SLD_ROLE_CONFIG] = SLD_KIND_COUNT,
        [SLD_ROLE_ARTIFACTS] = SLD_KIND_ARTIFACT,
        [SLD_ROLE_SECRETS] = SLD_KIND_SECRET,
        [SLD_ROLE_SERVICES] = SLD_KIND_COUNT,
        [SLD_ROLE_FOUND] = SLD_KIND_UPSTREAM,
    };
    struct sld_model_source about = {.order = c->order,
                                     .only = only[c->role],
                                     .keeps_status = c->ops && c->ops->status,
                                     .keyed = c->ops && c->ops->keyed,
                                     .on_demand = c->discovery_ops || (c->ops && c->ops->want) || c->role == SLD_ROLE_FOUND,
                                     .registry = c->discovery_ops ? c->discovery_ops->name : NULL};
    sld_model_thread_source(c->s->model, sld_str_c(c->name), &about);
}

// NAMED: it may come back, to this process or the next.
static void source_close(struct source *c, bool named)
{
    if (c->source)
        c->ops->close(c->source);
    if (c->discovery)
        c->discovery_ops->close(c->discovery);
    sld_discovery_memory_close(c->memory, !named);
    c->source = NULL;
    c->discovery = NULL;
    c->memory = NULL;
}

static void source_configure(struct source *c)
{
    const Gloo__Settings *set = c->s->settings->root;
    if (c->discovery)
        c->discovery_ops->configure(c->discovery, set);
    else if (c->ops->configure)
        c->ops->configure(c->source, set);
}

// Opens a source that settings name, or tells why it cannot be.
static void source_try(struct source *c)
{
    struct sld_err err = {0};
    if (!source_open(c, &err)) {
        if (!c->up)
            server_source_problem(c, SLD_STR_NONE);
        server_source_tell_wanted(c);
        return;
    }
    struct sld_str why = sld_str_c(err.msg);
    if (c->up || strncmp(c->problem, err.msg, sizeof(c->problem) - 1) != 0)
        server_source_problem(c, why);
}

// ---- Flags ----

static bool identity_taken(struct server *s, struct sld_str address, enum sld_source_role role,
                           const struct source *but)
{
    struct sld_arena a = {0};
    const Gloo__Settings *set = s->settings->root;
    struct sld_str id = sld_source_identity(&a, address, set);
    bool taken = false;
    SLD_LIST_EACH (it, &s->sources) {
        const struct source *c = SLD_CONTAINER_OF(it, struct source, link);
        if (c != but && (c->role == role || c->role == SLD_ROLE_CONFIG))
            taken |= sld_str_eq(sld_source_identity(&a, sld_str_c(c->address), set), id);
    }
    sld_arena_fini(&a);
    return taken;
}

// Whether problems are told of ADDRESS as a place that is no source.
static bool is_place(const struct server *s, struct sld_str address)
{
    return sld_str_eq(address, sld_str_c(server_state_dir(s))) ||
           (s->opt->settings_file && sld_str_eq(address, sld_str_c(s->opt->settings_file)));
}

static enum sld_rc add_flag(struct server *s, const char *flag, const char *address,
                            enum sld_source_role role, struct sld_err *err)
{
    struct sld_str a = sld_str_c(address);
    if (s->source_count == MAX_SOURCES)
        return sld_err_set(err, SLD_LIMIT, "more than %d --config and --secrets", MAX_SOURCES);
    if (!(role == SLD_ROLE_SECRETS ? sld_builtin_secret_store(a) : sld_builtin_source(a)))
        return sld_err_set(err, SLD_INVALID, "--%s %s is nothing Solder can read; give a directory",
                           flag, address);
    if (is_place(s, a))
        return sld_err_set(err, SLD_INVALID,
                           "--%s %s is the state directory or the settings file; give another place",
                           flag, address);
    if (identity_taken(s, a, role, NULL))
        return sld_err_set(err, SLD_INVALID, "--%s %s is given twice", flag, address);
    unsigned base = role == SLD_ROLE_SECRETS ? ORDER_SECRETS_FLAGS : ORDER_CONFIG_FLAGS;
    source_add(s, a, a, role, base + (unsigned)s->source_count);
    return SLD_OK;
}

enum sld_rc server_sources_find(struct server *s, struct sld_err *err)
{
    enum sld_rc rc = SLD_OK;
    for (const char *const *at = s->opt->configs; *at && !rc; at++)
        rc = add_flag(s, "config", *at, SLD_ROLE_CONFIG, err);
    for (const char *const *at = s->opt->secrets; *at && !rc; at++)
        rc = add_flag(s, "secrets", *at, SLD_ROLE_SECRETS, err);
    return rc;
}

enum sld_rc server_sources_open(struct server *s, struct sld_err *err)
{
    SLD_LIST_EACH (it, &s->sources) {
        struct source *c = SLD_CONTAINER_OF(it, struct source, link);
        if (c->named) {
            source_try(c);
            continue;
        }
        enum sld_rc rc = source_open(c, err);
        if (rc)
            return sld_err_wrap(err, "--%s %s", c->role == SLD_ROLE_SECRETS ? "secrets" : "config",
                                c->address);
    }
    return SLD_OK;
}

void server_sources_tell(struct server *s)
{
    SLD_LIST_EACH (it, &s->sources)
        source_tell(SLD_CONTAINER_OF(it, struct source, link));
}

// ---- Settings ----

struct source *server_source_find(struct server *s, struct sld_str name)
{
    SLD_LIST_EACH (it, &s->sources) {
        struct source *c = SLD_CONTAINER_OF(it, struct source, link);
        if (sld_str_eq(sld_str_c(c->name), name))
            return c;
    }
    return NULL;
}

// The source of keys of Consul that Settings name for ROLE, or NULL.
static struct source *named_keys(struct server *s, enum sld_source_role role)
{
    SLD_LIST_EACH (it, &s->sources) {
        struct source *c = SLD_CONTAINER_OF(it, struct source, link);
        if (c->named && c->role == role && sld_str_starts(sld_str_c(c->address), SLD_NAMED_CONSUL))
            return c;
    }
    return NULL;
}

struct source *server_source_of(struct server *s, struct sld_str name, enum sld_kind kind)
{
    struct source *c = server_source_find(s, name);
    if (c || !sld_str_starts(name, SLD_NAMED_CONSUL))
        return c;
    c = kind == SLD_KIND_ARTIFACT ? named_keys(s, SLD_ROLE_ARTIFACTS) : NULL;
    return c ? c : named_keys(s, SLD_ROLE_CONFIG);
}

// The name of N for people and the intake: its address, unless somebody has that. Only secrets in
// "<namespace>/..." of a directory that is read in another layout too are told apart so.
static struct sld_str name_of(struct server *s, struct sld_arena *a,
                              const struct sld_named_source *n)
{
    const struct source *c = server_source_find(s, n->address);
    if (!is_place(s, n->address) &&
        (!c || (c->named && c->role == n->role && c->flat == n->flat)))
        return n->address;
    return sld_arena_fmt(a, "%.*s (%s)", SLD_FMT(n->address), sld_source_role_name(n->role));
}

// The place of the Ith of NAMED: among those of its role, so that the others do not move it.
static unsigned order_of(const struct sld_named_source *named, size_t i)
{
    static const unsigned base[] = {
        [SLD_ROLE_CONFIG] = ORDER_CONFIG_NAMED,
        [SLD_ROLE_ARTIFACTS] = ORDER_ARTIFACTS_NAMED,
        [SLD_ROLE_SECRETS] = ORDER_SECRETS_NAMED,
        [SLD_ROLE_SERVICES] = ORDER_SERVICES,
    };
    unsigned before = 0;
    for (size_t k = 0; k < i; k++)
        before += named[k].role == named[i].role;
    return base[named[i].role] + before;
}

// Whether a source of a flag, or one that was named before N, is what N names.
static bool covered(struct server *s, const struct sld_named_source *n, const struct source *own)
{
    return !n->flat && identity_taken(s, n->address, n->role, own);
}

// Adds what NAMED names and is not there yet, and opens it if there is EXPECTED: by role, how many objects the one held
// whose place it takes.
static void add_named(struct server *s, const struct sld_named_source *named, size_t n,
                      const size_t *expected)
{
    for (size_t i = 0; i < n; i++) {
        struct sld_arena a = {0};
        struct sld_str name = name_of(s, &a, &named[i]);
        if (!server_source_find(s, name) && s->source_count < MAX_SOURCES &&
            !covered(s, &named[i], NULL)) {
            struct source *c =
                source_add(s, name, named[i].address, named[i].role, order_of(named, i));
            c->named = named[i].field;
            c->flat = named[i].flat;
            SLD_LOG(SLD_INFO, "app", "source_named", SLD_KC("source", c->name),
                    SLD_KC("setting", c->named));
            if (expected) {
                c->restored = expected[c->role];
                source_tell(c);
                source_try(c);
            }
        }
        sld_arena_fini(&a);
    }
}

// Whether NAMED still names C, at the same place in the order.
static bool still_named(struct server *s, const struct source *c,
                        const struct sld_named_source *named, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (c->role == named[i].role && c->flat == named[i].flat &&
            c->order == order_of(named, i) &&
            sld_str_eq(sld_str_c(c->address), named[i].address) && !covered(s, &named[i], c))
            return true;
    }
    return false;
}

void server_source_drop(struct source *c)
{
    struct server *s = c->s;
    SLD_LOG(SLD_INFO, "app", "source_dropped", SLD_KC("source", c->name));
    source_close(c, false);
    if (c->discovery_ops)
        server_source_take_back(c);
    bool on_demand = c->ops && c->ops->want;
    sld_model_thread_source_gone(s->model, sld_str_c(c->name));
    source_free(c);
    if (on_demand)
        server_sources_answered(s);
}

// Adds to EXPECTED, by role, how many objects those had: as they say themselves, or as HELD has it.
static void drop_unnamed(struct server *s, const struct sld_named_source *named, size_t n,
                         const struct sld_model_held *held, size_t held_count, size_t *expected)
{
    SLD_LIST_EACH (it, &s->sources) {
        struct source *c = SLD_CONTAINER_OF(it, struct source, link);
        bool stays = c->discovery_ops ? c->discovery_ops->enabled(s->settings->root)
                                      : still_named(s, c, named, n);
        if (!c->named || stays)
            continue;
        // One that could not be opened still waits for what the state directory gave.
        struct sld_source_counts had = {.objects = c->source ? 0 : c->restored};
        if (c->source && c->ops->counts)
            c->ops->counts(c->source, &had);
        for (size_t i = 0; i < held_count && c->role == SLD_ROLE_CONFIG; i++) {
            if (sld_str_eq(held[i].source, sld_str_c(c->name)) && held[i].objects > had.objects)
                had.objects = held[i].objects;
        }
        expected[c->role] += had.objects;
        server_source_drop(c);
    }
}

// The same for the discoveries that the settings ask for.
static void add_discoveries(struct server *s, bool running)
{
    for (size_t i = 0; i < sld_builtin_discovery_count; i++) {
        const struct sld_discovery_ops *d = sld_builtin_discoveries[i];
        struct sld_arena a = {0};
        struct sld_str name = sld_arena_fmt(&a, "services:%s", d->name);
        if (d->enabled(s->settings->root) && !server_source_find(s, name)) {
            struct source *c = source_add(s, name, name, SLD_ROLE_SERVICES, ORDER_SERVICES);
            c->discovery_ops = d;
            c->named = "serviceDiscovery";
            SLD_LOG(SLD_INFO, "app", "source_named", SLD_KC("source", c->name),
                    SLD_KC("setting", c->named));
            if (running) {
                source_tell(c);
                source_try(c);
            }
        }
        sld_arena_fini(&a);
    }
}

void server_source_add_found(struct server *s, struct sld_str name, bool running)
{
    struct source *c = source_add(s, name, name, SLD_ROLE_FOUND, ORDER_FOUND);
    if (!running)
        return;
    source_tell(c);
    source_try(c);
}

void server_source_add_given(struct server *s, bool running)
{
    struct source *c = source_add(s, SLD_STR(SLD_GIVES_ADDRESS), SLD_STR(SLD_GIVES_ADDRESS), SLD_ROLE_SECRETS, ORDER_GIVEN);
    if (!running)
        return;
    source_tell(c);
    source_try(c);
}

void server_sources_name(struct server *s)
{
    struct sld_arena a = {0};
    struct sld_named_source named[SLD_NAMED_MAX];
    size_t n = sld_named_sources(&a, s->settings->root, named);
    add_named(s, named, n, NULL);
    add_discoveries(s, false);
    sld_arena_fini(&a);
}

void server_sources_configure(struct server *s, const struct sld_model_held *held, size_t held_count)
{
    struct sld_arena a = {0};
    struct sld_named_source named[SLD_NAMED_MAX];
    size_t n = sld_named_sources(&a, s->settings->root, named);
    size_t expected[SLD_ROLE_COUNT] = {0};
    drop_unnamed(s, named, n, held, held_count, expected);
    SLD_LIST_EACH (it, &s->sources) {
        struct source *c = SLD_CONTAINER_OF(it, struct source, link);
        if (server_source_is_open(c))
            source_configure(c);
        else
            source_try(c);
    }
    add_named(s, named, n, expected);
    add_discoveries(s, true);
    sld_arena_fini(&a);
}

void server_sources_retry(struct server *s)
{
    SLD_LIST_EACH (it, &s->sources) {
        struct source *c = SLD_CONTAINER_OF(it, struct source, link);
        if (!server_source_is_open(c))
            source_try(c);
    }
}

// ---- All of them ----

void server_sources_reread(struct server *s, struct sld_str name)
{
    SLD_LIST_EACH (it, &s->sources) {
        struct source *c = SLD_CONTAINER_OF(it, struct source, link);
        if (name.p && !sld_str_eq(sld_str_c(c->name), name))
            continue;
        if (c->discovery)
            c->discovery_ops->reread(c->discovery);
        else if (c->source)
            c->ops->reread(c->source);
    }
}

void server_sources_close(struct server *s)
{
    SLD_LIST_EACH (it, &s->sources)
        source_close(SLD_CONTAINER_OF(it, struct source, link), true);
}

void server_sources_fini(struct server *s)
{
    SLD_LIST_EACH (it, &s->sources)
        source_free(SLD_CONTAINER_OF(it, struct source, link));
    for (size_t i = 0; i < SLD_ARRAY_LEN(s->wanted); i++)
        sld_map_fini(&s->wanted[i]);
}
