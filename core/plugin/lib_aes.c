// solder.aes: AES-GCM in the one form that cannot be used wrongly: the nonce is random and travels in front.
#include "base/random.h"
#include "codec/crypt.h"
#include "plugin/library.h"

enum { CALL_STEPS = 300 };

static struct sld_str key_arg(lua_State *L)
{
    struct sld_str key = pl_arg(L, 1);
    luaL_argcheck(L, key.n == 16 || key.n == 24 || key.n == 32, 1, "a key of 16, 24 or 32 bytes expected");
    return key;
}

static struct sld_str extra_arg(lua_State *L)
{
    return lua_isnoneornil(L, 3) ? SLD_STR("") : pl_arg(L, 3);
}

static int encrypt(lua_State *L)
{
    struct sld_str key = key_arg(L), text = pl_arg(L, 2), extra = extra_arg(L);
    struct pl_out o;
    pl_spend(L, CALL_STEPS + (text.n + extra.n) / 8);
    pl_out_begin(&o, L, SLD_GCM_NONCE + text.n + SLD_GCM_TAG);
    sld_random_bytes(o.p, SLD_GCM_NONCE);
    bool ok = sld_gcm_encrypt(key, (unsigned char *)o.p, text, extra, (unsigned char *)o.p + SLD_GCM_NONCE);
    SLD_INV(ok);
    o.n = SLD_GCM_NONCE + text.n + SLD_GCM_TAG;
    pl_out_push(&o);
    return 1;
}

static int decrypt(lua_State *L)
{
    struct sld_str key = key_arg(L), data = pl_arg(L, 2), extra = extra_arg(L);
    struct pl_out o;
    pl_spend(L, CALL_STEPS + (data.n + extra.n) / 8);
    pl_out_begin(&o, L, data.n);
    struct sld_str sealed = sld_str_sub(data, SLD_GCM_NONCE, data.n);
    if (data.n < SLD_GCM_NONCE + SLD_GCM_TAG || !sld_gcm_decrypt(key, (const unsigned char *)data.p, sealed, extra, (unsigned char *)o.p))
        return pl_not_right(L, "it was not encrypted with this key and this extra, or was changed since");
    o.n = sealed.n - SLD_GCM_TAG;
    pl_out_push(&o);
    return 1;
}

static const struct pl_binding bindings[] = {
    {.name = "encrypt", .fn = encrypt, .phases = PL_IN_CALLS,
     .doc = "Encrypts and authenticates a text (AES-GCM): 12 random bytes, the encrypted text, 16 bytes that show changes.",
     .params = {{"key", "string", "16, 24 or 32 bytes that nobody can guess; not a password."}, {"text", "string", ""},
                {"extra?", "string", "Is authenticated too, but not in the result: such as whose cookie it is."}},
     .returns = {{"data", "string", "28 bytes longer than the text."}},
     .example = "local key = require(\"solder.random\").bytes(32)\nlocal cookie = aes.encrypt(key, \"user=ada\", \"session\")\n"
                "assert(aes.decrypt(key, cookie, \"session\") == \"user=ada\" and not aes.decrypt(key, cookie, \"other\"))"},
    {.name = "decrypt", .fn = decrypt, .doc = "The way back.",
     .params = {{"key", "string", ""}, {"data", "string", ""}, {"extra?", "string", "As it was encrypted with."}},
     .returns = {{"text?", "string", "nil: it was changed, or the key is another."}, {"words?", "string", ""}},
     .example = "assert(aes.decrypt((\"k\"):rep(32), \"too short\") == nil)"},
};
const struct pl_module pl_aes = {.name = "solder.aes", .doc = "Encryption with a shared key.", PL_BINDINGS(bindings)};
