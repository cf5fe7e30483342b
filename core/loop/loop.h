// loop: owner threads on libuv: message inboxes between threads, timers, file watching, child processes.
//
// An owner thread runs one sld_loop and owns all state of its rooms. Threads exchange messages only: a
// message's ownership moves with it; what it points to is refcounted immutable or moved too.
#pragma once

#include "base/base.h"

struct sld_loop;
struct uv_loop_s;

// NAME is the name of the thread that runs it (15 bytes); until then the creating thread is the owner. The process
// ignores SIGPIPE from here on.
struct sld_loop *sld_loop_create(const char *name);
// Every object made on it must be destroyed before; waits for work on the pool. By the owner, or by who joined it.
void sld_loop_destroy(struct sld_loop *l);
// Runs until sld_loop_stop. The calling thread becomes the owner. [owner]
void sld_loop_run(struct sld_loop *l);
// Ends sld_loop_run after the present turn; before a run it ends that one at once. [any]
void sld_loop_stop(struct sld_loop *l);
// For the room net, which makes libuv handles of its own. [owner]
struct uv_loop_s *sld_loop_uv(struct sld_loop *l);
// Asserts that the calling thread owns L.
void sld_loop_assert_owner(const struct sld_loop *l);

// ---- Messages ----

// Embedded first in every message struct. RUN is called once on the owner thread and takes the message over
// (frees it); messages still queued when the loop is destroyed get RUN = their DROP (may be NULL).
struct sld_message {
    struct sld_message *next;
    void (*run)(struct sld_message *m);
    void (*drop)(struct sld_message *m);
};
// Posts M to L. Order of one sender is kept. [any]
void sld_loop_post(struct sld_loop *l, struct sld_message *m);
// Runs M at the end of the loop's present turn, behind all that came in it and before the loop waits again; what is
// deferred meanwhile, too. Costs no lock and no system call. [owner]
void sld_loop_defer(struct sld_loop *l, struct sld_message *m);
// Called on the owner thread after each batch of messages was run and there is none left, or when messages kept coming
// for 100 ms: the place where the model thread runs a round. One per loop.
void sld_loop_on_idle(struct sld_loop *l, void (*fn)(void *user), void *user);

// ---- Blocking work ---- [owner]

// Runs WORK on libuv's thread pool, then DONE on the owner thread. What USER points to belongs to WORK until DONE is
// called; DONE is always called while the loop runs.
void sld_loop_work(struct sld_loop *l, void (*work)(void *user), void (*done)(void *user), void *user);

// ---- Timers ---- [owner]

struct sld_timer;
// A timer that does not run yet; FN is called on the loop's thread.
struct sld_timer *sld_timer_create(struct sld_loop *l, void (*fn)(void *user), void *user);
// NULL is fine.
void sld_timer_destroy(struct sld_timer *t);
// Fires once after DELAY_MS (0 = next turn of the loop); starting again moves it.
void sld_timer_start(struct sld_timer *t, uint64_t delay_ms);
void sld_timer_stop(struct sld_timer *t);

// ---- Signals ---- [owner]

struct sld_signal;
// FN is called on the loop's thread for each SIGNUM; after destroy the signal has its default effect.
struct sld_signal *sld_signal_create(struct sld_loop *l, int signum, void (*fn)(int signum, void *user), void *user);
void sld_signal_destroy(struct sld_signal *s);

// ---- Descriptors ---- [owner]

struct sld_poll;
// Calls FN in every turn in which FD (a pipe, a socket, a pidfd; made non-blocking) can be read or is at its end. FD
// stays the caller's, who closes it after sld_poll_destroy.
struct sld_poll *sld_poll_create(struct sld_loop *l, int fd, void (*fn)(void *user), void *user);
// Calls FN, with the USER of P, in every turn in which the descriptor takes bytes; NULL: not any more.
void sld_poll_on_writable(struct sld_poll *p, void (*fn)(void *user));
// NULL is fine; FN is not called any more.
void sld_poll_destroy(struct sld_poll *p);

// ---- File watching by raw inotify ---- [owner]

// What happened below a watched root. PATH is relative to the root ("" = the root itself).
enum sld_fs_event {
    SLD_FS_CHANGED,  // a file was closed after writing, moved in, or its attributes changed
    SLD_FS_GONE,     // a file or directory was removed or moved out
    SLD_FS_DIR,      // a directory appeared or a "..data" style swap happened: walk it again
    SLD_FS_OVERFLOW, // events were lost: walk everything again
    SLD_FS_WRITING,  // a file is being written and not closed yet
};
typedef void sld_fs_fn(enum sld_fs_event ev, struct sld_str path, void *user);

struct sld_fswatch;
// Watches directory ROOT and everything below it, symlinked directories included once; new directories are
// watched as they appear, a removed and recreated root is found again. Names beginning with a dot are not reported.
// When the kernel has no watches left, sld_fswatch_exhausted says so and the caller must poll. FN must not destroy the
// watch.
struct sld_fswatch *sld_fswatch_create(struct sld_loop *l, struct sld_str root, sld_fs_fn *fn, void *user);
// NULL is fine; FN is not called any more.
void sld_fswatch_destroy(struct sld_fswatch *w);
// Looks for a replaced root and for directories without a watch, and tries to leave the exhausted state; costs one
// readdir of the tree. For the caller's periodic walk.
void sld_fswatch_refresh(struct sld_fswatch *w);
bool sld_fswatch_exhausted(const struct sld_fswatch *w);

// ---- Child processes ---- [owner]

struct sld_child_options {
    const char *const *argv;       // NULL-terminated; argv[0] is the file to run
    const char *const *env;        // NULL = inherit
    // Lines of the child's stdout and stderr, without the newline, at most 16 KiB each (longer ones come in pieces);
    // NULL = inherit. Stdin is /dev/null.
    void (*on_line)(struct sld_str line, bool is_stderr, void *user);
    // Once, after the last line; at the latest 500 ms after the end, when a grandchild holds the pipes open.
    void (*on_exit)(int64_t status, int signum, void *user);
    bool detached;                 // own session: survives us
    int control; // > 0: a descriptor of ours, which stays ours, that the child has as its 3
    void *user;
};
struct sld_child;
// SLD_NOT_FOUND when there is no such file, SLD_DENIED when it may not be run.
SLD_NODISCARD enum sld_rc sld_child_start(struct sld_loop *l, const struct sld_child_options *o,
                                          struct sld_child **out, struct sld_err *err);
int sld_child_pid(const struct sld_child *c);
void sld_child_kill(struct sld_child *c, int signum);
// Forgets the child without killing it (NULL is fine). Its output is read and thrown away while the loop lives.
void sld_child_destroy(struct sld_child *c);
