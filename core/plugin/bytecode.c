// Reads what lua_dump writes of a function: the form of Lua 5.4, whose makers keep it for all of 5.4. Only our own
// compiler's output comes here, so what does not look like it is a bug of ours.
#include "plugin/bytecode.h"

#include <stdlib.h>

enum { DUMP_MAX = 32 << 20, HEAD = 4 + 1 + 1 + 6 + 3 + 8 + 8 };
enum { OP_MOVE = 0, OP_LOADK = 3, OP_LOADNIL = 8, OP_GETUPVAL = 9, OP_SETUPVAL = 10, OP_GETTABUP = 11, OP_GETFIELD = 14, OP_SETTABUP = 15 };
enum { OP_SETFIELD = 18, OP_SELF = 20, OP_CALL = 68, OP_TAILCALL = 69, OP_FORLOOP = 73, OP_TFORLOOP = 77, OP_CLOSURE = 79 };
enum { OP_JMP = 56, JUMP_NOWHERE = (1 << 24) - 1 }; // a jump's distance is told with that added
enum { OP_VARARG = 80, OP_VARARGPREP = 81, REGISTERS = 256 };
enum { T_INTEGER = 0x03, T_SHORT = 0x04, T_FLOAT = 0x13, T_LONG = 0x14 };
enum { LINE_ABSOLUTE = -0x80 };

struct reading {
    struct sld_arena *a;
    const unsigned char *p, *end;
    struct pl_chunk *chunk;
};

// One function while it is read.
struct body {
    struct pl_function *fn;
    const unsigned char *code;
    size_t code_count;
    struct sld_str *constants; // absent where it is no string
    size_t constant_count;
    int *lines; // per instruction
    bool *env;  // per upvalue: it is the environment
    const unsigned char *upvalues; // three bytes each: in the registers of the function around it or not, which, kind
    size_t upvalue_count;
    struct sld_str *outer; // per upvalue: the module it holds; or absent
    bool *of_chunk;        // per upvalue: it is a variable of the chunk itself
    struct sld_str *names; // per upvalue
    bool chunk;            // it is the chunk itself
};

// Which registers hold modules, at one instruction.
struct modules {
    struct sld_str in[REGISTERS];
};

static unsigned byte(struct reading *r)
{
    SLD_INV(r->p < r->end);
    return *r->p++;
}

static const unsigned char *skip(struct reading *r, size_t n)
{
    SLD_INV((size_t)(r->end - r->p) >= n);
    const unsigned char *at = r->p;
    r->p += n;
    return at;
}

static size_t number(struct reading *r)
{
    size_t n = 0;
    unsigned b;
    do {
        b = byte(r);
        n = n << 7 | (b & 0x7f);
    } while (!(b & 0x80));
    return n;
}

static struct sld_str string(struct reading *r)
{
    size_t n = number(r);
    return n ? sld_str_n((const char *)skip(r, n - 1), n - 1) : SLD_STR_NONE;
}

static void read_constants(struct reading *r, struct body *b)
{
    b->constant_count = number(r);
    b->constants = SLD_ARENA_ARRAY(r->a, struct sld_str, b->constant_count + 1);
    for (size_t i = 0; i < b->constant_count; i++) {
        unsigned type = byte(r);
        if (type == T_SHORT || type == T_LONG)
            b->constants[i] = string(r);
        else if (type == T_FLOAT || type == T_INTEGER)
            skip(r, 8);
    }
}

// The lines of instructions are told as differences, with whole numbers in between.
static void read_lines(struct reading *r, struct body *b)
{
    size_t n = number(r);
    const unsigned char *steps = skip(r, n);
    size_t marks = number(r);
    int line = b->fn->first;
    b->lines = SLD_ARENA_ARRAY(r->a, int, b->code_count + 1);
    size_t at = 0;
    for (size_t m = 0; m <= marks; m++) {
        size_t until = m < marks ? number(r) : n;
        for (; at < until; at++) {
            line += (signed char)steps[at];
            b->lines[at] = line;
        }
        if (m < marks) {
            SLD_INV((signed char)steps[at] == LINE_ABSOLUTE);
            line = (int)number(r);
            b->lines[at++] = line;
        }
    }
}

static void read_names(struct reading *r, struct body *b)
{
    for (size_t n = number(r); n; n--) { // local variables
        string(r);
        number(r);
        number(r);
    }
    size_t n = number(r);
    b->env = SLD_ARENA_ARRAY(r->a, bool, b->upvalue_count + 1);
    b->names = SLD_ARENA_ARRAY(r->a, struct sld_str, b->upvalue_count + 1);
    for (size_t i = 0; i < n; i++) {
        b->names[i] = string(r);
        b->env[i] = sld_str_eq(b->names[i], SLD_STR("_ENV"));
    }
}

// ---- Instructions ----

struct step {
    unsigned op, a, k, b, c;
};

static struct step step_at(const struct body *b, size_t i)
{
    const unsigned char *p = b->code + i * 4;
    uint32_t w = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    return (struct step){w & 0x7f, w >> 7 & 0xff, w >> 15 & 1, w >> 16 & 0xff, w >> 24};
}

static struct sld_str constant(const struct body *b, unsigned i)
{
    return i < b->constant_count ? b->constants[i] : SLD_STR_NONE;
}

// Whether OP puts something into register A: not stores, metamethods of operators, tests, jumps, returns, what walks
// loops, and what only goes with its neighbour.
static bool assigns(unsigned op)
{
    return op != 10 && (op < 15 || op > 18) && (op < 46 || op > 48) && (op < 54 || op > 66) && (op < 69 || op > 78) && op < 81;
}

// ---- Modules ----

static void forget(struct modules *m, unsigned from, unsigned to)
{
    for (unsigned i = from; i <= to && i < REGISTERS; i++)
        m->in[i] = SLD_STR_NONE;
}

// The module that call number I is given by require; absent for other calls.
static struct sld_str required(const struct body *b, size_t i)
{
    struct step call = step_at(b, i), name, fn;
    if (i < 2 || call.b != 2 || call.c < 2)
        return SLD_STR_NONE;
    name = step_at(b, i - 1);
    fn = step_at(b, i - 2);
    if (fn.op != OP_GETTABUP || fn.a != call.a || !sld_str_eq(constant(b, fn.c), SLD_STR("require")) || name.op != OP_LOADK ||
        name.a != call.a + 1)
        return SLD_STR_NONE;
    return constant(b, (name.b | name.c << 8) << 1 | name.k);
}

// What instruction I does to M. Branches are walked as if all of them ran: what one of them assigns is not known any more.
static void walk(const struct body *b, struct modules *m, size_t i)
{
    struct step s = step_at(b, i);
    if (s.op == OP_CALL) {
        struct sld_str module = required(b, i);
        forget(m, s.a, REGISTERS);
        m->in[s.a] = module;
    } else if (s.op == OP_MOVE) {
        m->in[s.a] = m->in[s.b];
    } else if (s.op == OP_GETUPVAL) {
        m->in[s.a] = s.b < b->upvalue_count ? b->outer[s.b] : SLD_STR_NONE;
    } else if (s.op == OP_TAILCALL || s.op == OP_VARARG || s.op == OP_SELF || (s.op >= OP_FORLOOP && s.op <= OP_TFORLOOP)) {
        forget(m, s.a, REGISTERS);
    } else if (s.op == OP_LOADNIL) {
        forget(m, s.a, s.a + s.b);
    } else if (assigns(s.op)) {
        forget(m, s.a, s.a);
    }
}

// What the variables outside of function number N of B, which is next to be read, hold where it is made: *IN.
static void at_closure(const struct body *b, size_t n, struct modules *in)
{
    struct modules m = {0};
    for (size_t i = 0; i < b->code_count; i++) {
        struct step s = step_at(b, i);
        if (s.op == OP_CLOSURE && ((s.b | s.c << 8) << 1 | s.k) == n) {
            *in = m;
            return;
        }
        walk(b, &m, i);
    }
}

static void inherit(struct reading *r, struct body *b, const struct body *around, size_t n)
{
    struct modules m = {0};
    b->outer = SLD_ARENA_ARRAY(r->a, struct sld_str, b->upvalue_count + 1);
    b->of_chunk = SLD_ARENA_ARRAY(r->a, bool, b->upvalue_count + 1);
    if (!around)
        return;
    at_closure(around, n, &m);
    for (size_t i = 0; i < b->upvalue_count; i++) {
        unsigned in_stack = b->upvalues[3 * i], index = b->upvalues[3 * i + 1];
        if (in_stack) {
            b->outer[i] = m.in[index];
            b->of_chunk[i] = around->chunk;
        } else if (index < around->upvalue_count) {
            b->outer[i] = around->outer[index];
            b->of_chunk[i] = around->of_chunk[index];
        }
    }
}

static void add(struct reading *r, struct body *b, struct pl_lookup l, size_t i)
{
    l.line = b->lines[i];
    l.function = b->fn;
    SLD_PUSH(r->a, r->chunk->lookups, r->chunk->lookup_count, l);
}

static void look_at(struct reading *r, struct body *b, const struct modules *m, size_t i)
{
    struct step s = step_at(b, i), next = i + 1 < b->code_count ? step_at(b, i + 1) : (struct step){0};
    struct pl_lookup l = {.global = true};
    if (assigns(s.op) && s.a < b->fn->params)
        b->fn->reassigned[s.a] = true;
    if (s.op == OP_GETTABUP && b->outer[s.b].p)
        add(r, b, (struct pl_lookup){.module = b->outer[s.b], .name = constant(b, s.c)}, i);
    else if ((s.op == OP_GETFIELD || s.op == OP_SELF) && m->in[s.b].p)
        add(r, b, (struct pl_lookup){.module = m->in[s.b], .name = constant(b, s.c)}, i);
    if (s.op == OP_SETUPVAL && b->of_chunk[s.b])
        SLD_PUSH(r->a, r->chunk->outers, r->chunk->outer_count, ((struct pl_outer){b->lines[i], b->names[s.b]}));
    if (s.op == OP_GETTABUP && b->env[s.b]) {
        l.name = constant(b, s.c);
        if ((next.op == OP_GETFIELD || next.op == OP_SELF) && next.b == s.a)
            l.field = constant(b, next.c);
        add(r, b, l, i);
    } else if (s.op == OP_SETTABUP && b->env[s.a]) {
        l.name = constant(b, s.b);
        l.write = true;
        add(r, b, l, i);
    } else if ((s.op == OP_GETFIELD || s.op == OP_SELF) && s.b < b->fn->params) {
        add(r, b, (struct pl_lookup){.name = constant(b, s.c), .param = s.b}, i);
    } else if (s.op == OP_SETFIELD && s.a < b->fn->params) {
        add(r, b, (struct pl_lookup){.name = constant(b, s.b), .param = s.a, .write = true}, i);
    }
}

// What runs other functions many times, or changes what functions are there.
static const char *const many[] = {"gsub", "require", "setmetatable", "sort", "xpcall"};

static bool goes_back(struct step s)
{
    uint32_t far = s.a | (uint32_t)s.k << 8 | (uint32_t)s.b << 9 | (uint32_t)s.c << 17;
    return (s.op >= OP_FORLOOP && s.op <= OP_TFORLOOP) || (s.op == OP_JMP && far < JUMP_NOWHERE);
}

static void measure(const struct body *b)
{
    b->fn->steps = b->code_count;
    b->fn->plain = !b->chunk;
    for (size_t i = 0; i < b->code_count; i++) {
        struct step s = step_at(b, i);
        b->fn->calls += s.op == OP_CALL || s.op == OP_TAILCALL;
        b->fn->plain &= s.op != OP_CLOSURE && !goes_back(s);
    }
    for (size_t i = 0; i < b->constant_count; i++) {
        for (size_t k = 0; k < SLD_ARRAY_LEN(many); k++)
            b->fn->plain &= !sld_str_eq(b->constants[i], sld_str_c(many[k]));
    }
}

// AROUND: the function that it is number NUMBER_IN of; NULL: none.
static void read_function(struct reading *r, const struct body *around, size_t number_in)
{
    struct body b = {.fn = SLD_ARENA_NEW(r->a, struct pl_function), .chunk = !around};
    string(r); // the source
    b.fn->first = (int)number(r);
    b.fn->last = (int)number(r);
    b.fn->params = byte(r);
    skip(r, 2); // varargs, size of the stack
    SLD_PUSH(r->a, r->chunk->functions, r->chunk->function_count, b.fn);
    b.fn->reassigned = SLD_ARENA_ARRAY(r->a, bool, b.fn->params + 1);
    b.code_count = number(r);
    b.code = skip(r, b.code_count * 4);
    read_constants(r, &b);
    b.upvalue_count = number(r);
    b.upvalues = skip(r, b.upvalue_count * 3);
    inherit(r, &b, around, number_in);
    measure(&b);
    for (size_t i = 0, n = number(r); i < n; i++)
        read_function(r, &b, i);
    read_lines(r, &b);
    read_names(r, &b);
    struct modules m = {0};
    for (size_t i = 0; i < b.code_count; i++) {
        look_at(r, &b, &m, i);
        walk(&b, &m, i);
        // The return behind the last statement is nobody's line.
        if (i + 1 < b.code_count && step_at(&b, i).op != OP_VARARGPREP)
            SLD_PUSH(r->a, r->chunk->lines, r->chunk->line_count, b.lines[i]);
    }
}

// ---- Assignments alone ----

// Adds the names of those variables outside of the function that it, or one in it, assigns to the set on top of L.
static void collect(struct reading *r, lua_State *L)
{
    bool assigned[256] = {0}; // as many variables as a function may have
    string(r);
    number(r);
    number(r);
    skip(r, 3);
    size_t code_count = number(r);
    const struct body b = {.code = skip(r, code_count * 4)};
    for (size_t i = 0; i < code_count; i++) {
        struct step s = step_at(&b, i);
        if (s.op == OP_SETUPVAL)
            assigned[s.b] = true;
    }
    for (size_t n = number(r); n; n--) {
        unsigned type = byte(r);
        if (type == T_SHORT || type == T_LONG)
            string(r);
        else if (type == T_FLOAT || type == T_INTEGER)
            skip(r, 8);
    }
    skip(r, number(r) * 3);
    for (size_t n = number(r); n; n--)
        collect(r, L);
    skip(r, number(r)); // lines
    for (size_t n = number(r); n; n--) {
        number(r);
        number(r);
    }
    for (size_t n = number(r); n; n--) { // local variables
        string(r);
        number(r);
        number(r);
    }
    size_t names = number(r);
    for (size_t i = 0; i < names; i++) {
        struct sld_str name = string(r);
        if (!assigned[i])
            continue;
        pl_push_str(L, name);
        lua_pushboolean(L, 1);
        lua_rawset(L, -3);
    }
}

struct gathered {
    luaL_Buffer b;
    bool begun; // with the first bytes: a buffer takes a place on the stack, where lua_dump looks for the function before
};

static int gather(lua_State *L, const void *p, size_t n, void *ud)
{
    struct gathered *g = ud;
    if (!g->begun)
        luaL_buffinit(L, &g->b);
    g->begun = true;
    luaL_addlstring(&g->b, p, n);
    return 0;
}

void pl_assigned_names(lua_State *L, int fn, int set)
{
    struct gathered g;
    int top = lua_gettop(L);
    g.begun = false;
    lua_pushvalue(L, fn);
    lua_dump(L, gather, &g, 0);
    luaL_pushresult(&g.b);
    struct sld_str text = pl_str(L, -1);
    struct reading r = {.p = (const unsigned char *)text.p, .end = (const unsigned char *)text.p + text.n};
    lua_pushvalue(L, set);
    skip(&r, HEAD + 1);
    collect(&r, L);
    lua_settop(L, top);
}

static int by_number(const void *x, const void *y)
{
    return *(const int *)x - *(const int *)y;
}

static int write(lua_State *L, const void *p, size_t n, void *ud)
{
    (void)L;
    sld_buf_add(ud, sld_str_n(p, n));
    return 0;
}

void pl_chunk_read(lua_State *L, struct sld_arena *a, struct sld_str file, struct pl_chunk *out)
{
    struct sld_buf b;
    sld_buf_init(&b, DUMP_MAX);
    *out = (struct pl_chunk){.file = file};
    lua_dump(L, write, &b, 0);
    lua_pop(L, 1);
    if (!b.full) {
        struct sld_str text = sld_arena_str(a, sld_buf_str(&b)); // names point into it
        struct reading r = {.a = a, .p = (const unsigned char *)text.p, .end = (const unsigned char *)text.p + text.n, .chunk = out};
        skip(&r, HEAD + 1);
        read_function(&r, NULL, 0);
    }
    sld_buf_fini(&b);
    size_t n = 0;
    if (out->line_count)
        qsort(out->lines, out->line_count, sizeof(int), by_number);
    for (size_t i = 0; i < out->line_count; i++) {
        if (!n || out->lines[n - 1] != out->lines[i])
            out->lines[n++] = out->lines[i];
    }
    out->line_count = n;
}
