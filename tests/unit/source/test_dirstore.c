// Documents of a directory from the command line: what is written, by whom, and what is left alone.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "source/dir/dir.h"
#include "source/store.h"
#include "tree.h"

#include "settings.pb-c.h"

static const Gloo__Settings settings = GLOO__SETTINGS__INIT;
static const struct sld_store_expect none = {.version = {"", 0}};
static const struct sld_store_expect any = {0};
static const struct sld_store_expect forced = {.force = true};

struct fixture {
    struct sld_store *store;
    struct sld_arena arena;
    struct sld_err err;
};

static int setup(void **state)
{
    struct fixture *f = SLD_NEW(struct fixture);
    tree_create();
    assert_int_equal(sld_dir_store_ops.open(sld_str_c(tree_root), &settings, &f->store, &f->err), SLD_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sld_dir_store_ops.close(f->store);
    sld_arena_fini(&f->arena);
    sld_xfree(f);
    tree_destroy();
    return 0;
}

static struct sld_ident upstream(const char *name)
{
    return (struct sld_ident){SLD_KIND_UPSTREAM, SLD_STR("gloo-system"), sld_str_c(name)};
}

static const char *text_of(struct fixture *f, const char *path)
{
    char *p = sld_arena_alloc(&f->arena, 65536);
    int fd = open(tree_path(path), O_RDONLY);
    if (fd < 0)
        return "none";
    ssize_t n = read(fd, p, 65535);
    close(fd);
    assert_true(n >= 0);
    p[n] = 0;
    return p;
}

static enum sld_rc put(struct fixture *f, const char *name, const char *text,
                       const struct sld_store_expect *expect, struct sld_store_doc *out)
{
    f->err = (struct sld_err){0};
    return f->store->ops->put(f->store, &f->arena, upstream(name), sld_str_c(text), expect, out,
                              &f->err);
}

static enum sld_rc get(struct fixture *f, const char *name, struct sld_store_doc *out)
{
    return f->store->ops->get(f->store, &f->arena, upstream(name), out, &f->err);
}

static bool says(const struct fixture *f, const char *words)
{
    return strstr(f->err.msg, words) != NULL;
}

#define U "metadata: {name: u, namespace: gloo-system}\nstatic: {hosts: []}\n"
#define FILE_OF_U "upstreams/gloo-system/u.yaml"

static void test_created_changed_removed(void **state)
{
    struct fixture *f = *state;
    struct sld_store_doc one, two, got;
    assert_int_equal(put(f, "u", U, &none, &one), SLD_OK);
    assert_non_null(strstr(text_of(f, FILE_OF_U), "solder apply"));
    assert_non_null(strstr(text_of(f, FILE_OF_U), "\n" U));
    assert_int_equal(get(f, "u", &got), SLD_OK);
    assert_true(sld_str_eq(got.version, one.version));
    assert_true(sld_str_eq(got.path, SLD_STR(FILE_OF_U)));
    assert_true(sld_str_find(got.text, SLD_STR("static:")) >= 0);
    struct sld_store_expect was = {.version = one.version};
    assert_int_equal(put(f, "u", U "ssl_config: {}\n", &was, &two), SLD_OK);
    assert_false(sld_str_eq(one.version, two.version));
    assert_int_equal(put(f, "u", U, &was, &got), SLD_CONFLICT);
    assert_true(says(f, "somebody changed it"));
    assert_int_equal(f->store->ops->remove(f->store, upstream("u"), &was, &f->err), SLD_CONFLICT);
    was.version = two.version;
    assert_int_equal(f->store->ops->remove(f->store, upstream("u"), &was, &f->err), SLD_OK);
    assert_string_equal(text_of(f, FILE_OF_U), "none");
    assert_int_equal(get(f, "u", &got), SLD_NOT_FOUND);
    assert_int_equal(f->store->ops->remove(f->store, upstream("u"), &any, &f->err), SLD_NOT_FOUND);
}

static void test_expectations_of_new_ones(void **state)
{
    struct fixture *f = *state;
    struct sld_store_doc out;
    struct sld_store_expect was = {.version = SLD_STR("0123456789abcdef")};
    assert_int_equal(put(f, "u", U, &was, &out), SLD_CONFLICT);
    assert_true(says(f, "version 0123456789abcdef was expected"));
    assert_int_equal(put(f, "u", U, &none, &out), SLD_OK);
    assert_int_equal(put(f, "u", U, &none, &out), SLD_CONFLICT);
    assert_true(says(f, "not none"));
    assert_int_equal(put(f, "u", U, &any, &out), SLD_OK);
}

// A file that a person wrote is a person's.
static void test_files_of_people(void **state)
{
    struct fixture *f = *state;
    struct sld_store_doc out;
    tree_write("mine.yaml", "# mine\napiVersion: gloo.solo.io/v1\nkind: Upstream\n"
                            "metadata: {name: u, namespace: gloo-system}\nspec: {}\n");
    assert_int_equal(get(f, "u", &out), SLD_OK);
    assert_int_equal(put(f, "u", U, &any, &out), SLD_DENIED);
    assert_true(says(f, "mine.yaml:") && says(f, "--force"));
    assert_int_equal(f->store->ops->remove(f->store, upstream("u"), &any, &f->err), SLD_DENIED);
    assert_int_equal(
        put(f, "u", "apiVersion: gloo.solo.io/v1\nkind: Upstream\n" U, &forced, &out), SLD_OK);
    assert_string_equal(text_of(f, FILE_OF_U), "none");
    assert_null(strstr(text_of(f, "mine.yaml"), "solder apply")); // it stays a person's
    assert_int_equal(put(f, "u", U, &any, &out), SLD_DENIED);
    assert_int_equal(f->store->ops->remove(f->store, upstream("u"), &forced, &f->err), SLD_OK);
    assert_string_equal(text_of(f, "mine.yaml"), "none");
}

static void test_files_of_many(void **state)
{
    struct fixture *f = *state;
    struct sld_store_doc out;
    tree_write("many.yaml", "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: u}\n---\n"
                            "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: w}\n");
    tree_write("list.yaml", "apiVersion: v1\nkind: List\nitems:\n"
                            "- apiVersion: gloo.solo.io/v1\n  kind: Upstream\n  metadata: {name: x}\n");
    assert_int_equal(get(f, "w", &out), SLD_OK);
    assert_true(sld_str_ends(out.place, SLD_STR("many.yaml:4")));
    assert_int_equal(put(f, "w", U, &forced, &out), SLD_DENIED);
    assert_true(says(f, "beside other documents"));
    assert_int_equal(get(f, "x", &out), SLD_OK);
    assert_int_equal(f->store->ops->remove(f->store, upstream("x"), &forced, &f->err), SLD_DENIED);
}

static void test_something_else_in_the_way(void **state)
{
    struct fixture *f = *state;
    struct sld_store_doc out;
    tree_mkdir("upstreams");
    tree_mkdir("upstreams/gloo-system");
    tree_write(FILE_OF_U, "what: [is this\n");
    assert_int_equal(put(f, "u", U, &none, &out), SLD_CONFLICT);
    assert_true(says(f, "holds something else"));
    assert_string_equal(text_of(f, FILE_OF_U), "what: [is this\n");
}

static void test_modes(void **state)
{
    struct fixture *f = *state;
    struct sld_store_doc out;
    struct stat st;
    umask(022);
    struct sld_ident id = {SLD_KIND_SECRET, SLD_STR("gloo-system"), SLD_STR("s")};
    assert_int_equal(f->store->ops->put(f->store, &f->arena, id,
                                        SLD_STR("metadata: {name: s, namespace: gloo-system}\n"
                                                "header: {headers: {a: b}}\n"),
                                        &none, &out, &f->err),
                     SLD_OK);
    assert_int_equal(stat(tree_path("secrets/gloo-system/s.yaml"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(put(f, "u", U, &none, &out), SLD_OK);
    assert_int_equal(stat(tree_path(FILE_OF_U), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
}

static void collect(const struct sld_store_doc *doc, void *arg)
{
    struct sld_buf *b = arg;
    sld_buf_addf(b, "%s/%.*s/%.*s ", sld_kind_info(doc->id.kind)->plural, SLD_FMT(doc->id.ns),
                 SLD_FMT(doc->id.name));
}

static void test_each(void **state)
{
    struct fixture *f = *state;
    struct sld_buf b;
    sld_buf_init(&b, 4096);
    tree_mkdir("upstreams");
    tree_mkdir("upstreams/one");
    tree_mkdir("upstreams/two");
    tree_mkdir("virtualservices");
    tree_mkdir("virtualservices/one");
    tree_write("upstreams/one/b.yaml", "metadata: {name: b}\n");
    tree_write("upstreams/two/a.yaml", "metadata: {name: a, namespace: two}\n");
    tree_write("virtualservices/one/v.yaml", "metadata: {name: v}\n");
    tree_write("broken.yaml", "a: [b\n");
    assert_int_equal(f->store->ops->each(f->store, SLD_KIND_COUNT, SLD_STR_NONE, collect, &b, &f->err),
                     SLD_OK);
    sld_buf_addc(&b, 0);
    assert_string_equal(b.p, "upstreams/one/b upstreams/two/a virtualservices/one/v ");
    sld_buf_reset(&b);
    assert_int_equal(
        f->store->ops->each(f->store, SLD_KIND_UPSTREAM, SLD_STR("two"), collect, &b, &f->err), SLD_OK);
    sld_buf_addc(&b, 0);
    assert_string_equal(b.p, "upstreams/two/a ");
    sld_buf_fini(&b);
}

// What was read once holds for all changes of a command; but a file that is written again is looked at.
static void test_many_changes(void **state)
{
    struct fixture *f = *state;
    struct sld_store_doc u, w, got;
    tree_write("other.yaml", "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: o}\n");
    assert_int_equal(put(f, "u", U, &none, &u), SLD_OK);
    tree_write("other.yaml", "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: p}\n");
    assert_int_equal(put(f, "w", "metadata: {name: w, namespace: gloo-system}\n", &none, &w), SLD_OK);
    assert_int_equal(get(f, "o", &got), SLD_OK); // nobody read it again
    assert_int_equal(get(f, "u", &got), SLD_OK);
    assert_true(sld_str_eq(got.version, u.version));
    tree_write(FILE_OF_U, "# a person's\n" U);
    struct sld_store_expect was = {.version = u.version};
    assert_int_equal(put(f, "u", U "ssl_config: {}\n", &was, &got), SLD_CONFLICT);
    assert_true(says(f, "somebody changed it"));
    assert_int_equal(get(f, "o", &got), SLD_NOT_FOUND);
    assert_int_equal(get(f, "p", &got), SLD_OK);
}

static void test_the_next_place_counts(void **state)
{
    struct fixture *f = *state;
    struct sld_store_doc got;
    tree_write("a.yaml", "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: u}\nspec: {}\n");
    tree_write("b.yaml", "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: u}\n");
    assert_int_equal(f->store->ops->remove(f->store, upstream("u"), &forced, &f->err), SLD_OK);
    assert_int_equal(get(f, "u", &got), SLD_OK);
    assert_true(sld_str_eq(got.path, SLD_STR("b.yaml")));
    assert_int_equal(f->store->ops->remove(f->store, upstream("u"), &forced, &f->err), SLD_OK);
    assert_int_equal(get(f, "u", &got), SLD_NOT_FOUND);
}

// Who changed something has the directory to itself until it closes the store.
static void test_writers_wait(void **state)
{
    struct fixture *f = *state;
    struct sld_store_doc out;
    int fd = open(tree_root, O_RDONLY | O_DIRECTORY);
    assert_int_equal(get(f, "u", &out), SLD_NOT_FOUND);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(flock(fd, LOCK_UN), 0);
    assert_int_equal(put(f, "u", U, &none, &out), SLD_OK);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
    f->store->ops->close(f->store);
    f->store = NULL;
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    close(fd);
}

static void test_no_directory(void **state)
{
    struct fixture *f = *state;
    struct sld_store *s = NULL;
    assert_int_equal(sld_dir_store_ops.open(SLD_STR("/none/such"), &settings, &s, &f->err),
                     SLD_NOT_FOUND);
    assert_true(says(f, "create it first"));
    sld_dir_store_ops.close(NULL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_created_changed_removed),
        T(test_expectations_of_new_ones),
        T(test_files_of_people),
        T(test_files_of_many),
        T(test_something_else_in_the_way),
        T(test_modes),
        T(test_each),
        T(test_many_changes),
        T(test_the_next_place_counts),
        T(test_writers_wait),
        T(test_no_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
