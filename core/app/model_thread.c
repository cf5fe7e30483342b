// The model thread.
#include "app/model_thread.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "app/builtin.h"
#include "app/model_place.h"
#include "app/model_status.h"
#include "app/model_worker.h"
#include "app/publish.h"
#include "app/settings.h"
#include "app/trim.h"
#include "plugin/discover.h"
#include "plugin/shape.h"
#include "source/ahead.h"

// Everything that goes from io to model, in one kind of message: small, and the order of one sender
// is kept.
enum letter_kind {
    RESTORE,
    RESTORE_REFUSAL,
    RESTORE_CERTIFICATE,
    SOURCE,
    SOURCE_GONE,
    PLACE,
    SETTINGS,
    SETTINGS_TAKEN,
    PUT,
    GONE,
    SYNCED,
    PROBLEM,
    SERVICE,
    INSTANCES,
    ANSWERED,
    SERVE_RESTORED,
    VERDICT,
    BUILDS,
    PLUGINS
};

struct letter {
    struct sld_message msg;
    struct sld_model_thread *m;
    enum letter_kind kind;
    char *source, *path, *text, *build; // own
    struct sld_obj *object;             // reference: raw or blob
    struct sld_ahead_text *ahead;       // the blob's, or NULL
    struct sld_model_source about;
    uint64_t version;
    bool flag; // settled, taken, past
    enum sld_code code;
    enum sld_out_type type;
    struct sld_hash hash;
};

struct news {
    struct sld_message msg;
    struct sld_model_thread *m;
    struct sld_model_news n;
};

struct settings_news {
    struct sld_message msg;
    struct sld_model_thread *m;
    struct sld_arena_obj *settings;
    uint64_t version;
    struct sld_arena arena;
    struct sld_model_held *held; // in ARENA
    size_t held_count;
};

// A source that was told.
struct known {
    bool on_demand, synced;
    bool secrets;         // on demand
    const char *registry; // that it tells of, or NULL
};

struct sld_model_thread {
    struct sld_model_options opt;
    struct sld_loop *io, *loop;
    pthread_t thread;
    struct sld_intake *intake;
    struct sld_ahead *ahead;
    struct sld_translate *translate;
    struct sld_plugin_set *plugins;
    struct sld_discover_plans *plans; // as told last
    struct sld_hash workers; // what io was told last of plugins that have hooks for the worker
    uint64_t plugin_changes; // as of sld_plugin_set_changes, when these were looked at
    struct sld_object *settings_file; // --settings
    struct sld_object *settings;      // the resource in use
    struct sld_arena_obj *in_force;   // both merged: Gloo__Settings
    uint64_t version, taken;          // of those; the one io has looked at
    struct sld_timer *tick, *clock;
    struct trim *trim;
    struct sld_map sources; // address -> struct known
    struct model_places places;
    struct sld_map held;     // keys of objects whose place has a problem -> the look that saw it
    struct sld_map problems; // told of -> the look that saw it
    uintptr_t looks;
    bool ready, serve_restored, settings_dirty, any_restored, problems_dirty, plans_due;
    bool was_all;      // every source had been read, once
    bool was_complete; // the same of those that tell by themselves
    bool answer_due;   // somebody waits for news, whether there are any
    uint64_t handled;  // letters
    uint64_t sent;     // io's
    uint64_t index, batches;
    uint64_t since_ns;       // mono: the first letter since the last round; 0 = none
    uint64_t held_ns;        // mono: until then no round shows what is not served yet
    const char *second_look; // for the next news; owned by `names`
    struct sld_intern *names;
    bool stopped; // [io]
};

// ---- Settings ----

static void settings_news_free(struct settings_news *n)
{
    SLD_UNREF(n->settings);
    sld_arena_fini(&n->arena);
    sld_xfree(n);
}

static void settings_news_run(struct sld_message *msg)
{
    struct settings_news *n = SLD_CONTAINER_OF(msg, struct settings_news, msg);
    if (!n->m->stopped)
        n->m->opt.on_settings(n->m->opt.user, n->settings, n->version, n->held, n->held_count);
    settings_news_free(n);
}

static void settings_news_drop(struct sld_message *msg)
{
    settings_news_free(SLD_CONTAINER_OF(msg, struct settings_news, msg));
}

static void tell_settings(struct sld_model_thread *m)
{
    struct settings_news *n = SLD_NEW(struct settings_news);
    n->msg = (struct sld_message){.run = settings_news_run, .drop = settings_news_drop};
    n->m = m;
    n->settings = sld_obj_ref(m->in_force);
    n->version = ++m->version;
    n->held = SLD_ARENA_ARRAY(&n->arena, struct sld_model_held, sld_map_count(&m->sources) + 1);
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&m->sources, &at));)
        n->held[n->held_count++] = (struct sld_model_held){sld_arena_str(&n->arena, s->key), sld_intake_holds(m->intake, s->key)};
    sld_loop_post(m->io, &n->msg);
}

static void apply_settings(struct sld_model_thread *m)
{
    bool use = m->settings && m->settings->ok;
    const struct sld_object *file = m->settings_file;
    struct sld_arena_obj *o = sld_arena_obj_create();
    Gloo__Settings *s = sld_settings_merge(&o->arena, file ? sld_object_msg(file) : NULL,
                                           use ? sld_object_msg(m->settings) : NULL);
    o->root = s;
    o->obj.hash = sld_msg_hash(&s->base);
    m->settings_dirty = false;
    sld_translate_set_settings(m->translate, s);
    sld_intake_set_default_ns(m->intake, sld_settings_own_ns(s), sld_mono_ns());
    sld_settings_watch(m->intake, s);
    sld_intake_set_adopt(m->intake, s->solder && s->solder->adopt_discovered);
    bool same = m->in_force && sld_hash_eq(m->in_force->obj.hash, o->obj.hash);
    SLD_UNREF(m->in_force);
    m->in_force = o;
    if (!same)
        tell_settings(m);
}

static void fill_settings(struct sld_model_thread *m, struct sld_model_news *n)
{
    const Gloo__Settings *all = m->in_force->root;
    const Gloo__SolderSettings *s = all->solder;
    n->linger_ns =
        s && s->linger ? (uint64_t)sld_duration_ms(s->linger) * 1000000 : 30 * UINT64_C(1000000000);
    n->log_level = m->opt.log_level;
    if (s && s->log_level[0] && !m->opt.log_fixed)
        sld_log_level_parse(sld_str_c(s->log_level), &n->log_level);
    n->history = s && s->history ? s->history : 10;
    const struct sld_intake_options *o = &m->opt.intake;
    sld_intake_set_waits(
        m->intake,
        s && s->quiet_period ? (uint64_t)sld_duration_ms(s->quiet_period) * 1000000 : o->quiet_ns,
        s && s->mass_deletion_percent ? s->mass_deletion_percent : o->mass_percent);
}

// ---- Intake's events ----

static void on_object(void *user, struct sld_ident id, struct sld_raw *raw)
{
    struct sld_model_thread *m = user;
    if (id.kind == SLD_KIND_SETTINGS) {
        struct sld_arena a = {0};
        if (sld_str_eq(sld_ident_key(&a, id), m->opt.settings_key)) {
            struct sld_object *o = raw ? sld_object_decode(raw, NULL) : NULL;
            if (!o || o->ok) { // a broken document leaves the former one in force
                SLD_UNREF(m->settings);
                m->settings = o;
                m->settings_dirty = true;
            } else {
                SLD_UNREF(o);
            }
        }
        sld_arena_fini(&a);
    }
    // A certificate made a moment ago must not be judged by the time of the last tick.
    if (id.kind == SLD_KIND_SECRET)
        sld_translate_set_now(m->translate, sld_wall_ms() / 1000);
    model_places_moved(&m->places, m->translate, id, raw);
    sld_translate_set(m->translate, id, raw);
    sld_plugin_set_touch(m->plugins, id, raw != NULL);
    if (!raw && m->opt.state)
        sld_state_forget(m->opt.state, id);
}

static void on_problems(void *user)
{
    struct sld_model_thread *m = user;
    m->index++;
    m->problems_dirty = true;
}

static void on_second_look(void *user, struct sld_str source)
{
    struct sld_model_thread *m = user;
    const char *name = sld_intern_str(m->names, sld_intern_id(m->names, source)).p;
    m->second_look = m->second_look && m->second_look != name ? "" : name;
}

// ---- Rounds ----

static void news_free(struct news *n)
{
    for (size_t i = 0; i < n->n.status_count; i++) {
        struct sld_status *s = n->n.statuses[i].status;
        SLD_UNREF(s);
    }
    SLD_UNREF(n->n.plans);
    model_workers_forget(&n->n);
    sld_arena_fini(&n->n.arena);
    sld_xfree(n);
}

static void news_run(struct sld_message *msg)
{
    struct news *n = SLD_CONTAINER_OF(msg, struct news, msg);
    if (n->m->stopped)
        sld_xds_batch_destroy(n->n.batch);
    else
        n->m->opt.on_news(n->m->opt.user, &n->n);
    news_free(n);
}

static void news_drop(struct sld_message *msg)
{
    struct news *n = SLD_CONTAINER_OF(msg, struct news, msg);
    sld_xds_batch_destroy(n->n.batch);
    news_free(n);
}

// ---- Problems of places ----

static void on_held(struct sld_ident id, const struct sld_problem *p, void *arg)
{
    struct sld_model_thread *m = arg;
    struct sld_arena a = {0};
    struct sld_str key = sld_ident_key(&a, id);
    struct sld_finding f = {
        .code = p->code,
        .severity = SLD_ERROR,
        .path = SLD_STR(""),
        .message = sld_arena_fmt(&a, "%.*s; until that is mended the object stays as it was",
                                 SLD_FMT(p->message)),
        .origin = sld_arena_fmt(&a, "%.*s/%.*s", SLD_FMT(p->source), SLD_FMT(p->path)),
        .line = p->line ? p->line : 1,
        .column = p->column ? p->column : 1,
    };
    sld_translate_set_trouble(m->translate, key, &f);
    sld_map_set(&m->held, key, (void *)m->looks); // a number, not an address
    sld_arena_fini(&a);
}

enum { PROBLEM_LINES = 20 }; // per look

// One line for each problem of a place that came; reading them makes the intake tell of the next
// change.
static void log_problems(struct sld_model_thread *m)
{
    size_t n, told = 0, at = 0;
    const struct sld_problem *p = sld_intake_problems(m->intake, &n);
    for (size_t i = 0; i < n; i++) {
        struct sld_arena a = {0};
        struct sld_str key = sld_arena_fmt(&a, "%.*s/%.*s:%d:%d", SLD_FMT(p[i].source),
                                           SLD_FMT(p[i].path), (int)p[i].code, p[i].line);
        bool is_new = p[i].severity != SLD_NOTE && !sld_map_has(&m->problems, key);
        if (p[i].severity != SLD_NOTE)
            sld_map_set(&m->problems, key, (void *)m->looks); // a number, not an address
        char code[16];
        snprintf(code, sizeof(code), "SLD%04d", (int)p[i].code);
        if (is_new && told++ < PROBLEM_LINES)
            SLD_LOG(SLD_WARN, "app", "problem", SLD_KC("code", code), SLD_KS("source", p[i].source),
                    SLD_KS("path", p[i].path), SLD_KI("line", p[i].line),
                    SLD_KI("column", p[i].column), SLD_KS("reason", p[i].message));
        sld_arena_fini(&a);
    }
    for (struct sld_map_slot *s; (s = sld_map_next(&m->problems, &at));) {
        if ((uintptr_t)s->value != m->looks)
            sld_map_remove(&m->problems, s->key);
    }
    if (told > PROBLEM_LINES)
        SLD_LOG(SLD_WARN, "app", "problems_left_out", SLD_KI("count", told - PROBLEM_LINES));
}

// Gives objects whose file cannot be read its problem, and takes it from those whose file can be
// again.
static void look_for_held(struct sld_model_thread *m)
{
    m->looks++;
    sld_intake_held(m->intake, on_held, m);
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&m->held, &at));) {
        if ((uintptr_t)s->value == m->looks)
            continue;
        sld_translate_set_trouble(m->translate, s->key, NULL);
        sld_map_remove(&m->held, s->key);
    }
    log_problems(m);
    m->problems_dirty = false;
}

// ---- What is kept ----

enum { REFUSAL_WAIT_MS = 200 };

static void save_accept(struct sld_state_dir *state, const struct sld_accept_change *c)
{
    struct sld_raw *raw = c->raw;
    if (raw && !sld_hash_zero(c->chain)) {
        sld_state_certificate(state, c->id, c->chain);
    } else if (!raw || c->id.kind == SLD_KIND_SECRET) {
        sld_state_forget(state, c->id);
    } else if (!raw->secret && sld_raw_origin(raw).n > sld_raw_path(raw).n) {
        // The intake names an origin "<source>/<path>".
        struct sld_str source = sld_str_sub(sld_raw_origin(raw), 0, sld_raw_origin(raw).n - sld_raw_path(raw).n - 1);
        // No token of Settings is kept on disk: after a restart without their source they tell where
        // Vault is, but not who we are.
        struct sld_raw *kept =
            raw->kind == SLD_KIND_SETTINGS ? sld_raw_without_secrets(raw) : sld_obj_ref(raw);
        sld_state_accept(state, source, kept);
        SLD_UNREF(kept);
    }
}

static void save(struct sld_model_thread *m, const struct sld_translate_result *r)
{
    for (size_t i = 0; m->opt.state && i < r->accept_count; i++)
        save_accept(m->opt.state, &r->accepts[i]);
    for (size_t i = 0; m->opt.state && i < r->refusal_count; i++)
        sld_state_refuse(m->opt.state, r->refusals[i].id, r->refusals[i].hash,
                         r->refusals[i].build, r->refusals[i].words);
    // Whoever reads of a refusal may rely on its being remembered.
    if (m->opt.state && r->refusal_count)
        sld_state_sync(m->opt.state, REFUSAL_WAIT_MS);
}

// Wakes on_idle when there is something to do: at DUE, the intake's next deadline, or HELD (0: none).
static void arm(struct sld_model_thread *m, uint64_t now, uint64_t due, uint64_t held)
{
    if (held && (!due || held < due))
        due = held;
    if (due)
        sld_timer_start(m->tick, due > now ? (due - now) / 1000000 + 1 : 0);
    else
        sld_timer_stop(m->tick);
}

// Before anything is served, rounds only show people what is known so far: they wait for all
// sources, unless that takes this long.
#define HOLD_NS UINT64_C(5000000000)

static void copy_views(struct sld_model_news *n, const struct sld_translate_result *r)
{
    if (r->write_ns.n)
        n->write_ns = sld_arena_str(&n->arena, r->write_ns);
    if (!r->views_changed)
        return;
    struct sld_str *views = SLD_ARENA_ARRAY(&n->arena, struct sld_str, r->view_count + 1);
    for (size_t i = 0; i < r->view_count; i++)
        views[n->view_count++] = sld_arena_str(&n->arena, r->views[i]);
    n->views = views;
}

// Whether every source has been read, or every one that tells by itself (EAGER). Not while io has
// not looked at the settings, which may name others.
static bool all_read(const struct sld_model_thread *m, bool eager)
{
    size_t at = 0;
    if (m->taken != m->version || sld_map_count(&m->sources) == 0 || (!eager && !sld_discover_plans_told(m->plans, &m->sources)))
        return false;
    for (struct sld_map_slot *s; (s = sld_map_next(&m->sources, &at));) {
        const struct known *k = s->value;
        if (!k->synced && !(eager && k->on_demand))
            return false;
    }
    return true;
}

static void copy_wants(struct sld_model_news *n, const struct sld_translate_result *r)
{
    struct sld_want_change *wants =
        SLD_ARENA_ARRAY(&n->arena, struct sld_want_change, r->want_count + 1);
    for (size_t i = 0; i < r->want_count; i++) {
        wants[i] = r->wants[i];
        wants[i].key = sld_arena_str(&n->arena, wants[i].key);
    }
    n->wants = wants;
    n->want_count = r->want_count;
}

// Runs when the inbox is empty: everything told so far goes out in one round.
static void on_idle(void *user)
{
    struct sld_model_thread *m = user;
    uint64_t now = sld_mono_ns(), due;
    do {
        if (m->settings_dirty)
            apply_settings(m);
        // Nothing goes while io looks at new settings: a source that they drop is told of before what takes its place.
        due = m->taken == m->version ? sld_intake_tick(m->intake, now) : 0;
    } while (m->settings_dirty); // what was due may have been the end of the Settings document
    sld_plugin_set_settle(m->plugins);
    m->plans_due |= sld_discover_plans_renew(&m->plans, m->plugins);
    bool was_ready = m->ready, complete = all_read(m, true), all = all_read(m, false);
    m->was_all |= all;
    m->ready = m->ready || all || (m->serve_restored && m->any_restored);
    bool hold = !m->ready && !complete && now < m->held_ns;
    uint64_t rest = sld_plugin_set_watch(m->plugins, now);
    arm(m, now, rest && (!due || rest < due) ? rest : due, hold ? m->held_ns : 0);
    if (hold)
        return;
    m->held_ns = now + HOLD_NS;
    bool first = complete && !m->was_complete;
    m->was_complete |= complete;
    bool problems = m->problems_dirty;
    if (problems)
        look_for_held(m);
    bool pending = sld_translate_pending(m->translate);
    struct model_workers workers = {.hash = m->workers};
    if (sld_plugin_set_changes(m->plugins) != m->plugin_changes)
        workers = model_workers_find(m->plugins);
    m->plugin_changes = sld_plugin_set_changes(m->plugins);
    uint64_t since = m->since_ns;
    m->since_ns = 0;
    if (!pending && !problems && was_ready == m->ready && !m->second_look && !first &&
        !m->answer_due && !model_places_pending(&m->places) && !m->plans_due &&
        sld_hash_eq(workers.hash, m->workers)) {
        model_workers_fini(&workers);
        return;
    }
    m->answer_due = false;
    struct sld_translate_result r = {0};
    if (pending)
        sld_translate_run(m->translate, &r);
    if (pending && sld_plugin_set_watch(m->plugins, now) && sld_translate_pending(m->translate))
        sld_timer_start(m->tick, 0); // a plugin was suspended by what this round showed
    model_statuses_log(m->translate, &r);
    if (r.status_count || r.accept_count || r.out_count)
        m->index++;
    struct news *n = SLD_NEW(struct news);
    n->msg = (struct sld_message){.run = news_run, .drop = news_drop};
    n->m = m;
    n->n = (struct sld_model_news){.round = r.round,
                                   .index = m->index,
                                   .since_ns = since,
                                   .ready = m->ready,
                                   .restored = !m->was_all,
                                   .complete = complete,
                                   .handled = m->handled,
                                   .plans = m->plans_due ? sld_obj_ref(m->plans) : NULL,
                                   .second_look = m->second_look};
    m->plans_due = false;
    fill_settings(m, &n->n);
    copy_views(&n->n, &r);
    copy_wants(&n->n, &r);
    model_places_tell(&m->places, m->translate, &r, &n->n);
    model_workers_tell(&workers, &m->workers, &r, &n->n);
    model_workers_fini(&workers);
    if (r.out_count || r.confirmed_count)
        n->n.batch = sld_publish_batch(&r, ++m->batches);
    m->second_look = NULL;
    trim_count(m->trim, r.round.computed);
    sld_loop_post(m->io, &n->msg);
    save(m, &r);
    sld_translate_result_fini(&r);
}

enum { CLOCK_MS = 60000 };

static void on_clock(void *user)
{
    struct sld_model_thread *m = user;
    sld_translate_set_now(m->translate, sld_wall_ms() / 1000);
    sld_timer_start(m->clock, CLOCK_MS);
    on_idle(m);
}

// ---- Letters ----

static void letter_free(struct letter *l)
{
    sld_xfree(l->source);
    sld_xfree(l->path);
    sld_xfree(l->text);
    sld_xfree(l->build);
    sld_ahead_drop(l->ahead);
    SLD_UNREF(l->object);
    sld_xfree(l);
}

static void letter_drop(struct sld_message *msg)
{
    letter_free(SLD_CONTAINER_OF(msg, struct letter, msg));
}

// What SOURCE says of its registry's catalog.
static void catalog(struct sld_model_thread *m, struct sld_str source, enum sld_catalog c)
{
    const struct known *k = sld_map_get(&m->sources, source);
    if (k && k->registry)
        sld_translate_catalog(m->translate, sld_str_c(k->registry), c);
}

// SOURCE cannot be asked.
static void source_down(struct sld_model_thread *m, struct sld_str source)
{
    const struct known *k = sld_map_get(&m->sources, source);
    if (k && !k->synced)
        catalog(m, source, SLD_CATALOG_UNHEARD);
}

static void source_synced(struct sld_model_thread *m, struct sld_str source)
{
    struct known *k = sld_map_get(&m->sources, source);
    SLD_PRE(k);
    k->synced = true;
    catalog(m, source, SLD_CATALOG_TOLD);
    sld_intake_synced(m->intake, source, sld_mono_ns());
}

static void look_at_demand(struct sld_model_thread *m)
{
    bool secrets = false;
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&m->sources, &at));)
        secrets |= ((const struct known *)s->value)->secrets;
    sld_translate_secrets_on_demand(m->translate, secrets);
}

static void source_told(struct sld_model_thread *m, struct sld_str source,
                        const struct sld_model_source *about)
{
    struct known *k = SLD_NEW(struct known);
    k->on_demand = about->on_demand;
    k->secrets = about->on_demand && about->only == SLD_KIND_SECRET;
    SLD_PRE(!sld_map_has(&m->sources, source));
    sld_map_set(&m->sources, source, k);
    look_at_demand(m);
    k->registry = about->registry;
    catalog(m, source, SLD_CATALOG_AWAITED);
    sld_intake_source(m->intake, source, about->order);
    if (about->only != SLD_KIND_COUNT)
        sld_intake_source_only(m->intake, source, about->only);
    if (about->keyed)
        sld_intake_source_keyed(m->intake, source);
    if (about->registry)
        sld_intake_source_silent(m->intake, source);
    if (about->keeps_status)
        sld_map_set(&m->places.keepers, source, m);
}

static void source_gone(struct sld_model_thread *m, struct sld_str source)
{
    catalog(m, source, SLD_CATALOG_TOLD);
    sld_xfree(sld_map_remove(&m->sources, source));
    sld_map_remove(&m->places.keepers, source);
    look_at_demand(m);
    sld_intake_source_gone(m->intake, source, sld_mono_ns());
}

static void letter_run(struct sld_message *msg)
{
    struct letter *l = SLD_CONTAINER_OF(msg, struct letter, msg);
    struct sld_model_thread *m = l->m;
    struct sld_str source = sld_str_c(l->source), path = sld_str_c(l->path),
                   text = sld_str_c(l->text);
    uint64_t now = sld_mono_ns();
    m->since_ns = m->since_ns ? m->since_ns : now;
    m->handled++;
    switch (l->kind) {
    case RESTORE:
        m->any_restored = true;
        sld_translate_restore(m->translate, (struct sld_raw *)l->object);
        model_plugins_touch(m->plugins, (struct sld_raw *)l->object);
        sld_intake_restore(m->intake, source, (struct sld_raw *)l->object);
        break;
    case RESTORE_REFUSAL: {
        struct sld_ident id;
        if (sld_ident_parse(path, &id))
            sld_translate_restore_refusal(m->translate, id, l->hash, sld_str_c(l->build), text);
        break;
    }
    case RESTORE_CERTIFICATE: {
        struct sld_ident id;
        if (sld_ident_parse(path, &id))
            sld_translate_restore_certificate(m->translate, id, l->hash);
        break;
    }
    case SOURCE:
        source_told(m, source, &l->about);
        break;
    case SOURCE_GONE:
        source_gone(m, source);
        break;
    case SETTINGS_TAKEN:
        m->taken = l->version;
        break;
    case SETTINGS:
        SLD_UNREF(m->settings_file);
        m->settings_file = sld_obj_ref(l->object);
        m->settings_dirty = true;
        break;
    case PLACE:
        sld_intake_source(m->intake, source, UINT_MAX);
        sld_intake_synced(m->intake, source, now);
        break;
    case PUT:
        sld_intake_put_ahead(m->intake, source, path, (struct sld_blob *)l->object, l->ahead, l->flag, now);
        break;
    case GONE:
        sld_intake_gone(m->intake, source, path, now);
        break;
    case SYNCED:
        source_synced(m, source);
        break;
    case PROBLEM:
        if (!path.n && text.n)
            source_down(m, source);
        sld_intake_problem(m->intake, source, path, l->code, text, now);
        break;
    case SERVICE:
        m->answer_due = true;
        sld_translate_set_service(m->translate, source, path, (struct sld_service *)l->object);
        break;
    case INSTANCES:
        sld_translate_set_instances(m->translate, source, path, (struct sld_instances *)l->object, l->flag);
        break;
    case ANSWERED:
        sld_translate_secret_answered(m->translate, path);
        break;
    case SERVE_RESTORED:
        m->serve_restored = true;
        break;
    case PLUGINS:
        model_plugins_read(m->plugins);
        break;
    case VERDICT:
        trim_count(m->trim, 1); // Envoys are still taking what was made for them
        if (l->flag)
            sld_translate_taken(m->translate, l->type, source, path, l->hash, sld_str_c(l->build));
        else
            sld_translate_refused(m->translate, l->type, source, path, l->hash, sld_str_c(l->build),
                                  text);
        break;
    case BUILDS:
        sld_translate_builds(m->translate, text);
        break;
    }
    letter_free(l);
}

static char *own(struct sld_str s)
{
    if (!s.p)
        return NULL;
    char *p = sld_xalloc(s.n + 1);
    memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return p;
}

static struct letter *letter(struct sld_model_thread *m, enum letter_kind kind,
                             struct sld_str source)
{
    struct letter *l = SLD_NEW(struct letter);
    l->msg = (struct sld_message){.run = letter_run, .drop = letter_drop};
    l->m = m;
    l->kind = kind;
    l->source = own(source);
    return l;
}

static void post(struct letter *l)
{
    l->m->sent++;
    sld_loop_post(l->m->loop, &l->msg);
}

void sld_model_thread_restore(struct sld_model_thread *m, struct sld_str source,
                              struct sld_raw *raw)
{
    struct letter *l = letter(m, RESTORE, source);
    l->object = sld_obj_ref(raw);
    post(l);
}

void sld_model_thread_restore_refusal(struct sld_model_thread *m, struct sld_ident id,
                                      struct sld_hash hash, struct sld_str build, struct sld_str words)
{
    struct sld_arena a = {0};
    struct letter *l = letter(m, RESTORE_REFUSAL, SLD_STR_NONE);
    l->path = own(sld_ident_key(&a, id));
    l->text = own(words);
    l->build = own(build);
    l->hash = hash;
    sld_arena_fini(&a);
    post(l);
}

void sld_model_thread_restore_certificate(struct sld_model_thread *m, struct sld_ident id,
                                          struct sld_hash chain)
{
    struct sld_arena a = {0};
    struct letter *l = letter(m, RESTORE_CERTIFICATE, SLD_STR_NONE);
    l->path = own(sld_ident_key(&a, id));
    l->hash = chain;
    sld_arena_fini(&a);
    post(l);
}

void sld_model_thread_source(struct sld_model_thread *m, struct sld_str source,
                             const struct sld_model_source *o)
{
    struct letter *l = letter(m, SOURCE, source);
    l->about = *o;
    post(l);
}

void sld_model_thread_source_gone(struct sld_model_thread *m, struct sld_str source)
{
    post(letter(m, SOURCE_GONE, source));
}

void sld_model_thread_settings_taken(struct sld_model_thread *m, uint64_t version)
{
    struct letter *l = letter(m, SETTINGS_TAKEN, SLD_STR_NONE);
    l->version = version;
    post(l);
}

void sld_model_thread_settings(struct sld_model_thread *m, struct sld_object *file)
{
    struct letter *l = letter(m, SETTINGS, SLD_STR_NONE);
    l->object = sld_obj_ref(file);
    post(l);
}

void sld_model_thread_place(struct sld_model_thread *m, struct sld_str place)
{
    post(letter(m, PLACE, place));
}

void sld_model_thread_put(struct sld_model_thread *m, struct sld_str source, struct sld_str path,
                          struct sld_blob *bytes, bool settled)
{
    struct letter *l = letter(m, PUT, source);
    l->path = own(path);
    l->object = sld_obj_ref(bytes);
    l->ahead = sld_ahead_add(m->ahead, bytes);
    l->flag = settled;
    post(l);
}

void sld_model_thread_gone(struct sld_model_thread *m, struct sld_str source, struct sld_str path)
{
    struct letter *l = letter(m, GONE, source);
    l->path = own(path);
    post(l);
}

void sld_model_thread_synced(struct sld_model_thread *m, struct sld_str source)
{
    post(letter(m, SYNCED, source));
}

void sld_model_thread_problem(struct sld_model_thread *m, struct sld_str source,
                              struct sld_str path, enum sld_code code, struct sld_str message)
{
    struct letter *l = letter(m, PROBLEM, source);
    l->path = own(path);
    l->text = own(message);
    l->code = code;
    post(l);
}

void sld_model_thread_service(struct sld_model_thread *m, struct sld_str registry,
                              struct sld_str name, struct sld_service *s)
{
    struct letter *l = letter(m, SERVICE, registry);
    l->path = own(name);
    l->object = sld_obj_ref(s);
    post(l);
}

void sld_model_thread_instances(struct sld_model_thread *m, struct sld_str registry,
                                struct sld_str name, struct sld_instances *i, bool past)
{
    struct letter *l = letter(m, INSTANCES, registry);
    l->flag = past;
    l->path = own(name);
    l->object = sld_obj_ref(i);
    post(l);
}

uint64_t sld_model_thread_sent(const struct sld_model_thread *m)
{
    return m->sent;
}

void sld_model_thread_serve_restored(struct sld_model_thread *m)
{
    post(letter(m, SERVE_RESTORED, SLD_STR_NONE));
}

void sld_model_thread_answered(struct sld_model_thread *m, struct sld_str key)
{
    struct letter *l = letter(m, ANSWERED, SLD_STR_NONE);
    l->path = own(key);
    post(l);
}

void sld_model_thread_verdict(struct sld_model_thread *m, bool taken, struct sld_str view,
                              const struct sld_xds_resource *r, struct sld_str build,
                              struct sld_str words)
{
    struct letter *l = letter(m, VERDICT, view);
    l->path = own(r->name);
    l->text = own(words);
    l->build = own(build);
    l->flag = taken;
    l->type = sld_publish_type(r->type);
    l->hash = r->content;
    post(l);
}

void sld_model_thread_builds(struct sld_model_thread *m, struct sld_str builds)
{
    struct letter *l = letter(m, BUILDS, SLD_STR_NONE);
    l->text = own(builds);
    post(l);
}

void sld_model_thread_plugins(struct sld_model_thread *m)
{
    post(letter(m, PLUGINS, SLD_STR("")));
}

// ---- Life ----

static void *thread_main(void *arg)
{
    struct sld_model_thread *m = arg;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    sld_loop_run(m->loop);
    sld_objects_rest();
    sld_timer_destroy(m->tick);
    sld_timer_destroy(m->clock);
    trim_destroy(m->trim);
    return NULL;
}

struct sld_model_thread *sld_model_thread_start(struct sld_loop *io,
                                                const struct sld_model_options *o)
{
    struct sld_model_thread *m = SLD_NEW(struct sld_model_thread);
    m->opt = *o;
    m->settings_file = sld_obj_ref(o->settings_file);
    m->settings = sld_obj_ref(o->settings);
    m->io = io;
    m->names = sld_intern_create();
    m->loop = sld_loop_create("model");
    struct sld_translate_options to = {
        .features = sld_builtin_features,
        .feature_count = sld_builtin_feature_count,
        .now_s = sld_wall_ms() / 1000,
    };
    m->translate = sld_translate_create(&to);
    sld_translate_settings_in_use(m->translate, o->settings_key);
    m->plugins = sld_plugin_set_create(m->translate, o->plugins);
    sld_plugin_set_worker(m->plugins, o->worker_addresses, o->worker_address_count, o->worker_reach);
    if (o->guards.p)
        sld_plugin_set_keep_guards(m->plugins, o->guards);
    model_plugins_read(m->plugins);
    struct sld_intake_options in = o->intake;
    in.default_ns = o->default_ns;
    struct sld_intake_events ev = {.on_object = on_object,
                                   .on_problems = on_problems,
                                   .on_second_look = on_second_look,
                                   .user = m};
    m->intake = sld_intake_create(&in, &ev);
    m->ahead = sld_ahead_create();
    m->settings_dirty = true;
    m->tick = sld_timer_create(m->loop, on_idle, m);
    m->clock = sld_timer_create(m->loop, on_clock, m);
    m->trim = trim_create(m->loop);
    m->held_ns = sld_mono_ns() + HOLD_NS;
    sld_timer_start(m->clock, CLOCK_MS);
    sld_loop_on_idle(m->loop, on_idle, m);
    int rc = pthread_create(&m->thread, NULL, thread_main, m);
    SLD_INV(rc == 0);
    return m;
}

void sld_model_thread_stop(struct sld_model_thread *m)
{
    m->stopped = true;
    sld_loop_stop(m->loop);
    pthread_join(m->thread, NULL);
    sld_loop_destroy(m->loop);
    sld_ahead_destroy(m->ahead);
    sld_intake_destroy(m->intake);
    sld_translate_destroy(m->translate);
    sld_plugin_set_destroy(m->plugins);
    SLD_UNREF(m->plans);
    SLD_UNREF(m->settings);
    SLD_UNREF(m->settings_file);
    SLD_UNREF(m->in_force);
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&m->sources, &at));)
        sld_xfree(s->value);
    sld_map_fini(&m->sources);
    model_places_fini(&m->places);
    sld_map_fini(&m->held);
    sld_map_fini(&m->problems);
    sld_intern_destroy(m->names);
}

void sld_model_thread_free(struct sld_model_thread *m)
{
    sld_xfree(m);
}

struct sld_loop *sld_model_thread_loop(struct sld_model_thread *m)
{
    return m->loop;
}

struct sld_translate *sld_model_thread_translate(struct sld_model_thread *m)
{
    return m->translate;
}

struct sld_intake *sld_model_thread_intake(struct sld_model_thread *m)
{
    return m->intake;
}

const struct sld_plugin_set *sld_model_thread_plugin_set(const struct sld_model_thread *m)
{
    return m->plugins;
}

uint64_t sld_model_thread_index(const struct sld_model_thread *m)
{
    return m->index;
}
