// Reading and translating without a server.
#include "app/offline.h"

#include <sys/stat.h>
#include <time.h>

#include "app/builtin.h"
#include "app/flags.h"
#include "app/named.h"
#include "app/paths.h"
#include "app/settings.h"
#include "plugin/shape.h"
#include "source/dir/dir.h"

struct load {
    struct sld_offline *o;
    struct sld_str source; // in work
    struct sld_str settings_key;
    struct sld_object *settings; // the resource in use
    struct sld_object *file;     // --settings, or NULL
    struct sld_str default_ns;
    bool adopt;             // settings' solder.adoptDiscovered
    struct sld_map sources; // that were told
    struct sld_plugin_set *plugins;
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
    sld_plugin_set_touch(l->plugins, id, raw != NULL);
}

static void on_problems(void *user)
{
    (void)user;
}

static struct sld_source_events events_of(struct load *l)
{
    return (struct sld_source_events){.on_put = on_put,
                                      .on_gone = on_gone,
                                      .on_synced = on_synced,
                                      .on_problem = on_problem,
                                      .user = l};
}

struct sld_str sld_offline_source_name(const char *path)
{
    struct sld_str s = sld_str_c(path);
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        return sld_dir_file_root(s);
    while (s.n > 1 && s.p[s.n - 1] == '/')
        s.n--;
    return s;
}

// Tells of SOURCE unless that was done. KEYED: as of sld_source_ops.
static void begin(struct load *l, struct sld_str source, bool keyed)
{
    l->source = source;
    if (sld_map_has(&l->sources, source))
        return;
    sld_intake_source(l->o->intake, source, (unsigned)sld_map_count(&l->sources));
    if (keyed)
        sld_intake_source_keyed(l->o->intake, source);
    sld_map_set(&l->sources, source, l);
}

static void put_text(struct load *l, struct sld_str path, struct sld_str text)
{
    struct sld_blob *b = sld_blob_create_secret(text);
    sld_intake_put(l->o->intake, l->source, path, b, true, 1);
    SLD_UNREF(b);
}

struct stored {
    struct load *l;
    bool keyed; // the store's documents are told under their keys
};

// Whether TEXT, at PLACE, is a document that counts: not one that Gloo wrote for itself.
static bool counts(struct sld_str text, const struct sld_doc_place *place)
{
    struct sld_arena a = {0};
    struct sld_document *docs;
    struct sld_ident id;
    enum sld_code code;
    size_t n;
    bool yes = !sld_doc_read(&a, text, &sld_doc_limits_default, &docs, &n, &code, NULL) && n &&
               docs[0].root && !sld_model_identify(docs[0].root, place, &id, &code, NULL);
    sld_arena_fini_secret(&a);
    return yes;
}

// A document of a store, under its object's name: in a directory several may stand in one file.
static void on_document(const struct sld_store_doc *doc, void *arg)
{
    const struct stored *s = arg;
    struct load *l = s->l;
    struct sld_arena a = {0};
    struct sld_str key = s->keyed ? sld_store_key(&a, doc->id) : sld_ident_key(&a, doc->id);
    struct sld_doc_place place = {.path = key,
                                  .default_ns = l->default_ns,
                                  .keyed = s->keyed,
                                  .adopt_discovered = l->adopt};
    if (counts(doc->text, &place)) {
        struct sld_str origin = sld_arena_fmt(&a, "%.*s/%.*s", SLD_FMT(l->source), SLD_FMT(key));
        struct sld_raw *raw = sld_raw_create(doc->id, doc->text, 1, -1, origin, &place);
        sld_translate_restore(l->o->translate, raw);
        sld_plugin_set_touch(l->plugins, doc->id, true);
        SLD_UNREF(raw);
    }
    put_text(l, key, doc->text);
    sld_arena_fini(&a);
}

static enum sld_rc read_store(struct load *l, const struct sld_offline_options *opt,
                              struct sld_err *err)
{
    const struct sld_store_ops *ops = opt->store->ops;
    struct stored s = {.l = l, .keyed = ops->flat};
    begin(l, opt->store_name, s.keyed);
    enum sld_rc rc = ops->each(opt->store, SLD_KIND_COUNT, SLD_STR_NONE, on_document, &s, err);
    on_synced(l);
    return rc;
}

// A source that is no directory, as far as it can be read without a server.
static enum sld_rc read_address(struct load *l, const struct sld_source_ops *ops,
                                struct sld_str address, struct sld_err *err)
{
    struct sld_store *store = NULL;
    if (!ops->store || !ops->store->read)
        return sld_err_set(err, SLD_INVALID, "%.*s cannot be read without a server",
                           SLD_FMT(address));
    struct sld_arena a = {0};
    struct sld_source_events ev = events_of(l);
    enum sld_rc rc = ops->store->open(
        address, sld_settings_merge(&a, l->file ? sld_object_msg(l->file) : NULL, NULL), &store,
        err);
    begin(l, address, ops->keyed);
    if (!rc)
        rc = store->ops->read(store, &ev, err);
    ops->store->close(store);
    sld_arena_fini(&a);
    return rc;
}

static enum sld_rc read_path(struct load *l, const char *path, struct sld_err *err)
{
    struct sld_source_events ev = events_of(l);
    const struct sld_source_ops *ops = sld_builtin_source(sld_str_c(path));
    if (ops && ops != &sld_dir_source_ops)
        return read_address(l, ops, sld_str_c(path), err);
    begin(l, sld_offline_source_name(path), false);
    return sld_dir_read(sld_str_c(path), &ev, err);
}

static enum sld_rc read_all(struct load *l, const struct sld_offline_options *opt,
                            struct sld_err *err)
{
    enum sld_rc rc = SLD_OK;
    for (size_t i = 0; opt->paths && opt->paths[i] && !rc; i++)
        rc = read_path(l, opt->paths[i], err);
    for (size_t i = 0; i < opt->unit_count; i++) {
        begin(l, opt->units[i].source, false);
        put_text(l, opt->units[i].path, opt->units[i].bytes);
        if (i + 1 == opt->unit_count || !sld_str_eq(opt->units[i + 1].source, l->source))
            on_synced(l);
    }
    return rc || !opt->store ? rc : read_store(l, opt, err);
}

static Gloo__Settings *settings_of(struct load *l)
{
    bool use = l->settings && l->settings->ok;
    return sld_settings_merge(&l->o->arena, l->file ? sld_object_msg(l->file) : NULL,
                              use ? sld_object_msg(l->settings) : NULL);
}

static bool is_read(struct load *l, const struct sld_offline_options *opt, struct sld_str address,
                    const Gloo__Settings *s)
{
    struct sld_arena *a = &l->o->arena;
    struct sld_str id = sld_source_identity(a, address, s);
    for (size_t i = 0; opt->paths && opt->paths[i]; i++) {
        if (sld_str_eq(sld_source_identity(a, sld_str_c(opt->paths[i]), s), id))
            return true;
    }
    return false;
}

static void note_unread(struct load *l, const struct sld_offline_options *opt, const Gloo__Settings *s)
{
    struct sld_named_source named[SLD_NAMED_MAX];
    size_t n = sld_named_sources(&l->o->arena, s, named);
    for (size_t i = 0; i < n && !l->o->unread.p; i++) {
        if (named[i].role == SLD_ROLE_SECRETS && !is_read(l, opt, named[i].address, s))
            l->o->unread =
                sld_arena_fmt(&l->o->arena, "%.*s, which %s of the Settings names",
                              SLD_FMT(sld_str_eq(named[i].address, SLD_STR("vault:")) ? SLD_STR("Vault")
                                                                                     : named[i].address),
                              named[i].field);
    }
}

static void apply_settings(struct load *l, const struct sld_offline_options *opt)
{
    Gloo__Settings *s = settings_of(l);
    note_unread(l, opt, s);
    sld_translate_set_settings(l->o->translate, s);
    sld_settings_watch(l->o->intake, s);
    sld_translate_settings_in_use(l->o->translate, l->settings_key);
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

static void on_instances(void *user, struct sld_str service, struct sld_instances *i, bool past)
{
    struct load *l = user;
    sld_translate_set_instances(l->o->translate, REGISTRY, service, i, past);
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

// Plugins are there before the documents that name them.
static enum sld_rc read_plugins(struct load *l, const struct sld_offline_options *opt, struct sld_err *err)
{
    struct sld_arena a = {0};
    struct sld_str worker = app_worker_address(&a, app_run_dir(&a, SLD_STATE_DIR_STANDARD), 0);
    l->plugins = sld_plugin_set_create(l->o->translate, opt->plugins);
    sld_plugin_set_worker(l->plugins, &worker, 1, SLD_WORKER_HERE);
    sld_arena_fini(&a);
    enum sld_rc rc = sld_plugin_set_reread(l->plugins, err);
    if (opt->plugin)
        sld_plugin_set_offer(l->plugins, opt->plugin_name, opt->plugin);
    sld_plugin_set_settle(l->plugins);
    return rc;
}

// An intake and a translation with nothing in them.
static void start(struct load *l, const struct sld_offline_options *opt)
{
    struct sld_translate_options to = {
        .features = sld_builtin_features,
        .feature_count = sld_builtin_feature_count,
        .now_s = opt->now_s ? opt->now_s : (int64_t)time(NULL),
        .notes = true,
    };
    l->o->translate = sld_translate_create(&to);
    struct sld_intake_options io;
    sld_intake_options_default(&io);
    io.default_ns = opt->default_ns.n ? opt->default_ns : SLD_STR("gloo-system");
    io.notes = true;
    struct sld_intake_events ev = {.on_object = on_object, .on_problems = on_problems, .user = l};
    l->o->intake = sld_intake_create(&io, &ev);
    sld_intake_set_default_ns(l->o->intake, l->default_ns, 1);
    sld_intake_set_adopt(l->o->intake, l->adopt);
}

static void stop(struct load *l)
{
    sld_plugin_set_destroy(l->plugins);
    sld_intake_destroy(l->o->intake);
    sld_translate_destroy(l->o->translate);
    l->o->documents = 0;
    sld_map_fini(&l->sources);
}

// Takes over what the Settings found so far say of reading itself; true when that is news.
static bool learn(struct load *l, const struct sld_offline_options *opt)
{
    const Gloo__Settings *s = settings_of(l);
    struct sld_str ns = opt->default_ns.n ? opt->default_ns : sld_settings_own_ns(s);
    bool adopt = s->solder && s->solder->adopt_discovered;
    bool news = adopt != l->adopt || !sld_str_eq(ns, l->default_ns);
    l->default_ns = ns;
    l->adopt = adopt;
    return news;
}

static enum sld_rc load(struct load *l, const struct sld_offline_options *opt, struct sld_err *err)
{
    enum sld_rc rc =
        opt->settings_file ? sld_settings_read(opt->settings_file, &l->file, err) : SLD_OK;
    learn(l, opt);
    start(l, opt);
    if (!rc)
        rc = read_plugins(l, opt, err);
    if (!rc)
        rc = read_all(l, opt, err);
    if (!rc && learn(l, opt)) {
        stop(l);
        start(l, opt);
        rc = read_plugins(l, opt, err);
        if (!rc)
            rc = read_all(l, opt, err);
    }
    if (rc)
        return rc;
    apply_settings(l, opt);
    return read_services(l, opt, err);
}

struct sld_offline_options sld_offline_options_of(const struct sld_args *a, const char *const *paths)
{
    return (struct sld_offline_options){
        .paths = paths,
        .settings_file = sld_args_get(a, "settings"),
        .settings_name = sld_args_get(a, "settings-name"),
        .services = sld_args_get(a, "services"),
        .plugins = sld_args_get(a, "plugins"),
    };
}

enum sld_rc sld_offline_load(struct sld_offline *o, const struct sld_offline_options *opt,
                             struct sld_err *err)
{
    struct load l = {.o = o};
    enum sld_rc rc = sld_settings_key(&o->arena, opt->settings_name, &l.settings_key, err);
    if (rc)
        return rc;
    rc = load(&l, opt, err);
    SLD_UNREF(l.settings);
    SLD_UNREF(l.file);
    sld_map_fini(&l.sources);
    if (!rc) {
        sld_plugin_set_settle(l.plugins);
        sld_translate_run(o->translate, &o->result);
    }
    sld_plugin_set_destroy(l.plugins);
    return rc;
}

void sld_offline_fini(struct sld_offline *o)
{
    sld_translate_result_fini(&o->result);
    sld_intake_destroy(o->intake);
    sld_translate_destroy(o->translate);
    sld_arena_fini(&o->arena);
}

void sld_offline_out_json(struct sld_json *j, const struct sld_out *o)
{
    char version[17];
    sld_hash_text(o->content, version);
    sld_json_begin(j, '{');
    sld_json_key(j, "type");
    sld_json_str(j, sld_str_c(sld_out_type_name(o->type)));
    sld_json_key(j, "role");
    sld_json_str(j, o->view);
    sld_json_key(j, "name");
    sld_json_str(j, o->name);
    sld_json_key(j, "version");
    sld_json_str(j, sld_str_c(version));
    sld_json_key(j, "resource");
    struct sld_buf one;
    sld_buf_init(&one, 64U << 20);
    sld_out_print(&one, o, SLD_TEXT_JSON_COMPACT);
    sld_json_raw(j, sld_buf_str(&one));
    sld_buf_fini(&one);
    sld_json_end(j, '}');
}
