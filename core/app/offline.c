// Reading and translating without a server.
#include "app/offline.h"

#include <sys/stat.h>
#include <time.h>

#include "app/builtin.h"
#include "app/settings.h"
#include "source/dir/dir.h"

struct load {
    struct sld_offline *o;
    struct sld_str source; // in work
    struct sld_str settings_key;
    struct sld_object *settings; // the resource in use
};

static void on_put(void *user, struct sld_str path, struct sld_blob *bytes, bool settled)
{
    struct load *l = user;
    sld_intake_put(l->o->intake, l->source, path, bytes, settled, 1);
}

static void on_gone(void *user, struct sld_str path)
{
    struct load *l = user;
    sld_intake_gone(l->o->intake, l->source, path, 1);
}

static void on_synced(void *user)
{
    struct load *l = user;
    sld_intake_synced(l->o->intake, l->source, 1);
}

static void on_problem(void *user, struct sld_str path, enum sld_code code, struct sld_str message)
{
    struct load *l = user;
    sld_intake_problem(l->o->intake, l->source, path, code, message, 1);
}

static void on_object(void *user, struct sld_ident id, struct sld_raw *raw)
{
    struct load *l = user;
    if (raw && id.kind == SLD_KIND_SETTINGS) {
        struct sld_arena a = {0};
        if (sld_str_eq(sld_ident_key(&a, id), l->settings_key)) {
            SLD_UNREF(l->settings);
            l->settings = sld_object_decode(raw, NULL);
        }
        sld_arena_fini(&a);
    }
    if (raw)
        l->o->documents++;
    else
        l->o->documents--;
    sld_translate_set(l->o->translate, id, raw);
}

static void on_problems(void *user)
{
    (void)user;
}

// What the origins of the documents of PATH begin with: the directory, for a file the one it lies
// in.
static struct sld_str source_name(const char *path)
{
    struct sld_str s = sld_str_c(path);
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
        while (s.n && s.p[s.n - 1] != '/')
            s.n--;
        if (!s.n)
            return SLD_STR(".");
    }
    while (s.n > 1 && s.p[s.n - 1] == '/')
        s.n--;
    return s;
}

static enum sld_rc read_all(struct load *l, const struct sld_offline_options *opt,
                            struct sld_err *err)
{
    struct sld_source_events ev = {.on_put = on_put,
                                   .on_gone = on_gone,
                                   .on_synced = on_synced,
                                   .on_problem = on_problem,
                                   .user = l};
    for (size_t i = 0; opt->paths[i]; i++) {
        l->source = source_name(opt->paths[i]);
        sld_intake_source(l->o->intake, l->source, (unsigned)i);
        enum sld_rc rc = sld_dir_read(sld_str_c(opt->paths[i]), &ev, err);
        if (rc)
            return rc;
    }
    return SLD_OK;
}

static enum sld_rc apply_settings(struct load *l, const struct sld_offline_options *opt,
                                  struct sld_err *err)
{
    struct sld_object *file = NULL;
    enum sld_rc rc =
        opt->settings_file ? sld_settings_read(opt->settings_file, &file, err) : SLD_OK;
    if (rc)
        return rc;
    bool use = l->settings && l->settings->ok;
    Gloo__Settings *s = sld_settings_merge(&l->o->arena, file ? sld_object_msg(file) : NULL,
                                           use ? sld_object_msg(l->settings) : NULL);
    sld_translate_set_settings(l->o->translate, s);
    sld_settings_watch(l->o->intake, s);
    sld_translate_settings_in_use(l->o->translate, l->settings_key);
    SLD_UNREF(file);
    return SLD_OK;
}

// ---- Services ----

// What the file says counts as found by the discovery of this name.
#define REGISTRY SLD_STR("consul")

static void on_service(void *user, struct sld_str name, struct sld_service *s)
{
    struct load *l = user;
    sld_translate_set_service(l->o->translate, REGISTRY, name, s);
}

static void on_synced_services(void *user)
{
    (void)user;
}

static void on_instances(void *user, struct sld_str service, struct sld_instances *i)
{
    struct load *l = user;
    sld_translate_set_instances(l->o->translate, REGISTRY, service, i);
}

static enum sld_rc read_services(struct load *l, const struct sld_offline_options *opt,
                                 struct sld_err *err)
{
    struct sld_discovery_events ev = {.on_service = on_service,
                                      .on_instances = on_instances,
                                      .on_synced = on_synced_services,
                                      .user = l};
    return opt->services ? sld_discovery_read(sld_str_c(opt->services), &ev, err) : SLD_OK;
}

enum sld_rc sld_offline_load(struct sld_offline *o, const struct sld_offline_options *opt,
                             struct sld_err *err)
{
    struct load l = {.o = o};
    enum sld_rc rc = sld_settings_key(&o->arena, opt->settings_name, &l.settings_key, err);
    if (rc)
        return rc;
    struct sld_translate_options to = {
        .features = sld_builtin_features,
        .feature_count = sld_builtin_feature_count,
        .now_s = opt->now_s ? opt->now_s : (int64_t)time(NULL),
        .notes = true,
    };
    o->translate = sld_translate_create(&to);
    struct sld_intake_options io;
    sld_intake_options_default(&io);
    io.default_ns = SLD_STR("gloo-system");
    io.notes = true;
    struct sld_intake_events ev = {.on_object = on_object, .on_problems = on_problems, .user = &l};
    o->intake = sld_intake_create(&io, &ev);
    rc = read_all(&l, opt, err);
    if (!rc)
        rc = apply_settings(&l, opt, err);
    if (!rc)
        rc = read_services(&l, opt, err);
    SLD_UNREF(l.settings);
    if (!rc)
        sld_translate_run(o->translate, &o->result);
    return rc;
}

void sld_offline_fini(struct sld_offline *o)
{
    sld_translate_result_fini(&o->result);
    sld_intake_destroy(o->intake);
    sld_translate_destroy(o->translate);
    sld_arena_fini(&o->arena);
}
