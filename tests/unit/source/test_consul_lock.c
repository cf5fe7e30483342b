// The lock among several Solders, against a Consul that fails (core/source/consul/lock.c).
#include "source/consul_fake.h"

#include <unistd.h>

#include "source/consul/lock.h"

#define KEY "gloo/solder/leader"

struct world {
    struct fake f;
    Gloo__Settings settings;
    struct sld_consul *c;
    struct consul_lock *l;
    unsigned taken, lost, problems;
    bool held;
    char problem[512];
    uint64_t ttl_ms;
    unsigned wanted; // of whatever a test waits for
    const char *expected;
    char holder[512], ours[256];
};

static void on_change(void *user, bool held)
{
    struct world *w = user;
    assert_int_not_equal(held, w->held);
    w->held = held;
    w->taken += held;
    w->lost += !held;
    assert_int_equal(consul_lock_session(w->l).n > 0, held);
    sem_post(&w->f.news);
}

static void on_problem(void *user, struct sld_str message)
{
    struct world *w = user;
    w->problems++;
    snprintf(w->problem, sizeof(w->problem), "%.*s", SLD_FMT(message));
    sem_post(&w->f.news);
}

static void begin_on_io(void *arg)
{
    struct world *w = arg;
    struct sld_err err = {0};
    const struct consul_lock_options o = {.key = SLD_STR(KEY),
                                          .ttl_ms = w->ttl_ms,
                                          .lock_delay_ms = 50,
                                          .on_change = on_change,
                                          .on_problem = on_problem,
                                          .user = w};
    assert_int_equal(
        sld_consul_get(w->f.io.loop, sld_str_c(w->f.address), &w->settings, &w->c, &err), SLD_OK);
    w->l = consul_lock_create(w->f.io.loop, w->c, &o);
}

static int setup(void **state)
{
    struct world *w = SLD_NEW(struct world);
    gloo__settings__init(&w->settings);
    w->ttl_ms = 300;
    fake_start(&w->f);
    *state = w;
    return 0;
}

static void end_on_io(void *arg)
{
    struct world *w = arg;
    consul_lock_destroy(w->l);
    sld_consul_release(w->c);
    w->l = NULL;
    w->c = NULL;
}

static int teardown(void **state)
{
    struct world *w = *state;
    io_do(&w->f.io, end_on_io, w);
    fake_stop(&w->f);
    sld_xfree(w);
    return 0;
}

static bool is_held(void *arg)
{
    return ((struct world *)arg)->held;
}

static bool is_lost(void *arg)
{
    return !((struct world *)arg)->held;
}

static bool renewed(void *arg)
{
    struct world *w = arg;
    return w->f.renewals >= w->wanted;
}

static bool complained(void *arg)
{
    return ((struct world *)arg)->problem[0] != 0;
}

static bool content(void *arg)
{
    return ((struct world *)arg)->problem[0] == 0;
}

static void begin(struct world *w)
{
    io_do(&w->f.io, begin_on_io, w);
}

static void it_is_taken_and_kept(void **state)
{
    struct world *w = *state;
    begin(w);
    fake_wait(&w->f, is_held, w);
    w->wanted = 5; // nearly two times the session's life
    fake_wait(&w->f, renewed, w);
    assert_int_equal(w->taken, 1);
    assert_int_equal(w->lost, 0);
    assert_int_equal(w->f.sessions, 1);
    assert_int_equal(w->problems, 0);
    const struct fake_key *k = fake_find(&w->f, KEY);
    assert_string_equal(k->session, "session-1");
    assert_non_null(strstr(k->value, "\"pid\":"));
}

static void give_to_other(void *arg)
{
    struct world *w = arg;
    struct fake_key *k = fake_put(&w->f, KEY, SLD_STR("{}"));
    snprintf(k->session, sizeof(k->session), "%s", "theirs");
    k->index = ++w->f.index; // who waited was answered by the put, and may wait again
    fake_wake(&w->f);
}

static void take_from_other(void *arg)
{
    struct world *w = arg;
    struct fake_key *k = fake_put(&w->f, KEY, SLD_STR("{}"));
    k->session[0] = 0;
    k->index = ++w->f.index;
    fake_wake(&w->f);
}

static unsigned acquires(const struct world *w)
{
    unsigned n = 0;
    for (const char *at = w->f.seen; (at = strstr(at, "acquire ")); at++)
        n++;
    return n;
}

static void holder_on_io(void *arg)
{
    struct world *w = arg;
    snprintf(w->holder, sizeof(w->holder), "%.*s", SLD_FMT(consul_lock_holder(w->l)));
}

static bool has_holder(void *arg)
{
    struct world *w = arg;
    holder_on_io(w);
    return strcmp(w->holder, w->expected) == 0;
}

static void say_who(void *arg)
{
    struct world *w = arg;
    struct fake_key *k = fake_put(&w->f, KEY, SLD_STR("{\"host\": \"there\", \"pid\": 7, \"more\": [1]}"));
    snprintf(k->session, sizeof(k->session), "%s", "theirs");
    k->index = ++w->f.index;
    fake_wake(&w->f);
}

// Who has it is known to all who want it.
static void the_holder_is_known(void **state)
{
    struct world *w = *state;
    char host[200] = "";
    (void)gethostname(host, sizeof(host) - 1);
    io_do(&w->f.io, give_to_other, w);
    begin(w);
    w->expected = "somebody who does not say who";
    fake_wait(&w->f, has_holder, w);
    io_do(&w->f.io, say_who, w);
    w->expected = "there (pid 7)";
    fake_wait(&w->f, has_holder, w);
    io_do(&w->f.io, take_from_other, w);
    w->expected = w->ours;
    snprintf(w->ours, sizeof(w->ours), "%s (pid %d)", host, (int)getpid());
    fake_wait(&w->f, has_holder, w);
    assert_true(w->held);
}

static void others_have_it_first(void **state)
{
    struct world *w = *state;
    io_do(&w->f.io, give_to_other, w);
    begin(w);
    w->wanted = 5;
    fake_wait(&w->f, renewed, w);
    assert_int_equal(w->taken, 0);
    assert_true(acquires(w) <= 2); // the watch tells when it is worth asking
    io_do(&w->f.io, take_from_other, w);
    fake_wait(&w->f, is_held, w);
}

// Nobody gets it for a while after its holder vanished; sessions are to be renewed meanwhile.
static void a_delay_is_waited_out(void **state)
{
    struct world *w = *state;
    w->ttl_ms = 900;
    w->f.refuse_acquires = 4;
    begin(w);
    fake_wait(&w->f, is_held, w);
    assert_int_equal(w->f.refuse_acquires, 0);
    assert_true(w->f.renewals <= 5); // each was followed by a question for the lock
    assert_int_equal(w->f.sessions, 1);
}

static void end_session(void *arg)
{
    fake_end_session(&((struct world *)arg)->f, 1);
}

static bool has_two_sessions(void *arg)
{
    struct world *w = arg;
    return w->f.sessions == 2 && w->held;
}

static void a_lost_session_is_made_anew(void **state)
{
    struct world *w = *state;
    w->ttl_ms = 60000; // the watch tells, long before a renewal
    begin(w);
    fake_wait(&w->f, is_held, w);
    io_do(&w->f.io, end_session, w);
    fake_wait(&w->f, has_two_sessions, w);
    assert_int_equal(w->lost, 1);
    assert_int_equal(w->problems, 0);
    assert_string_equal(fake_find(&w->f, KEY)->session, "session-2");
}

static void mute_and_end(void *arg)
{
    struct world *w = arg;
    w->f.mute = true;
    fake_end_session(&w->f, 1);
}

// The watch may be late: a renewal that finds no session tells as well.
static void a_renewal_finds_no_session(void **state)
{
    struct world *w = *state;
    w->ttl_ms = 3000; // it does not end by itself before
    begin(w);
    fake_wait(&w->f, is_held, w);
    io_do(&w->f.io, mute_and_end, w);
    fake_wait(&w->f, has_two_sessions, w);
    assert_int_equal(w->lost, 1);
}

static void who_lost_it_to_another_stops(void **state)
{
    struct world *w = *state;
    begin(w);
    fake_wait(&w->f, is_held, w);
    io_do(&w->f.io, give_to_other, w);
    fake_wait(&w->f, is_lost, w);
    assert_string_equal(fake_find(&w->f, KEY)->session, "theirs");
}

static void remove_key(void *arg)
{
    fake_remove(&((struct world *)arg)->f, KEY);
}

static bool is_locked_again(void *arg)
{
    struct world *w = arg;
    const struct fake_key *k = fake_find(&w->f, KEY);
    return w->held && k && k->session[0];
}

static void a_key_that_was_removed_is_taken_again(void **state)
{
    struct world *w = *state;
    begin(w);
    fake_wait(&w->f, is_held, w);
    io_do(&w->f.io, remove_key, w);
    fake_wait(&w->f, is_locked_again, w);
    assert_int_equal(w->f.sessions, 1);
}

static void fail_renewals(void *arg)
{
    struct world *w = arg;
    w->f.fail = "/v1/session/renew";
    w->f.fail_status = 500;
    w->f.fail_body = "No cluster leader";
    w->f.fail_times = UINT32_MAX;
}

static void heal(void *arg)
{
    ((struct world *)arg)->f.fail = NULL;
}

// Consul would give it to another after the session's life: we know of none that lives longer.
static void what_is_not_renewed_ends(void **state)
{
    struct world *w = *state;
    begin(w);
    fake_wait(&w->f, is_held, w);
    io_do(&w->f.io, fail_renewals, w);
    fake_wait(&w->f, is_lost, w);
    assert_string_equal(fake_find(&w->f, KEY)->session, "session-1"); // nobody has told us
    fake_wait(&w->f, complained, w);
    assert_non_null(strstr(w->problem, KEY ": Consul answered 500: No cluster leader"));
    io_do(&w->f.io, heal, w);
    fake_wait(&w->f, is_held, w);
    fake_wait(&w->f, content, w);
    assert_int_equal(w->f.sessions, 1);
}

// No answer is no renewal either.
static void silence_ends_it(void **state)
{
    struct world *w = *state;
    begin(w);
    fake_wait(&w->f, is_held, w);
    io_do(&w->f.io, fail_renewals, w);
    w->f.fail_status = 0;
    fake_wait(&w->f, is_lost, w);
    io_do(&w->f.io, heal, w);
    fake_wait(&w->f, is_held, w);
}

static void without_rights(void **state)
{
    struct world *w = *state;
    w->f.fail = "/v1/session/create";
    w->f.fail_status = 403;
    w->f.fail_body = "Permission denied";
    w->f.fail_times = 1;
    begin(w);
    fake_wait(&w->f, complained, w);
    assert_non_null(strstr(w->problem, "403: Permission denied; mend the token"));
    fake_wait(&w->f, is_held, w);
    fake_wait(&w->f, content, w);
    assert_int_equal(w->problems, 2);
}

static void doubt(void *arg)
{
    struct world *w = arg;
    consul_lock_doubt(w->l);
    assert_false(w->held);
}

static void a_doubt_is_cleared(void **state)
{
    struct world *w = *state;
    w->ttl_ms = 60000; // renewals do not help
    begin(w);
    fake_wait(&w->f, is_held, w);
    io_do(&w->f.io, doubt, w);
    fake_wait(&w->f, is_held, w);
    assert_int_equal(w->taken, 2);
}

static void farewell_on_io(void *arg)
{
    struct world *w = arg;
    w->f.seen[0] = 0;
    end_on_io(w);
}

static bool said_farewell(void *arg)
{
    return strstr(((struct world *)arg)->f.seen, "destroy") != NULL;
}

static void it_is_given_back(void **state)
{
    struct world *w = *state;
    w->ttl_ms = 60000;
    begin(w);
    fake_wait(&w->f, is_held, w);
    io_do(&w->f.io, farewell_on_io, w);
    fake_wait(&w->f, said_farewell, w);
    assert_string_equal(w->f.seen, "release destroy ");
    assert_string_equal(fake_find(&w->f, KEY)->session, "");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(it_is_taken_and_kept),
        T(others_have_it_first),
        T(the_holder_is_known),
        T(a_delay_is_waited_out),
        T(a_lost_session_is_made_anew),
        T(a_renewal_finds_no_session),
        T(who_lost_it_to_another_stops),
        T(a_key_that_was_removed_is_taken_again),
        T(what_is_not_renewed_ends),
        T(silence_ends_it),
        T(without_rights),
        T(a_doubt_is_cleared),
        T(it_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
