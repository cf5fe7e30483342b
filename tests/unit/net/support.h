// What the tests of the room net share: an io thread, and certificates.
#pragma once

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop/loop.h"

struct io_thread {
    struct sld_loop *loop;
    pthread_t thread;
};

static inline void *io_main(void *arg)
{
    sld_loop_run(arg);
    return NULL;
}

static inline void io_start(struct io_thread *io)
{
    io->loop = sld_loop_create("test-io");
    assert_int_equal(pthread_create(&io->thread, NULL, io_main, io->loop), 0);
}

static inline void io_stop(struct io_thread *io)
{
    sld_loop_stop(io->loop);
    pthread_join(io->thread, NULL);
    sld_loop_destroy(io->loop);
}

struct io_call {
    struct sld_message msg;
    void (*fn)(void *arg);
    void *arg;
    sem_t done;
};

static inline void io_call_run(struct sld_message *m)
{
    struct io_call *c = (struct io_call *)m;
    c->fn(c->arg);
    sem_post(&c->done);
}

// Runs FN on the io thread and waits for it.
static inline void io_do(struct io_thread *io, void (*fn)(void *arg), void *arg)
{
    struct io_call c = {.msg = {.run = io_call_run}, .fn = fn, .arg = arg};
    sem_init(&c.done, 0, 0);
    sld_loop_post(io->loop, &c.msg);
    while (sem_wait(&c.done) != 0)
        continue;
    sem_destroy(&c.done);
}

// Waits until *COUNTER, which the io thread counts up with sem_post, was posted once; fails after 60 s.
static inline void wait_for(sem_t *event)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    int rc = 0;
    while ((rc = sem_timedwait(event, &until)) != 0 && errno == EINTR)
        continue;
    assert_int_equal(rc, 0);
}

// ---- Files ----

static inline void make_dir(char out[64])
{
    snprintf(out, 64, "/tmp/sld-net-test.XXXXXX");
    assert_non_null(mkdtemp(out));
}

static inline void shell(const char *fmt, ...)
{
    char cmd[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(cmd, sizeof(cmd), fmt, ap);
    va_end(ap);
    assert_int_equal(system(cmd), 0);
}

static inline struct sld_str read_pem(struct sld_arena *a, const char *dir, const char *name)
{
    char path[256];
    char text[16384];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof(text), f);
    fclose(f);
    return sld_arena_str(a, (struct sld_str){text, n});
}

// Makes <name>-ca.pem, and <name>.pem with <name>.key signed by it, for 127.0.0.1 and localhost.
static inline void make_certs(const char *dir, const char *name)
{
    shell("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
          "-subj /CN=%s-ca -keyout %s-ca.key -out %s-ca.pem 2>/dev/null && "
          "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=%s "
          "-keyout %s.key -out %s.csr 2>/dev/null && "
          "printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\n' > %s.ext && "
          "openssl x509 -req -in %s.csr -CA %s-ca.pem -CAkey %s-ca.key -CAcreateserial -days 2 "
          "-extfile %s.ext -out %s.pem 2>/dev/null",
          dir, name, name, name, name, name, name, name, name, name, name, name, name);
}
