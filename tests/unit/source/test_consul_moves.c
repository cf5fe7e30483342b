// The KV source when Settings name another Consul: what is in force is expected there, too
// (core/source/consul/kv_trust.c).
#include "source/kv_world.h"

static void open_by_settings_on_io(void *arg)
{
    struct fake *f = arg;
    f->address = "consul:///gloo";
    fake_source_open(f);
}

static void move_on_io(void *arg)
{
    struct fake *f = arg;
    sld_consul_source_ops.configure(f->s, &f->settings);
}

// The source of F, with three objects of it, is told to ask TO.
static struct fake *moves(struct fake *to)
{
    static const size_t once = 1;
    struct fake *f = fake_start();
    static Gloo__ConsulConfiguration consul;
    static char at[2][32];
    gloo__consul_configuration__init(&consul);
    for (int i = 0; i < 2; i++)
        snprintf(at[i], sizeof(at[i]), "127.0.0.1:%d", i ? to->port : f->port);
    f->settings.consul = &consul;
    consul.address = at[0];
    for (int i = 0; i < 3; i++)
        put(f, (const char *[]){VS "v0", VS "v1", VS "v2"}[i], "first");
    io_do(&f->io, open_by_settings_on_io, f);
    until(f, is_synced, &once);
    until(f, all_told, NULL);
    consul.address = at[1];
    io_do(&f->io, move_on_io, f);
    forget(f); // what the other one has counts
    return f;
}

// What is in force is expected there: an empty one may be a mistake in the Settings.
static void an_empty_store_in_place_of_another_is_doubted(void **state)
{
    (void)state;
    struct fake *to = fake_start(), *f = moves(to);
    until(f, problem_has, "Consul has none of the 3 objects that were there");
    put(to, VS "v1", "second");
    until_puts(f, 4);
    assert_int_equal(number(f, &f->gones), 0);
    put(to, SENTINEL, "trust");
    until_gones(f, 2);
    until(f, no_problem, NULL);
    fake_stop(f);
    fake_stop(to);
}

static void most_of_another_store_is_enough(void **state)
{
    (void)state;
    struct fake *to = fake_start();
    put(to, VS "v0", "second");
    put(to, VS "v1", "second");
    struct fake *f = moves(to);
    until(f, problem_has, "1 of 3 objects that were there are not back");
    put(to, VS "v2", "second");
    until(f, no_problem, NULL);
    until_puts(f, 6);
    assert_int_equal(number(f, &f->gones), 0);
    fake_stop(f);
    fake_stop(to);
}

// One that Solder knows is believed, with few objects too.
static void another_store_with_a_sentinel_is_believed(void **state)
{
    (void)state;
    struct fake *to = fake_start();
    put(to, SENTINEL, "{\"id\": \"its own\"}");
    struct fake *f = moves(to);
    until_gones(f, 3);
    until(f, no_problem, NULL);
    fake_stop(f);
    fake_stop(to);
}

int main(void)
{
    sld_log_set_level(SLD_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_store_in_place_of_another_is_doubted),
        cmocka_unit_test(most_of_another_store_is_enough),
        cmocka_unit_test(another_store_with_a_sentinel_is_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
