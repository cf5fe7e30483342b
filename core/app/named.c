// The sources that Settings name.
#include "app/named.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "source/consul/consul.h"

const char *sld_source_role_name(enum sld_source_role r)
{
    static const char *const names[] = {
        [SLD_ROLE_CONFIG] = "configuration",
        [SLD_ROLE_ARTIFACTS] = "artifacts",
        [SLD_ROLE_SECRETS] = "secrets",
        [SLD_ROLE_SERVICES] = "services",
        [SLD_ROLE_FOUND] = "upstreams",
    };
    return names[r];
}

// ---- Names ----

struct list {
    struct sld_arena *a;
    struct sld_named_source *items;
    size_t count;
};

static void add(struct list *l, struct sld_named_source n)
{
    n.address = sld_arena_str(l->a, n.address);
    for (size_t i = 0; i < l->count; i++) {
        if (l->items[i].role == n.role && l->items[i].flat == n.flat &&
            sld_str_eq(l->items[i].address, n.address))
            return;
    }
    if (l->count < SLD_NAMED_MAX)
        l->items[l->count++] = n;
}

static struct sld_str consul(struct sld_arena *a, const Gloo__ConsulKv *kv)
{
    return sld_arena_fmt(a, "%.*s%s", SLD_FMT(SLD_NAMED_CONSUL), kv->root_key[0] ? kv->root_key : "gloo");
}

static void add_config(struct list *l, const Gloo__Settings *s)
{
    if (s->config_source_case == GLOO__SETTINGS__CONFIG_SOURCE_DIRECTORY_CONFIG_SOURCE)
        add(l, (struct sld_named_source){.address = sld_str_c(s->directory_config_source->directory),
                                         .field = "directoryConfigSource",
                                         .role = SLD_ROLE_CONFIG});
    if (s->config_source_case == GLOO__SETTINGS__CONFIG_SOURCE_CONSUL_KV_SOURCE)
        add(l, (struct sld_named_source){.address = consul(l->a, s->consul_kv_source),
                                         .field = "consulKvSource",
                                         .role = SLD_ROLE_CONFIG});
}

static void add_artifacts(struct list *l, const Gloo__Settings *s)
{
    if (s->artifact_source_case == GLOO__SETTINGS__ARTIFACT_SOURCE_DIRECTORY_ARTIFACT_SOURCE)
        add(l,
            (struct sld_named_source){.address = sld_str_c(s->directory_artifact_source->directory),
                                      .field = "directoryArtifactSource",
                                      .role = SLD_ROLE_ARTIFACTS});
    if (s->artifact_source_case == GLOO__SETTINGS__ARTIFACT_SOURCE_CONSUL_KV_ARTIFACT_SOURCE)
        add(l, (struct sld_named_source){.address = consul(l->a, s->consul_kv_artifact_source),
                                         .field = "consulKvArtifactSource",
                                         .role = SLD_ROLE_ARTIFACTS});
}

static void add_secret_options(struct list *l, const Gloo__SecretOptions *o)
{
    for (size_t i = 0; i < o->n_sources; i++) {
        const Gloo__SecretOptions__Source *c = o->sources[i];
        if (c->source_case == GLOO__SECRET_OPTIONS__SOURCE__SOURCE_DIRECTORY)
            add(l, (struct sld_named_source){.address = sld_str_c(c->directory->directory),
                                             .field = "secretOptions",
                                             .role = SLD_ROLE_SECRETS,
                                             .flat = true});
    }
    for (size_t i = 0; i < o->n_sources; i++) {
        if (o->sources[i]->source_case == GLOO__SECRET_OPTIONS__SOURCE__SOURCE_VAULT)
            add(l, (struct sld_named_source){.address = SLD_STR("vault:"),
                                             .field = "secretOptions",
                                             .role = SLD_ROLE_SECRETS});
    }
}

static void add_secrets(struct list *l, const Gloo__Settings *s)
{
    if (s->secret_options && s->secret_options->n_sources) {
        add_secret_options(l, s->secret_options);
        return;
    }
    if (s->secret_source_case == GLOO__SETTINGS__SECRET_SOURCE_DIRECTORY_SECRET_SOURCE)
        add(l, (struct sld_named_source){.address = sld_str_c(s->directory_secret_source->directory),
                                         .field = "directorySecretSource",
                                         .role = SLD_ROLE_SECRETS});
    if (s->secret_source_case == GLOO__SETTINGS__SECRET_SOURCE_VAULT_SECRET_SOURCE)
        add(l, (struct sld_named_source){.address = SLD_STR("vault:"),
                                         .field = "vaultSecretSource",
                                         .role = SLD_ROLE_SECRETS});
}

size_t sld_named_sources(struct sld_arena *a, const Gloo__Settings *s,
                         struct sld_named_source out[SLD_NAMED_MAX])
{
    struct list l = {.a = a, .items = out};
    add_config(&l, s);
    add_artifacts(&l, s);
    add_secrets(&l, s);
    return l.count;
}

// ---- Identities ----

// The agent that an address without one means.
static struct sld_str default_agent(const Gloo__Settings *s)
{
    const Gloo__ConsulConfiguration *c = s->consul;
    const char *env = getenv("CONSUL_HTTP_ADDR");
    if (c && c->http_address[0])
        return sld_str_c(c->http_address);
    if (c && c->address[0])
        return sld_str_c(c->address);
    return env && env[0] ? sld_str_c(env) : SLD_STR("127.0.0.1:8500");
}

static struct sld_str strip(struct sld_str s, struct sld_str prefix)
{
    return sld_str_starts(s, prefix) ? sld_str_sub(s, prefix.n, s.n) : s;
}

// "host:port" of an agent, whatever scheme it has.
static struct sld_str agent_host(struct sld_arena *a, struct sld_str agent)
{
    agent = strip(strip(agent, SLD_STR("http://")), SLD_STR("https://"));
    if (sld_str_starts(agent, SLD_STR("unix://")))
        return agent;
    while (agent.n && agent.p[agent.n - 1] == '/')
        agent.n--;
    struct sld_str host = agent;
    // A colon behind the last bracket is the port's.
    bool port = false;
    for (size_t i = 0; i < agent.n; i++)
        port = agent.p[i] == ':' || (port && agent.p[i] != ']');
    if (sld_str_starts(host, SLD_STR("localhost")))
        host = sld_arena_fmt(a, "127.0.0.1%.*s", SLD_FMT(sld_str_sub(host, 9, host.n)));
    return port ? host : sld_arena_fmt(a, "%.*s:8500", SLD_FMT(host));
}

static bool is_path(struct sld_str address)
{
    ptrdiff_t colon = sld_str_index(address, ':'), slash = sld_str_index(address, '/');
    return address.n > 0 && (colon < 0 || (slash >= 0 && slash < colon));
}

// PATH from the root, as it is written: without asking a disk, which may hang.
static struct sld_str full_path(struct sld_arena *a, struct sld_str path)
{
    char room[PATH_MAX];
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    if (path.n && path.p[0] != '/' && getcwd(room, sizeof(room)))
        return sld_arena_fmt(a, "%s/%.*s", room, SLD_FMT(path));
    return sld_arena_str(a, path);
}

// The path as the kernel sees it, or as it is written where there is nothing.
static struct sld_str real_path(struct sld_arena *a, struct sld_str path)
{
    char room[PATH_MAX];
    if (realpath(sld_arena_cstr(a, path), room))
        return sld_arena_str(a, sld_str_c(room));
    return full_path(a, path);
}

struct sld_str sld_source_identity(struct sld_arena *a, struct sld_str address,
                                   const Gloo__Settings *s)
{
    struct sld_consul_place c;
    if (!sld_consul_place_parse(a, address, &c, NULL)) {
        struct sld_str agent = agent_host(a, c.agent.n ? c.agent : default_agent(s));
        return sld_arena_fmt(a, "consul://%.*s/%.*s", SLD_FMT(agent), SLD_FMT(c.root));
    }
    return is_path(address) ? real_path(a, address) : sld_arena_str(a, address);
}

struct sld_str sld_source_absolute(struct sld_arena *a, struct sld_str address,
                                   const Gloo__Settings *s)
{
    struct sld_consul_place c;
    if (sld_consul_place_parse(a, address, &c, NULL))
        return is_path(address) ? full_path(a, address) : sld_arena_str(a, address);
    if (c.agent.n)
        return sld_arena_str(a, address);
    struct sld_str agent = default_agent(s);
    if (sld_str_starts(agent, SLD_STR("unix://")))
        return sld_arena_fmt(a, "consul+unix://%.*s?root=%.*s", SLD_FMT(sld_str_sub(agent, 7, agent.n)),
                             SLD_FMT(c.root));
    bool tls = sld_str_starts(agent, SLD_STR("https://"));
    return sld_arena_fmt(a, "consul%s://%.*s/%.*s", tls ? "s" : "", SLD_FMT(agent_host(a, agent)),
                         SLD_FMT(c.root));
}
