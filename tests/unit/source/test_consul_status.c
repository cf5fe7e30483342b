// Statuses written to Consul, against one that fails (core/source/consul/status*.c).
#include "source/consul_fake.h"

#include "source/consul/status.h"
#include "source/consul/value.h"

#define LEADER "gloo/solder/leader"
#define A "gateway.solo.io/v1/VirtualService/gloo-system/a"
#define B "gateway.solo.io/v1/VirtualService/gloo-system/b"
#define NS SLD_STR("gloo-system")

struct world {
    struct fake f;
    Gloo__Settings settings;
    Gloo__SolderSettings solder;
    Gloo__ConsulKvOptions options;
    struct sld_consul *c;
    struct sld_consul_status *w;
    char problem_path[256], problem[512]; // the last one that is not over
    unsigned problems;
    // Arguments of what is called on io.
    const char *key, *text;
    struct sld_status *status;
    bool edited; // what was seen last
    const char *recorded, *place;
};

static void on_problem(void *user, struct sld_str path, enum sld_code code, struct sld_str message)
{
    struct world *x = user;
    assert_int_equal(code, SLD_STATUS_NOT_WRITTEN);
    assert_true(sld_str_starts(path, SLD_STR("gloo-status")));
    x->problems += message.p != NULL;
    snprintf(x->problem_path, sizeof(x->problem_path), "%.*s", SLD_FMT(path));
    snprintf(x->problem, sizeof(x->problem), "%.*s", SLD_FMT(message));
    sem_post(&x->f.news);
}

static void create_on_io(void *arg)
{
    struct world *x = arg;
    struct sld_err err = {0};
    assert_int_equal(
        sld_consul_get(x->f.io.loop, sld_str_c(x->f.address), &x->settings, &x->c, &err), SLD_OK);
    x->w = sld_consul_status_create(x->f.io.loop, x->c, SLD_STR("gloo"), &x->settings, on_problem, x);
    sld_consul_status_lock_times(x->w, 60000, 50);
}

static void destroy_on_io(void *arg)
{
    struct world *x = arg;
    sld_consul_status_destroy(x->w);
    sld_consul_release(x->c);
    x->w = NULL;
    x->c = NULL;
}

static int setup(void **state)
{
    struct world *x = SLD_NEW(struct world);
    gloo__settings__init(&x->settings);
    gloo__solder_settings__init(&x->solder);
    gloo__consul_kv_options__init(&x->options);
    x->settings.solder = &x->solder;
    x->solder.consul_kv = &x->options;
    fake_start(&x->f);
    io_do(&x->f.io, create_on_io, x);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct world *x = *state;
    io_do(&x->f.io, destroy_on_io, x);
    fake_stop(&x->f);
    SLD_UNREF(x->status);
    sld_xfree(x);
    return 0;
}

// ---- What the source tells ----

static void see_on_io(void *arg)
{
    struct world *x = arg;
    char name[200];
    snprintf(name, sizeof(name), "gloo/%s", x->key);
    struct fake_key *k = x->text ? fake_put(&x->f, name, sld_str_c(x->text)) : fake_find(&x->f, name);
    x->edited = sld_consul_status_seen(x->w, sld_str_c(x->key), sld_str_c(k->value), k->index);
}

// KEY says TEXT, and the source saw it.
static void put(struct world *x, const char *key, const char *text)
{
    x->key = key;
    x->text = text;
    io_do(&x->f.io, see_on_io, x);
}

// The source sees what KEY says.
static void see(struct world *x, const char *key)
{
    put(x, key, NULL);
}

static void unsee_on_io(void *arg)
{
    struct world *x = arg;
    char name[200];
    snprintf(name, sizeof(name), "gloo/%s", x->key);
    fake_remove(&x->f, name);
    sld_consul_status_unseen(x->w, sld_str_c(x->key));
}

static void set_on_io(void *arg)
{
    struct world *x = arg;
    sld_consul_status_set(x->w, sld_str_c(x->key), x->status, NS);
}

static void set(struct world *x, const char *key, const char *error)
{
    struct sld_finding f = {.severity = SLD_ERROR, .code = SLD_DOC_IDENTITY, .path = SLD_STR("p"),
                            .message = sld_str_c(error)};
    SLD_UNREF(x->status);
    x->status = sld_status_create(&f, error != NULL, false, true);
    x->key = key;
    io_do(&x->f.io, set_on_io, x);
}

static void begin_on_io(void *arg)
{
    struct world *x = arg;
    x->place = sld_consul_status_place(x->w, sld_str_c(x->recorded));
    sld_consul_status_begin(x->w, sld_str_c(x->recorded));
    assert_ptr_equal(x->place, sld_consul_status_place(x->w, SLD_STR_NONE));
}

static void begin(struct world *x)
{
    io_do(&x->f.io, begin_on_io, x);
}

static void configure_on_io(void *arg)
{
    struct world *x = arg;
    sld_consul_status_configure(x->w, &x->settings);
}

static void configure(struct world *x, Gloo__ConsulKvOptions__StatusPlace place)
{
    x->options.status_place = place;
    io_do(&x->f.io, configure_on_io, x);
}

// ---- What is there then ----

static bool says(struct world *x, const char *name, const char *words)
{
    const struct fake_key *k = fake_find(&x->f, name);
    return k && strstr(k->value, words);
}

struct expected {
    struct world *x;
    const char *name, *words;
};

static bool says_on_io(void *arg)
{
    const struct expected *e = arg;
    return e->words ? says(e->x, e->name, e->words) : !fake_find(&e->x->f, e->name);
}

// Waits until the key NAME says WORDS; NULL: until it is gone.
static void expect(struct world *x, const char *name, const char *words)
{
    struct expected e = {x, name, words};
    fake_wait(&x->f, says_on_io, &e);
}

static bool complains(void *arg)
{
    return ((struct world *)arg)->problem[0] != 0;
}

static bool is_content(void *arg)
{
    return ((struct world *)arg)->problem[0] == 0;
}

// ---- In values ----

static void in_value(struct world *x)
{
    configure(x, GLOO__CONSUL_KV_OPTIONS__STATUS_PLACE__IN_VALUE);
}

static void a_value_gets_its_status(void **state)
{
    struct world *x = *state;
    in_value(x);
    put(x, A, "# mine\nx: 1\n");
    assert_true(x->edited);
    set(x, A, NULL);
    assert_int_equal(x->f.changes, 0);
    begin(x);
    assert_string_equal(x->place, "beside"); // that is what it would be by itself
    expect(x, "gloo/" A, "# mine\nx: 1\nnamespacedStatuses:\n  statuses:\n    gloo-system:\n"
                         "      reportedBy: gloo\n      state: Accepted\n");
    see(x, A); // our own write
    assert_false(x->edited);
    set(x, A, "wrong");
    expect(x, "gloo/" A, "state: Rejected");
    assert_int_equal(x->f.changes, 2);
    assert_int_equal(x->problems, 0);
}

static void a_status_that_is_there_is_not_written(void **state)
{
    struct world *x = *state;
    in_value(x);
    put(x, A, "x: 1\nnamespacedStatuses: {statuses: {gloo-system: {state: 1, reportedBy: gloo}}}\n");
    set(x, A, NULL);
    begin(x);
    put(x, B, "x: 1\n");
    set(x, B, NULL);
    expect(x, "gloo/" B, "Accepted");
    assert_int_equal(x->f.writes, 1);
    assert_true(says(x, "gloo/" A, "{state: 1, reportedBy: gloo}"));
    set(x, B, "wrong");
    expect(x, "gloo/" B, "Rejected");
    assert_int_equal(x->f.gets, 2); // of B alone
}

// Somebody writes a document as it was without a status: it gets it again, however often.
static void a_dropped_status_comes_again(void **state)
{
    struct world *x = *state;
    in_value(x);
    put(x, A, "x: 1\n");
    set(x, A, NULL);
    begin(x);
    for (int i = 0; i < 8; i++) {
        expect(x, "gloo/" A, "Accepted");
        see(x, A);
        put(x, A, "x: 1\n");
    }
    expect(x, "gloo/" A, "Accepted");
    assert_int_equal(x->problems, 0);
}

static void edit(struct fake *f)
{
    fake_put(f, "gloo/" A, SLD_STR("x: 2 # of somebody\n"));
}

static void what_changes_meanwhile_is_not_lost(void **state)
{
    struct world *x = *state;
    in_value(x);
    x->f.after_get = edit;
    put(x, A, "x: 1\n");
    set(x, A, NULL);
    begin(x);
    expect(x, "gloo/" A, "x: 2 # of somebody\nnamespacedStatuses:");
    assert_non_null(strstr(x->f.seen, "get refused get change"));
    assert_int_equal(x->problems, 0);
}

static void remove_gone(void *arg)
{
    fake_remove(&((struct world *)arg)->f, "gloo/gloo.solo.io/v1/Upstream/gloo-system/gone");
}

// Of several keys one is gone, one is no document, one may not be written: the others get theirs.
static void one_bad_key_alone(void **state)
{
    struct world *x = *state;
    in_value(x);
    x->f.deny = "denied";
    put(x, "gloo.solo.io/v1/Upstream/gloo-system/denied", "x: 1\n");
    set(x, "gloo.solo.io/v1/Upstream/gloo-system/denied", NULL);
    put(x, "gloo.solo.io/v1/Upstream/gloo-system/gone", "x: 1\n");
    set(x, "gloo.solo.io/v1/Upstream/gloo-system/gone", NULL);
    io_do(&x->f.io, remove_gone, x);
    put(x, "gloo.solo.io/v1/Upstream/gloo-system/broken", "x: [\n");
    set(x, "gloo.solo.io/v1/Upstream/gloo-system/broken", NULL);
    put(x, A, "x: 1\n");
    set(x, A, NULL);
    begin(x);
    expect(x, "gloo/" A, "Accepted");
    assert_int_equal(x->problems, 2);
    assert_true(says(x, "gloo/gloo.solo.io/v1/Upstream/gloo-system/broken", "x: [\n"));
    put(x, "gloo.solo.io/v1/Upstream/gloo-system/broken", "x: []\n"); // mended
    expect(x, "gloo/gloo.solo.io/v1/Upstream/gloo-system/broken", "Accepted");
    assert_string_equal(x->problem_path, "gloo-status/gloo.solo.io/v1/Upstream/gloo-system/broken");
    assert_true(is_content(x));
}

static void foreign(struct world *x, int n)
{
    char text[200];
    snprintf(text, sizeof(text),
             "x: 1\nnamespacedStatuses: {statuses: {gloo-system: {state: 2, reason: r%d}}}\n", n);
    put(x, A, text);
}

// Another control plane under our name: we do not fight it for ever.
static void two_of_one_name(void **state)
{
    struct world *x = *state;
    in_value(x);
    put(x, A, "x: 1\n");
    set(x, A, NULL);
    begin(x);
    int n = 0;
    for (; n < 20 && is_content(x); n++) {
        expect(x, "gloo/" A, "Accepted");
        see(x, A);
        foreign(x, n);
    }
    assert_int_equal(n, 5);
    assert_non_null(strstr(x->problem, "somebody else writes statuses of \"gloo-system\""));
    put(x, B, "x: 1\n");
    set(x, B, NULL);
    expect(x, "gloo/" B, "Accepted"); // others go on
    assert_true(says(x, "gloo/" A, "r4"));
    set(x, A, "wrong"); // as does this one when there is news
    expect(x, "gloo/" A, "Rejected");
}

struct was {
    struct world *x;
    char *text;
    unsigned long index;
};

static void remember_on_io(void *arg)
{
    struct was *w = arg;
    const struct fake_key *k = fake_find(&w->x->f, "gloo/" A);
    sld_xfree(w->text);
    w->text = sld_xcalloc(1, strlen(k->value) + 1);
    memcpy(w->text, k->value, strlen(k->value));
    w->index = k->index;
}

static void see_again_on_io(void *arg)
{
    struct was *w = arg;
    sld_consul_status_seen(w->x->w, SLD_STR(A), sld_str_c(w->text), w->index);
}

// What the source was told before we wrote is nobody else's.
static void an_answer_that_was_under_way(void **state)
{
    struct world *x = *state;
    struct was w = {.x = x};
    in_value(x);
    put(x, A, "x: 1\n");
    set(x, A, NULL);
    begin(x);
    expect(x, "gloo/" A, "Accepted");
    see(x, A);
    io_do(&x->f.io, remember_on_io, &w);
    set(x, A, "wrong");
    expect(x, "gloo/" A, "Rejected");
    put(x, B, "x: 1\n");
    for (int i = 0; i < 8; i++) {
        char words[16];
        snprintf(words, sizeof(words), "word %d", i);
        io_do(&x->f.io, see_again_on_io, &w);
        set(x, B, words);
        expect(x, "gloo/" B, words);
    }
    assert_int_equal(x->problems, 0);
    sld_xfree(w.text);
}

static void a_large_value_gets_none(void **state)
{
    struct world *x = *state;
    static char text[400 * 1024];
    in_value(x);
    memset(text, 'x', sizeof(text) - 1);
    memcpy(text, "x: ", 3);
    put(x, A, text);
    set(x, A, NULL);
    begin(x);
    fake_wait(&x->f, complains, x);
    assert_non_null(strstr(x->problem, "too large"));
    assert_string_equal(x->problem_path, "gloo-status/" A);
    // Several that fit alone go one after the other.
    text[250 * 1024] = 0;
    text[250 * 1024 - 1] = '\n';
    put(x, A, text);
    put(x, B, text);
    set(x, B, NULL);
    expect(x, "gloo/" A, "Accepted");
    expect(x, "gloo/" B, "Accepted");
    assert_true(is_content(x));
}

// ---- Beside ----

#define BESIDE_A "gloo-status/" A

static void beside_values_stay_untouched(void **state)
{
    struct world *x = *state;
    put(x, A, "x: 1\n");
    set(x, A, "wrong");
    begin(x);
    assert_string_equal(x->place, "beside"); // as of all that never had one of Gloo's
    expect(x, BESIDE_A, "{\"statuses\":{\"gloo-system\":{\"state\":\"Rejected\",\"reason\":\"1 error occurred:");
    assert_true(says(x, BESIDE_A, "\"errors\":1,\"warnings\":0,\"findings\":[{\"severity\":\"error\","
                                  "\"code\":\"SLD0006\",\"path\":\"p\",\"message\":\"wrong\"}]"));
    assert_string_equal(fake_find(&x->f, "gloo/" A)->value, "x: 1\n");
    x->key = A;
    io_do(&x->f.io, unsee_on_io, x);
    expect(x, BESIDE_A, NULL);
}

static void set_findings(void *arg)
{
    struct world *x = arg;
    struct sld_finding f[40];
    struct sld_arena a = {0};
    for (int i = 0; i < 40; i++)
        f[i] = (struct sld_finding){.severity = SLD_ERROR, .code = SLD_DOC_IDENTITY,
                                    .message = sld_arena_fmt(&a, "wrong %d", i)};
    SLD_UNREF(x->status);
    x->status = sld_status_create(f, SLD_ARRAY_LEN(f), false, true);
    sld_arena_fini(&a);
    x->key = A;
    set_on_io(x);
}

static void findings_are_bounded_and_counted(void **state)
{
    struct world *x = *state;
    put(x, A, "x: 1\n");
    io_do(&x->f.io, set_findings, x);
    begin(x);
    expect(x, BESIDE_A, "\"errors\":40,");
    size_t n = 0;
    for (const char *at = fake_find(&x->f, BESIDE_A)->value; (at = strstr(at, "\"code\"")); at++)
        n++;
    assert_int_equal(n, 16);
}

static void a_restart_writes_nothing(void **state)
{
    struct world *x = *state;
    put(x, A, "x: 1\n");
    set(x, A, NULL);
    put(x, B, "x: 1\n");
    set(x, B, NULL);
    begin(x);
    expect(x, BESIDE_A, "Accepted");
    expect(x, "gloo-status/" B, "Accepted");
    unsigned writes = x->f.writes;
    unsigned long index = fake_find(&x->f, BESIDE_A)->index;
    io_do(&x->f.io, destroy_on_io, x);
    io_do(&x->f.io, create_on_io, x);
    see(x, A);
    x->recorded = x->place;
    begin(x);
    set(x, A, NULL);
    expect(x, "gloo-status/" B, NULL); // it went while nobody looked
    assert_int_equal(fake_find(&x->f, BESIDE_A)->index, index);
    assert_int_equal(x->f.writes, writes + 1);
}

static void put_other(void *arg)
{
    struct world *x = arg;
    fake_put(&x->f, BESIDE_A, SLD_STR("{ \"statuses\": {\"other\": {\"state\": 1}} }"));
}

static void others_keep_theirs(void **state)
{
    struct world *x = *state;
    io_do(&x->f.io, put_other, x);
    put(x, A, "x: 1\n");
    set(x, A, NULL);
    begin(x);
    expect(x, BESIDE_A, "\"state\":\"Accepted\"");
    assert_true(says(x, BESIDE_A, ",\"other\":{\"state\": 1}}}"));
    x->key = A;
    io_do(&x->f.io, unsee_on_io, x);
    expect(x, BESIDE_A, "{\"statuses\":{\"other\":{\"state\": 1}}}");
    io_do(&x->f.io, put_other, x); // a change that we do not know of
    put(x, A, "x: 1\n");
    set(x, A, "wrong");
    expect(x, BESIDE_A, "Rejected");
    assert_true(says(x, BESIDE_A, "\"other\":{\"state\": 1}"));
}

// ---- Where ----

static void automatic(void **state)
{
    struct world *x = *state;
    put(x, B, "x: 1\nnamespacedStatuses: {statuses: {gloo-system: {state: 1, reportedBy: gloo}}}\n");
    put(x, A, "x: 1\n");
    set(x, A, NULL);
    begin(x);
    assert_string_equal(x->place, "value"); // Gloo kept them there
    expect(x, "gloo/" A, "Accepted");
    configure(x, GLOO__CONSUL_KV_OPTIONS__STATUS_PLACE__BESIDE);
    expect(x, BESIDE_A, "Accepted");
    configure(x, GLOO__CONSUL_KV_OPTIONS__STATUS_PLACE__NONE);
    set(x, A, "wrong");
    configure(x, GLOO__CONSUL_KV_OPTIONS__STATUS_PLACE__AUTO);
    expect(x, "gloo/" A, "Rejected");
    assert_true(says(x, BESIDE_A, "Accepted"));
}

static void what_was_recorded_counts(void **state)
{
    struct world *x = *state;
    x->recorded = "value";
    begin(x);
    assert_string_equal(x->place, "value");
}

static void leftovers_mean_gloo(void **state)
{
    struct world *x = *state;
    put(x, "gloo.solo.io/v1/Upstream/gloo-system/u", "x: discovered_by\n");
    begin(x);
    assert_string_equal(x->place, "value");
}

static void nowhere_asks_nothing(void **state)
{
    struct world *x = *state;
    configure(x, GLOO__CONSUL_KV_OPTIONS__STATUS_PLACE__NONE);
    put(x, A, "x: 1\n");
    set(x, A, NULL);
    begin(x);
    assert_string_equal(x->f.seen, "");
    configure(x, GLOO__CONSUL_KV_OPTIONS__STATUS_PLACE__IN_VALUE);
    expect(x, "gloo/" A, "Accepted");
}

// ---- Failures ----

static void spoil(struct world *x, const char *path, int status, const char *body, unsigned times)
{
    x->f.fail_status = status;
    x->f.fail_body = body;
    x->f.fail_times = times;
    x->f.fail = path;
}

static void failures_are_told_and_end(void **state)
{
    static const struct {
        int status;
        const char *body, *words;
    } cases[] = {{500, "No cluster leader", "500: No cluster leader"},
                 {200, "{\"Results\":[{\"KV\":{\"Lock", "the answer was cut"},
                 {200, "", "the answer was cut"},
                 {429, "", "429"},
                 {413, "too large", "413"}};
    struct world *x = *state;
    in_value(x);
    put(x, A, "x: 1\n");
    begin(x);
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        char words[16];
        snprintf(words, sizeof(words), "case %zu", i);
        spoil(x, "/v1/txn", cases[i].status, cases[i].body, 2);
        set(x, A, words);
        fake_wait(&x->f, complains, x);
        assert_non_null(strstr(x->problem, cases[i].words));
        assert_string_equal(x->problem_path, "gloo-status");
        fake_wait(&x->f, is_content, x);
        expect(x, "gloo/" A, words);
    }
}

static void a_list_that_was_cut_is_none(void **state)
{
    struct world *x = *state;
    put(x, A, "x: 1\n");
    set(x, A, NULL);
    spoil(x, "/v1/kv/gloo-status/", 200, "[{\"Key\":\"gloo-status/x\",", 2);
    begin(x);
    fake_wait(&x->f, complains, x);
    assert_int_equal(x->f.changes, 0);
    fake_wait(&x->f, is_content, x);
    expect(x, BESIDE_A, "Accepted");
}

static void without_the_lock_nothing_is_written(void **state)
{
    struct world *x = *state;
    spoil(x, "/v1/session/create", 403, "Permission denied", 1);
    in_value(x);
    put(x, A, "x: 1\n");
    set(x, A, NULL);
    begin(x);
    fake_wait(&x->f, complains, x);
    assert_non_null(strstr(x->problem, "no statuses are written without the lock"));
    assert_int_equal(x->f.gets + x->f.changes, 0);
    expect(x, "gloo/" A, "Accepted");
    fake_wait(&x->f, is_content, x);
}

static void steal(struct fake *f)
{
    // Another has the lock, and nobody has told us so far: as after a long sleep.
    f->held = NULL;
    struct fake_key *k = fake_find(f, LEADER);
    snprintf(k->session, sizeof(k->session), "theirs");
}

static bool was_refused(void *arg)
{
    return strstr(((struct world *)arg)->f.seen, "refused") != NULL;
}

static bool asked_again(void *arg)
{
    const char *at = strstr(((struct world *)arg)->f.seen, "refused");
    return at && strstr(at, "acquire");
}

static void who_lost_the_lock_cannot_write(void **state)
{
    struct world *x = *state;
    in_value(x);
    put(x, A, "x: 1\n");
    x->f.after_get = steal;
    set(x, A, NULL);
    begin(x);
    fake_wait(&x->f, was_refused, x);
    fake_wait(&x->f, asked_again, x);
    assert_string_equal(fake_find(&x->f, "gloo/" A)->value, "x: 1\n");
    assert_int_equal(x->f.writes, 0);
}

// Who watches keys has their texts from here, whatever becomes of the statuses.
static void keep_on_io(void *arg)
{
    struct world *x = arg;
    const char *text = sld_consul_status_keep(x->w, SLD_STR(A));
    sld_consul_status_seen(x->w, SLD_STR(A), SLD_STR("x: 1\n"), 1);
    sld_consul_status_unseen(x->w, SLD_STR(A));
    sld_consul_status_set(x->w, SLD_STR(A), NULL, NS);
    assert_string_equal(text, A);
    sld_consul_status_let(x->w, SLD_STR(A));
}

static void a_key_that_is_kept(void **state)
{
    struct world *x = *state;
    io_do(&x->f.io, keep_on_io, x);
}

// ---- The ceiling ----

enum { MANY = 300 };

static void set_many(void *arg)
{
    struct world *x = arg;
    for (unsigned i = 0; i < MANY; i++) {
        char key[80];
        snprintf(key, sizeof(key), "gloo.solo.io/v1/Upstream/gloo-system/u%u", i);
        sld_consul_status_seen(x->w, sld_str_c(key), SLD_STR("x: 1\n"), 1);
        sld_consul_status_set(x->w, sld_str_c(key), x->status, NS);
    }
}

static bool many_are_last(void *arg)
{
    struct world *x = arg;
    unsigned n = 0;
    for (size_t i = 0; i < x->f.count; i++)
        n += strstr(x->f.keys[i].value, "the last word") != NULL;
    return n == MANY;
}

static void a_hundred_a_second_and_the_newest(void **state)
{
    struct world *x = *state;
    begin(x);
    for (int round = 0; round < 20; round++) {
        set(x, A, round == 19 ? "the last word" : "a word");
        io_do(&x->f.io, set_many, x);
    }
    fake_wait(&x->f, many_are_last, x);
    // What was overtaken before its turn was not written; the first ones may have been.
    assert_true(x->f.writes >= MANY && x->f.writes < 2 * MANY);
    for (unsigned i = 50; i < x->f.writes; i++) {
        uint64_t ms = (x->f.write_ns[i] - x->f.write_ns[0]) / 1000000;
        assert_true(i + 1 <= 50 + 63 + ms / 10 + 1);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_value_gets_its_status),
        T(a_status_that_is_there_is_not_written),
        T(a_dropped_status_comes_again),
        T(what_changes_meanwhile_is_not_lost),
        T(one_bad_key_alone),
        T(two_of_one_name),
        T(an_answer_that_was_under_way),
        T(a_large_value_gets_none),
        T(beside_values_stay_untouched),
        T(findings_are_bounded_and_counted),
        T(a_restart_writes_nothing),
        T(others_keep_theirs),
        T(automatic),
        T(what_was_recorded_counts),
        T(leftovers_mean_gloo),
        T(nowhere_asks_nothing),
        T(failures_are_told_and_end),
        T(a_list_that_was_cut_is_none),
        T(without_the_lock_nothing_is_written),
        T(who_lost_the_lock_cannot_write),
        T(a_key_that_is_kept),
        T(a_hundred_a_second_and_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
