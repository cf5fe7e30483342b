// What is kept of services over restarts (core/source/discovery_state.c).
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop/loop.h"
#include "source/discovery.h"

struct world {
    struct sld_loop *io;
    char dir[64], file[96];
    char seen[4096]; // what each gave
};

static int setup(void **state)
{
    struct world *w = *state = SLD_NEW(struct world);
    w->io = sld_loop_create("io");
    snprintf(w->dir, sizeof(w->dir), "/tmp/sld-memory-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->file, sizeof(w->file), "%s/services.consul", w->dir);
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    sld_loop_destroy(w->io);
    unlink(w->file);
    rmdir(w->dir);
    sld_xfree(w);
    return 0;
}

static struct sld_discovery_memory *begin(struct world *w)
{
    return sld_discovery_memory_open(w->io, sld_str_c(w->dir), "consul");
}

static void set(struct sld_discovery_memory *m, const char *name, const char *address)
{
    struct sld_str tags[] = {SLD_STR("v1"), SLD_STR("a \"b\"\n")}, dcs[] = {SLD_STR("dc1")};
    struct sld_label meta[] = {{SLD_STR("k \"1\""), SLD_STR("v\\")}, {SLD_STR("a"), SLD_STR("")}};
    struct sld_instance it = {.address = sld_str_c(address),
                              .hostname = SLD_STR("h.example"),
                              .port = 65535,
                              .weight = 7,
                              .draining = true,
                              .tags = tags,
                              .tag_count = 2,
                              .datacenter = SLD_STR("dc1"),
                              .node = SLD_STR("n1"),
                              .id = SLD_STR("i1"),
                              .meta = meta,
                              .meta_count = 2,
                              .node_meta = meta,
                              .node_meta_count = 1};
    struct sld_service *s = sld_service_create(sld_str_c(name), tags, 2, dcs, 1);
    struct sld_instances *set = sld_instances_create();
    sld_instances_add(set, &it);
    sld_instances_seal(set);
    sld_discovery_memory_set(m, s, set);
    SLD_UNREF(s);
    SLD_UNREF(set);
}

static int by_line(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct lines {
    char *items[16];
    size_t n;
};

// Name and hashes: two services with the same text are equal in all they hold.
static void add_line(void *user, struct sld_service *s, struct sld_instances *set)
{
    struct lines *l = user;
    char a[17], b[17], text[256];
    sld_hash_text(s->obj.hash, a);
    sld_hash_text(set->obj.hash, b);
    snprintf(text, sizeof(text), "%.*s %s %s\n", SLD_FMT(s->name), a, b);
    assert_true(l->n < SLD_ARRAY_LEN(l->items));
    l->items[l->n++] = strdup(text);
}

static const char *seen(struct world *w, struct sld_discovery_memory *m)
{
    struct lines l = {.n = 0};
    size_t at = 0;
    sld_discovery_memory_each(m, add_line, &l);
    qsort(l.items, l.n, sizeof(l.items[0]), by_line);
    w->seen[0] = 0;
    for (size_t i = 0; i < l.n; i++) {
        at += (size_t)snprintf(w->seen + at, sizeof(w->seen) - at, "%s", l.items[i]);
        free(l.items[i]);
    }
    return w->seen;
}

// What is not there is no damage, and what is damaged is told.
static void test_first_start_says_nothing(void **state)
{
    struct world *w = *state;
    uint64_t warnings = sld_log_lines(SLD_WARN);
    sld_discovery_memory_close(begin(w), false);
    assert_int_equal(sld_log_lines(SLD_WARN), warnings);
    int fd = open(w->file, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
    sld_discovery_memory_close(begin(w), false);
    assert_int_equal(sld_log_lines(SLD_WARN), warnings + 1);
}

static void test_all_comes_back(void **state)
{
    struct world *w = *state;
    uint64_t warnings = sld_log_lines(SLD_WARN);
    struct sld_discovery_memory *m = begin(w);
    assert_int_equal(sld_log_lines(SLD_WARN), warnings); // that there is no file yet is no trouble
    assert_string_equal(seen(w, m), "");
    assert_int_equal(sld_discovery_memory_mark(m, SLD_STR("dc1")), 0);
    set(m, "web", "10.0.0.1");
    set(m, "a/\"b\"", "::1");
    sld_discovery_memory_set_mark(m, SLD_STR("dc1"), 4711);
    sld_discovery_memory_set_mark(m, SLD_STR("d\"c"), 1);
    char before[4096];
    snprintf(before, sizeof(before), "%s", seen(w, m));
    assert_non_null(strstr(before, "web "));
    sld_discovery_memory_close(m, false);
    struct stat st;
    assert_int_equal(stat(w->file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    m = begin(w);
    assert_string_equal(seen(w, m), before);
    assert_int_equal(sld_discovery_memory_mark(m, SLD_STR("dc1")), 4711);
    assert_int_equal(sld_discovery_memory_mark(m, SLD_STR("d\"c")), 1);
    // Another address of one is another set.
    set(m, "web", "10.0.0.2");
    assert_string_not_equal(seen(w, m), before);
    sld_discovery_memory_close(m, false);
}

static void test_what_is_forgotten(void **state)
{
    struct world *w = *state;
    struct sld_discovery_memory *m = begin(w);
    set(m, "a", "10.0.0.1");
    set(m, "b", "10.0.0.1");
    set(m, "c", "10.0.0.1");
    sld_discovery_memory_forget(m, SLD_STR("b"));
    sld_discovery_memory_forget(m, SLD_STR("nobody"));
    sld_discovery_memory_close(m, false);
    m = begin(w);
    assert_null(strstr(seen(w, m), "b "));
    set(m, "c", "10.0.0.1"); // as it was: known again
    sld_discovery_memory_forget_old(m);
    assert_int_equal(strncmp(seen(w, m), "c ", 2), 0);
    assert_null(strstr(seen(w, m), "a "));
    sld_discovery_memory_close(m, false);
    m = begin(w);
    assert_int_equal(strncmp(seen(w, m), "c ", 2), 0);
    sld_discovery_memory_close(m, true);
    assert_int_equal(access(w->file, F_OK), -1);
}

static char *text_of(const char *path, size_t *n)
{
    char *text = sld_xcalloc(1, 1U << 16);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t got = read(fd, text, (1U << 16) - 1);
    close(fd);
    assert_true(got > 0);
    *n = (size_t)got;
    return text;
}

static void write_text(const char *path, const char *text, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), (ssize_t)n);
    close(fd);
}

// Cut anywhere, or with any byte changed, it counts as none.
static void test_damaged_file(void **state)
{
    struct world *w = *state;
    struct sld_discovery_memory *m = begin(w);
    set(m, "web", "10.0.0.1");
    sld_discovery_memory_close(m, false);
    size_t n;
    char *text = text_of(w->file, &n);
    for (size_t i = 0; i < n; i += 7) {
        write_text(w->file, text, i);
        m = begin(w);
        assert_string_equal(seen(w, m), "");
        sld_discovery_memory_close(m, false);
        text[i] ^= 1;
        write_text(w->file, text, n);
        text[i] ^= 1;
        m = begin(w);
        assert_string_equal(seen(w, m), "");
        sld_discovery_memory_close(m, false);
    }
    write_text(w->file, text, n);
    m = begin(w);
    assert_string_not_equal(seen(w, m), "");
    sld_discovery_memory_close(m, false);
    sld_xfree(text);
    unlink(w->file);
    assert_int_equal(mkdir(w->file, 0700), 0); // not even a file
    m = begin(w);
    assert_string_equal(seen(w, m), "");
    sld_discovery_memory_close(m, false);
    rmdir(w->file);
}

struct waiting {
    struct world *w;
    struct sld_timer *timer;
};

static void look(void *user)
{
    struct waiting *x = user;
    if (access(x->w->file, F_OK) == 0)
        sld_loop_stop(x->w->io);
    else
        sld_timer_start(x->timer, 20);
}

// It is on disk some time after a change, not only at the end.
static void test_written_meanwhile(void **state)
{
    struct world *w = *state;
    struct sld_discovery_memory *m = begin(w);
    set(m, "web", "10.0.0.1");
    struct waiting x = {.w = w};
    x.timer = sld_timer_create(w->io, look, &x);
    sld_timer_start(x.timer, 1);
    sld_loop_run(w->io);
    sld_timer_destroy(x.timer);
    struct sld_discovery_memory *other = begin(w); // as after kill -9
    assert_int_equal(strncmp(seen(w, other), "web ", 4), 0);
    sld_discovery_memory_close(other, false);
    set(m, "later", "10.0.0.1");
    sld_discovery_memory_close(m, false); // also while a write runs or rests
    m = begin(w);
    assert_non_null(strstr(seen(w, m), "later "));
    sld_discovery_memory_close(m, false);
}

// A directory that cannot be written costs the memory alone.
static void test_nowhere_to_write(void **state)
{
    struct world *w = *state;
    struct sld_discovery_memory *m =
        sld_discovery_memory_open(w->io, SLD_STR("/proc/self/no/such"), "consul");
    set(m, "web", "10.0.0.1");
    assert_string_not_equal(seen(w, m), "");
    sld_discovery_memory_close(m, false);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_first_start_says_nothing),
        CASE(test_all_comes_back),
        CASE(test_what_is_forgotten),
        CASE(test_damaged_file),
        CASE(test_written_meanwhile),
        CASE(test_nowhere_to_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
