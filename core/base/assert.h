// Assertions that stay on in release builds: a broken invariant ends the process (a supervisor
// restarts it, the Envoys keep serving) instead of letting it serve nonsense.
#pragma once

// Prints "file:line: kind: condition" to stderr and aborts. [any]
_Noreturn void sld_assert_fail(const char *file, int line, const char *kind, const char *cond);

#define SLD_CHECK_(kind, cond)                                                                     \
    ((cond) ? (void)0 : sld_assert_fail(__FILE__, __LINE__, (kind), #cond))

// What the caller promised.
#define SLD_PRE(cond) SLD_CHECK_("precondition", cond)
// What this function promises.
#define SLD_POST(cond) SLD_CHECK_("postcondition", cond)
// What must hold at this point.
#define SLD_INV(cond) SLD_CHECK_("invariant", cond)
// A place that cannot be reached.
#define SLD_UNREACHABLE() sld_assert_fail(__FILE__, __LINE__, "unreachable", "")

// The struct of type T whose member M is at P.
#define SLD_CONTAINER_OF(p, T, m) ((T *)(void *)((char *)(p) - offsetof(T, m)))

#define SLD_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define SLD_NODISCARD __attribute__((warn_unused_result))
#define SLD_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
