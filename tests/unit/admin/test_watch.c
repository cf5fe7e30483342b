// Watches: waiting for the index, and requests whose answer takes its time.
#include "admin/support.h"

static int setup(void **state)
{
    struct fixture *f = SLD_NEW(struct fixture);
    start(f, false);
    *state = f;
    return 0;
}

static int setup_threads(void **state)
{
    struct fixture *f = SLD_NEW(struct fixture);
    start(f, true);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    stop(*state);
    sld_xfree(*state);
    return 0;
}

static int ask(struct fixture *f, const char *target)
{
    int fd = dial(f->port);
    send_request(fd, "GET", target, "");
    return fd;
}

static void advance(void *arg)
{
    struct fixture *f = arg;
    f->model.index++;
    sld_admin_changed(f->admin, f->model.index);
}

// Waits until N requests are parked: /metrics tells.
static void wait_parked(struct fixture *f, int n)
{
    char line[64];
    bool there = false;
    snprintf(line, sizeof(line), "solder_admin_watches %d\n", n);
    for (int i = 0; i < 10000 && !there; i++) {
        struct response r = get(f, "/metrics");
        there = strstr(r.body, line) != NULL;
        response_free(&r);
    }
    assert_true(there);
}

static void test_woken(void **state)
{
    struct fixture *f = *state;
    int list = ask(f, "/v1/objects?index=1&wait=10m");
    int findings = ask(f, "/v1/findings?index=1");
    int one = ask(f, "/v1/objects/us/gloo-system/web?index=1");
    wait_parked(f, 3);
    io_do(&f->io, advance, f);
    struct response r = read_response(list);
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(r.head, "x-solder-index: 2"));
    response_free(&r);
    r = read_response(findings);
    assert_int_equal(r.status, 200);
    response_free(&r);
    r = read_response(one);
    assert_int_equal(r.status, 404);
    response_free(&r);
    wait_parked(f, 0);
}

// An index that is behind, or of an earlier process, is answered at once.
static void test_at_once(void **state)
{
    struct fixture *f = *state;
    struct sld_arena a = {0};
    io_do(&f->io, advance, f);
    (void)get_json(f, &a, "/v1/objects?index=1&wait=10m", 200);
    (void)get_json(f, &a, "/v1/objects?index=0&wait=10m", 200);
    (void)get_json(f, &a, "/v1/objects?index=77&wait=10m", 200);
    (void)get_json(f, &a, "/v1/objects?index=2&wait=0s", 200);
    sld_arena_fini(&a);
}

static void test_time_over(void **state)
{
    struct fixture *f = *state;
    struct sld_arena a = {0};
    const struct sld_node *n = get_json(f, &a, "/v1/objects?index=1&wait=5ms", 200);
    expect(n, "index", "1");
    sld_arena_fini(&a);
}

static void test_too_many(void **state)
{
    struct fixture *f = *state;
    int fds[100];
    for (size_t i = 0; i < SLD_ARRAY_LEN(fds); i++)
        fds[i] = ask(f, "/v1/objects?index=1&wait=10m");
    wait_parked(f, 100);
    struct response r = get(f, "/v1/objects?index=1&wait=10m");
    assert_int_equal(r.status, 503);
    assert_non_null(strstr(r.head, "retry-after: 1"));
    assert_non_null(strstr(r.body, "urn:solder:busy"));
    response_free(&r);
    // Others are answered meanwhile.
    r = get(f, "/v1/objects");
    assert_int_equal(r.status, 200);
    response_free(&r);
    for (size_t i = 0; i < SLD_ARRAY_LEN(fds); i += 2)
        close(fds[i]);
    wait_parked(f, 50);
    io_do(&f->io, advance, f);
    for (size_t i = 1; i < SLD_ARRAY_LEN(fds); i += 2) {
        r = read_response(fds[i]);
        assert_int_equal(r.status, 200);
        response_free(&r);
    }
}

// The admin goes while requests wait, are queued, and are away.
static void test_destroyed(void **state)
{
    struct fixture *f = *state;
    int fds[30];
    hold(f);
    for (size_t i = 0; i < SLD_ARRAY_LEN(fds); i++)
        fds[i] = ask(f, i % 2 ? "/v1/objects" : "/v1/objects?index=1&wait=10m");
    for (int i = 0; i < 8; i++) // as many as may be away at a time
        wait_for(&f->asked);
    io_do(&f->io, close_on_io, f);
    assert_int_equal(f->held_count, 8);
    io_do(&f->io, release_held, f);
    for (size_t i = 0; i < SLD_ARRAY_LEN(fds); i++)
        close(fds[i]);
}

static void test_client_leaves(void **state)
{
    struct fixture *f = *state;
    hold(f);
    int fd = ask(f, "/v1/objects");
    wait_for(&f->asked);
    close(fd);
    int next = ask(f, "/v1/graph");
    wait_for(&f->asked);
    io_do(&f->io, release_held, f);
    struct response r = read_response(next);
    assert_int_equal(r.status, 200);
    response_free(&r);
}

// More requests than may be away at a time: all are answered.
static void test_queue(void **state)
{
    struct fixture *f = *state;
    int fds[40];
    for (size_t i = 0; i < SLD_ARRAY_LEN(fds); i++)
        fds[i] = ask(f, i % 3 ? "/v1/objects?spec=true" : "/metrics");
    for (size_t i = 0; i < SLD_ARRAY_LEN(fds); i++) {
        struct response r = read_response(fds[i]);
        assert_int_equal(r.status, 200);
        response_free(&r);
    }
}

static void jump(void *arg)
{
    ((struct fixture *)arg)->model.index = 5;
}

// Index from an answer of the model thread that is ahead of what io was told.
static void test_answer_ahead(void **state)
{
    struct fixture *f = *state;
    struct sld_arena a = {0};
    int fd = ask(f, "/v1/objects?index=1&wait=10m");
    wait_parked(f, 1);
    io_do(&f->io, jump, f);
    (void)get_json(f, &a, "/v1/objects", 200);
    struct response r = read_response(fd);
    assert_non_null(strstr(r.head, "x-solder-index: 5"));
    response_free(&r);
    sld_arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_woken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_time_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_destroyed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queue, setup_threads, teardown),
        cmocka_unit_test_setup_teardown(test_answer_ahead, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
