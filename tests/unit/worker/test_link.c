// Frames between the server and its worker: whole ones, pieces, and what is none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/inside.h"

struct world {
    struct sld_loop *loop;
    struct wk_link *link;
    int other;
    unsigned frames;
    uint64_t sum; // of the numbers
    char why[100];
    unsigned stop_after;
    const Solder__Worker__Frame *again; // sent for each that comes
    unsigned more;                      // as often as that
};

static void on_frame(void *user, const Solder__Worker__Frame *f)
{
    struct world *w = user;
    w->frames++;
    w->sum += f->says_case == SOLDER__WORKER__FRAME__SAYS_PING ? f->ping : 0;
    if (w->more) {
        w->more--;
        wk_link_send(w->link, w->again);
    }
    if (w->frames == w->stop_after)
        sld_loop_stop(w->loop);
}

static void on_end(void *user, const char *why)
{
    struct world *w = user;
    assert_string_equal(w->why, ""); // told once
    snprintf(w->why, sizeof(w->why), "%s", why);
    sld_loop_stop(w->loop);
}

static struct world *begin(void)
{
    struct world *w = SLD_NEW(struct world);
    struct wk_link_events ev = {on_frame, on_end, w};
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    w->loop = sld_loop_create("test");
    w->link = wk_link_create(w->loop, fds[0], &ev);
    w->other = fds[1];
    return w;
}

static void finish(struct world *w)
{
    wk_link_destroy(w->link);
    close(w->other);
    sld_loop_destroy(w->loop);
    sld_xfree(w);
}

static void put(const struct world *w, const char *bytes, size_t n)
{
    assert_int_equal(write(w->other, bytes, n), n);
}

static void frames_come_whole(void **state)
{
    (void)state;
    struct world *w = begin();
    // ping = 5 (field 7), and sync = 1 (field 6), in pieces
    put(w, "\2\0\0\0\x38\5\2\0\0\0\x30", 11);
    w->stop_after = 1;
    sld_loop_run(w->loop);
    assert_int_equal(w->frames, 1);
    assert_int_equal(w->sum, 5);
    assert_string_equal(w->why, "");
    put(w, "\1\0\0\0\0", 5); // the rest, and one that is empty
    w->stop_after = 3;
    sld_loop_run(w->loop);
    assert_int_equal(w->frames, 3);
    close(w->other);
    sld_loop_run(w->loop);
    assert_string_equal(w->why, "it closed the connection");
    w->other = dup(0);
    finish(w);
}

static void ends(const char *bytes, size_t n, const char *why)
{
    struct world *w = begin();
    put(w, bytes, n);
    sld_loop_run(w->loop);
    assert_string_equal(w->why, why);
    assert_int_equal(w->frames, 0);
    wk_link_send(w->link, &(Solder__Worker__Frame)SOLDER__WORKER__FRAME__INIT); // of no effect
    finish(w);
}

static void what_is_none_ends_it(void **state)
{
    (void)state;
    ends("\1\0\0\1", 4, "a frame is too large");           // 16 MiB and a byte, which are not waited for
    ends("\xff\xff\xff\xff", 4, "a frame is too large");
    ends("\1\0\0\0\x38", 5, "a frame cannot be read");     // a field without its value
    ends("\2\0\0\0\x1a\5", 6, "a frame cannot be read");   // a text that is longer than the frame
    ends("\4\0\0\0\x1a\2\xff\xff", 8, "a frame cannot be read"); // no UTF-8
}

static void what_is_sent_is_heard(void **state)
{
    (void)state;
    struct world *w = begin();
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    struct wk_link_events ev = {on_frame, on_end, w};
    struct wk_link *back = wk_link_create(w->loop, w->other, &ev);
    // More than a socket takes at once.
    Solder__Worker__Conf conf = SOLDER__WORKER__CONF__INIT;
    f.says_case = SOLDER__WORKER__FRAME__SAYS_CONF;
    f.conf = &conf;
    conf.value.len = 3 << 20;
    conf.value.data = sld_xcalloc(1, conf.value.len);
    for (int i = 0; i < 3; i++)
        wk_link_send(w->link, &f);
    w->stop_after = 3;
    sld_loop_run(w->loop);
    assert_int_equal(w->frames, 3);
    // One that is too large is not sent, and costs nothing else.
    conf.value.len = WK_FRAME_MAX;
    conf.value.data = sld_xrealloc(conf.value.data, conf.value.len);
    wk_link_send(w->link, &f);
    f.says_case = SOLDER__WORKER__FRAME__SAYS_PING;
    f.ping = 9;
    wk_link_send(w->link, &f);
    w->stop_after = 4;
    sld_loop_run(w->loop);
    assert_int_equal(w->sum, 9);
    assert_string_equal(w->why, "");
    sld_xfree(conf.value.data);
    wk_link_destroy(back);
    w->other = dup(0);
    finish(w);
}

// What the other side has taken is not kept, though there is always more to be sent.
static void what_was_taken_makes_room(void **state)
{
    (void)state;
    struct world *w = begin();
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    struct wk_link_events ev = {on_frame, on_end, w};
    struct wk_link *back = wk_link_create(w->loop, w->other, &ev);
    Solder__Worker__Conf conf = SOLDER__WORKER__CONF__INIT;
    f.says_case = SOLDER__WORKER__FRAME__SAYS_CONF;
    f.conf = &conf;
    conf.value.len = 8 << 20;
    conf.value.data = sld_xcalloc(1, conf.value.len);
    w->again = &f;
    w->more = WK_PENDING_MAX / (8 << 20);
    w->stop_after = w->more + 3;
    for (int i = 0; i < 3; i++)
        wk_link_send(w->link, &f);
    sld_loop_run(w->loop);
    assert_string_equal(w->why, "");
    assert_int_equal(w->frames, w->stop_after);
    sld_xfree(conf.value.data);
    wk_link_destroy(back);
    w->other = dup(0);
    finish(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_whole),
        cmocka_unit_test(what_is_none_ends_it),
        cmocka_unit_test(what_is_sent_is_heard),
        cmocka_unit_test(what_was_taken_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
