// Private to the room: calls that may wait. Each is a coroutine of its plugin's state, which the loop resumes; many of them
// interleave in one state, one runs at a time.
#pragma once

#include "plugin/load.h"
#include "plugin/reactor.h"

// ---- Starting ----

struct pl_task;

// How a call ended: SLD_OK; SLD_INVALID: the script raised an error; SLD_LIMIT: a ceiling of a run was reached; SLD_AGAIN: it
// took longer than it may in all. ERR, borrowed, names the plugin; the stack is kept with the plugin's errors.
// The call is gone; DONE may start and cancel calls and drop the plugin.
typedef void pl_task_done(void *user, enum sld_rc rc, const struct sld_err *err);

struct pl_task_call {
    enum sld_hook hook;    // counted as
    enum pl_phase phase;   // PL_REQUEST or PL_TASK
    // Runs in the coroutine with ARG as light userdata at 1, and leaves behind it the function to be called (pl_push_hook) and
    // its arguments. Its own result does not count.
    lua_CFunction push;
    // Runs in the coroutine when that function has returned: ARG at 1, the results from 2 on; may raise. NULL: they are dropped.
    lua_CFunction take;
    void *arg;             // valid until DONE, or until the call is cancelled
    uint64_t deadline_ms;  // from start to end, waiting included; 0: none
    pl_task_done *done;
    void *user;
};

// Starts a call of P. A call that does not wait is over before this returns: DONE came, and *OUT is NULL. Else *OUT is it until DONE
// comes. SLD_AGAIN: as many calls are waiting as may (nothing was started, DONE does not come); SLD_LIMIT: no memory for it.
// Not from within the plugin's own state. R outlives the call.
SLD_NODISCARD enum sld_rc pl_task_start(struct sld_plugin *p, struct sld_reactor *r, const struct pl_task_call *call,
                                        struct pl_task **out, struct sld_err *err);
// Ends a call without DONE; what it waits for is let go, its __close run. From within the call itself it ends at its next wait, or
// when it returns. NULL is fine.
void pl_task_cancel(struct pl_task *t);
// Calls of P that are under way.
size_t pl_task_count(const struct sld_plugin *p);

// ---- For libraries: waiting ----

// Whether L is what the loop resumes: the coroutine of a call that may wait.
bool pl_task_is(lua_State *L);
// The call at work in L; raises, naming WHAT, where there is none or where it cannot wait: in a coroutine of the script's, below
// a function in C. Before anything is started that would have to be undone.
struct pl_task *pl_may_wait(lua_State *L, const char *what);
// The same for what asks others: counts it, and raises when the call asked more often than it may.
struct pl_task *pl_may_ask(lua_State *L, const char *what);
struct sld_reactor *pl_task_reactor(const struct pl_task *t);
// The ARG of the call at work in L when it is one of HOOK, or NULL.
void *pl_task_arg(lua_State *L, enum sld_hook hook);
// Leaves the coroutine until pl_wake: the last thing a library function does. STOP(WAITING) is called instead when the call
// ends before: it lets go of what was started.
int pl_wait(lua_State *L, void (*stop)(void *waiting), void *waiting);
// The same; the function goes on in K with CONTEXT.
int pl_wait_k(lua_State *L, void (*stop)(void *waiting), void *waiting, lua_KContext context, lua_KFunction k);
// The same for what is not the plugin's to hurry, such as the next piece of a body: no deadline while it waits, and a new one after.
int pl_wait_patient(lua_State *L, void (*stop)(void *waiting), void *waiting, lua_KContext context, lua_KFunction k);
// The K of pl_wait: what the answer of pl_wake pushes is returned.
int pl_woken(lua_State *L, int status, lua_KContext context);
// Goes on with T, which waits: ANSWER(L, ARG) runs in it, pushes what the library function returns, and says how many; NULL: nothing.
// ARG need not outlive this call; when it returns T may be gone.
void pl_wake(struct pl_task *t, int (*answer)(lua_State *L, void *arg), void *arg);

// ---- For the host ----

void pl_task_pool_free(struct pl_host *h);
// Closes the streams that were lent to CALL, which is over. (lib_stream.c)
void pl_streams_end(struct pl_host *h, uint64_t call);
void pl_streams_free(struct pl_host *h);

// ---- Time ----

// The clock of the call at work, in phases that have one.
int64_t pl_wall_ms(lua_State *L);
uint64_t pl_mono_ms(lua_State *L);
// Whether the value at INDEX is a time of at most MAX_S: a number of seconds, or a text such as "5s"; *MS: what it means.
bool pl_to_ms(lua_State *L, int index, double max_s, uint64_t *ms);

// ---- Files ----

// Whether the operator grants the plugin the file at PATH.
bool pl_file_granted(lua_State *L, struct sld_str path);
