// The server's side of the worker against a scripted child, which is this program again: what it is told, when it ends, hangs, or says
// what nobody understands.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/inside.h"

enum { LOOK_MS = 2, PATIENCE_MS = 30000, HANG_MS = 200, GONE_MS = 300, LOG_MAX = 20000 };

// ---- The child ----

// A letter for each life, of $SLD_SCRIPT/lives:
//   w  it does what a worker does       x  it ends with status 3 when it has all
//   k  it is killed when it has all     h  it answers no ping
//   b  it cannot begin                  g  it says what a server says
//   r  it can load no plugin            o  it answers for another version of each
//   t  it tells of two requests for each recording, and of one of another
//   p  it logs pings
struct child {
    struct sld_loop *loop;
    struct wk_link *link;
    FILE *log;
    char life;
};

static void say(const struct child *c, Solder__Worker__Frame__SaysCase kind, uint64_t number)
{
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    f.says_case = kind;
    f.pong = number;
    wk_link_send(c->link, &f);
}

static void say_started(const struct child *c)
{
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    Solder__Worker__Started s = SOLDER__WORKER__STARTED__INIT;
    char no[] = "there is no room";
    if (c->life == 'b')
        s.error = no;
    f.says_case = SOLDER__WORKER__FRAME__SAYS_STARTED;
    f.started = &s;
    wk_link_send(c->link, &f);
}

static void say_loaded(const struct child *c, Solder__Worker__Plugin *p)
{
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    Solder__Worker__Loaded l = SOLDER__WORKER__LOADED__INIT;
    char no[] = "it does not load here";
    l.name = p->name;
    l.hash = p->hash;
    if (c->life == 'r' || c->life == 'o')
        l.error = no;
    if (c->life == 'o')
        l.hash.data[0] ^= 1;
    f.says_case = SOLDER__WORKER__FRAME__SAYS_LOADED;
    f.loaded = &l;
    wk_link_send(c->link, &f);
}

static void say_recorded(const struct child *c, uint64_t number)
{
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    Solder__Worker__Recorded r = SOLDER__WORKER__RECORDED__INIT;
    uint8_t line[] = "line\n";
    r.number = number;
    r.line = (ProtobufCBinaryData){5, line};
    f.says_case = SOLDER__WORKER__FRAME__SAYS_RECORDED;
    f.recorded = &r;
    wk_link_send(c->link, &f);
}

static void synced(const struct child *c, uint64_t number)
{
    say(c, SOLDER__WORKER__FRAME__SAYS_SYNCED, number);
    if (c->life == 'x')
        exit(3);
    if (c->life == 'k')
        raise(SIGKILL);
    if (c->life == 'g')
        say(c, SOLDER__WORKER__FRAME__SAYS_SYNC, 1);
}

static void recorded(const struct child *c, const Solder__Worker__Record *r)
{
    for (unsigned i = 0; c->life == 't' && r->count && i < 2; i++) {
        say_recorded(c, r->number - 1);
        say_recorded(c, r->number);
    }
}

static void on_order(void *user, const Solder__Worker__Frame *f)
{
    struct child *c = user;
    switch (f->says_case) {
    case SOLDER__WORKER__FRAME__SAYS_START:
        fprintf(c->log, "start:%zu ", f->start->n_addresses);
        say_started(c);
        break;
    case SOLDER__WORKER__FRAME__SAYS_PLUGIN:
        fprintf(c->log, "plugin:%s%s ", f->plugin->name, f->plugin->open ? ":open" : "");
        say_loaded(c, f->plugin);
        break;
    case SOLDER__WORKER__FRAME__SAYS_PLUGIN_GONE:
        fprintf(c->log, "plugin-gone:%s ", f->plugin_gone);
        break;
    case SOLDER__WORKER__FRAME__SAYS_CONF:
        fprintf(c->log, "conf:%s:%s ", f->conf->id, f->conf->plugin);
        break;
    case SOLDER__WORKER__FRAME__SAYS_CONF_GONE:
        fprintf(c->log, "conf-gone:%s ", f->conf_gone);
        break;
    case SOLDER__WORKER__FRAME__SAYS_FINDER:
        fprintf(c->log, "finder:%s ", f->finder->plugin->name);
        break;
    case SOLDER__WORKER__FRAME__SAYS_RECORD:
        fprintf(c->log, "record:%s:%u ", f->record->plugin, f->record->count);
        recorded(c, f->record);
        break;
    case SOLDER__WORKER__FRAME__SAYS_SYNC:
        fprintf(c->log, "sync ");
        fflush(c->log);
        synced(c, f->sync);
        break;
    case SOLDER__WORKER__FRAME__SAYS_PING:
        fputs(c->life == 'p' ? "ping " : "", c->log);
        if (c->life != 'h')
            say(c, SOLDER__WORKER__FRAME__SAYS_PONG, f->ping);
        break;
    default:
        break;
    }
    fflush(c->log);
}

static void on_server_end(void *user, const char *why)
{
    (void)why;
    sld_loop_stop(((struct child *)user)->loop);
}

static int child_main(const char *dir)
{
    char path[100], lives[100] = "";
    struct child c = {.loop = sld_loop_create("child")};
    struct wk_link_events ev = {on_order, on_server_end, &c};
    snprintf(path, sizeof(path), "%s/log", dir);
    c.log = fopen(path, "a");
    snprintf(path, sizeof(path), "%s/lives", dir);
    FILE *f = fopen(path, "r+");
    size_t n = fread(lives, 1, sizeof(lives) - 1, f);
    c.life = n ? lives[0] : 'w';
    rewind(f); // the next one has the next letter; the last stays
    if (n > 1) {
        fputs(lives + 1, f);
        fflush(f);
        if (ftruncate(fileno(f), (off_t)n - 1))
            return 1;
    }
    fclose(f);
    fprintf(c.log, "| ");
    c.link = wk_link_create(c.loop, 3, &ev);
    sld_loop_run(c.loop);
    return 0;
}

// ---- The server's side ----

struct world {
    struct sld_loop *loop;
    struct sld_worker *worker;
    struct sld_timer *look, *patience;
    char dir[40], log[LOG_MAX], problem[200];
    unsigned changes, lines;
    bool (*there)(struct world *w, const char *words);
    const char *words;
};

static const char *log_of(struct world *w)
{
    char path[60];
    snprintf(path, sizeof(path), "%s/log", w->dir);
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(w->log, 1, sizeof(w->log) - 1, f) : 0;
    w->log[n] = 0;
    if (f)
        fclose(f);
    return w->log;
}

static void on_look(void *user)
{
    struct world *w = user;
    if (w->there(w, w->words))
        sld_loop_stop(w->loop);
    else
        sld_timer_start(w->look, LOOK_MS);
}

static void on_late(void *user)
{
    struct world *w = user;
    struct sld_worker_info *i = sld_worker_info(w->worker);
    fail_msg("not there: %s; %s, %u restarts, last: %.*s; log: %s", w->words, sld_worker_state_name(i->state), i->restarts, SLD_FMT(i->last), log_of(w));
}

static void until(struct world *w, bool (*there)(struct world *w, const char *words), const char *words)
{
    w->there = there;
    w->words = words;
    sld_timer_start(w->look, 0);
    sld_timer_start(w->patience, PATIENCE_MS);
    sld_loop_run(w->loop);
    sld_timer_stop(w->patience);
}

static bool logged(struct world *w, const char *words)
{
    return strstr(log_of(w), words) != NULL;
}

static bool running(struct world *w, const char *words)
{
    struct sld_worker_info *i = sld_worker_info(w->worker);
    bool yes = i->state == SLD_WORKER_RUNNING && i->pid > 0;
    (void)words;
    SLD_UNREF(i);
    return yes;
}

// It ended that way, and was told to.
static bool ended(struct world *w, const char *words)
{
    struct sld_worker_info *i = sld_worker_info(w->worker);
    bool yes = i->state == SLD_WORKER_WAITING && !i->pid && sld_str_eq(i->last, sld_str_c(words));
    SLD_UNREF(i);
    return yes;
}

static bool refused(struct world *w, const char *words)
{
    struct sld_worker_info *i = sld_worker_info(w->worker);
    bool yes = sld_str_eq(sld_worker_stats(i, SLD_STR("one"))->refused, sld_str_c(words));
    SLD_UNREF(i);
    return yes;
}

static unsigned restarts(struct world *w)
{
    struct sld_worker_info *i = sld_worker_info(w->worker);
    unsigned n = i->restarts;
    SLD_UNREF(i);
    return n;
}

static void on_change(void *user)
{
    ((struct world *)user)->changes++;
}

static void on_problem(void *user, struct sld_str plugin, struct sld_str message)
{
    struct world *w = user;
    snprintf(w->problem, sizeof(w->problem), "%.*s: %.*s", SLD_FMT(plugin), SLD_FMT(message));
}

static void begin_gone(struct world *w, const char *lives, unsigned gone_ms)
{
    static const struct sld_str addresses[] = {SLD_STR_INIT("unix:a"), SLD_STR_INIT("unix:b")};
    char path[60];
    *w = (struct world){.loop = sld_loop_create("test"), .dir = "/tmp/sld-supervise-XXXXXX"};
    assert_non_null(mkdtemp(w->dir));
    snprintf(path, sizeof(path), "%s/lives", w->dir);
    FILE *f = fopen(path, "w");
    fputs(lives, f);
    fclose(f);
    setenv("SLD_SCRIPT", w->dir, 1);
    const struct sld_worker_options o = {.addresses = addresses, .address_count = 2, .hang_ms = HANG_MS, .gone_ms = gone_ms, .on_change = on_change, .user = w,
                                         .found = {.on_problem = on_problem, .user = w}};
    w->worker = sld_worker_create(w->loop, &o);
    w->look = sld_timer_create(w->loop, on_look, w);
    w->patience = sld_timer_create(w->loop, on_late, w);
}

static void begin(struct world *w, const char *lives)
{
    begin_gone(w, lives, GONE_MS);
}

static void finish(struct world *w)
{
    char path[60];
    sld_worker_destroy(w->worker);
    sld_timer_destroy(w->look);
    sld_timer_destroy(w->patience);
    sld_loop_stop(w->loop);
    sld_loop_run(w->loop);
    sld_loop_destroy(w->loop);
    snprintf(path, sizeof(path), "%s/lives", w->dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/log", w->dir);
    unlink(path);
    assert_int_equal(rmdir(w->dir), 0);
}

// Plugin NAME, as TEXT has it, is all there is.
static void set_plugin(struct world *w, const char *name, const char *text, bool open)
{
    struct sld_worker_plugin p = {.bundle = sld_plugin_bundle_create(sld_str_c(name), SLD_STR("test"), sld_str_c(text)),
                                  .limits = sld_plugin_limits_default,
                                  .open = open};
    sld_worker_set_plugins(w->worker, &p, 1);
    SLD_UNREF(p.bundle);
}

static void set_conf(struct world *w, const char *id, const char *plugin)
{
    struct sld_blob *b = sld_blob_create(SLD_STR("v"));
    sld_worker_set_conf(w->worker, sld_str_c(id), sld_str_c(plugin), plugin ? b : NULL);
    SLD_UNREF(b);
}

// ---- Tests ----

static void only_what_is_new_is_said(void **state)
{
    (void)state;
    struct world w;
    begin(&w, "w");
    struct sld_worker_info *i = sld_worker_info(w.worker);
    assert_int_equal(i->state, SLD_WORKER_IDLE); // there is no plugin
    SLD_UNREF(i);
    set_conf(&w, "c1", "one");
    set_plugin(&w, "one", "1", true);
    sld_worker_sync(w.worker);
    until(&w, running, "");
    assert_string_equal(log_of(&w), "| start:2 plugin:one:open conf:c1:one sync sync ");
    assert_true(w.changes > 0);
    set_plugin(&w, "one", "1", true); // nothing is new
    set_conf(&w, "c1", NULL);
    set_conf(&w, "c9", NULL); // was never there
    set_plugin(&w, "one", "1", false);
    set_plugin(&w, "two", "2", false);
    sld_worker_sync(w.worker);
    until(&w, logged, "plugin:two sync plugin-gone:one ");
    assert_string_equal(log_of(&w), "| start:2 plugin:one:open conf:c1:one sync sync conf-gone:c1 plugin:one plugin:two sync plugin-gone:one ");
    // One that comes again before that was never gone.
    set_plugin(&w, "three", "3", false);
    set_plugin(&w, "two", "2", false);
    sld_worker_sync(w.worker);
    until(&w, logged, "plugin:three sync plugin-gone:three ");
    assert_null(strstr(log_of(&w), "plugin-gone:two"));
    assert_int_equal(restarts(&w), 0);
    finish(&w);
}

// It looks for those that are gone long enough with each ping; this one is not.
static void one_that_is_gone_stays_a_while(void **state)
{
    (void)state;
    struct world w;
    begin_gone(&w, "p", 3600000);
    set_plugin(&w, "one", "1", false);
    until(&w, running, "");
    set_plugin(&w, "two", "2", false);
    until(&w, logged, "plugin:two ping ping ping ");
    finish(&w);
}

static void who_begins_anew_is_told_everything(void **state)
{
    (void)state;
    struct world w;
    begin(&w, "xkhw");
    set_plugin(&w, "one", "1", false);
    set_conf(&w, "c1", "one");
    struct sld_plugin_bundle *b = sld_plugin_bundle_create(SLD_STR("finder"), SLD_STR("test"), SLD_STR("3"));
    struct sld_discover_plan *plan = sld_discover_plan_create(b, &sld_plugin_limits_default, SLD_STR(""), NULL, 0);
    sld_worker_set_finder(w.worker, plan);
    SLD_UNREF(plan);
    SLD_UNREF(b);
    until(&w, ended, "it ended with status 3");
    assert_string_equal(w.problem, "finder: the worker is not there: it ended with status 3");
    until(&w, ended, "it was killed by signal 9");
    until(&w, ended, "it did not answer any more, and was killed");
    until(&w, running, "");
    assert_int_equal(restarts(&w), 3);
    const char *last = strrchr(log_of(&w), '|');
    assert_string_equal(last, "| start:2 plugin:one conf:c1:one finder:finder sync ");
    finish(&w);
}

static void what_is_no_worker_is_ended(void **state)
{
    (void)state;
    struct world w;
    begin(&w, "bgw");
    set_plugin(&w, "one", "1", false);
    until(&w, ended, "there is no room");
    until(&w, ended, "it says what nobody understands");
    until(&w, running, "");
    finish(&w);
}

static void versions_that_do_not_load(void **state)
{
    (void)state;
    struct world w;
    begin(&w, "r");
    set_plugin(&w, "one", "1", false);
    until(&w, refused, "it does not load here");
    until(&w, running, ""); // which is no reason not to be there
    finish(&w);
    begin(&w, "o");
    set_plugin(&w, "one", "1", false);
    sld_worker_sync(w.worker);
    until(&w, running, "");
    assert_true(refused(&w, "")); // what was told is of another version
    finish(&w);
}

static void on_line(void *user, struct sld_str line)
{
    struct world *w = user;
    assert_true(sld_str_eq(line, SLD_STR("line\n")));
    w->lines++;
}

static bool two_lines(struct world *w, const char *words)
{
    (void)words;
    return w->lines == 2;
}

static void recordings(void **state)
{
    (void)state;
    struct world w;
    begin(&w, "xt");
    set_plugin(&w, "one", "1", false);
    sld_worker_record(w.worker, SLD_STR("one"), 5, on_line, &w);
    until(&w, two_lines, "two lines"); // of the second process: the first told nothing
    assert_non_null(strstr(log_of(&w), "| start:2 plugin:one record:one:5 sync "));
    sld_worker_record_end(w.worker);
    until(&w, logged, "record:one:0 ");
    sld_worker_record_end(w.worker); // there is none
    // No more than were asked for.
    w.lines = 0;
    sld_worker_record(w.worker, SLD_STR("one"), 1, on_line, &w);
    sld_worker_sync(w.worker);
    until(&w, logged, "record:one:1 sync ");
    sld_worker_record_end(w.worker);
    sld_worker_sync(w.worker);
    until(&w, logged, "sync record:one:0 sync ");
    assert_true(w.lines <= 1);
    finish(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_new_is_said),
        cmocka_unit_test(one_that_is_gone_stays_a_while),
        cmocka_unit_test(who_begins_anew_is_told_everything),
        cmocka_unit_test(what_is_no_worker_is_ended),
        cmocka_unit_test(versions_that_do_not_load),
        cmocka_unit_test(recordings),
    };
    if (argc > 1 && !strcmp(argv[1], "worker"))
        return child_main(getenv("SLD_SCRIPT"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
