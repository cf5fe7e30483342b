// What the files of the room loop share.
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include <uv.h>

#include "loop/loop.h"

struct sld_loop {
    uv_loop_t uv;
    int wake_fd;                 // an eventfd: something is in the inbox, or stop was asked for
    uv_poll_t wake;              // looks at it
    uv_mutex_t lock;             // guards inbox and inbox_tail alone
    struct sld_message *inbox;   // oldest first
    struct sld_message **inbox_tail;
    struct sld_message *batch;   // taken out of the inbox, not run yet; owner only
    struct sld_message *later;   // for the end of this turn, oldest first; owner only
    struct sld_message **later_tail;
    uv_check_t check;            // runs while there is something for the end of the turn: that end
    uv_idle_t hurry;             // the same: keeps the loop from waiting
    atomic_bool stop;            // sld_loop_stop was called and not obeyed yet
    atomic_uintptr_t owner;      // pthread_t of the owner
    void (*idle)(void *user);
    void *idle_user;
    uint64_t busy_since_ns;      // when messages started to come without a pause; 0 = they did not
    struct sld_list forgotten;   // children that nobody waits for any more
    char name[16];               // of the thread, as the kernel shows it
    char read_space[64 * 1024];  // what is read from a child, until its callback returns
};

// Closes the handles of the forgotten children. [owner]
void sld_loop_close_forgotten(struct sld_loop *l);
// Aborts with the text of libuv's error RC when it is one; for calls that fail on misuse only.
void sld_loop_uv_check(int rc, const char *what);
