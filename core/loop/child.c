// Child processes and the lines they print.
//
// on_exit waits until both pipes are read to their end, so that the last words of a child come
// before its end; but not for longer than EXIT_GRACE_MS, because a grandchild may hold them open.
#include "loop/internal.h"

#include <errno.h>

enum {
    LINE_MAX_BYTES = 16 * 1024, // longer lines come in pieces
    EXIT_GRACE_MS = 500,
};

struct output {
    uv_pipe_t uv;
    struct sld_child *child;
    struct sld_buf line; // the unfinished one
    bool is_stderr;
    bool open;           // not at its end yet
};

struct sld_child {
    struct sld_list link; // in loop->forgotten
    struct sld_loop *loop;
    uv_process_t uv;
    uv_timer_t grace;
    struct output outputs[2];
    void (*on_line)(struct sld_str line, bool is_stderr, void *user);
    void (*on_exit)(int64_t status, int signum, void *user);
    void *user;
    int64_t status;
    int signum;
    int handles; // not closed yet
    bool exited, forgotten, told, closing;
};

static void handle_closed(uv_handle_t *h)
{
    struct sld_child *c = h->data;
    if (--c->handles > 0)
        return;
    sld_buf_fini(&c->outputs[0].line);
    sld_buf_fini(&c->outputs[1].line);
    sld_list_remove(&c->link);
    sld_xfree(c);
}

static void close_handles(struct sld_child *c)
{
    if (c->closing)
        return;
    c->closing = true;
    uv_close((uv_handle_t *)&c->uv, handle_closed);
    uv_close((uv_handle_t *)&c->grace, handle_closed);
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&c->outputs[i].uv, handle_closed);
}

static void tell_exit(struct sld_child *c)
{
    if (c->told)
        return;
    c->told = true;
    uv_timer_stop(&c->grace);
    if (c->forgotten)
        close_handles(c);
    else if (c->on_exit)
        c->on_exit(c->status, c->signum, c->user);
}

static void maybe_tell_exit(struct sld_child *c)
{
    if (c->exited && !c->outputs[0].open && !c->outputs[1].open)
        tell_exit(c);
}

static void on_grace(uv_timer_t *t)
{
    tell_exit(t->data);
}

static void on_exit_cb(uv_process_t *p, int64_t status, int signum)
{
    struct sld_child *c = p->data;
    c->exited = true;
    c->status = status;
    c->signum = signum;
    uv_update_time(&c->loop->uv);
    uv_timer_start(&c->grace, on_grace, EXIT_GRACE_MS, 0);
    maybe_tell_exit(c);
}

static void emit_line(struct output *o, struct sld_str line)
{
    struct sld_child *c = o->child;
    if (!c->forgotten && c->on_line)
        c->on_line(line, o->is_stderr, c->user);
}

// Cuts DATA into lines; what has no newline yet stays in o->line.
static void take_output(struct output *o, struct sld_str data)
{
    while (data.n > 0) {
        ptrdiff_t nl = sld_str_index(data, '\n');
        size_t n = nl < 0 ? data.n : (size_t)nl;
        size_t room = LINE_MAX_BYTES - o->line.n;
        bool ends = nl >= 0 && n <= room;
        n = n < room ? n : room;
        sld_buf_add(&o->line, sld_str_sub(data, 0, n));
        data = sld_str_sub(data, n + (ends ? 1 : 0), data.n);
        if (!ends && o->line.n < LINE_MAX_BYTES)
            return;
        emit_line(o, sld_buf_str(&o->line));
        sld_buf_reset(&o->line);
    }
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct sld_loop *l = h->loop->data;
    (void)suggested;
    *buf = uv_buf_init(l->read_space, sizeof(l->read_space));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct output *o = SLD_CONTAINER_OF(s, struct output, uv);
    if (n > 0)
        take_output(o, (struct sld_str){buf->base, (size_t)n});
    if (n >= 0)
        return;
    uv_read_stop(s);
    o->open = false;
    if (o->line.n > 0) {
        emit_line(o, sld_buf_str(&o->line));
        sld_buf_reset(&o->line);
    }
    maybe_tell_exit(o->child);
}

static enum sld_rc spawn_failed(struct sld_err *err, int rc, const char *file)
{
    enum sld_rc code = rc == UV_ENOENT                      ? SLD_NOT_FOUND
                       : rc == UV_EACCES || rc == UV_EPERM ? SLD_DENIED
                                                           : SLD_IO;
    return sld_err_set(err, code, "cannot run %s: %s", file, uv_strerror(rc));
}

enum sld_rc sld_child_start(struct sld_loop *l, const struct sld_child_options *o,
                            struct sld_child **out, struct sld_err *err)
{
    sld_loop_assert_owner(l);
    SLD_PRE(o->argv && o->argv[0]);
    struct sld_child *c = SLD_NEW(struct sld_child);
    sld_list_init(&c->link);
    c->loop = l;
    c->on_line = o->on_line;
    c->on_exit = o->on_exit;
    c->user = o->user;
    c->handles = 4;
    c->uv.data = c->grace.data = c;
    uv_timer_init(&l->uv, &c->grace);
    uv_stdio_container_t io[4] = {{.flags = UV_IGNORE}, [3] = {.flags = UV_INHERIT_FD, .data.fd = o->control}};
    for (int i = 0; i < 2; i++) {
        struct output *p = &c->outputs[i];
        p->child = c;
        p->is_stderr = i == 1;
        sld_buf_init(&p->line, LINE_MAX_BYTES);
        uv_pipe_init(&l->uv, &p->uv, 0);
        p->uv.data = c;
        if (o->on_line) {
            io[i + 1].flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_WRITABLE_PIPE);
            io[i + 1].data.stream = (uv_stream_t *)&p->uv;
        } else {
            io[i + 1].flags = UV_INHERIT_FD;
            io[i + 1].data.fd = i + 1;
        }
    }
    // libuv takes char ** and does not write through it.
    union {
        const char *const *in;
        char **out;
    } argv = {.in = o->argv}, env = {.in = o->env};
    uv_process_options_t uo = {
        .exit_cb = on_exit_cb,
        .file = o->argv[0],
        .args = argv.out,
        .env = env.out,
        .stdio = io,
        .stdio_count = o->control > 0 ? 4 : 3,
        .flags = o->detached ? UV_PROCESS_DETACHED : 0,
    };
    int rc = uv_spawn(&l->uv, &c->uv, &uo);
    if (rc != 0) {
        close_handles(c); // frees it on the next turn
        return spawn_failed(err, rc, o->argv[0]);
    }
    for (int i = 0; o->on_line && i < 2; i++) {
        c->outputs[i].open = true;
        uv_read_start((uv_stream_t *)&c->outputs[i].uv, on_alloc, on_read);
    }
    *out = c;
    return SLD_OK;
}

int sld_child_pid(const struct sld_child *c)
{
    return c->uv.pid;
}

void sld_child_kill(struct sld_child *c, int signum)
{
    sld_loop_assert_owner(c->loop);
    if (!c->exited)
        uv_process_kill(&c->uv, signum);
}

void sld_child_destroy(struct sld_child *c)
{
    if (!c)
        return;
    sld_loop_assert_owner(c->loop);
    SLD_PRE(!c->forgotten);
    c->forgotten = true;
    sld_list_push(&c->loop->forgotten, &c->link);
    // A living child goes on to be read, so that it does not die of SIGPIPE, and is reaped.
    if (c->exited)
        close_handles(c);
}

void sld_loop_close_forgotten(struct sld_loop *l)
{
    SLD_LIST_EACH(it, &l->forgotten)
        close_handles(SLD_CONTAINER_OF(it, struct sld_child, link));
}
