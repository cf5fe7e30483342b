// File watching: which events reach the owner of a watched tree.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/loop.h"
#include "tree.h"

enum { EVENTS_MAX = 4096, WAIT_MS = 5000 };

struct fixture {
    struct sld_loop *loop;
    struct sld_timer *limit;
    struct sld_fswatch *watch;
    struct {
        enum sld_fs_event ev;
        char path[256];
    } events[EVENTS_MAX];
    size_t count;
    const char *want_path; // ends the loop when it comes
    enum sld_fs_event want;
    bool met;
};

static void on_event(enum sld_fs_event ev, struct sld_str path, void *user)
{
    struct fixture *f = user;
    if (f->count < EVENTS_MAX) {
        f->events[f->count].ev = ev;
        snprintf(f->events[f->count].path, sizeof(f->events[0].path), "%.*s", SLD_FMT(path));
        f->count++;
    }
    if (f->want_path && ev == f->want && sld_str_eq(path, sld_str_c(f->want_path))) {
        f->met = true;
        sld_loop_stop(f->loop);
    }
}

static void on_limit(void *user)
{
    sld_loop_stop(((struct fixture *)user)->loop);
}

static int setup(void **state)
{
    struct fixture *f = SLD_NEW(struct fixture);
    tree_create();
    f->loop = sld_loop_create("test");
    f->limit = sld_timer_create(f->loop, on_limit, f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sld_fswatch_destroy(f->watch);
    sld_timer_destroy(f->limit);
    sld_loop_destroy(f->loop);
    tree_destroy();
    sld_xfree(f);
    return 0;
}

static void watch(struct fixture *f, const char *rel)
{
    f->watch = sld_fswatch_create(f->loop, sld_str_c(tree_path(rel)), on_event, f);
}

// Runs the loop until EV on PATH came.
static void expect(struct fixture *f, enum sld_fs_event ev, const char *path)
{
    f->want = ev;
    f->want_path = path;
    f->met = false;
    sld_timer_start(f->limit, WAIT_MS);
    sld_loop_run(f->loop);
    sld_timer_stop(f->limit);
    if (!f->met) {
        for (size_t i = 0; i < f->count; i++)
            print_message("had event %d on '%s'\n", f->events[i].ev, f->events[i].path);
        fail_msg("event %d on '%s' did not come", ev, path);
    }
    f->want_path = NULL;
}

static size_t seen(const struct fixture *f, enum sld_fs_event ev, const char *path)
{
    size_t n = 0;
    for (size_t i = 0; i < f->count; i++)
        n += f->events[i].ev == ev && strcmp(f->events[i].path, path) == 0;
    return n;
}

// Events of one watch come in order: once this marker was met, all before it were.
static void drain(struct fixture *f)
{
    static int n;
    char name[32];
    snprintf(name, sizeof(name), "marker-%d", n++);
    tree_write(name, "x");
    expect(f, SLD_FS_CHANGED, name);
}

static void test_close_tells_not_creation(void **state)
{
    struct fixture *f = *state;
    watch(f, "");
    int fd = tree_begin("a.yaml", "half");
    expect(f, SLD_FS_WRITING, "a.yaml");
    drain(f);
    assert_int_equal(seen(f, SLD_FS_CHANGED, "a.yaml"), 0);
    close(fd);
    expect(f, SLD_FS_CHANGED, "a.yaml");
}

static void test_rename_and_removal(void **state)
{
    struct fixture *f = *state;
    tree_write("a.yaml", "x");
    watch(f, "");
    tree_rename("a.yaml", "b.yaml");
    expect(f, SLD_FS_CHANGED, "b.yaml");
    assert_int_equal(seen(f, SLD_FS_GONE, "a.yaml"), 1);
    tree_unlink("b.yaml");
    expect(f, SLD_FS_GONE, "b.yaml");
}

static void test_hard_link_is_told(void **state)
{
    struct fixture *f = *state;
    tree_write("a.yaml", "x");
    watch(f, "");
    assert_int_equal(link(tree_path("a.yaml"), tree_path("b.yaml")), 0);
    expect(f, SLD_FS_CHANGED, "b.yaml");
}

static void test_new_directories_are_watched(void **state)
{
    struct fixture *f = *state;
    watch(f, "");
    tree_mkdir("d");
    expect(f, SLD_FS_DIR, "d");
    tree_mkdir("d/e");
    expect(f, SLD_FS_DIR, "d/e");
    tree_write("d/e/a.yaml", "x");
    expect(f, SLD_FS_CHANGED, "d/e/a.yaml");
}

static void test_moved_directory_has_its_new_path(void **state)
{
    struct fixture *f = *state;
    tree_mkdir("d");
    tree_mkdir("d/sub");
    watch(f, "");
    tree_rename("d", "e");
    expect(f, SLD_FS_DIR, "e");
    assert_int_equal(seen(f, SLD_FS_GONE, "d"), 1);
    tree_write("e/sub/a.yaml", "x");
    expect(f, SLD_FS_CHANGED, "e/sub/a.yaml");
    assert_int_equal(seen(f, SLD_FS_CHANGED, "d/sub/a.yaml"), 0);
}

static void test_removed_and_made_again_before_events_are_read(void **state)
{
    struct fixture *f = *state;
    tree_mkdir("d");
    watch(f, "");
    tree_unlink("d");
    tree_mkdir("d");
    expect(f, SLD_FS_DIR, "d");
    drain(f);
    tree_write("d/a.yaml", "x");
    expect(f, SLD_FS_CHANGED, "d/a.yaml");
}

static void test_root_comes_goes_and_comes(void **state)
{
    struct fixture *f = *state;
    watch(f, "x/y");
    tree_mkdir("x");
    tree_mkdir("x/y");
    expect(f, SLD_FS_DIR, "");
    tree_write("x/y/a.yaml", "1");
    expect(f, SLD_FS_CHANGED, "a.yaml");
    tree_unlink("x/y/a.yaml");
    tree_unlink("x/y");
    expect(f, SLD_FS_GONE, "");
    tree_unlink("x");
    tree_mkdir("x");
    tree_mkdir("x/y");
    expect(f, SLD_FS_DIR, "");
    tree_write("x/y/b.yaml", "1");
    expect(f, SLD_FS_CHANGED, "b.yaml");
}

static void test_root_replaced_by_rename(void **state)
{
    struct fixture *f = *state;
    tree_mkdir("r");
    tree_mkdir("r2");
    watch(f, "r");
    tree_rename("r", "r1");
    tree_rename("r2", "r");
    expect(f, SLD_FS_DIR, "");
    tree_write("r/a.yaml", "1");
    expect(f, SLD_FS_CHANGED, "a.yaml");
}

static void test_root_is_a_swapped_symlink(void **state)
{
    struct fixture *f = *state;
    tree_mkdir("v1");
    tree_mkdir("v2");
    tree_symlink("v1", "current");
    watch(f, "current");
    tree_symlink("v2", "next");
    tree_rename("next", "current");
    expect(f, SLD_FS_DIR, "");
    tree_write("v2/a.yaml", "1");
    expect(f, SLD_FS_CHANGED, "a.yaml");
}

static void test_kubernetes_swap(void **state)
{
    struct fixture *f = *state;
    tree_mkdir("..1");
    tree_mkdir("..1/sub");
    tree_symlink("..1", "..data");
    tree_symlink("..data/sub", "sub");
    watch(f, "");
    tree_mkdir("..2");
    tree_mkdir("..2/sub");
    tree_symlink("..2", "..data_tmp");
    tree_rename("..data_tmp", "..data");
    expect(f, SLD_FS_DIR, "");
    assert_int_equal(seen(f, SLD_FS_DIR, "..2"), 0);
    tree_write("sub/a.yaml", "1");
    expect(f, SLD_FS_CHANGED, "sub/a.yaml");
}

static void test_symlink_loop_ends_and_counts_once(void **state)
{
    struct fixture *f = *state;
    tree_mkdir("z");
    tree_symlink("../z", "z/loop");
    tree_symlink("z", "a");
    tree_symlink(".", "self"); // two of them: following them again would take 2^40 steps
    tree_symlink(".", "self2");
    watch(f, "");
    tree_write("z/f.yaml", "1");
    expect(f, SLD_FS_CHANGED, "z/f.yaml");
    drain(f);
    assert_int_equal(seen(f, SLD_FS_CHANGED, "a/f.yaml"), 0);
    assert_int_equal(seen(f, SLD_FS_CHANGED, "z/loop/f.yaml"), 0);
}

static void test_target_of_file_link(void **state)
{
    struct fixture *f = *state;
    tree_mkdir("r");
    tree_mkdir("out");
    tree_write("out/t", "1");
    tree_symlink("../out/t", "r/a.yaml");
    watch(f, "r");
    tree_write("out/t", "2");
    expect(f, SLD_FS_CHANGED, "a.yaml");
    tree_replace("out/t", "3"); // another inode
    expect(f, SLD_FS_CHANGED, "a.yaml");
    f->count = 0;
    tree_write("out/t", "4");
    expect(f, SLD_FS_CHANGED, "a.yaml");
}

static void test_former_target_is_let_go(void **state)
{
    struct fixture *f = *state;
    tree_mkdir("r");
    tree_mkdir("out");
    tree_write("out/t", "1");
    tree_symlink("../out/t", "r/a.yaml");
    watch(f, "r");
    tree_rename("out/t", "out/former");
    expect(f, SLD_FS_CHANGED, "a.yaml");
    f->count = 0;
    tree_write("out/former", "2");
    tree_write("r/end.yaml", "2");
    expect(f, SLD_FS_CHANGED, "end.yaml");
    assert_int_equal(seen(f, SLD_FS_CHANGED, "a.yaml"), 0);
}

// A symlink above the root's parent is swapped: no watched directory changes.
static void test_refresh_finds_a_root_replaced_from_above(void **state)
{
    struct fixture *f = *state;
    tree_mkdir("v1");
    tree_mkdir("v1/d");
    tree_mkdir("v1/d/r");
    tree_mkdir("v2");
    tree_mkdir("v2/d");
    tree_mkdir("v2/d/r");
    tree_symlink("v1", "current");
    watch(f, "current/d/r");
    tree_symlink("v2", "next");
    tree_rename("next", "current");
    sld_fswatch_refresh(f->watch);
    assert_int_equal(seen(f, SLD_FS_DIR, ""), 1);
    tree_write("v2/d/r/a.yaml", "1");
    expect(f, SLD_FS_CHANGED, "a.yaml");
}

static void test_new_link_to_directory(void **state)
{
    struct fixture *f = *state;
    tree_mkdir("r");
    tree_mkdir("out");
    watch(f, "r");
    tree_symlink("../out", "r/l");
    expect(f, SLD_FS_DIR, "l");
    tree_write("out/a.yaml", "1");
    expect(f, SLD_FS_CHANGED, "l/a.yaml");
    tree_unlink("r/l");
    expect(f, SLD_FS_GONE, "l");
    f->count = 0;
    tree_write("out/a.yaml", "2");
    tree_write("r/end.yaml", "2");
    expect(f, SLD_FS_CHANGED, "end.yaml");
    assert_int_equal(seen(f, SLD_FS_CHANGED, "l/a.yaml"), 0);
}

static void test_hidden_names_are_silent(void **state)
{
    struct fixture *f = *state;
    tree_mkdir(".git");
    watch(f, "");
    tree_write(".git/a.yaml", "1");
    tree_write(".a.yaml.swp", "1");
    drain(f);
    for (size_t i = 0; i < f->count; i++)
        assert_null(strstr(f->events[i].path, "a.yaml"));
}

static void test_overflow(void **state)
{
    struct fixture *f = *state;
    FILE *limit = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    long max = 16384;
    if (!limit || fscanf(limit, "%ld", &max) != 1 || max > 100000)
        skip();
    fclose(limit);
    tree_write("a.yaml", "1");
    tree_write("b.yaml", "1");
    watch(f, "");
    for (long i = 0; i <= max; i++) // equal events in a row are merged: take turns
        assert_int_equal(chmod(tree_path(i % 2 ? "a.yaml" : "b.yaml"), i % 4 < 2 ? 0600 : 0644), 0);
    tree_mkdir("lost");
    expect(f, SLD_FS_OVERFLOW, "");
    f->count = 0;
    tree_write("lost/a.yaml", "1"); // its creation was not told, yet it is watched
    expect(f, SLD_FS_CHANGED, "lost/a.yaml");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_close_tells_not_creation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rename_and_removal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hard_link_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_new_directories_are_watched, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moved_directory_has_its_new_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removed_and_made_again_before_events_are_read, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_root_comes_goes_and_comes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_root_replaced_by_rename, setup, teardown),
        cmocka_unit_test_setup_teardown(test_root_is_a_swapped_symlink, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kubernetes_swap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_symlink_loop_ends_and_counts_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_target_of_file_link, setup, teardown),
        cmocka_unit_test_setup_teardown(test_former_target_is_let_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refresh_finds_a_root_replaced_from_above, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_new_link_to_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hidden_names_are_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overflow, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
