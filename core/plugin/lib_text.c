// solder.base64, solder.hex, solder.hash and solder.random: bytes, and what is made of them.
#include "base/random.h"
#include "codec/crypt.h"
#include "codec/text.h"
#include "plugin/library.h"

// ---- base64 ----

static int to_base64(lua_State *L, bool url)
{
    struct sld_str s = pl_arg(L, 1);
    struct pl_out o;
    pl_out_begin(&o, L, (s.n + 2) / 3 * 4);
    o.n = sld_base64_put(o.p, s, url);
    pl_out_push(&o);
    return 1;
}

static int of_base64(lua_State *L, bool url)
{
    struct sld_str s = pl_arg(L, 1);
    struct pl_out o;
    pl_out_begin(&o, L, s.n / 4 * 3 + 3);
    if (!sld_base64_take(o.p, &o.n, s, url))
        return pl_not_right(L, "not base64%s", url ? " of the alphabet of URLs, without padding" : "");
    pl_out_push(&o);
    return 1;
}

static int base64_encode(lua_State *L)
{
    return to_base64(L, false);
}

static int base64_decode(lua_State *L)
{
    return of_base64(L, false);
}

static int base64_encode_url(lua_State *L)
{
    return to_base64(L, true);
}

static int base64_decode_url(lua_State *L)
{
    return of_base64(L, true);
}

static const struct pl_binding base64_bindings[] = {
    {.name = "encode", .fn = base64_encode, .doc = "Encodes bytes with the standard alphabet and padding (RFC 4648, section 4).",
     .params = {{"data", "string", ""}}, .returns = {{"text", "string", ""}},
     .example = "assert(base64.encode(\"any + thing\") == \"YW55ICsgdGhpbmc=\")"},
    {.name = "decode", .fn = base64_decode,
     .doc = "Decodes it. Strict: padding, no line breaks, no other alphabet, no unused bits; so that two texts never mean the same.",
     .params = {{"text", "string", ""}}, .returns = {{"data?", "string", "nil: it is not base64."}, {"words?", "string", ""}},
     .example = "local user, password = assert(base64.decode(\"YWRhOnNlY3JldA==\")):match(\"^([^:]*):(.*)$\")\n"
                "assert(user == \"ada\" and password == \"secret\")\n"
                "assert(base64.decode(\"YWRh\\n\") == nil)"},
    {.name = "encode_url", .fn = base64_encode_url, .doc = "Encodes bytes with the alphabet of URLs, without padding (section 5), as tokens have it.",
     .params = {{"data", "string", ""}}, .returns = {{"text", "string", ""}},
     .example = "assert(base64.encode_url(\"\\xff\\xfe\") == \"__4\")"},
    {.name = "decode_url", .fn = base64_decode_url, .doc = "Decodes that, as strictly.",
     .params = {{"text", "string", ""}}, .returns = {{"data?", "string", "nil: it is not base64."}, {"words?", "string", ""}},
     .example = "assert(base64.decode_url(\"__4\") == \"\\xff\\xfe\" and not base64.decode_url(\"//4=\"))"},
};
const struct pl_module pl_base64 = {.name = "solder.base64", .doc = "Bytes as text and back.", PL_BINDINGS(base64_bindings)};

// ---- hex ----

static int hex_encode(lua_State *L)
{
    static const char digits[] = "0123456789abcdef";
    struct sld_str s = pl_arg(L, 1);
    struct pl_out o;
    pl_out_begin(&o, L, s.n * 2);
    for (size_t i = 0; i < s.n; i++) {
        o.p[o.n++] = digits[(unsigned char)s.p[i] >> 4];
        o.p[o.n++] = digits[(unsigned char)s.p[i] & 15];
    }
    pl_out_push(&o);
    return 1;
}

static int hex_decode(lua_State *L)
{
    struct sld_str s = pl_arg(L, 1);
    struct pl_out o;
    pl_out_begin(&o, L, s.n / 2);
    if (s.n % 2)
        return pl_not_right(L, "an odd number of hexadecimal digits");
    for (size_t i = 0; i < s.n; i += 2) {
        int high = sld_hex_digit(s.p[i]), low = sld_hex_digit(s.p[i + 1]);
        if (high < 0 || low < 0)
            return pl_not_right(L, "no hexadecimal digit at byte %zu", i + (high < 0 ? 1 : 2));
        o.p[o.n++] = (char)(high << 4 | low);
    }
    pl_out_push(&o);
    return 1;
}

static const struct pl_binding hex_bindings[] = {
    {.name = "encode", .fn = hex_encode, .doc = "Two digits a byte, in lower case.", .params = {{"data", "string", ""}},
     .returns = {{"text", "string", ""}}, .example = "assert(hex.encode(\"\\0\\x1f\\xff\") == \"001fff\")"},
    {.name = "decode", .fn = hex_decode, .doc = "The bytes of digits in either case.", .params = {{"text", "string", ""}},
     .returns = {{"data?", "string", "nil: these are no pairs of digits."}, {"words?", "string", ""}},
     .example = "assert(hex.decode(\"001fFF\") == \"\\0\\x1f\\xff\" and not hex.decode(\"0x\"))"},
};
const struct pl_module pl_hex = {.name = "solder.hex", .doc = "Bytes as hexadecimal digits and back.", PL_BINDINGS(hex_bindings)};

// ---- hash ----

static int push_digest(lua_State *L, enum sld_digest d)
{
    unsigned char out[SLD_DIGEST_MAX];
    struct sld_str s = pl_arg(L, 1);
    pl_spend(L, s.n / 4 + 50);
    sld_digest(d, s, out);
    lua_pushlstring(L, (const char *)out, sld_digest_bytes(d));
    return 1;
}

static int sha1(lua_State *L)
{
    return push_digest(L, SLD_SHA1);
}

static int sha256(lua_State *L)
{
    return push_digest(L, SLD_SHA256);
}

static int sha384(lua_State *L)
{
    return push_digest(L, SLD_SHA384);
}

static int sha512(lua_State *L)
{
    return push_digest(L, SLD_SHA512);
}

static int hmac(lua_State *L)
{
    unsigned char out[SLD_DIGEST_MAX];
    struct sld_str name = pl_arg(L, 1), key = pl_arg(L, 2), s = pl_arg(L, 3);
    int d = 0;
    while (d < SLD_DIGEST_COUNT && !sld_str_eq(name, sld_str_c(sld_digest_name((enum sld_digest)d))))
        d++;
    luaL_argcheck(L, d < SLD_DIGEST_COUNT, 1, "sha1, sha256, sha384 or sha512 expected");
    pl_spend(L, (key.n + s.n) / 4 + 100);
    sld_hmac((enum sld_digest)d, key, s, out);
    lua_pushlstring(L, (const char *)out, sld_digest_bytes((enum sld_digest)d));
    return 1;
}

static int equal(lua_State *L)
{
    lua_pushboolean(L, sld_equal_secret(pl_arg(L, 1), pl_arg(L, 2)));
    return 1;
}

static int bucket(lua_State *L)
{
    struct sld_str s = pl_arg(L, 1);
    lua_Integer n = luaL_checkinteger(L, 2);
    luaL_argcheck(L, n >= 1, 2, "at least 1 expected");
    lua_pushinteger(L, (lua_Integer)(sld_hash_bytes(s).lo % (uint64_t)n));
    return 1;
}

#define DIGEST(fn_, words)                                                                                                     \
    .name = #fn_, .fn = fn_, .doc = words, .params = {{"data", "string", ""}}, .returns = {{"digest", "string", "As bytes; see solder.hex."}}
static const struct pl_binding hash_bindings[] = {
    {DIGEST(sha256, "The SHA-256 digest: 32 bytes."),
     .example = "local hex = require \"solder.hex\"\n"
                "assert(hex.encode(hash.sha256(\"abc\")) == \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\")"},
    {DIGEST(sha384, "The SHA-384 digest: 48 bytes."), .example = "assert(#hash.sha384(\"abc\") == 48)"},
    {DIGEST(sha512, "The SHA-512 digest: 64 bytes."), .example = "assert(#hash.sha512(\"abc\") == 64)"},
    {DIGEST(sha1, "The SHA-1 digest: 20 bytes. For what others made so; it is broken, and proves nothing."),
     .example = "assert(#hash.sha1(\"abc\") == 20)"},
    {.name = "hmac", .fn = hmac, .doc = "A code that only who has the key can make (RFC 2104). Compare codes by hash.equal.",
     .params = {{"algorithm", "\"sha1\"|\"sha256\"|\"sha384\"|\"sha512\"", ""}, {"key", "string", ""}, {"data", "string", ""}},
     .returns = {{"code", "string", "As bytes."}},
     .example = "local hex = require \"solder.hex\"\n"
                "local code = hash.hmac(\"sha256\", \"Jefe\", \"what do ya want for nothing?\")\n"
                "assert(hex.encode(code):sub(1, 8) == \"5bdcc146\")"},
    {.name = "equal", .fn = equal,
     .doc = "Whether two strings are the same, in a time that does not tell where they differ: for keys, passwords and codes.",
     .params = {{"a", "string", ""}, {"b", "string", ""}}, .returns = {{"same", "boolean", ""}},
     .example = "assert(hash.equal(\"secret\", \"secret\") and not hash.equal(\"secret\", \"secreT\"))"},
    {.name = "bucket", .fn = bucket,
     .doc = "A number from 0 to n - 1 that the data alone decide, the same on every machine: to send a part of the users somewhere. No protection "
            "against who chooses the data.",
     .params = {{"data", "string", ""}, {"n", "integer", "At least 1."}}, .returns = {{"bucket", "integer", ""}},
     .example = "local canary = hash.bucket(\"user-17\", 100) < 5 -- 5% of the users\n"
                "assert(canary == (hash.bucket(\"user-17\", 100) < 5))"},
};
const struct pl_module pl_hash = {.name = "solder.hash", .doc = "Digests, authentication codes, comparing secrets.", PL_BINDINGS(hash_bindings)};

// ---- random ----

enum { RANDOM_MAX = 65536 };

static int random_bytes(lua_State *L)
{
    lua_Integer n = luaL_checkinteger(L, 1);
    luaL_argcheck(L, n >= 0 && n <= RANDOM_MAX, 1, "0 to 65536 expected");
    pl_spend(L, (size_t)n / 4 + 20);
    unsigned char *p = lua_newuserdatauv(L, (size_t)n + 1, 0);
    sld_random_bytes(p, (size_t)n);
    lua_pushlstring(L, (const char *)p, (size_t)n);
    return 1;
}

static int random_integer(lua_State *L)
{
    lua_Integer n = luaL_checkinteger(L, 1);
    luaL_argcheck(L, n >= 1, 1, "at least 1 expected");
    pl_spend(L, 20);
    lua_pushinteger(L, (lua_Integer)sld_random_below((uint64_t)n) + 1);
    return 1;
}

static int random_uuid(lua_State *L)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char b[16];
    char text[36];
    size_t n = 0;
    pl_spend(L, 20);
    sld_random_bytes(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    for (size_t i = 0; i < sizeof(b); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            text[n++] = '-';
        text[n++] = digits[b[i] >> 4];
        text[n++] = digits[b[i] & 15];
    }
    lua_pushlstring(L, text, n);
    return 1;
}

static const struct pl_binding random_bindings[] = {
    {.name = "bytes", .fn = random_bytes, .phases = PL_IN_CALLS, .doc = "Random bytes of the kernel: for keys, nonces and session names.",
     .params = {{"n", "integer", "0 to 65536."}}, .returns = {{"data", "string", ""}},
     .example = "assert(#random.bytes(32) == 32)"},
    {.name = "integer", .fn = random_integer, .phases = PL_IN_CALLS, .doc = "A random number from 1 to n, each as likely as the other.",
     .params = {{"n", "integer", "At least 1."}}, .returns = {{"number", "integer", ""}},
     .example = "local dice = random.integer(6)\nassert(dice >= 1 and dice <= 6)"},
    {.name = "uuid", .fn = random_uuid, .phases = PL_IN_CALLS, .doc = "A random UUID (version 4).", .returns = {{"uuid", "string", ""}},
     .example = "assert(random.uuid():match(\"^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$\"))"},
};
const struct pl_module pl_random = {.name = "solder.random", .doc = "Chance. Not in pure phases, whose result must be the same everywhere.",
                                    PL_BINDINGS(random_bindings)};
