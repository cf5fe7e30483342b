// The directory source on a real directory and loop: what it tells of files.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "source/dir/dir.h"
#include "tree.h"

enum { WAIT_MS = 10000 };

struct told {
    char *text;
    bool settled, gone;
    size_t puts, settled_puts, gones;
    char *problem; // NULL: none
};

struct fixture {
    struct sld_loop *loop;
    struct sld_timer *limit;
    struct sld_source *source;
    struct sld_dir_options opt;
    struct sld_map units; // path -> struct told
    size_t synced;
    bool (*want)(struct fixture *f);
    const char *path, *text;
    size_t number;
    bool met;
};

static struct told *told(struct fixture *f, const char *path)
{
    struct told *t = sld_map_get(&f->units, sld_str_c(path));
    if (!t) {
        t = SLD_NEW(struct told);
        sld_map_set(&f->units, sld_str_c(path), t);
    }
    return t;
}

static struct told *told_str(struct fixture *f, struct sld_str path)
{
    char name[8192];
    snprintf(name, sizeof(name), "%.*s", SLD_FMT(path));
    return told(f, name);
}

static char *copy(struct sld_str s)
{
    char *p = sld_xalloc(s.n + 1);
    memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return p;
}

static void check(struct fixture *f)
{
    if (f->want && !f->met && f->want(f)) {
        f->met = true;
        sld_loop_stop(f->loop);
    }
}

static void on_put(void *user, struct sld_str path, struct sld_blob *bytes, bool settled)
{
    struct fixture *f = user;
    struct told *t = told_str(f, path);
    sld_xfree(t->text);
    t->text = copy(bytes->data);
    t->settled = settled;
    t->gone = false;
    t->puts++;
    t->settled_puts += settled;
    check(f);
}

static void on_gone(void *user, struct sld_str path)
{
    struct fixture *f = user;
    struct told *t = told_str(f, path);
    t->gone = true;
    t->gones++;
    sld_xfree(t->text);
    t->text = NULL;
    check(f);
}

static void on_synced(void *user)
{
    struct fixture *f = user;
    f->synced++;
    check(f);
}

static void on_problem(void *user, struct sld_str path, enum sld_code code, struct sld_str message)
{
    struct fixture *f = user;
    struct told *t = told_str(f, path);
    (void)code;
    sld_xfree(t->problem);
    t->problem = message.p ? copy(message) : NULL;
    check(f);
}

static void on_limit(void *user)
{
    sld_loop_stop(((struct fixture *)user)->loop);
}

static int setup(void **state)
{
    struct fixture *f = SLD_NEW(struct fixture);
    sld_log_set_level(SLD_LOG_ERROR);
    tree_create();
    f->loop = sld_loop_create("test");
    f->limit = sld_timer_create(f->loop, on_limit, f);
    sld_dir_options_default(&f->opt);
    f->opt.quiet_ms = 50;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (getuid() == 0 && seteuid(0))
        return -1;
    if (f->source)
        f->source->ops->close(f->source);
    sld_timer_destroy(f->limit);
    sld_loop_destroy(f->loop);
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&f->units, &at));) {
        struct told *t = s->value;
        sld_xfree(t->text);
        sld_xfree(t->problem);
        sld_xfree(t);
    }
    sld_map_fini(&f->units);
    tree_destroy();
    sld_xfree(f);
    return 0;
}

static bool until(struct fixture *f, bool (*want)(struct fixture *f))
{
    f->met = false;
    f->want = want;
    sld_timer_start(f->limit, WAIT_MS);
    if (want(f))
        f->met = true;
    else
        sld_loop_run(f->loop);
    sld_timer_stop(f->limit);
    f->want = NULL;
    return f->met;
}

static bool is_synced(struct fixture *f)
{
    return f->synced >= f->number;
}

static bool says(struct fixture *f)
{
    const struct told *t = told(f, f->path);
    return t->text && strcmp(t->text, f->text) == 0;
}

static bool says_settled(struct fixture *f)
{
    return says(f) && told(f, f->path)->settled;
}

static bool is_gone(struct fixture *f)
{
    return told(f, f->path)->gone;
}

static bool has_problem(struct fixture *f)
{
    const struct told *t = told(f, f->path);
    return t->problem && strstr(t->problem, f->text);
}

static bool has_none(struct fixture *f)
{
    return !told(f, f->path)->problem;
}

#define EXPECT(f, cond, p, t)                                                                      \
    do {                                                                                           \
        (f)->path = (p);                                                                           \
        (f)->text = (t);                                                                           \
        if (!until((f), (cond)))                                                                   \
            fail_msg("%s: %s '%s' did not come (last: %s, problem: %s)", #cond, (p), (t),          \
                     told(f, p)->text ? told(f, p)->text : "nothing",                              \
                     told(f, p)->problem ? told(f, p)->problem : "none");                          \
    } while (0)

static void start(struct fixture *f, const char *rel)
{
    struct sld_source_events ev = {.on_put = on_put,
                                   .on_gone = on_gone,
                                   .on_synced = on_synced,
                                   .on_problem = on_problem,
                                   .user = f};
    struct sld_err err;
    assert_int_equal(
        sld_dir_open(f->loop, sld_str_c(tree_path(rel)), &f->opt, &ev, &f->source, &err), SLD_OK);
}

static void synced(struct fixture *f)
{
    f->number = f->synced + 1;
    assert_true(until(f, is_synced));
}

// Asks for everything to be read again and waits for the end: whatever went before has been told.
static void reread(struct fixture *f)
{
    f->source->ops->reread(f->source);
    synced(f);
}

// ---- Reading ----

static void test_reads_all_suffixes_at_any_depth(void **state)
{
    struct fixture *f = *state;
    tree_write("a.yaml", "1");
    tree_mkdir("d");
    tree_mkdir("d/e");
    tree_write("d/b.yml", "2");
    tree_write("d/e/c.json", "3");
    tree_write("d/README.md", "no");
    tree_write(".hidden.yaml", "no");
    tree_mkdir(".git");
    tree_write(".git/x.yaml", "no");
    start(f, "");
    synced(f);
    assert_string_equal(told(f, "a.yaml")->text, "1");
    assert_string_equal(told(f, "d/b.yml")->text, "2");
    assert_string_equal(told(f, "d/e/c.json")->text, "3");
    assert_int_equal(f->units.live, 3);
}

static void test_old_files_are_settled_at_once(void **state)
{
    struct fixture *f = *state;
    tree_write("a.yaml", "1");
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, tree_path("a.yaml"), old, 0), 0);
    start(f, "");
    synced(f);
    assert_true(told(f, "a.yaml")->settled);
    assert_int_equal(told(f, "a.yaml")->puts, 1);
}

static void test_many_files_in_slices(void **state)
{
    struct fixture *f = *state;
    char name[64];
    f->opt.max_files = 3000;
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "f%d.yaml", i);
        tree_write(name, "x");
    }
    start(f, "");
    synced(f);
    assert_int_equal(f->units.live, 3000); // and no problem
    f->number = 0;
    tree_write("f7.yaml", "y");
    EXPECT(f, says_settled, "f7.yaml", "y");
    assert_int_equal(told(f, "f8.yaml")->settled_puts <= 1, 1);
}

// ---- Changes ----

static void test_write_tells_unsettled_then_settled(void **state)
{
    struct fixture *f = *state;
    tree_write("a.yaml", "1");
    start(f, "");
    synced(f);
    EXPECT(f, says_settled, "a.yaml", "1");
    size_t before = told(f, "a.yaml")->settled_puts;
    tree_write("a.yaml", "2");
    EXPECT(f, says, "a.yaml", "2");
    assert_false(told(f, "a.yaml")->settled);
    EXPECT(f, says_settled, "a.yaml", "2");
    assert_int_equal(told(f, "a.yaml")->settled_puts, before + 1);
}

static void test_rename_over(void **state)
{
    struct fixture *f = *state;
    tree_write("a.yaml", "1");
    start(f, "");
    synced(f);
    tree_replace("a.yaml", "2");
    EXPECT(f, says_settled, "a.yaml", "2");
    assert_int_equal(told(f, "a.yaml")->gones, 0);
}

// vim with backup: the file is moved away, written anew, the old one removed.
static void test_moved_away_and_written_anew(void **state)
{
    struct fixture *f = *state;
    tree_write("a.yaml", "1");
    start(f, "");
    synced(f);
    tree_rename("a.yaml", "a.yaml~");
    tree_write("a.yaml", "2");
    tree_unlink("a.yaml~");
    EXPECT(f, says_settled, "a.yaml", "2");
    reread(f);
    assert_false(told(f, "a.yaml")->gone);
}

static void test_not_settled_while_it_is_written(void **state)
{
    struct fixture *f = *state;
    f->opt.writing_ms = 60000;
    tree_write("a.yaml", "1\n");
    start(f, "");
    synced(f);
    EXPECT(f, says_settled, "a.yaml", "1\n");
    int fd = tree_begin("a.yaml", "2\n");
    tree_write("b.yaml", "now");
    EXPECT(f, says_settled, "b.yaml", "now"); // events before it were read, and a.yaml is not young
    reread(f);                                // reads the half of it
    assert_string_equal(told(f, "a.yaml")->text, "2\n");
    tree_write("b.yaml", "later");
    EXPECT(f, says_settled, "b.yaml", "later"); // quiet for longer than the quiet time
    tree_write("c.yaml", "later");
    EXPECT(f, says_settled, "c.yaml", "later");
    assert_false(told(f, "a.yaml")->settled);
    assert_int_equal(write(fd, "3\n", 2), 2);
    close(fd);
    EXPECT(f, says_settled, "a.yaml", "2\n3\n");
}

// A write through a mapping makes no event; a file is looked at once more before it is called
// settled.
static void test_not_settled_when_changed_without_event(void **state)
{
    struct fixture *f = *state;
    f->opt.quiet_ms = 300;
    tree_write("a.yaml", "1");
    start(f, "");
    synced(f);
    int fd = open(tree_path("a.yaml"), O_RDWR | O_CLOEXEC);
    char *p = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(p != MAP_FAILED);
    p[0] = '2';
    assert_int_equal(msync(p, 1, MS_SYNC), 0);
    EXPECT(f, says_settled, "a.yaml", "2");
    assert_int_equal(told(f, "a.yaml")->settled_puts, 1);
    munmap(p, 1);
    close(fd);
}

static void test_emptied_file_is_told_unsettled_first(void **state)
{
    struct fixture *f = *state;
    tree_write("a.yaml", "1");
    start(f, "");
    synced(f);
    EXPECT(f, says_settled, "a.yaml", "1");
    tree_write("a.yaml", "");
    EXPECT(f, says, "a.yaml", "");
    assert_false(told(f, "a.yaml")->settled);
    tree_write("a.yaml", "2");
    EXPECT(f, says_settled, "a.yaml", "2");
}

static void test_touch_and_same_words_are_silent(void **state)
{
    struct fixture *f = *state;
    tree_write("a.yaml", "1");
    start(f, "");
    synced(f);
    EXPECT(f, says_settled, "a.yaml", "1");
    size_t puts = told(f, "a.yaml")->puts;
    tree_write("a.yaml", "1");
    tree_write("b.yaml", "x");
    EXPECT(f, says_settled, "b.yaml", "x");
    assert_int_equal(told(f, "a.yaml")->puts, puts);
}

static void test_removal(void **state)
{
    struct fixture *f = *state;
    tree_write("a.yaml", "1");
    start(f, "");
    synced(f);
    tree_unlink("a.yaml");
    EXPECT(f, is_gone, "a.yaml", "");
}

static void test_new_directory_with_files(void **state)
{
    struct fixture *f = *state;
    start(f, "");
    synced(f);
    tree_mkdir("d");
    tree_mkdir("d/e");
    tree_write("d/e/a.yaml", "1");
    EXPECT(f, says_settled, "d/e/a.yaml", "1");
    tree_rename("d", "g");
    EXPECT(f, says, "g/e/a.yaml", "1");
    EXPECT(f, is_gone, "d/e/a.yaml", "");
}

static void test_removed_directory_made_again(void **state)
{
    struct fixture *f = *state;
    tree_mkdir("d");
    tree_write("d/a.yaml", "1");
    start(f, "");
    synced(f);
    tree_unlink("d/a.yaml");
    tree_unlink("d");
    EXPECT(f, is_gone, "d/a.yaml", "");
    tree_mkdir("d");
    tree_write("d/a.yaml", "2");
    EXPECT(f, says_settled, "d/a.yaml", "2");
}

static void test_kubernetes_swap(void **state)
{
    struct fixture *f = *state;
    tree_mkdir("..1");
    tree_write("..1/a.yaml", "1");
    tree_symlink("..1", "..data");
    tree_symlink("..data/a.yaml", "a.yaml");
    start(f, "");
    synced(f);
    assert_string_equal(told(f, "a.yaml")->text, "1");
    tree_mkdir("..2");
    tree_write("..2/a.yaml", "2");
    tree_symlink("..2", "..data_tmp");
    tree_rename("..data_tmp", "..data");
    tree_unlink("..1/a.yaml");
    tree_unlink("..1");
    EXPECT(f, says_settled, "a.yaml", "2");
    reread(f);
    assert_int_equal(told(f, "a.yaml")->gones, 0);
    assert_int_equal(f->units.live, 1);
}

// ---- The root ----

static void test_vanished_root_is_a_problem_not_a_removal(void **state)
{
    struct fixture *f = *state;
    tree_mkdir("r");
    tree_write("r/a.yaml", "1");
    start(f, "r");
    synced(f);
    tree_rename("r", "away");
    EXPECT(f, has_problem, "", "does not exist");
    assert_false(told(f, "a.yaml")->gone);
    tree_mkdir("r");
    tree_write("r/b.yaml", "2");
    EXPECT(f, says_settled, "b.yaml", "2");
    EXPECT(f, is_gone, "a.yaml", "");
    EXPECT(f, has_none, "", "");
}

static void test_root_that_comes_later(void **state)
{
    struct fixture *f = *state;
    start(f, "r");
    EXPECT(f, has_problem, "", "does not exist");
    assert_int_equal(f->synced, 0);
    tree_mkdir("r");
    synced(f);
    assert_null(told(f, "")->problem);
}

static void test_root_that_is_a_file_is_refused(void **state)
{
    struct fixture *f = *state;
    struct sld_source_events ev = {.on_put = on_put,
                                   .on_gone = on_gone,
                                   .on_synced = on_synced,
                                   .on_problem = on_problem,
                                   .user = f};
    struct sld_err err;
    tree_write("file", "x");
    assert_int_equal(
        sld_dir_open(f->loop, sld_str_c(tree_path("file")), NULL, &ev, &f->source, &err),
        SLD_INVALID);
    assert_non_null(strstr(err.msg, "not a directory"));
}

// ---- Bad things ----

static void test_symlink_loops(void **state)
{
    struct fixture *f = *state;
    tree_mkdir("d");
    tree_write("d/a.yaml", "1");
    tree_symlink("..", "d/up");
    tree_symlink("d", "alias");
    tree_symlink("self.yaml", "self.yaml");
    tree_symlink("nowhere", "dangling.yaml");
    start(f, "");
    synced(f);
    assert_string_equal(told(f, "d/a.yaml")->text, "1");
    EXPECT(f, has_problem, "self.yaml", "cannot be read");
    assert_int_equal(f->units.live, 2);
}

static void test_linked_directory_is_followed(void **state)
{
    struct fixture *f = *state;
    tree_mkdir("out");
    tree_write("out/a.yaml", "1");
    tree_mkdir("r");
    tree_symlink("../out", "r/l");
    start(f, "r");
    synced(f);
    assert_string_equal(told(f, "l/a.yaml")->text, "1");
    tree_write("out/a.yaml", "2");
    EXPECT(f, says_settled, "l/a.yaml", "2");
    tree_unlink("r/l");
    EXPECT(f, is_gone, "l/a.yaml", "");
}

static void test_fifo_and_giant(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkfifo(tree_path("p.yaml"), 0644), 0);
    tree_write("big.yaml", "x");
    assert_int_equal(truncate(tree_path("big.yaml"), 1024 * 1024 * 1024), 0);
    tree_write("a.yaml", "1");
    start(f, "");
    synced(f);
    EXPECT(f, has_problem, "p.yaml", "FIFO");
    EXPECT(f, has_problem, "big.yaml", "larger than 16 MiB");
    assert_string_equal(told(f, "a.yaml")->text, "1");
    tree_write("big.yaml", "2");
    EXPECT(f, says_settled, "big.yaml", "2");
    assert_null(told(f, "big.yaml")->problem);
    tree_unlink("p.yaml");
    EXPECT(f, has_none, "p.yaml", "");
}

static void test_unreadable(void **state)
{
    struct fixture *f = *state;
    // Root reads everything; the teardown takes the privilege back.
    if (geteuid() == 0) {
        assert_int_equal(chown(tree_root, 65534, (gid_t)-1), 0);
        assert_int_equal(seteuid(65534), 0);
    }
    tree_write("a.yaml", "1");
    tree_mkdir("d");
    tree_write("d/b.yaml", "1");
    start(f, "");
    synced(f);
    assert_int_equal(chmod(tree_path("a.yaml"), 0), 0);
    EXPECT(f, has_problem, "a.yaml", "ermission");
    assert_int_equal(chmod(tree_path("d"), 0), 0);
    EXPECT(f, has_problem, "d", "ermission");
    assert_false(told(f, "a.yaml")->gone);
    assert_false(told(f, "d/b.yaml")->gone);
    assert_int_equal(chmod(tree_path("a.yaml"), 0644), 0);
    assert_int_equal(chmod(tree_path("d"), 0755), 0);
    EXPECT(f, has_none, "a.yaml", "");
    EXPECT(f, has_none, "d", "");
}

static void test_too_many_files(void **state)
{
    struct fixture *f = *state;
    f->opt.max_files = 2;
    tree_write("a.yaml", "1");
    tree_write("b.yaml", "1");
    tree_write("c.yaml", "1");
    start(f, "");
    synced(f);
    EXPECT(f, has_problem, "", "more than 2 files");
    assert_int_equal(f->units.live, 3); // two units and the source itself
}

static void test_too_deep(void **state)
{
    struct fixture *f = *state;
    char path[256] = "d";
    for (int i = 0; i < SLD_DIR_MAX_DEPTH; i++) {
        tree_mkdir(path);
        snprintf(path + strlen(path), sizeof(path) - strlen(path), "/d");
    }
    tree_mkdir(path);
    start(f, "");
    synced(f);
    EXPECT(f, has_problem, path, "nested deeper");
}

// ---- Nets ----

static void test_overflow_is_walked(void **state)
{
    struct fixture *f = *state;
    FILE *limit = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    long max = 0;
    if (!limit || fscanf(limit, "%ld", &max) != 1 || max > 100000)
        skip();
    fclose(limit);
    tree_write("a.yaml", "1");
    tree_write("b.yaml", "1");
    start(f, "");
    synced(f);
    EXPECT(f, says_settled, "a.yaml", "1");
    for (long i = 0; i <= max; i++)
        assert_int_equal(chmod(tree_path(i % 2 ? "a.yaml" : "b.yaml"), i % 4 < 2 ? 0600 : 0644), 0);
    tree_mkdir("lost");
    tree_write("lost/c.yaml", "3");
    tree_unlink("b.yaml");
    EXPECT(f, says_settled, "lost/c.yaml", "3");
    EXPECT(f, is_gone, "b.yaml", "");
    tree_write("lost/d.yaml", "4");
    EXPECT(f, says_settled, "lost/d.yaml", "4");
}

// A change that no event tells (a mapping) is found by the periodic walk.
// The kernel gives no inotify: files are looked at again and again until it does.
static void test_without_inotify_it_looks_again(void **state)
{
    struct fixture *f = *state;
    struct rlimit limit;
    f->opt.net_ms = 3600 * 1000;
    f->opt.poll_ms = 20;
    tree_write("a.yaml", "1");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int next = dup(0); // the lowest that is free
    assert_true(next > 0);
    close(next);
    struct rlimit none = {(rlim_t)next, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    start(f, "");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    EXPECT(f, says_settled, "a.yaml", "1");
    tree_write("a.yaml", "2");
    EXPECT(f, says_settled, "a.yaml", "2");
}

static void test_net_finds_what_no_event_told(void **state)
{
    struct fixture *f = *state;
    f->opt.net_ms = 20;
    tree_mkdir("out");
    tree_mkdir("out/deep");
    tree_write("out/deep/t", "1");
    tree_mkdir("r");
    tree_symlink("../mid", "r/a.yaml");
    tree_symlink("out/deep/t", "mid");
    start(f, "r");
    synced(f);
    tree_rename("out", "out2");
    tree_mkdir("out");
    tree_mkdir("out/deep");
    tree_write("out/deep/t", "2"); // no watched directory or file changed
    EXPECT(f, says_settled, "a.yaml", "2");
}

static void test_close_while_a_scan_runs(void **state)
{
    struct fixture *f = *state;
    tree_write("a.yaml", "1");
    start(f, "");
    f->source->ops->close(f->source);
    f->source = NULL;
    sld_timer_destroy(f->limit);
    sld_loop_destroy(f->loop); // runs what is under way
    assert_int_equal(f->synced, 0);
    assert_int_equal(f->units.live, 0);
    f->loop = sld_loop_create("test");
    f->limit = sld_timer_create(f->loop, on_limit, f);
}

// ---- Offline ----

static void test_read_once(void **state)
{
    struct fixture *f = *state;
    struct sld_source_events ev = {.on_put = on_put,
                                   .on_gone = on_gone,
                                   .on_synced = on_synced,
                                   .on_problem = on_problem,
                                   .user = f};
    struct sld_err err;
    tree_mkdir("d");
    tree_write("d/a.yaml", "1");
    assert_int_equal(sld_dir_read(sld_str_c(tree_path("")), &ev, &err), SLD_OK);
    assert_true(told(f, "d/a.yaml")->settled);
    assert_int_equal(sld_dir_read(sld_str_c(tree_path("d/a.yaml")), &ev, &err), SLD_OK);
    assert_string_equal(told(f, "a.yaml")->text, "1");
    // A place that says what the document is counts, however deep one begins.
    tree_mkdir("upstreams");
    tree_mkdir("upstreams/ns");
    tree_write("upstreams/ns/a.yaml", "2");
    assert_int_equal(sld_dir_read(sld_str_c(tree_path("upstreams/ns/a.yaml")), &ev, &err), SLD_OK);
    assert_string_equal(told(f, "upstreams/ns/a.yaml")->text, "2");
    assert_int_equal(sld_dir_read(sld_str_c(tree_path("none")), &ev, &err), SLD_NOT_FOUND);
    assert_int_equal(f->synced, 3);
}

static void test_root_of_a_file(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"a.yaml", "."},
        {"d/a.yaml", "d"},
        {"/a.yaml", "/"},
        {"upstreams/ns/a.yaml", "."},
        {"d/upstreams/ns/a.yaml", "d"},
        {"/upstreams/ns/a.yaml", "/"},
        {"d//upstreams//ns//a.yaml", "d"},
        {"upstreams/a.yaml", "upstreams"},
        {"other/ns/a.yaml", "other/ns"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        struct sld_str root = sld_dir_file_root(sld_str_c(cases[i][0]));
        assert_true(sld_str_eq(root, sld_str_c(cases[i][1])));
    }
}

static void test_addresses(void **state)
{
    (void)state;
    const struct sld_source_ops *ops = &sld_dir_source_ops;
    assert_true(ops->matches(SLD_STR("/etc/solder")));
    assert_true(ops->matches(SLD_STR("conf")));
    assert_true(ops->matches(SLD_STR("./a:b")));
    assert_false(ops->matches(SLD_STR("consul://localhost:8500/gloo")));
    assert_false(ops->matches(SLD_STR("kube:")));
    assert_false(ops->matches(SLD_STR("")));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_reads_all_suffixes_at_any_depth),
        T(test_old_files_are_settled_at_once),
        T(test_many_files_in_slices),
        T(test_write_tells_unsettled_then_settled),
        T(test_rename_over),
        T(test_moved_away_and_written_anew),
        T(test_not_settled_while_it_is_written),
        T(test_not_settled_when_changed_without_event),
        T(test_emptied_file_is_told_unsettled_first),
        T(test_touch_and_same_words_are_silent),
        T(test_removal),
        T(test_new_directory_with_files),
        T(test_removed_directory_made_again),
        T(test_kubernetes_swap),
        T(test_vanished_root_is_a_problem_not_a_removal),
        T(test_root_that_comes_later),
        T(test_root_that_is_a_file_is_refused),
        T(test_symlink_loops),
        T(test_linked_directory_is_followed),
        T(test_fifo_and_giant),
        T(test_unreadable),
        T(test_too_many_files),
        T(test_too_deep),
        T(test_overflow_is_walked),
        T(test_without_inotify_it_looks_again),
        T(test_net_finds_what_no_event_told),
        T(test_close_while_a_scan_runs),
        T(test_read_once),
        T(test_root_of_a_file),
        T(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
