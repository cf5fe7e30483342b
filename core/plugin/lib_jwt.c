// solder.jwt: JSON Web Tokens (RFC 7519), signed (RFC 7515), with keys of RFC 7517.
//
// What a token says of its algorithm is believed only where a key is of that one kind: a public key is never the secret
// of an HMAC, "none" is no algorithm, and the payload is not read before the signature was right.
#include "codec/crypt.h"
#include "codec/text.h"
#include "plugin/library.h"
#include "plugin/task.h"

enum {
    TOKEN_MAX = 16 << 10,
    KEYS_MAX = 100,
    KID_MAX = 1024,
    TRIES_MAX = 8,       // keys that one token is tried with
    KEY_BYTES = 8 << 10, // what a key counts
    KEY_STEPS = 5000,
    VERIFY_STEPS = 10000,
    SIGN_STEPS = 100000,
    DEPTH_MAX = 32,
    LEEWAY_S = 60,
};

struct one {
    struct sld_key *key;
    struct sld_str kid; // absent: none
    enum sld_jws alg;   // the only one it is for; SLD_JWS_COUNT: any that fits
    bool verifies, signs;
};

struct keys {
    struct sld_arena arena;
    size_t count, held;
    struct one list[KEYS_MAX];
};

static int collect(lua_State *L)
{
    struct keys *k = lua_touserdata(L, 1);
    for (size_t i = 0; i < k->count; i++)
        sld_key_destroy(k->list[i].key);
    k->count = 0;
    sld_arena_fini(&k->arena);
    pl_let_go(L, k->held);
    k->held = 0;
    return 0;
}

// ---- Keys ----

static struct keys *push_keys(lua_State *L)
{
    return pl_push_object(L, &pl_jwt, "jwt.Keys", sizeof(struct keys), 0);
}

// Makes room for one more key, before there is one: nothing raises while nobody owns it.
static void reserve(lua_State *L, struct keys *k)
{
    pl_spend(L, KEY_STEPS);
    if (k->held >= (k->count + 1) * KEY_BYTES)
        return;
    pl_hold(L, KEY_BYTES);
    k->held += KEY_BYTES;
}

// Adds a key, which it takes, for what ONE says.
static void add_key(struct keys *k, struct one one)
{
    one.kid = one.kid.p ? sld_arena_str(&k->arena, one.kid) : one.kid;
    k->list[k->count++] = one;
}

// The text of member KEY of the table at INDEX; absent when it is none.
static struct sld_str member(lua_State *L, int index, const char *key)
{
    lua_getfield(L, index, key);
    struct sld_str s = pl_str(L, -1); // the table keeps it
    lua_pop(L, 1);
    return s;
}

// Whether the list of strings in member key_ops, if there is one, has NAME.
static bool has_op(lua_State *L, int index, const char *name)
{
    bool has = lua_getfield(L, index, "key_ops") != LUA_TTABLE;
    for (lua_Integer i = 1; !has && lua_geti(L, -1, i) != LUA_TNIL && i < 20; i++) {
        has = sld_str_eq(pl_str(L, -1), sld_str_c(name));
        lua_pop(L, 1);
    }
    lua_settop(L, index);
    return has;
}

// Reads the JWK on top. SLD_INVALID where it is no key for signatures.
static enum sld_rc read_jwk(lua_State *L, struct keys *k, struct sld_err *err)
{
    static const struct {
        const char *name;
        size_t at;
    } numbers[] = {
        {"n", offsetof(struct sld_jwk, n)},   {"e", offsetof(struct sld_jwk, e)},   {"d", offsetof(struct sld_jwk, d)},
        {"p", offsetof(struct sld_jwk, p)},   {"q", offsetof(struct sld_jwk, q)},   {"dp", offsetof(struct sld_jwk, dp)},
        {"dq", offsetof(struct sld_jwk, dq)}, {"qi", offsetof(struct sld_jwk, qi)}, {"x", offsetof(struct sld_jwk, x)},
        {"y", offsetof(struct sld_jwk, y)},   {"k", offsetof(struct sld_jwk, k)},
    };
    int index = lua_gettop(L);
    reserve(L, k);
    luaL_checkstack(L, 8, NULL);
    if (!lua_istable(L, index))
        return sld_err_set(err, SLD_INVALID, "a key is no object");
    struct sld_str use = member(L, index, "use"), alg = member(L, index, "alg");
    struct one one = {.kid = member(L, index, "kid"), .alg = alg.p ? sld_jws_find(alg) : SLD_JWS_COUNT,
                      .verifies = has_op(L, index, "verify"), .signs = has_op(L, index, "sign")};
    if (use.p && !sld_str_eq(use, SLD_STR("sig")))
        return sld_err_set(err, SLD_INVALID, "a key is not for signatures");
    if (alg.p && one.alg == SLD_JWS_COUNT)
        return sld_err_set(err, SLD_INVALID, "a key's alg, %.*s, is not known", SLD_FMT(sld_str_sub(alg, 0, 20)));
    if (one.kid.n > KID_MAX)
        return sld_err_set(err, SLD_INVALID, "a key's kid has %zu bytes, at most %d", one.kid.n, KID_MAX);
    struct sld_jwk jwk = {.kty = member(L, index, "kty"), .crv = member(L, index, "crv")};
    struct sld_arena *a = pl_arena(L);
    for (size_t i = 0; i < SLD_ARRAY_LEN(numbers); i++) {
        struct sld_str text = member(L, index, numbers[i].name), *to = (void *)((char *)&jwk + numbers[i].at);
        char *bytes = text.p ? sld_arena_alloc(a, text.n + 4) : NULL;
        size_t n = 0;
        if (bytes && !sld_base64_take(bytes, &n, text, true))
            return sld_err_set(err, SLD_INVALID, "a key's '%s' is not base64url", numbers[i].name);
        *to = bytes ? sld_str_n(bytes, n) : SLD_STR_NONE;
    }
    enum sld_rc rc = sld_key_of_jwk(&jwk, &one.key, err);
    pl_arena_done(a);
    lua_settop(L, index);
    if (!rc && one.alg != SLD_JWS_COUNT && !sld_key_fits(one.key, one.alg)) {
        sld_key_destroy(one.key);
        rc = sld_err_set(err, SLD_INVALID, "a key is not one for its alg");
    }
    if (!rc)
        add_key(k, one);
    return rc;
}

// Reads the table at index 1: a JWK, or the keys of a set that are for signatures.
static enum sld_rc read_table(lua_State *L, struct keys *k, struct sld_err *err)
{
    int top = lua_gettop(L);
    if (lua_getfield(L, 1, "keys") != LUA_TTABLE) {
        lua_pushvalue(L, 1);
        return read_jwk(L, k, err);
    }
    enum sld_rc rc = sld_err_set(err, SLD_INVALID, "the set has no keys");
    lua_Integer n = luaL_len(L, -1);
    if (n > KEYS_MAX)
        return sld_err_set(err, SLD_LIMIT, "a set of %lld keys, at most %d", (long long)n, KEYS_MAX);
    for (lua_Integer i = 1; i <= n; i++) { // keys of other uses and kinds are none of ours
        lua_geti(L, top + 1, i);
        rc = read_jwk(L, k, err);
        lua_settop(L, top + 1);
    }
    return k->count ? SLD_OK : rc;
}

static int keys(lua_State *L)
{
    struct sld_err err = {0};
    struct one one = {.alg = SLD_JWS_COUNT, .verifies = true, .signs = true, .kid = SLD_STR_NONE};
    lua_settop(L, 1);
    luaL_argexpected(L, lua_istable(L, 1) || lua_type(L, 1) == LUA_TSTRING, 1, "string or table");
    if (lua_type(L, 1) == LUA_TSTRING) {
        struct sld_str text = sld_str_trim(pl_arg(L, 1));
        if (!sld_str_starts(text, SLD_STR("{"))) {
            struct keys *k = push_keys(L);
            reserve(L, k);
            if (sld_key_of_pem(text, &one.key, &err))
                return pl_not_right(L, "%s", err.msg);
            add_key(k, one);
            return 1;
        }
        if (!pl_json_read(L, text, DEPTH_MAX, &err))
            return pl_not_right(L, "%s", err.msg);
        lua_replace(L, 1);
    }
    struct keys *k = push_keys(L);
    if (read_table(L, k, &err))
        return pl_not_right(L, "%s", err.msg);
    lua_settop(L, 2);
    return 1;
}

static int secret(lua_State *L)
{
    struct sld_err err = {0};
    struct sld_jwk jwk = {.kty = SLD_STR("oct"), .k = pl_arg(L, 1)};
    struct one one = {.alg = SLD_JWS_COUNT, .verifies = true, .signs = true, .kid = SLD_STR_NONE};
    luaL_argcheck(L, jwk.k.n >= 32 && jwk.k.n <= 1024, 1, "a secret of 32 to 1024 bytes expected");
    struct keys *k = push_keys(L);
    reserve(L, k);
    enum sld_rc rc = sld_key_of_jwk(&jwk, &one.key, &err);
    SLD_INV(!rc);
    add_key(k, one);
    return 1;
}

// ---- Tokens ----

struct token {
    struct sld_str header, payload, signature; // as they stand
    struct sld_str signed_text;
};

static int refuse(lua_State *L, const char *code, const char *words)
{
    lua_pushnil(L);
    lua_pushstring(L, words);
    lua_pushstring(L, code);
    return 3;
}

static bool split(struct sld_str text, struct token *t)
{
    struct sld_str rest = text;
    if (text.n > TOKEN_MAX || !sld_str_cut(&rest, '.', &t->header) || !sld_str_cut(&rest, '.', &t->payload) || !rest.p)
        return false;
    t->signature = rest;
    t->signed_text = sld_str_sub(text, 0, text.n - rest.n - 1);
    return sld_str_index(rest, '.') < 0;
}

// Pushes the bytes of a part; false when it is not base64url.
static bool push_bytes(lua_State *L, struct sld_str part)
{
    struct pl_out o;
    pl_out_begin(&o, L, part.n / 4 * 3 + 3);
    bool ok = sld_base64_take(o.p, &o.n, part, true);
    if (ok)
        pl_out_push(&o);
    else
        lua_pushnil(L);
    lua_remove(L, o.index);
    return ok;
}

// Pushes the object of a part; false when it is none.
static bool push_part(lua_State *L, struct sld_str part)
{
    struct sld_err err = {0};
    int top = lua_gettop(L);
    if (!push_bytes(L, part) || !pl_json_read(L, pl_str(L, -1), DEPTH_MAX, &err) || !lua_istable(L, -1) || pl_is_array(L, -1)) {
        lua_settop(L, top);
        return false;
    }
    lua_remove(L, -2);
    return true;
}

static int decode(lua_State *L)
{
    struct token t;
    if (!split(pl_arg(L, 1), &t))
        return pl_not_right(L, "not of the form of a signed token, header.payload.signature");
    lua_createtable(L, 0, 2);
    if (!push_part(L, t.header))
        return pl_not_right(L, "the token's header is no JSON object in base64url");
    lua_setfield(L, -2, "header");
    if (!push_part(L, t.payload))
        return pl_not_right(L, "the token's payload is no JSON object in base64url");
    lua_setfield(L, -2, "claims");
    return 1;
}

// ---- Verifying ----

// Whether the list of algorithms in the options at index 3, if there is one, has NAME.
static bool is_allowed(lua_State *L, struct sld_str name)
{
    if (lua_isnil(L, 3) || lua_getfield(L, 3, "algorithms") == LUA_TNIL)
        return true;
    bool found = false;
    if (!lua_istable(L, -1))
        pl_error(L, "algorithms must be a list of names");
    for (lua_Integer i = 1; lua_geti(L, -1, i) != LUA_TNIL; i++) {
        struct sld_str s = pl_str(L, -1);
        if (sld_jws_find(s) == SLD_JWS_COUNT)
            pl_error(L, "'%.*s' is no algorithm: there are HS, RS, PS, ES with 256, 384, 512, and EdDSA", SLD_FMT(s));
        found = found || sld_str_eq(s, name);
        lua_pop(L, 1);
    }
    return found;
}

// Whether the signature of T, whose bytes are on top, is one by K with ALG. *TRIED counts.
static bool is_signed(lua_State *L, const struct keys *k, const struct token *t, enum sld_jws alg, struct sld_str kid, size_t *tried)
{
    struct sld_str signature = pl_str(L, -1);
    for (size_t i = 0; i < k->count && *tried < TRIES_MAX; i++) {
        const struct one *one = &k->list[i];
        if (!one->verifies || !sld_key_fits(one->key, alg) || (one->alg != SLD_JWS_COUNT && one->alg != alg) ||
            (kid.p && one->kid.p && !sld_str_eq(kid, one->kid)))
            continue;
        ++*tried;
        pl_spend(L, VERIFY_STEPS);
        if (sld_key_verify(one->key, alg, t->signed_text, signature) == SLD_OK)
            return true;
    }
    return false;
}

// A claim of the table at INDEX that is a time: false when it is something else. *THERE tells.
static bool time_claim(lua_State *L, int index, const char *name, double *out, bool *there)
{
    int type = lua_getfield(L, index, name);
    *there = type != LUA_TNIL;
    *out = type == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
    lua_pop(L, 1);
    return type == LUA_TNIL || type == LUA_TNUMBER;
}

// Whether a string on top is, or a list there has, one of what stands at option KEY; pops it.
static bool is_one_of(lua_State *L, const char *key)
{
    int value = lua_gettop(L), wanted = value + 1;
    bool found = false;
    lua_getfield(L, 3, key);
    if (!lua_istable(L, wanted) && lua_type(L, wanted) != LUA_TSTRING)
        pl_error(L, "%s must be a string or a list of them", key);
    lua_Integer n = lua_istable(L, value) ? (lua_Integer)lua_rawlen(L, value) : 1;
    lua_Integer m = lua_istable(L, wanted) ? luaL_len(L, wanted) : 1;
    pl_spend(L, (size_t)n * (size_t)m);
    for (lua_Integer i = 1; i <= n && !found; i++) {
        if (lua_istable(L, value))
            lua_rawgeti(L, value, i);
        else
            lua_pushvalue(L, value);
        for (lua_Integer j = 1; j <= m && !found; j++) {
            if (lua_istable(L, wanted))
                lua_geti(L, wanted, j);
            else
                lua_pushvalue(L, wanted);
            found = lua_type(L, -1) == LUA_TSTRING && lua_type(L, -2) == LUA_TSTRING && lua_rawequal(L, -1, -2);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    lua_settop(L, value - 1);
    return found;
}

static bool has_option(lua_State *L, const char *key)
{
    bool has = !lua_isnil(L, 3) && lua_getfield(L, 3, key) != LUA_TNIL;
    if (!lua_isnil(L, 3))
        lua_pop(L, 1);
    return has;
}

// Raises what is wrong in the options; the time to go by in *NOW.
static void read_time(lua_State *L, double *now, double *leeway, double *max_age)
{
    *leeway = pl_option_number(L, 3, "leeway", LEEWAY_S, 0, 86400);
    *max_age = pl_option_number(L, 3, "max_age", -1, 0, 1e10);
    bool pure = pl_is_pure(L);
    if (pure && !has_option(L, "now"))
        pl_error(L, "solder.jwt.verify needs the option now while a plugin loads, shapes or checks: there is no clock");
    *now = pl_option_number(L, 3, "now", pure ? 0 : (double)pl_wall_ms(L) / 1e3, -1e12, 1e12);
}

// Checks the claims on top. NULL, or the code of what is wrong, with words.
static const char *check_claims(lua_State *L, const char **words)
{
    int at = lua_gettop(L);
    double now, leeway, max_age, exp, nbf, iat;
    bool has_exp, has_nbf, has_iat;
    read_time(L, &now, &leeway, &max_age);
    *words = "exp, nbf or iat is no number";
    if (!time_claim(L, at, "exp", &exp, &has_exp) || !time_claim(L, at, "nbf", &nbf, &has_nbf) || !time_claim(L, at, "iat", &iat, &has_iat))
        return "claims";
    *words = "the token has no exp, so it would never end; the option require = {} allows that";
    if (!has_exp && !has_option(L, "require"))
        return "claims";
    *words = "the token's time is over";
    if (has_exp && !(now < exp + leeway))
        return "expired";
    *words = "the token's time has not come yet";
    if (has_nbf && !(now >= nbf - leeway))
        return "early";
    *words = "the token is older than max_age, or does not say when it was issued";
    if (max_age >= 0 && (!has_iat || !(now < iat + max_age + leeway)))
        return "expired";
    static const char *const named[][3] = {{"iss", "issuer", "the token is of another issuer"},
                                           {"aud", "audience", "the token is for another audience"},
                                           {"sub", "subject", "the token is about another subject"}};
    for (size_t i = 0; i < SLD_ARRAY_LEN(named); i++) {
        *words = named[i][2];
        if (!has_option(L, named[i][1]))
            continue;
        lua_getfield(L, at, named[i][0]);
        if (!is_one_of(L, named[i][1]))
            return "claims";
    }
    *words = "a claim that is required is missing";
    if (has_option(L, "require")) {
        lua_getfield(L, 3, "require");
        luaL_argexpected(L, lua_istable(L, -1), 3, "list of names as require");
        for (lua_Integer i = 1; lua_geti(L, at + 1, i) != LUA_TNIL; i++) {
            bool there = lua_gettable(L, at) != LUA_TNIL;
            lua_pop(L, 1);
            if (!there)
                return "claims";
        }
        lua_settop(L, at);
    }
    return NULL;
}

static int verify(lua_State *L)
{
    struct token t;
    struct sld_str text = pl_arg(L, 1);
    const struct keys *k = pl_object(L, 2, "jwt.Keys");
    const char *words, *code;
    size_t tried = 0;
    pl_options(L, 3, &pl_jwt, "jwt.VerifyOptions");
    lua_settop(L, 3);
    if (!split(text, &t) || !push_part(L, t.header)) // the header is at 4
        return refuse(L, "malformed", "no signed token: header.payload.signature in base64url, at most 16 KiB");
    struct sld_str name = member(L, 4, "alg"), kid = member(L, 4, "kid"), type = pl_option_str(L, 3, "type");
    enum sld_jws alg = sld_jws_find(name);
    bool allowed = is_allowed(L, name);
    lua_settop(L, 4);
    if (alg == SLD_JWS_COUNT || !allowed)
        return refuse(L, "algorithm", "the token's algorithm is not one that is accepted here");
    if (lua_getfield(L, 4, "crit") != LUA_TNIL)
        return refuse(L, "malformed", "the token has extensions that must be understood, and are not");
    if (type.p && !sld_str_ieq(member(L, 4, "typ"), type))
        return refuse(L, "claims", "the token is of another type");
    if (!push_bytes(L, t.signature))
        return refuse(L, "malformed", "the token's signature is not base64url");
    if (!is_signed(L, k, &t, alg, kid, &tried))
        return tried ? refuse(L, "signature", "the signature is not right")
                     : refuse(L, "key", "there is no key of the token's kid and algorithm");
    lua_settop(L, 4);
    if (!push_part(L, t.payload))
        return refuse(L, "malformed", "the token's payload is no JSON object");
    code = check_claims(L, &words);
    if (code)
        return refuse(L, code, words);
    lua_settop(L, 5);
    lua_pushvalue(L, 4);
    return 2;
}

// ---- Signing ----

// The algorithm to sign with by ONE; SLD_JWS_COUNT: it is not for what is asked.
static enum sld_jws choose(const struct one *one, enum sld_jws wanted)
{
    static const enum sld_jws order[] = {SLD_RS256, SLD_ES256, SLD_ES384, SLD_ES512, SLD_EDDSA, SLD_HS256};
    if (one->alg != SLD_JWS_COUNT)
        return wanted == SLD_JWS_COUNT || wanted == one->alg ? one->alg : SLD_JWS_COUNT;
    if (wanted != SLD_JWS_COUNT)
        return sld_key_fits(one->key, wanted) ? wanted : SLD_JWS_COUNT;
    for (size_t i = 0; i < SLD_ARRAY_LEN(order); i++) {
        if (sld_key_fits(one->key, order[i]))
            return order[i];
    }
    return SLD_JWS_COUNT;
}

// Pushes the header: what the option says, and what the signature needs.
static void push_header(lua_State *L, enum sld_jws alg, struct sld_str kid)
{
    lua_createtable(L, 0, 4);
    int at = lua_gettop(L);
    lua_pushliteral(L, "JWT");
    lua_setfield(L, at, "typ");
    if (!lua_isnil(L, 3) && lua_getfield(L, 3, "header") != LUA_TNIL) {
        luaL_argexpected(L, lua_istable(L, -1), 3, "table as header");
        if (pl_thawed(L, -1))
            lua_replace(L, -2);
        for (lua_pushnil(L); lua_next(L, at + 1);) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_settable(L, at);
        }
    }
    lua_settop(L, at);
    lua_pushstring(L, sld_jws_name(alg));
    lua_setfield(L, at, "alg");
    if (kid.p) {
        pl_push_str(L, kid);
        lua_setfield(L, at, "kid");
    }
}

// Appends the table on top as JSON in base64url; pops it. False with words in ERR.
static bool add_part(struct pl_out *o, struct sld_err *err)
{
    lua_State *L = o->L;
    int top = lua_gettop(L);
    struct pl_out json, text;
    pl_out_begin(&json, L, 256);
    if (!pl_json_write(&json, top, 0, 0, err))
        return false;
    pl_out_begin(&text, L, (json.n + 2) / 3 * 4);
    text.n = sld_base64_put(text.p, sld_str_n(json.p, json.n), true);
    pl_out_add(o, sld_str_n(text.p, text.n));
    lua_settop(L, top - 1);
    return true;
}

static int sign(lua_State *L)
{
    unsigned char signature[SLD_JWS_MAX];
    char coded[SLD_JWS_MAX / 3 * 4 + 4];
    size_t n = 0;
    struct sld_err err = {0};
    struct pl_out o;
    luaL_checktype(L, 1, LUA_TTABLE);
    const struct keys *k = pl_object(L, 2, "jwt.Keys");
    const struct one *one = NULL;
    pl_options(L, 3, &pl_jwt, "jwt.SignOptions");
    lua_settop(L, 3);
    struct sld_str name = pl_option_str(L, 3, "algorithm"), kid = pl_option_str(L, 3, "kid");
    enum sld_jws wanted = name.p ? sld_jws_find(name) : SLD_JWS_COUNT, alg = SLD_JWS_COUNT;
    if (name.p && wanted == SLD_JWS_COUNT)
        pl_error(L, "'%.*s' is no algorithm: there are HS, RS, PS, ES with 256, 384, 512, and EdDSA", SLD_FMT(name));
    for (size_t i = 0; i < k->count && alg == SLD_JWS_COUNT; i++) {
        one = &k->list[i];
        if (sld_key_is_private(one->key) && one->signs && (!kid.p || sld_str_eq(kid, one->kid)))
            alg = choose(one, wanted);
    }
    if (alg == SLD_JWS_COUNT)
        pl_error(L, "there is no private key for this algorithm and kid");
    if (sld_jws_is_random(alg) && pl_is_pure(L))
        pl_error(L, "solder.jwt.sign with %s cannot be called while a plugin loads, shapes or checks: each signature is another", sld_jws_name(alg));
    pl_out_begin(&o, L, 512);
    push_header(L, alg, one->kid);
    if (!add_part(&o, &err))
        return pl_not_right(L, "%s", err.msg);
    pl_out_addc(&o, '.');
    lua_pushvalue(L, 1);
    if (!add_part(&o, &err))
        return pl_not_right(L, "%s", err.msg);
    pl_spend(L, SIGN_STEPS);
    enum sld_rc rc = sld_key_sign(one->key, alg, sld_str_n(o.p, o.n), signature, &n);
    if (rc)
        return pl_not_right(L, "the key cannot sign");
    pl_out_addc(&o, '.');
    pl_out_add(&o, sld_str_n(coded, sld_base64_put(coded, sld_str_n((const char *)signature, n), true)));
    pl_out_push(&o);
    return 1;
}

// ---- The table ----

static const struct pl_value verify_options[] = {
    {"algorithms?", "string[]", "Those that are accepted; default: all that the keys are for."},
    {"issuer?", "string|string[]", "One of them must be the token's iss."},
    {"audience?", "string|string[]", "One of them must be, or be among, the token's aud."},
    {"subject?", "string|string[]", "One of them must be the token's sub."},
    {"type?", "string", "Must be the header's typ, such as at+jwt."},
    {"require?", "string[]", "Claims that must be there; default: exp."},
    {"leeway?", "number", "Seconds by which clocks may differ; 60 by default."},
    {"max_age?", "number", "Seconds since iat."},
    {"now?", "number", "Unix seconds to go by; must be set in pure phases, which have no clock."},
};
static const struct pl_value sign_options[] = {
    {"algorithm?", "string", "Default: what the key says, else RS256, ES256 to ES512, EdDSA or HS256."},
    {"kid?", "string", "Of the key; default: the first that can sign."},
    {"header?", "table", "More of the header."},
};
static const struct pl_value token_fields[] = {{"header", "table<string, any>", ""}, {"claims", "table<string, any>", ""}};
static const struct pl_class classes[] = {
    {.name = "jwt.Keys", .doc = "Keys that verify, and maybe sign.", .gc = collect},
    {.name = "jwt.Token", .doc = "What a token says; nothing of it is proven.", PL_FIELDS(token_fields)},
    {.name = "jwt.VerifyOptions", .doc = "What a token must be.", PL_FIELDS(verify_options)},
    {.name = "jwt.SignOptions", .doc = "How a token is signed.", PL_FIELDS(sign_options)},
};
static const struct pl_binding bindings[] = {
    {.name = "keys", .fn = keys,
     .doc = "Reads keys: a JWK or a JWK Set as JSON or as a table, or one key or certificate in PEM form. Of a set, keys of other uses and kinds are "
            "passed over. RSA has at least 2048 bits.",
     .params = {{"source", "string|table", ""}}, .returns = {{"keys?", "jwt.Keys", "nil: none can be used."}, {"words?", "string", ""}},
     .example = "local keys = assert(jwt.keys('{\"kty\": \"oct\", \"kid\": \"a\", \"k\": \"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\"}'))\n"
                "assert(jwt.sign({sub = \"ada\"}, keys):match(\"^eyJ\"))\nassert(not jwt.keys(\"{}\"))"},
    {.name = "secret", .fn = secret, .doc = "The key of a shared secret, for HS256 and, when it is long enough, HS384 and HS512.",
     .params = {{"secret", "string", "32 to 1024 bytes."}}, .returns = {{"keys", "jwt.Keys", ""}},
     .example = "local keys = jwt.secret((\"s\"):rep(32))\nassert(jwt.verify(jwt.sign({exp = 2000000000}, keys), keys, {now = 1900000000}))"},
    {.name = "verify", .fn = verify,
     .doc = "Verifies a token: its signature by one of the keys, its times, and what the options ask for. Keys whose kid is another are not tried; of "
            "the others at most 8. \"none\" is never accepted, and a key only for the algorithms of its kind.",
     .params = {{"token", "string", "At most 16 KiB."}, {"keys", "jwt.Keys", ""}, {"options?", "jwt.VerifyOptions", ""}},
     .returns = {{"claims?", "table<string, any>", "nil: it is not accepted."},
                 {"header", "table<string, any>|string", "Its header; or words that tell what is wrong, without anything of the token."},
                 {"code?", "\"malformed\"|\"algorithm\"|\"key\"|\"signature\"|\"expired\"|\"early\"|\"claims\"",
                  "What is wrong; key: maybe newer keys have it."}},
     .example = "local keys = jwt.secret((\"s\"):rep(32))\nlocal token = jwt.sign({iss = \"https://id.example.org\", sub = \"ada\", exp = "
         "2000000000}, keys)\n"
                "local options = {issuer = \"https://id.example.org\", algorithms = {\"HS256\"}, now = 1900000000}\n"
                "local claims = assert(jwt.verify(token, keys, options))\nassert(claims.sub == \"ada\")\n"
                "local nothing, words, code = jwt.verify(token, keys, {now = 2100000000})\nassert(not nothing and code == \"expired\")"},
    {.name = "sign", .fn = sign, .doc = "Signs claims. PS and ES signatures are random, so they are not available in pure phases.",
     .params = {{"claims", "table<string, any>", "Set exp: verify asks for it."}, {"keys", "jwt.Keys", "With a private key."},
                {"options?", "jwt.SignOptions", ""}},
     .returns = {{"token?", "string", "nil: a string in it is not UTF-8."}, {"words?", "string", ""}},
     .example = "local token = jwt.sign({sub = \"ada\"}, jwt.secret((\"s\"):rep(64)), {algorithm = \"HS512\", header = {typ = \"at+jwt\"}})\n"
                "assert(jwt.decode(token).header.typ == \"at+jwt\")"},
    {.name = "decode", .fn = decode, .doc = "Reads a token WITHOUT verifying it: to choose keys by its issuer. Believe nothing of it.",
     .params = {{"token", "string", ""}}, .returns = {{"token?", "jwt.Token", "nil: it is none."}, {"words?", "string", ""}},
     .example = "local token = assert(jwt.decode(\"eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UifQ.\"))\nassert(token.claims.iss == \"joe\" and "
         "token.header.alg == \"none\")"},
};
const struct pl_module pl_jwt = {.name = "solder.jwt", .doc = "JSON Web Tokens: HS, RS, PS and ES with 256, 384 and 512, and EdDSA (Ed25519).",
                                 PL_BINDINGS(bindings), PL_CLASSES(classes)};
