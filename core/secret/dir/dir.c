// The directory store: the directory source with the paths of Secrets.
#include "secret/dir/dir.h"

#include "source/dir/dir.h"

struct store {
    struct sld_source base;
    struct sld_source *inner;
    struct sld_source_events ev;
};

enum { PATH_MAX_BYTES = 8192 };

// Calls with the path as Gloo's layout has it.
static void with_path(struct store *s, struct sld_str path,
                      void (*fn)(struct store *s, struct sld_str path, void *arg), void *arg)
{
    if (!path.n || sld_str_starts(path, SLD_STR("secrets/"))) {
        fn(s, path, arg);
        return;
    }
    struct sld_buf b;
    sld_buf_init(&b, PATH_MAX_BYTES);
    sld_buf_addz(&b, "secrets/");
    sld_buf_add(&b, path);
    fn(s, sld_buf_str(&b), arg);
    sld_buf_fini(&b);
}

struct put {
    struct sld_blob *bytes;
    bool settled;
};

static void tell_put(struct store *s, struct sld_str path, void *arg)
{
    const struct put *p = arg;
    s->ev.on_put(s->ev.user, path, p->bytes, p->settled);
}

static void on_put(void *user, struct sld_str path, struct sld_blob *bytes, bool settled)
{
    struct put p = {bytes, settled};
    with_path(user, path, tell_put, &p);
}

static void tell_gone(struct store *s, struct sld_str path, void *arg)
{
    (void)arg;
    s->ev.on_gone(s->ev.user, path);
}

static void on_gone(void *user, struct sld_str path)
{
    with_path(user, path, tell_gone, NULL);
}

static void on_synced(void *user)
{
    struct store *s = user;
    s->ev.on_synced(s->ev.user);
}

struct problem {
    enum sld_code code;
    struct sld_str message;
};

static void tell_problem(struct store *s, struct sld_str path, void *arg)
{
    const struct problem *p = arg;
    s->ev.on_problem(s->ev.user, path, p->code, p->message);
}

static void on_problem(void *user, struct sld_str path, enum sld_code code, struct sld_str message)
{
    struct problem p = {code, message};
    with_path(user, path, tell_problem, &p);
}

static bool matches(struct sld_str address)
{
    return sld_dir_source_ops.matches(address);
}

static enum sld_rc open_store(struct sld_loop *io, struct sld_str address,
                              const struct Gloo__Settings *settings,
                              const struct sld_source_events *ev, struct sld_source **out,
                              struct sld_err *err)
{
    struct store *s = SLD_NEW(struct store);
    s->base.ops = &sld_secret_dir_ops.source;
    s->ev = *ev;
    struct sld_source_events own = {.on_put = on_put,
                                    .on_gone = on_gone,
                                    .on_synced = on_synced,
                                    .on_problem = on_problem,
                                    .user = s};
    enum sld_rc rc = sld_dir_source_ops.open(io, address, settings, &own, &s->inner, err);
    if (rc)
        sld_xfree(s);
    else
        *out = &s->base;
    return rc;
}

static void configure(struct sld_source *base, const struct Gloo__Settings *settings)
{
    struct store *s = SLD_CONTAINER_OF(base, struct store, base);
    s->inner->ops->configure(s->inner, settings);
}

static void reread(struct sld_source *base)
{
    struct store *s = SLD_CONTAINER_OF(base, struct store, base);
    s->inner->ops->reread(s->inner);
}

static void close_store(struct sld_source *base)
{
    if (!base)
        return;
    struct store *s = SLD_CONTAINER_OF(base, struct store, base);
    s->inner->ops->close(s->inner);
    sld_xfree(s);
}

const struct sld_secret_store_ops sld_secret_dir_ops = {
    .source =
        {
            .name = "directory",
            .help = "a directory of Secret documents: --secrets /etc/solder-secrets",
            .matches = matches,
            .open = open_store,
            .configure = configure,
            .reread = reread,
            .close = close_store,
        },
};
