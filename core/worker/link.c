// Frames: 4 bytes of length, lowest first, and as many bytes of a message. Both sides may be hostile to each other: a
// length, or a message, that is none ends the link.
#include "worker/inside.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD = 4, PIECE_BYTES = 64 << 10, DEPTH_MAX = 16 };

struct wk_link {
    int fd;
    struct sld_poll *poll;
    struct wk_link_events ev;
    struct sld_buf in, out; // may hold secrets
    size_t sent;            // of OUT
    bool ended, destroyed;
    unsigned busy; // callbacks going on
};

static void link_free(struct wk_link *k)
{
    sld_poll_destroy(k->poll);
    close(k->fd);
    sld_buf_fini(&k->in);
    sld_buf_fini(&k->out);
    sld_xfree(k);
}

static void leave(struct wk_link *k)
{
    if (--k->busy == 0 && k->destroyed)
        link_free(k);
}

void wk_link_destroy(struct wk_link *k)
{
    if (!k)
        return;
    k->destroyed = k->ended = true;
    if (k->busy == 0)
        link_free(k);
}

static void end(struct wk_link *k, const char *why)
{
    if (k->ended)
        return;
    k->ended = true;
    sld_poll_destroy(k->poll);
    k->poll = NULL;
    k->busy++;
    k->ev.on_end(k->ev.user, why);
    leave(k);
}

// ---- Reading ----

static uint32_t length_of(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static void take(struct wk_link *k)
{
    size_t at = 0;
    while (!k->ended && k->in.n - at >= HEAD) {
        uint32_t n = length_of(k->in.p + at);
        if (n > WK_FRAME_MAX) {
            end(k, "a frame is too large");
            return;
        }
        if (k->in.n - at - HEAD < n)
            break;
        struct sld_arena a = {0};
        struct sld_err err = {0};
        const Solder__Worker__Frame *f =
            sld_msg_decode(&a, &solder__worker__frame__descriptor, sld_str_n(k->in.p + at + HEAD, n), DEPTH_MAX, &err);
        at += HEAD + n;
        if (f)
            k->ev.on_frame(k->ev.user, f);
        else
            end(k, "a frame cannot be read");
        sld_arena_fini_secret(&a);
    }
    if (!k->ended)
        sld_buf_consume(&k->in, at);
}

static void on_readable(void *user)
{
    struct wk_link *k = user;
    char *room = sld_buf_reserve(&k->in, PIECE_BYTES);
    ssize_t n = room ? recv(k->fd, room, PIECE_BYTES, MSG_DONTWAIT) : 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        end(k, n < 0 ? strerror(errno) : "it closed the connection");
        return;
    }
    k->in.n += (size_t)n;
    k->busy++;
    take(k);
    leave(k);
}

// ---- Writing ----

static void flush(void *user)
{
    struct wk_link *k = user;
    while (k->sent < k->out.n) {
        ssize_t n = send(k->fd, k->out.p + k->sent, k->out.n - k->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            if (k->sent > k->out.n / 2) { // seldom enough that moving the rest costs less than sending did
                sld_buf_consume(&k->out, k->sent);
                k->sent = 0;
            }
            sld_poll_on_writable(k->poll, flush);
            return;
        }
        if (n < 0)
            return; // its end is found by reading
        k->sent += (size_t)n;
    }
    sld_buf_reset(&k->out);
    k->sent = 0;
    sld_poll_on_writable(k->poll, NULL);
}

// Of which plugin F is; empty: of none.
static const char *plugin_of(const Solder__Worker__Frame *f)
{
    switch (f->says_case) {
    case SOLDER__WORKER__FRAME__SAYS_PLUGIN:
        return f->plugin->name;
    case SOLDER__WORKER__FRAME__SAYS_CONF:
        return f->conf->plugin;
    case SOLDER__WORKER__FRAME__SAYS_FINDER:
        return f->finder->plugin->name;
    case SOLDER__WORKER__FRAME__SAYS_FOUND:
        return f->found->plugin;
    default:
        return "";
    }
}

static void log_too_large(const Solder__Worker__Frame *f, size_t bytes)
{
    const ProtobufCFieldDescriptor *says = protobuf_c_message_descriptor_get_field(&solder__worker__frame__descriptor, f->says_case);
    bool conf = f->says_case == SOLDER__WORKER__FRAME__SAYS_CONF;
    SLD_LOG(SLD_LOG_ERROR, "worker", "frame_too_large", SLD_KC("frame", says->name), SLD_KC("plugin", plugin_of(f)),
            SLD_KC("id", conf ? f->conf->id : ""), SLD_KI("bytes", bytes), SLD_KI("most", WK_FRAME_MAX));
}

void wk_link_send(struct wk_link *k, const Solder__Worker__Frame *f)
{
    struct sld_arena a = {0};
    if (k->ended)
        return;
    struct sld_str s = sld_msg_encode(&a, &f->base);
    const char head[HEAD] = {(char)(s.n & 0xff), (char)(s.n >> 8 & 0xff), (char)(s.n >> 16 & 0xff), (char)(s.n >> 24 & 0xff)};
    bool idle = k->out.n == 0;
    if (s.n > WK_FRAME_MAX) {
        log_too_large(f, s.n);
        sld_arena_fini_secret(&a);
        return;
    }
    sld_buf_add(&k->out, sld_str_n(head, HEAD));
    sld_buf_add(&k->out, s);
    sld_arena_fini_secret(&a);
    if (k->out.full)
        end(k, "more is to be said than the connection takes");
    else if (idle)
        flush(k);
}

struct wk_link *wk_link_create(struct sld_loop *l, int fd, const struct wk_link_events *ev)
{
    struct wk_link *k = SLD_NEW(struct wk_link);
    k->fd = fd;
    k->ev = *ev;
    sld_buf_init_secret(&k->in, WK_FRAME_MAX + HEAD + PIECE_BYTES);
    sld_buf_init_secret(&k->out, WK_PENDING_MAX);
    k->poll = sld_poll_create(l, fd, on_readable, k);
    return k;
}
